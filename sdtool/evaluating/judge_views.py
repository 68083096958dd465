"""What the judge learns from, made before it learns: views of many samples, in files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sdtool.evaluating.samples import Sample
from sdtool.evaluating.viewnet import AROUND
from sdtool.evaluating.views import SIZE, normal_views
from sdtool.runtime.progress import progress

UNIT = 127  # of int8: 1
SAVED = 250  # samples: so often the facts are written


def write_views(
    folder: Path, stream: Iterator[Sample], count: int, rng: np.random.Generator, kinds: list[str]
) -> None:
    """Write views.npy (count, AROUND, SIZE, SIZE, 4) int8, and samples.npz: of each its first azimuth in
    radians, its kind (of `kinds`, −1 for none), whether it is sound, whether it has a front (1, 0, or
    −1: nobody knows) and whether that front is known to face +Z."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (count, AROUND, SIZE, SIZE, 4)
    views = np.lib.format.open_memmap(folder / "views.npy", "w+", np.int8, shape)
    first = np.zeros(count, np.float32)
    kind, sound, front, faces = (np.zeros(count, np.int64) for _ in range(4))
    facts: dict[str, np.ndarray] = {
        "first": first,
        "kind": kind,
        "sound": sound,
        "front": front,
        "faces": faces,
    }
    with progress("making views to learn from", count, "models") as bar:
        for k in range(count):
            one = next(stream)
            first[k] = rng.uniform(0, 2 * np.pi)
            kind[k] = kinds.index(one.category) if one.category in kinds else -1
            sound[k], faces[k] = not one.flaw, one.faces
            front[k] = -1 if one.front is None else one.front
            mesh = one.mesh
            mesh = mesh.with_positions(mesh.v_pos * rng.uniform(0.85, 1.0), mesh.v_normal)
            elevation = np.radians(rng.uniform(-5, 35))
            views[k] = np.rint(normal_views(mesh, azimuths(first[k]), elevation) * UNIT)
            if (k + 1) % SAVED == 0 or k + 1 == count:
                views.flush()
                _save(folder, {name: facts[name][: k + 1] for name in facts})
            bar.advance()


def azimuths(first: float | np.ndarray) -> np.ndarray:
    """(AROUND,) radians of the views, or (N, AROUND) of those of N models (N,)."""
    return np.asarray(first)[..., None] + np.arange(AROUND) * 2 * np.pi / AROUND


def _save(folder: Path, facts: dict) -> None:
    np.savez(folder / "samples.npz", **facts)
