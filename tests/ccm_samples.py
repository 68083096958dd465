"""Small objects for the tests of render-ccm, good and bad, the command itself, and what it wrote."""

from pathlib import Path

import numpy as np
from safetensors import safe_open
from shape_samples import box, icosphere

from sdtool.cli import run
from sdtool.geometry.meshes import Mesh
from sdtool.meshfiles import write_glb

QUICK = ["--size", "16", "--views", "3", "--supersample", "2", "--workers", "1"]


def positions(coordinates, low, high):
    """The inverse of `canonical_coordinates` (for axes that have an extent)."""
    return low + coordinates * (high - low)


def write_objects(folder, names=("ball", "brick", "plank"), **more):
    """Write a coloured GLB for each name, off-centre and of any size; return the folder."""
    shapes = {
        "ball": icosphere(2, radius=3.0),
        "brick": box([1, 2, 3], [2, 4, 7]),
        "plank": box([-10, -1, -4], [-2, 0, -2]),
    }
    for name in names:
        mesh = shapes[name]
        color = np.random.default_rng(0).uniform(0, 1, mesh.v_pos.shape).astype(np.float32)
        write_glb(Path(folder) / f"{name}.glb", Mesh(mesh.v_pos, mesh.t_pos_idx, color))
    return Path(folder)


def render(*arguments, quick=True):
    """The exit code of `sdtool render-ccm …`, small and in this process unless told otherwise."""
    return run(["render-ccm", *map(str, arguments), *(QUICK if quick else [])])


def read_shard(path):
    """(tensors, metadata) of a shard, pixels as (N, H, W, 4) float32."""
    with safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata()


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.*"))}


def spoil(folder):
    """A torn file, an empty one, and a mesh without any extent, among the good ones."""
    whole = (folder / "ball.glb").read_bytes()
    (folder / "cut.glb").write_bytes(whole[: len(whole) // 2])
    (folder / "nil.glb").write_bytes(b"")
    (folder / "dot.obj").write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
