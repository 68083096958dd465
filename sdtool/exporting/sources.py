"""Mesh files as something to export: one closed surface where they have seams, and their colours by place."""

import sys
from pathlib import Path

import numpy as np

from sdtool.errors import InputError, ObjectError
from sdtool.geometry.closest import ClosestPoint
from sdtool.geometry.meshes import Mesh
from sdtool.geometry.surfaces import Material, Surface, plain_surface
from sdtool.meshfiles import load_mesh
from sdtool.rendering.texturing import Samples, base_color


def read_source(path: Path) -> tuple[Mesh, Material]:
    """The mesh in a file, its vertices at one place made one, with vertex colours; and its colours by place.

    Base colours and their textures are taken, not roughness or metal. InputError if it cannot be used.
    """
    try:
        mesh = load_mesh(path, textures=True, normals=False)
    except ObjectError as error:
        raise InputError(f"{path} cannot be exported: {error}") from None
    if mesh.lost:
        print(
            f"{path}: some colours are lost, for these could not be read: {', '.join(mesh.lost)}",
            file=sys.stderr,
        )
    look = colors_of(mesh)
    welded = weld(mesh)
    return Mesh(welded.v_pos, welded.t_pos_idx, look(welded.v_pos).base_color), look


def weld(mesh: Mesh) -> Mesh:
    """The mesh with one vertex at each place, and nothing but positions."""
    places, number = np.unique(mesh.v_pos + np.float32(0), axis=0, return_inverse=True)  # −0 is 0
    return Mesh(places, number.reshape(-1)[mesh.t_pos_idx].astype(np.int32))


def colors_of(mesh: Mesh) -> Material:
    """The base colour of the nearest point of a mesh; rough, without metal."""
    nearest = ClosestPoint(mesh)

    def look(points: np.ndarray) -> Surface:
        face, weights = nearest(points)
        return plain_surface(base_color(Samples(mesh, face, weights)))

    return look


def corner_colors(mesh: Mesh, material: Material) -> np.ndarray:
    """(F, 3, 3) float32 the colours of the corners of each face, as its own inside shows them: where a patch
    of one colour ends at an edge, each side keeps its own."""
    corners = mesh.v_pos[mesh.t_pos_idx]
    middle = corners.mean(axis=1, keepdims=True)
    points = (corners + INWARD * (middle - corners)).reshape(-1, 3)
    return material(np.ascontiguousarray(points)).base_color.reshape(-1, 3, 3)


INWARD = 0.05  # of the way from a corner to the middle of its face
