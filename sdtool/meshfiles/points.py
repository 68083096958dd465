"""Objects that are only points: PLY files without faces, glTF primitives of mode POINTS."""

from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import linear_to_srgb
from sdtool.geometry.normals import for_normals, usable_normals
from sdtool.geometry.open3d_tools import Points
from sdtool.io.folders import GLTF_SUFFIXES
from sdtool.meshfiles.accessors import GlbFile
from sdtool.meshfiles.beside import map_file
from sdtool.meshfiles.gltf_tree import MISTYPED
from sdtool.meshfiles.limits import Limits
from sdtool.meshfiles.mtl import ObjMaterials
from sdtool.meshfiles.ply import read_ply
from sdtool.meshfiles.primitives import Primitive
from sdtool.meshfiles.scene import placements

POINTS = 0  # the mode of a glTF primitive


def read_points(path: Path, limits: Limits) -> Points | None:
    """The points of a .ply, .glb or .gltf that was read before and found to have no triangles.

    None if it has no points either, or is of another kind. ObjectError as `load_mesh` has them.
    """
    kind = path.suffix.lower()
    with np.errstate(all="ignore"):
        if kind == ".ply":
            found = read_ply(map_file(path).tobytes(), path, ObjMaterials(path, limits, False))
            normal = None if found.v_normal is None else usable_normals(found.v_normal)
            made = Points(found.v_pos, normal, found.v_color)
        elif kind in GLTF_SUFFIXES:
            try:
                made = _of_scene(GlbFile(path, limits), limits)
            except MISTYPED as error:
                what = f"{type(error).__name__}, {str(error)[:99]}"
                raise ObjectError("corrupt-file", f"{path} is damaged: {what}") from None
        else:
            return None
    if len(made.v_pos) > limits.vertices:
        said = f"{path} has {len(made.v_pos)} points, over the limit of {limits.vertices}"
        raise ObjectError("too-large", said)
    return made if len(made.v_pos) else None


def _of_scene(file: GlbFile, limits: Limits) -> Points:
    """All points of the default scene, in the world; skins and morph targets are left alone."""
    positions, normals, colors, count = [np.empty((0, 3), np.float32)], [], [], 0
    for place in placements(file):
        for record in file.items(file.entry("meshes", place.mesh), "primitives"):
            if file.integer(record, "mode", 4) != POINTS:
                continue
            primitive = Primitive(file, record)
            points = primitive.attribute("POSITION", 3, None).astype(np.float64)
            count += len(points) * len(place.matrices)
            if count > limits.vertices:
                raise file.too_large(f"{count} points", f"{limits.vertices}")
            normal = primitive.normals((), None, len(points))
            color = np.full((len(points), 3), 0.5, np.float32)
            if "COLOR_0" in primitive.accessors:
                color = linear_to_srgb(np.nan_to_num(primitive.attribute("COLOR_0", 3, None)))
            for matrix in place.matrices:
                positions.append((points @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32))
                turn = for_normals(matrix[None, :3, :3])[0].T
                normals.append(usable_normals(normal @ turn.astype(np.float32)))
                colors.append(color.astype(np.float32))
    v_pos = np.concatenate(positions)
    if not normals:
        return Points(v_pos)
    v_normal = np.concatenate(normals)
    known = bool((np.abs(v_normal).sum(axis=1) > 0).all())
    return Points(v_pos, v_normal if known else None, np.concatenate(colors))
