"""Which library says better what is inside of a mesh: libigl's winding numbers, or Open3D's rays.

Shapes with a known inside, whole, open, torn and overlapping.
"""

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.table import Table
from trimesh import Trimesh
from trimesh.creation import box, icosphere, torus
from trimesh.util import concatenate

from sdtool.geometry import open3d_tools
from sdtool.lifting.initial import by_winding

POINTS, CLEAR = 60_000, 0.02  # points asked for; nearer to the surface its facets decide
SIDES = np.array([1, 0.6, 0.8])
Shape = tuple[Trimesh, Callable[[np.ndarray], np.ndarray]]


def distances(folder: Path) -> Table:
    """Share of points whose side is right, and milliseconds of a core, by each library."""
    asked = np.random.default_rng(0).uniform(-0.75, 0.75, (POINTS, 3)).astype(np.float32)
    kinds = {"libigl": ("igl", by_winding), "Open3D": ("open3d", open3d_tools.signed_distance)}
    table = Table("shape", title=f"inside or outside, {POINTS:,} points", title_justify="left")
    for name in kinds:
        table.add_column(f"right by {name}", justify="right")
        table.add_column("ms", justify="right")
    for shape, (mesh, inside) in _shapes().items():
        row = []
        for module, measure in kinds.values():
            if importlib.util.find_spec(module) is None:
                row += ["not installed", ""]
                continue
            start = time.process_time()
            found = measure(
                asked, np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)
            )
            spent = time.process_time() - start
            clear = np.abs(found) > CLEAR
            right = ((found < 0) == inside(asked))[clear].mean()
            row += [f"{right:.2%}", f"{1000 * spent:.0f}"]
        table.add_row(shape, *row)
    return table


def _ball(radius: float = 0.5, x: float = 0.0) -> Shape:
    mesh = icosphere(4, radius=radius).apply_translation([x, 0, 0])
    return mesh, lambda p: np.linalg.norm(p - [x, 0, 0], axis=1) < radius


def _box(sides=SIDES, centre=(0, 0, 0)) -> Shape:
    mesh = box(sides).subdivide().subdivide().apply_translation(centre)
    return mesh, lambda p: (np.abs(p - centre) < np.asarray(sides) / 2).all(axis=1)


def _kept(shape: Shape, keep: Callable[[Trimesh], np.ndarray]) -> Shape:
    mesh, inside = shape
    return Trimesh(mesh.vertices, mesh.faces[keep(mesh)], process=False), inside


def _union(*shapes: Shape) -> Shape:
    inside = lambda p: np.any([one(p) for _, one in shapes], axis=0)  # noqa: E731
    joined = concatenate([mesh for mesh, _ in shapes])
    assert isinstance(joined, Trimesh)
    return joined, inside


def _turned(shape: Shape, share: float) -> Shape:
    mesh, inside = shape
    faces = mesh.faces.copy()
    some = np.random.default_rng(2).random(len(faces)) < share
    faces[some] = faces[some][:, ::-1]
    return Trimesh(mesh.vertices, faces, process=False), inside


def _shapes() -> dict[str, Shape]:
    rng = np.random.default_rng(1)
    legs = [((0.1, 0.5, 0.1), (x, -0.25, z)) for x in (-0.35, 0.35) for z in (-0.2, 0.2)]
    chair = [((0.9, 0.1, 0.6), (0, 0, 0)), *legs, ((0.9, 0.5, 0.1), (0, 0.25, -0.25))]
    ring = torus(0.35, 0.12, major_sections=64, minor_sections=32)
    return {
        "ball": _ball(),
        "box": _box(),
        "torus": (ring, lambda p: np.hypot(np.hypot(p[:, 0], p[:, 1]) - 0.35, p[:, 2]) < 0.12),
        "ball, its top 5% open": _kept(_ball(), lambda m: m.triangles_center[:, 1] < 0.45),
        "ball, its top 20% open": _kept(_ball(), lambda m: m.triangles_center[:, 1] < 0.3),
        "ball, 5% of its faces missing": _kept(_ball(), lambda m: rng.random(len(m.faces)) > 0.05),
        "box without its lid": _kept(_box(), lambda m: m.triangles_center[:, 1] < 0.2999),
        "two balls, overlapping": _union(_ball(0.3, -0.15), _ball(0.3, 0.15)),
        "a ball within a ball": _union(_ball(), _ball(0.2)),
        "the same ball twice": _union(_ball(), _ball()),
        "chair of six boxes": _union(*(_box(*part) for part in chair)),
        "ball, inside out": _turned(_ball(), 1.0),
        "ball, 10% of its faces turned over": _turned(_ball(), 0.1),
    }
