"""Training data: memory-mapped shards of views, joined with captions by uid."""

import hashlib
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import numpy as np
import torch

from sdtool.errors import InputError
from sdtool.io.shards import open_shard, shard_paths
from sdtool.io.words import counted


class Views:
    """All views of some directories: row i is one map of one object from one camera.

    directories: outputs of `sdtool render-ccm`. names: which maps to use, e.g. ("rgb", "normal");
    each view gives one row for each of them that its shard holds. captions: uid → prompts; views of
    objects without a prompt are left out (none if it is None), and so are those that `keep`
    (uid → bool) refuses. refused: what those are, and the cure, for an error.
    InputError if nothing is left.
    """

    shard: np.ndarray
    row: np.ndarray
    map: np.ndarray
    object: np.ndarray
    """(N,) int32 each: where row i lies. Indices into `shards`, of a view in it, into `names`, `uids`."""
    rendered: int
    uncaptioned: list[str]
    """How many objects have views at all; the uids of those that have no prompt."""
    drawn: list[str]
    """The uids of those objects that rows are of: not of one that could not be rendered."""

    def __init__(
        self,
        directories: Sequence[str | Path],
        names: Sequence[str],
        captions: Container[str] | None = None,
        keep: Callable[[str], bool] = lambda uid: True,
        refused: str = "left out",
    ):
        self.names = tuple(names)
        self.shards = [open_shard(path) for d in directories for path in shard_paths(Path(d))]
        found = {uid for shard in self.shards for uid in shard.uids}
        self.uids = sorted(u for u in found if (captions is None or u in captions) and keep(u))
        drawn = {s.uids[k] for s in self.shards for k in np.unique(s.object).tolist()}
        self.rendered = len(drawn)
        self.uncaptioned = [] if captions is None else sorted(u for u in drawn if u not in captions)
        number = {uid: k for k, uid in enumerate(self.uids)}
        parts: list[np.ndarray] = []
        for k, shard in enumerate(self.shards):
            known = np.array([number.get(uid, -1) for uid in shard.uids], np.int32)
            objects = known[shard.object]
            rows = np.flatnonzero(objects >= 0).astype(np.int32)
            for m, name in enumerate(self.names):
                if name in shard.maps:
                    parts.append(np.stack([_full(rows, k), rows, _full(rows, m), objects[rows]]))
        table = np.concatenate(parts, axis=1) if parts else np.zeros((4, 0), np.int32)
        self.shard, self.row, self.map, self.object = table
        self.drawn = [self.uids[k] for k in np.unique(self.object).tolist()]
        where = ", ".join(str(d) for d in directories)
        if not len(self):
            raise InputError(f"{where}: {self._why_nothing(drawn, refused)}")
        sizes: dict[int, int] = {}
        for maps in (s.maps[n] for s in self.shards for n in self.names if n in s.maps):
            sizes[maps.shape[-1]] = sizes.get(maps.shape[-1], 0) + len(maps)
        if len(sizes) > 1:
            counts = ", ".join(f"{sizes[size]} of {size}×{size}" for size in sorted(sizes))
            raise InputError(
                f"{where}: maps of different sizes {sorted(sizes)} ({counts}); render them alike"
            )
        (self.size,) = sizes

    def _why_nothing(self, drawn: set[str], refused: str) -> str:
        """Why no view of the objects that are `drawn` is left, and the cure."""
        maps, render = " or ".join(self.names), f"render with --maps {','.join(self.names)}"
        captioned = drawn.difference(self.uncaptioned)
        counts = f"{len(drawn)} objects are rendered, {len(captioned)} of them have a caption"
        if not drawn:
            return "no object could be rendered; failures.jsonl there says why"
        if not any(name in shard.maps for shard in self.shards for name in self.names):
            return f"no view has a map ({maps}); {render}"
        if not captioned:
            return f"no view has a caption ({counts}); caption the same objects"
        if captioned.isdisjoint(self.uids):
            return f"each object with a caption is {refused}"
        both = f"no view has both a map ({maps}) and a caption ({counts})"
        return f"{both}; {render}, and caption the same objects"

    @property
    def camera(self) -> dict:
        """How the cameras of all shards were drawn; InputError if not all of them alike."""
        first = self.shards[0]
        for shard in self.shards:
            if shard.camera != first.camera:
                raise InputError(
                    f"{shard.path} and {first.path} have cameras drawn differently "
                    f"({shard.camera or 'unsaid'} and {first.camera or 'unsaid'}); render them alike"
                )
        return first.camera

    def __len__(self) -> int:
        return len(self.row)

    def maps(self, index: np.ndarray) -> torch.Tensor:
        """Rows (B,) → (B, 4, H, W) float32. InputError if one holds what is no number."""
        rows = zip(self.shard[index], self.row[index], self.map[index], strict=True)
        found = np.stack([self.shards[s].maps[self.names[m]][r] for s, r, m in rows])
        self._check(index, found, "map")
        return torch.from_numpy(found.astype(np.float32))

    def cameras(self, index: np.ndarray) -> torch.Tensor:
        """Rows (B,) → (B, 4, 4) float32 camera-to-world matrices."""
        rows = zip(self.shard[index], self.row[index], strict=True)
        found = np.stack([self.shards[s].c2w[r] for s, r in rows])
        self._check(index, found, "camera")
        return torch.from_numpy(found)

    def _check(self, index: np.ndarray, found: np.ndarray, what: str) -> None:
        """InputError that names shard and object if a row (B, …) holds a NaN or an infinity."""
        if np.isfinite(found).all():
            return
        sound = np.isfinite(found).reshape(len(found), -1).all(axis=1)
        row = index[np.flatnonzero(~sound)[0]]
        shard, uid = self.shards[self.shard[row]], self.uids[self.object[row]]
        raise InputError(
            f"{shard.path} is damaged: a {what} of object {uid} holds what is no number (NaN or "
            "infinity); remove it, and render it again with: sdtool render-ccm"
        )

    def say_uncaptioned(self) -> str:
        """A sentence about the rendered objects that are left out for want of a caption; "" if none are."""
        if not (missing := self.uncaptioned):
            return ""
        some = ", ".join(missing[:3]) + ", …" * (len(missing) > 3)
        has = "has no caption and is" if len(missing) == 1 else "have no caption and are"
        of = counted(self.rendered, "rendered object")
        return f"{len(missing):,} of {of} {has} left out: {some}"


def _full(rows: np.ndarray, value: int) -> np.ndarray:
    return np.full(len(rows), value, np.int32)


class PromptTable:
    """Every prompt of some objects once, in one table; draws one for each row of a batch.

    Row 0 of `table` is the empty prompt. suffixes: one for each map name, put after the prompt. joined:
    (prompt, suffix) → text; it may cut the prompt to make room for the suffix.
    """

    def __init__(
        self,
        views: Views,
        captions: dict[str, list[str]],
        suffixes: tuple[str, ...],
        joined: Callable[[str, str], str] = str.__add__,
    ):
        numbers: dict[str, int] = {"": 0}
        self.choices = [  # [object][map] → prompt numbers
            [
                [numbers.setdefault(joined(t, s), len(numbers)) for t in captions[uid]]
                for s in suffixes
            ]
            for uid in views.uids
        ]
        self.table = list(numbers)

    def draw(
        self, views: Views, index: np.ndarray, dropout: float, generator: torch.Generator
    ) -> torch.Tensor:
        """(B,) prompt numbers: dropped with probability `dropout`; else the caption or, half of the
        time, one of the object's other prompts (paper, section 3.1: switched at random)."""
        random = torch.rand(len(index), 3, generator=generator).tolist()
        numbers = []
        for row, (dropped, other, which) in zip(index, random, strict=True):
            options = self.choices[views.object[row]][views.map[row]]
            k = 1 + int(which * (len(options) - 1)) if other >= 0.5 and len(options) > 1 else 0
            numbers.append(0 if dropped < dropout else options[k])
        return torch.tensor(numbers)


def counts(objects: int, maps: int, uncaptioned: int = 0) -> dict[str, int]:
    """What the record of a training counts. uncaptioned: objects left out for want of a caption."""
    found = {"ok": objects, "failed": 0, "maps": maps}
    return found | ({"without caption": uncaptioned} if uncaptioned else {})


def held_out(uids: list[str], share: float = 0.05) -> set[str]:
    """The objects kept for validation: the same ones whatever collection they stand in.

    A uid's hash decides; if it picks none of a small collection, the highest hash goes.
    """
    if len(uids) < 2:
        raise InputError(
            "training needs two objects or more with views and a caption, and "
            f"{len(uids)} {'is' if len(uids) == 1 else 'are'} there: one is held out to measure the result"
        )

    def place(uid: str) -> float:
        digest = hashlib.sha256(uid.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    rank = {uid: place(uid) for uid in uids}
    chosen = {uid for uid, value in rank.items() if value >= 1 - share}
    return chosen if 0 < len(chosen) < len(uids) else {max(uids, key=rank.__getitem__)}
