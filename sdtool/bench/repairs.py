"""Who makes a better body of a damaged shape or of a real model: manifold3d's way, or Open3D.

    python -m sdtool.bench repairs [FOLDER …]

Shapes of which the whole is known, damaged in one way each; and the models in FOLDERs.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table
from trimesh import Trimesh, creation

from sdtool.bench.readers import choose
from sdtool.errors import MissingDependencyError, ObjectError
from sdtool.exporting.repairing import mended
from sdtool.exporting.sources import weld
from sdtool.geometry import open3d_tools
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.cleaning import clean
from sdtool.geometry.edges import edge_faults
from sdtool.geometry.meshes import Mesh, merge
from sdtool.meshfiles import load_mesh

MANY = 10_000  # models of folders, at most
WAYS: dict[str, Callable[[Mesh], tuple[Mesh, object]]] = {
    "manifold3d": mended,
    "Open3D": open3d_tools.repair,
}


def repairs(folder: Path, folders: Sequence[str] = ()) -> Table:
    """Volumes of what each way makes of damaged shapes ("open" where it stays so), beside the whole's; and
    how many models become closed manifolds, in how many seconds of a core."""
    table = Table("shape", "volume", *WAYS, title="repairs")
    for name, (mesh, volume) in damaged().items():
        table.add_row(name, f"{volume:.3f}", *(_volume(way, mesh) for way in WAYS))
    for given in folders:
        paths = choose([Path(given)], MANY)
        meshes = [read for path in paths if (read := _read(path)) is not None]
        before = sum(edge_faults(mesh.t_pos_idx) == (0, 0) for mesh in meshes)
        name = f"{len(meshes)} models of {Path(given).name}, {before} of them closed"
        table.add_row(name, "", *(_closed(way, meshes) for way in WAYS))
    return table


def damaged() -> dict[str, tuple[Mesh, float]]:
    """Name → (a damaged mesh, the volume of the whole that it stood for)."""
    rng = np.random.default_rng(0)
    ball, unit = _mesh(creation.icosphere(4, radius=0.5)), _mesh(creation.box())
    middle = ball.v_pos[ball.t_pos_idx].mean(axis=1)
    lid = unit.v_pos[unit.t_pos_idx].mean(axis=1)[:, 1]
    ring = _mesh(creation.torus(0.35, 0.12))
    at = ring.v_pos[ring.t_pos_idx].mean(axis=1)
    pipe = _mesh(creation.cylinder(radius=0.4, height=1, sections=64).subdivide().subdivide())
    side = pipe.v_pos[pipe.t_pos_idx].mean(axis=1)
    wall = (np.hypot(side[:, 0], side[:, 1]) > 0.38) & (np.abs(side[:, 2]) < 0.3)
    bearing = np.abs(np.arctan2(side[:, 1], side[:, 0]))
    count = len(ball.t_pos_idx)
    turned = np.where((rng.random(count) < 0.1)[:, None], ball.t_pos_idx[:, ::-1], ball.t_pos_idx)
    moved = lambda mesh, *by: mesh.with_positions(mesh.v_pos + np.float32(by))  # noqa: E731
    lens = np.pi * (4 * 0.5 + 0.5) * (2 * 0.5 - 0.5) ** 2 / 12  # of unit balls 0.5 apart
    sphere, tube = _whole(ball), _whole(pipe)
    return {
        "half of a ball": (_kept(ball, middle[:, 1] < 0), sphere / 2),
        "ball, 5% of its faces missing": (_kept(ball, rng.random(count) > 0.05), sphere),
        "box without its lid": (_kept(unit, lid < 0.49), 1),
        "three quarters of a ring": (
            _kept(ring, (at[:, 0] < 0) | (at[:, 1] < 0)),
            _whole(ring) * 0.75,
        ),
        "cylinder, a third of its wall missing": (_kept(pipe, ~wall | (bearing > 1.3)), tube),
        "cylinder, two thirds of it missing": (_kept(pipe, ~wall | (bearing > 2.1)), tube),
        "ball, 10% of its faces turned over": (Mesh(ball.v_pos, turned.astype(np.int32)), sphere),
        "two balls that overlap": (merge([ball, moved(ball, 0.5, 0, 0)]), 2 * sphere - lens),
        "two boxes that share a wall": (weld(merge([unit, moved(unit, 1, 0, 0)])), 2),
        "two boxes that share an edge": (weld(merge([unit, moved(unit, 1, 1, 0)])), 2),
    }


def _mesh(solid: Trimesh) -> Mesh:
    return Mesh(np.asarray(solid.vertices, np.float32), np.asarray(solid.faces, np.int32))


def _kept(mesh: Mesh, keep: np.ndarray) -> Mesh:
    return clean(Mesh(mesh.v_pos, mesh.t_pos_idx[keep]))


def _whole(mesh: Mesh) -> float:
    return float(Trimesh(mesh.v_pos, mesh.t_pos_idx, process=False).volume)


def _read(path: Path) -> Mesh | None:
    try:
        return clean(to_canonical(weld(load_mesh(path, normals=False))))
    except ObjectError:
        return None


def _volume(way: str, mesh: Mesh) -> str:
    try:
        made = WAYS[way](mesh)[0]
    except MissingDependencyError:
        return "not installed"
    return "open" if edge_faults(made.t_pos_idx)[0] else f"{_whole(made):.3f}"


def _closed(way: str, meshes: Sequence[Mesh]) -> str:
    start = time.process_time()
    try:
        faults = [edge_faults(WAYS[way](mesh)[0].t_pos_idx) for mesh in meshes]
    except MissingDependencyError:
        return "not installed"
    return f"{faults.count((0, 0))} closed, {time.process_time() - start:.1f} s"
