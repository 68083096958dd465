"""Training data: memory-mapped shards of views, joined with captions by uid."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sdtool.errors import InputError
from sdtool.io.files import read_jsonl
from sdtool.runtime.ranks import stage_folders

SHARD = re.compile(r"(ccm|views)-\d{5,}\.safetensors")


@dataclass(frozen=True)
class Shard:
    """One open shard. maps: name → (N, 4, H, W) memory map; c2w: (N, 4, 4), another; object: (N,)
    indices into uids. Many processes that open it share its pages: none of them holds a copy.

    camera: how its cameras were drawn, the fields of a `sdtool.geometry.cameras.ViewRange` ({} if unsaid).
    """

    path: Path
    uids: list[str]
    object: np.ndarray
    c2w: np.ndarray
    maps: dict[str, np.ndarray]
    camera: dict


def open_shard(path: Path) -> Shard:
    """Map a safetensors shard into memory without reading its pixels."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        facts = header.pop("__metadata__", {})
        uids, camera = json.loads(facts["uids"]), json.loads(facts.get("camera", "{}"))
        kinds = {"F16": np.float16, "F32": np.float32, "I32": np.int32}
        tensors = {
            name: np.memmap(
                path,
                dtype=kinds[entry["dtype"]],
                mode="r",
                offset=8 + length + entry["data_offsets"][0],
                shape=tuple(entry["shape"]),
            )
            for name, entry in header.items()
        }
        index, c2w = np.array(tensors.pop("object")), tensors.pop("c2w")
    except (OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise InputError(
            f"{path} is not a shard of rendered views ({type(error).__name__}: {error}); "
            "render it again with: sdtool render-ccm"
        ) from None
    if len(index) and (index.min() < 0 or index.max() >= len(uids)):
        raise InputError(f"{path} names an object outside its list of {len(uids)} uids")
    return Shard(path, uids, index.astype(np.int64), c2w, tensors, camera)


class Views:
    """All views of some directories: row i is one map of one object from one camera.

    directories: outputs of `sdtool render-ccm`. names: which maps to use, e.g. ("rgb", "normal");
    each view gives one row for each of them that its shard holds. captions: uid → prompts; views of
    objects without a prompt are left out (none if it is None), and so are those that `keep`
    (uid → bool) refuses.
    """

    def __init__(self, directories, names, captions=None, keep=lambda uid: True):
        self.names = tuple(names)
        self.shards = [open_shard(path) for d in directories for path in _shard_paths(Path(d))]
        found = {uid for shard in self.shards for uid in shard.uids}
        self.uids = sorted(u for u in found if (captions is None or u in captions) and keep(u))
        number = {uid: k for k, uid in enumerate(self.uids)}
        parts = []
        for k, shard in enumerate(self.shards):
            known = np.array([number.get(uid, -1) for uid in shard.uids], np.int32)
            objects = known[shard.object]
            rows = np.flatnonzero(objects >= 0).astype(np.int32)
            for m, name in enumerate(self.names):
                if name in shard.maps:
                    parts.append(np.stack([_full(rows, k), rows, _full(rows, m), objects[rows]]))
        table = np.concatenate(parts, axis=1) if parts else np.zeros((4, 0), np.int32)
        self.shard, self.row, self.map, self.object = table
        where = ", ".join(str(d) for d in directories)
        if not len(self):
            raise InputError(
                f"{where}: no view has both a map ({' or '.join(self.names)}) and a caption; "
                f"render with --maps {','.join(self.names)}, and caption the same objects"
            )
        sizes = {s.maps[n].shape[-1] for s in self.shards for n in self.names if n in s.maps}
        if len(sizes) > 1:
            raise InputError(f"{where}: maps of different sizes {sorted(sizes)}; render them alike")
        self.size = sizes.pop()

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
        """Rows (B,) → (B, 4, H, W) float32."""
        rows = zip(self.shard[index], self.row[index], self.map[index], strict=True)
        return torch.from_numpy(
            np.stack([self.shards[s].maps[self.names[m]][r] for s, r, m in rows]).astype(np.float32)
        )

    def cameras(self, index: np.ndarray) -> torch.Tensor:
        """Rows (B,) → (B, 4, 4) float32 camera-to-world matrices."""
        rows = zip(self.shard[index], self.row[index], strict=True)
        return torch.from_numpy(np.stack([self.shards[s].c2w[r] for s, r in rows]))


def _full(rows: np.ndarray, value: int) -> np.ndarray:
    return np.full(len(rows), value, np.int32)


def _shard_paths(directory: Path) -> list[Path]:
    """The shards of a run of `render-ccm`, or of all ranks of one, by number."""
    found = [path for folder in stage_folders(directory) for path in folder.glob("*.safetensors")]
    paths = sorted((p for p in found if SHARD.fullmatch(p.name)), key=lambda p: (p.name, p))
    if not paths:
        raise InputError(f"{directory} holds no shards of views; make them with: sdtool render-ccm")
    return paths


def read_captions(path: Path) -> dict[str, list[str]]:
    """`captions.jsonl`, or a folder that holds it → uid → prompts: the caption, then all others.

    A folder may hold what many ranks wrote.
    """
    name = "captions.jsonl"
    files = [folder / name for folder in stage_folders(path)] if path.is_dir() else [path]
    captions: dict[str, list[str]] = {}
    for listing, number, line in (
        (file, *entry) for file in files for entry in enumerate(read_jsonl(file), start=1)
    ):
        uid, others = line.get("uid"), line.get("alternatives") or []
        others = others if isinstance(others, list) else [others]
        others = [o.get("caption") if isinstance(o, dict) else o for o in others]
        texts = [line.get("caption"), line.get("annotation"), *others]
        if not all(isinstance(text, str | None) for text in (uid, *texts)):
            raise InputError(
                f"{listing}, caption {number} (uid {uid}): uid, caption, annotation and alternatives "
                "should be text"
            )
        texts = list(dict.fromkeys(t.strip() for t in texts if t and t.strip()))
        if texts and uid is not None:
            captions[uid] = texts
    if not captions:
        raise InputError(f"{path} holds no captions; make them with: sdtool caption")
    return captions


class PromptTable:
    """Every prompt of some objects once, in one table; draws one for each row of a batch.

    Row 0 of `table` is the empty prompt. suffixes: one for each map name, put after the prompt.
    """

    def __init__(self, views: Views, captions: dict[str, list[str]], suffixes: tuple[str, ...]):
        numbers: dict[str, int] = {"": 0}
        self.choices = [  # [object][map] → prompt numbers
            [[numbers.setdefault(t + s, len(numbers)) for t in captions[uid]] for s in suffixes]
            for uid in views.uids
        ]
        self.table = list(numbers)

    def draw(self, views: Views, index: np.ndarray, dropout: float, generator: torch.Generator):
        """(B,) prompt numbers: dropped with probability `dropout`; else the caption or, half of the
        time, one of the object's other prompts (paper, section 3.1: switched at random)."""
        random = torch.rand(len(index), 3, generator=generator).tolist()
        numbers = []
        for row, (dropped, other, which) in zip(index, random, strict=True):
            options = self.choices[views.object[row]][views.map[row]]
            k = 1 + int(which * (len(options) - 1)) if other >= 0.5 and len(options) > 1 else 0
            numbers.append(0 if dropped < dropout else options[k])
        return torch.tensor(numbers)


def held_out(uids: list[str], share: float = 0.05) -> set[str]:
    """The objects kept for validation: the same ones whatever collection they stand in.

    A uid's hash decides; if it picks none of a small collection, the highest hash goes.
    """
    if len(uids) < 2:
        raise InputError(
            "training needs two objects or more: one is held out to measure the result"
        )
    rank = {u: int.from_bytes(hashlib.sha256(u.encode()).digest()[:8], "big") / 2**64 for u in uids}
    chosen = {uid for uid, value in rank.items() if value >= 1 - share}
    return chosen if 0 < len(chosen) < len(uids) else {max(uids, key=rank.__getitem__)}
