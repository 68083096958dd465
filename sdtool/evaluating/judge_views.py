"""What the judge learns from, made before it learns: views of many samples, in files."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sdtool.evaluating.samples import Sample
from sdtool.evaluating.viewnet import AROUND
from sdtool.evaluating.views import SIZE, normal_views
from sdtool.io.files import atomic_path
from sdtool.runtime.progress import progress

UNIT = 127  # of int8: 1
FACTS = ("first", "kind", "sound", "front", "faces", "twin")
SAVED = 250  # samples: so often the facts are written


def write_views(
    folder: Path, stream: Iterator[Sample], count: int, rng: np.random.Generator, kinds: list[str]
) -> None:
    """Write views.npy (count, AROUND, SIZE, SIZE, 4) int8, and samples.npz: of each its first azimuth in
    radians, its kind (of `kinds`, −1 for none), whether it is sound, whether it has a front (1, 0, or
    −1: nobody knows), whether that front is known to face +Z, and whether it is the twin of the spoiled one
    before it, seen from the same sides."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (count, AROUND, SIZE, SIZE, 4)
    views = np.lib.format.open_memmap(folder / "views.npy", "w+", np.int8, shape)
    if hasattr(os, "posix_fallocate"):  # so that a full disk is an error now, not a signal later
        with open(folder / "views.npy", "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    facts = {name: np.zeros(count, np.int64) for name in FACTS}
    facts["first"] = np.zeros(count, np.float32)
    row = 0
    with progress("making views to learn from", count, "models") as bar:
        while row < count:
            one = next(stream)
            first, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.0)
            elevation = np.radians(rng.uniform(-5, 35))
            for mesh in (one.mesh, one.twin)[: count - row]:
                if mesh is None:
                    continue
                twin = mesh is one.twin
                facts["first"][row] = first
                facts["kind"][row] = kinds.index(one.category) if one.category in kinds else -1
                facts["sound"][row] = twin or not one.flaw
                facts["front"][row] = -1 if one.front is None else one.front
                facts["faces"][row] = one.faces or (twin and bool(one.front))
                facts["twin"][row] = twin
                mesh = mesh.with_positions(mesh.v_pos * scale, mesh.v_normal)
                seen = normal_views(mesh, azimuths(first), elevation)
                views[row] = np.rint(seen * UNIT)
                row += 1
                if row % SAVED == 0 or row == count:
                    views.flush()
                    _save(folder, {name: value[:row] for name, value in facts.items()})
                bar.advance()


def azimuths(first: float | np.ndarray) -> np.ndarray:
    """(AROUND,) radians of the views, or (N, AROUND) of those of N models (N,)."""
    return np.asarray(first)[..., None] + np.arange(AROUND) * 2 * np.pi / AROUND


def _save(folder: Path, facts: dict) -> None:
    with atomic_path(folder / "samples.npz") as path:
        np.savez(path, **facts)
