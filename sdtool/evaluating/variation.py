"""The same object as others would have made it: stretched, bent, coarser, with holes."""

from dataclasses import replace

import numpy as np

from sdtool.evaluating.roughening import roughened
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh
from sdtool.geometry.parts import submesh
from sdtool.toyverse.spoiled import low_poly

STRETCH = 0.2  # a standard deviation of the logarithm, along each axis
CELLS = (24, 44)  # of the lattice that a coarse one's vertices are drawn to, along its longest side


def varied(rng: np.random.Generator, mesh: Mesh, rough: float) -> Mesh | None:
    """A canonical mesh of the same object, without its colours; None if nothing is left of it.

    rough: the chance in [0, 1] that it is roughened as lifts are. Else it is stretched, and may be
    bent a little, made coarse or given holes.
    """
    if rng.random() < rough:
        return roughened(rng, to_canonical(mesh))
    mesh = replace(mesh, v_color=None, v_uv=None, t_texture=None, textures=())
    mesh = stretched(mesh, np.exp(STRETCH * rng.standard_normal(3).clip(-2, 2)))
    mesh = to_canonical(mesh)
    if rng.random() < 0.3:
        mesh = _bent(rng, mesh)
    if rng.random() < 0.12:
        coarse = replace(mesh, v_normal=None, v_color=np.zeros_like(mesh.v_pos))
        mesh = replace(low_poly(coarse, int(rng.integers(*CELLS))), v_color=None)
    if rng.random() < 0.2:
        mesh = _holed(rng, mesh)
    return to_canonical(mesh) if len(mesh.t_pos_idx) > 8 else None


def stretched(mesh: Mesh, factors: np.ndarray) -> Mesh:
    """Scaled about the origin by factors (3,), with its normals if it has some."""
    normal = mesh.v_normal
    if normal is not None:
        normal = normal / factors
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        normal = normal.astype(np.float32)
    return mesh.with_positions(mesh.v_pos * factors, normal)


def _bent(rng: np.random.Generator, mesh: Mesh) -> Mesh:
    """Uneven by up to 2% of its size, in waves; left and right no longer mirror each other."""
    moved = mesh.v_pos.astype(np.float64)
    for _ in range(4):
        wave, phase = rng.normal(0, 8, 3), rng.uniform(0, 2 * np.pi)
        step = rng.normal(0, 0.006, 3)
        moved = moved + np.sin(mesh.v_pos @ wave + phase)[:, None] * step
    return mesh.with_positions(moved, mesh.v_normal)


def _holed(rng: np.random.Generator, mesh: Mesh) -> Mesh:
    """Without the faces in one to four small balls."""
    middles = mesh.v_pos[mesh.t_pos_idx].mean(axis=1)
    kept = np.ones(len(middles), bool)
    for _ in range(int(rng.integers(1, 5))):
        there = middles[rng.integers(len(middles))]
        kept &= np.linalg.norm(middles - there, axis=1) > rng.uniform(0.02, 0.09)
    return submesh(mesh, mesh.t_pos_idx[kept]) if kept.mean() > 0.5 else mesh
