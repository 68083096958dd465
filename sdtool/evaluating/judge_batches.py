"""Batches of the views that the judge learns from, changed a little each time."""

import sys
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch.nn import functional

from sdtool.errors import InputError
from sdtool.evaluating.judge_views import UNIT, azimuths
from sdtool.evaluating.patches import PATCHES
from sdtool.evaluating.proportions import off_middle, proportions, reshaped
from sdtool.evaluating.viewnet import BINS

KNOWN = ("kind", "sound", "front", "faces")
BESIDE, AWAY = 0.3, (1.0, 11.0)
"""Chance that a model stands off the middle, as beside a piece that floats, and by how many pixels."""
HELD = 40  # of each folder the last sample in so many is looked at, not learnt from


def _facts(part: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(part / "samples.npz") as found:
            return {name: found[name] for name in ("twin", "first", *KNOWN)}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise _broken(part, error) from None


def _views(part: Path, count: int) -> np.ndarray:
    try:
        views = np.load(part / "views.npy", mmap_mode="r")
    except (OSError, ValueError) as error:
        raise _broken(part, error) from None
    if len(views) < count:
        raise _broken(part, f"{len(views)} views of {count} samples")
    if len(views) > count:
        _say_interrupted(part, count, f"its {len(views)}")
    return views[:count]


def _broken(part: Path, why: object) -> InputError:
    said = str(why).splitlines()[0]
    return InputError(
        f"the views in {part} cannot be read ({said}); remove {part.parent} to make them anew"
    )


def _say_interrupted(part: Path, count: int, of: str) -> None:
    said = f"{part}: only {count} of {of} samples are learnt from, for their making was interrupted"
    print(f"{said}; remove {part.parent} to make all of them", file=sys.stderr)


class Views:
    """What `judge_views.write_views` wrote into the folders of a folder.

    kinds: the judge's number of each kind of `samples.npz`, −1 last. Off the CPU, all views lie on the
    device: 200 KB each.
    """

    def __init__(self, folder: Path, kinds: np.ndarray, device: torch.device, seed: int):
        parts = [path.parent for path in sorted(folder.glob("*/samples.npz"))]
        facts = [_facts(part) for part in parts]
        self.device, self.noise = device, torch.Generator(device).manual_seed(seed)
        self.facts = {name: np.concatenate([one[name] for one in facts]) for name in facts[0]}
        self.facts["kind"] = kinds[self.facts["kind"]]
        counts = [len(one["first"]) for one in facts]
        self.ends = np.cumsum(counts)
        self.views = [_views(part, count) for part, count in zip(parts, counts, strict=True)]
        for begun in sorted(folder.glob("*/views.npy")):
            if not (begun.parent / "samples.npz").is_file():
                _say_interrupted(begun.parent, 0, "its")
        self.resident = None
        if device.type != "cpu":
            self.resident = torch.cat(
                [torch.from_numpy(np.array(one)).to(device) for one in self.views]
            )
        held = np.concatenate([np.arange(n) >= n - n // HELD for n in counts])
        self.learnt, self.held = np.nonzero(~held)[0], np.nonzero(held)[0]
        twins = self.learnt[self.facts["twin"][self.learnt] > 0]
        self.twins = twins[np.isin(twins - 1, self.learnt)]

    def __len__(self) -> int:
        return int(self.ends[-1])

    def rows(self, chosen: np.ndarray) -> dict[str, torch.Tensor]:
        """Rows as they were written: views (B, N, 64, 64, 4), azimuths (B, N) in bins, what of each view is
        changed (B, N), and of each patch of it (B, N, 8, 8), 0 of a sound one and NaN where nobody knows, and
        kind, sound, front, faces (B,)."""
        if self.resident is not None:
            views = self.resident[torch.from_numpy(chosen).to(self.device)]
        else:
            part = np.searchsorted(self.ends, chosen, side="right")
            first = np.r_[0, self.ends][part]
            pairs = zip(part, chosen - first, strict=True)
            views = torch.from_numpy(np.stack([self.views[p][row] for p, row in pairs]))
        azimuth = torch.from_numpy(azimuths(self.facts["first"][chosen])).float()
        changed = torch.full(azimuth.shape, torch.nan)
        changed[torch.from_numpy(self.facts["sound"][chosen] > 0)] = 0
        found = {name: torch.from_numpy(self.facts[name][chosen]) for name in KNOWN}
        patches = changed[..., None, None].expand(*changed.shape, PATCHES, PATCHES).clone()
        found |= {"azimuth": azimuth * BINS / (2 * np.pi), "changed": changed, "patches": patches}
        found = {name: value.to(self.device) for name, value in found.items()}
        return found | {"views": views.float() / UNIT}

    def batch(self, size: int, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """As `rows`, of `size` models, half of them pairs of a spoiled one and its twin; changed at
        random."""
        pairs = rng.choice(self.twins, min(size // 4, len(self.twins)), replace=False)
        others = rng.choice(self.learnt, size - 2 * len(pairs), replace=False)
        data = self.rows(np.concatenate([pairs - 1, pairs, others]))
        seen, azimuth, changed = data["views"], data["azimuth"], data["changed"]
        spoiled, twin = seen[: len(pairs)], seen[len(pairs) : 2 * len(pairs)]
        apart = (spoiled - twin).abs().amax(-1)
        covered = torch.maximum(spoiled[..., 3], twin[..., 3]).clamp(min=0).sum((2, 3)) + 1
        changed[: len(pairs)] = apart.sum((2, 3)) / covered
        # what is changed goes through all that follows beside the views
        where = torch.zeros(*seen.shape[:-1], 1, device=self.device)
        where[: len(pairs)] = apart.clamp(max=1)[..., None]
        seen = torch.cat([seen, where], dim=-1)

        mirrored = self._some(rng, size, 0.5)  # from the other side
        flip = torch.tensor([-1.0, 1, 1, 1, 1], device=self.device)
        seen[mirrored] = seen[mirrored].flip(1, 3) * flip
        changed[mirrored] = changed[mirrored].flip(1)
        azimuth[mirrored] = -azimuth[mirrored].flip(1)

        away = np.where(rng.random(size) < BESIDE, rng.uniform(*AWAY, size), 0)
        other = np.nonzero((rng.random(size) < 0.75) | (away > 0))[0]  # in other proportions
        drawn, room = (
            proportions(rng, len(other), seen.shape[2]),
            1 - 2 * away[other] / seen.shape[2],
        )
        seen[torch.from_numpy(other)] = reshaped(seen[torch.from_numpy(other)], drawn, room)

        coarse = self._some(rng, size, 0.25)
        small = functional.avg_pool2d(seen[coarse].flatten(0, 1).permute(0, 3, 1, 2), 2)
        large = functional.interpolate(small, scale_factor=2, mode="bilinear")
        seen[coarse] = large.permute(0, 2, 3, 1).view_as(seen[coarse])

        uneven = self._some(rng, size, 0.3)
        noise = torch.randn(seen[uneven].shape, generator=self.noise, device=self.device)
        strength = torch.from_numpy(rng.uniform(0, 0.2, len(uneven))).float().to(self.device)
        noise = noise * strength[:, None, None, None, None] * seen[uneven][..., 3:4]
        seen[uneven] += noise * torch.tensor([1.0, 1, 1, 0, 0], device=self.device)

        for one, shift in zip(seen, rng.integers(-2, 3, (size, 2)).tolist(), strict=True):
            one.copy_(one.roll(shift, (1, 2)))
        for k in np.nonzero(away)[0]:
            seen[k] = off_middle(rng, seen[k], azimuth[k] * (2 * np.pi / BINS), away[k])
        each = functional.avg_pool2d(seen[..., 4].flatten(0, 1), seen.shape[2] // PATCHES)
        data["patches"][: len(pairs)] = 0.0
        data["patches"] += each.unflatten(0, seen.shape[:2])
        return data | {"views": seen[..., :4].contiguous()}

    def _some(self, rng: np.random.Generator, size: int, share: float) -> torch.Tensor:
        return torch.from_numpy(np.nonzero(rng.random(size) < share)[0]).to(self.device)
