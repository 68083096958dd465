"""From a surface and what covers it to the model that is written: cleaned, mended, reduced, placed."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sdtool.errors import InputError, UsageError
from sdtool.exporting.baking import bake, color_vertices
from sdtool.exporting.decimation import decimate
from sdtool.exporting.palette import few_colors
from sdtool.exporting.repairing import repairer
from sdtool.exporting.sizes import placed, scale_to
from sdtool.exporting.sources import corner_colors
from sdtool.geometry import cleaning, manifolds
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh, triangle_areas
from sdtool.geometry.parts import largest_parts
from sdtool.geometry.surfaces import Material, TexturedMesh

SHEET = 1e-9
"""A body encloses more than this share of the cube of its longest side, what is left of a sheet less."""


@dataclass(frozen=True)
class Wishes:
    """What is asked of a model; see the options of `sdtool export`. height, flat_base: metres, 0: none.
    colors: of a 3MF, at most, 0: all. suffix: of the file, in lower case. own_size: whether the model has a
    size and a place of its own, which it keeps without a height."""

    suffix: str
    faces: int
    texture_size: int
    components: int = 0
    fill_holes: bool = False
    repair: bool = False
    height: float = 0.0
    flat_base: float = 0.0
    colors: int = 0
    own_size: bool = False


@dataclass(frozen=True, eq=False)
class Model:
    """What is written. shape: with the positions of the file. body: the surface without seams, in units of
    `unit` metres, or of none that is known (None). corner_color: (F, 3, 3) for a 3MF."""

    shape: Mesh | TexturedMesh
    body: Mesh
    unit: float | None
    corner_color: np.ndarray | None = None


def model_of(surface: Mesh, material: Material, wishes: Wishes, name: str | Path) -> Model:
    """Make the model. name: of the lift or file, in errors. What repairs did goes to stderr."""
    fine, coarse = _bodies(surface, wishes, name)
    body = coarse if wishes.own_size else to_canonical(coarse)
    scale, unit = _scale(body, wishes)
    v_pos = placed(body.v_pos, wishes.suffix, scale)
    if wishes.texture_size:
        baked = bake(fine, coarse, material, wishes.texture_size)
        return Model(replace(baked, v_pos=v_pos[baked.origin]), body, unit)
    colored = color_vertices(fine, coarse, material)
    shape = colored.with_positions(v_pos)
    if wishes.suffix != ".3mf":
        return Model(shape, body, unit)
    return Model(shape, body, unit, _corners(colored, coarse, material, wishes))


def _bodies(surface: Mesh, wishes: Wishes, name: str | Path) -> tuple[Mesh, Mesh]:
    """The clean surface, and what is left of it with `faces`."""
    fine = cleaning.clean(surface)
    if len(fine.t_pos_idx) == 0:
        cure = "" if wishes.own_size else "; lift it with another --seed"
        raise InputError(f"{name} holds no triangle that has an area{cure}")
    if wishes.components or not wishes.own_size:  # what is small in a file is meant: eyes, screws
        fine = largest_parts(fine, wishes.components)
    if wishes.fill_holes:
        fine = cleaning.clean(cleaning.fill_holes(fine))
    if wishes.repair:
        fine = _repaired(fine, "the shape")
        if len(fine.t_pos_idx) == 0 or _share_enclosed(fine) < SHEET:
            said = f"{name} encloses no volume, so there is no body to repair; export it without --repair"
            raise UsageError(said, "--repair")
    if wishes.flat_base:
        fine = _cut(fine, wishes, name)
    coarse = decimate(fine, wishes.faces) if wishes.faces else fine
    if wishes.repair and coarse is not fine:
        coarse = _repaired(coarse, "what is left of it with --faces")
    if len(coarse.t_pos_idx) == 0:
        said = f"nothing of {name} is left with --faces {wishes.faces}; give more"
        raise UsageError(said, "--faces")
    return fine, coarse


def _share_enclosed(mesh: Mesh) -> float:
    """The volume that a closed mesh encloses, as a share of the cube of its longest side."""
    low, high = mesh.bounds().astype(np.float64)
    corners = (mesh.v_pos[mesh.t_pos_idx] - (low + high) / 2) / (high - low).max()
    return float(abs(np.linalg.det(corners).sum()) / 6)


def _repaired(mesh: Mesh, name: str) -> Mesh:
    """The mesh, repaired; what was done goes to stderr."""
    mesh, done = repairer()(mesh)
    print(f"repaired {name}: {done}", file=sys.stderr)
    return mesh


def _cut(mesh: Mesh, wishes: Wishes, name: str | Path) -> Mesh:
    """The mesh without its lowest part, so that what is left has the height that is asked for."""
    low, high = mesh.bounds().astype(np.float64)[:, 1]
    share = wishes.flat_base / (wishes.height + wishes.flat_base)
    cut = manifolds.cut_below(mesh, float(low + share * (high - low)))
    if cut is None:
        said = f"--flat-base needs a closed body, and {name} is none; add --repair"
        raise UsageError(said, "--flat-base")
    if len(cut.t_pos_idx) == 0:
        raise UsageError(f"--flat-base leaves nothing of {name}; give less", "--flat-base")
    return cut


def _scale(body: Mesh, wishes: Wishes) -> tuple[float, float | None]:
    """By what positions are multiplied to be metres, and the metres in a unit if those are known."""
    if wishes.height:
        scale = scale_to(body.v_pos, wishes.height)
        return scale, scale
    if wishes.suffix == ".stl":
        return 0.001, None  # its own numbers
    return 1.0, 1.0 if wishes.suffix == ".3mf" else None


def _corners(colored: Mesh, coarse: Mesh, material: Material, wishes: Wishes) -> np.ndarray:
    """The colours of the faces' corners: one for each vertex of a lift, whose colours run into each other;
    one for each side of a vertex in files, where they may end at an edge."""
    assert colored.v_color is not None
    colors = colored.v_color[colored.t_pos_idx]
    if wishes.own_size:
        colors = corner_colors(coarse, material)
    if not wishes.colors:
        return colors
    area = triangle_areas(coarse.v_pos.astype(np.float64), coarse.t_pos_idx)
    few = few_colors(colors.mean(axis=1), area, wishes.colors)
    return np.repeat(few[:, None], 3, axis=1)
