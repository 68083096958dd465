"""Reading meshes: glTF files by our own accessor reader, and a few older formats.

The reader takes geometry and base colour: it bakes node transforms, instances and skins (in the
pose that the nodes stand in, see `skins`), applies the default weights of morph targets, keeps
triangles, strips and fans, and ignores points, lines and animation. Images are read only where
textures are asked for.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import ObjectError, OutOfMemoryError
from sdtool.geometry.meshes import Mesh, far_center, merge, validate
from sdtool.geometry.normals import creased_normals, for_normals, usable_normals
from sdtool.geometry.open3d_tools import surface_of
from sdtool.io.folders import GLTF_SUFFIXES, MESH_SUFFIXES
from sdtool.meshfiles.accessors import GlbFile
from sdtool.meshfiles.gltf_tree import MISTYPED
from sdtool.meshfiles.limits import Limits
from sdtool.meshfiles.other_formats import FORMATS, read_other
from sdtool.meshfiles.other_kinds import better_reason, check_regular
from sdtool.meshfiles.points import read_points
from sdtool.meshfiles.primitives import Part, parts_of
from sdtool.meshfiles.scene import Placement, placements
from sdtool.meshfiles.skins import bend, bend_normals
from sdtool.meshfiles.textures import TextureReader

__all__ = ["load_mesh", "read_glb"]

LIMITS = Limits()
STEP = 1 << 13  # vertices transformed at a time: what they need fits the cache


def load_mesh(
    path: str | Path,
    limits: Limits = LIMITS,
    textures: bool = False,
    normals: bool = True,
    surface_points: str = "",
) -> Mesh:
    """Read one object: .glb, .vrm, .gltf, or .obj, .ply, .stl, .off (taken as they are: +Y up, facing +Z).

    textures: whether to decode base colour textures; without, images are never touched. normals:
    whether to read normals; without, `Mesh.v_normal` is None, which costs less. surface_points: how a
    surface is made of objects that are only points (`open3d_tools.surface_of`); empty: they are refused.
    ObjectError with a named reason for anything that cannot be used, or that is beyond `limits`: those
    of `read_glb` and of `read_other`, and where a file is something else than its name says those of
    `better_reason`.
    """
    try:
        return _load(path, limits, textures, normals)
    except ObjectError as error:
        better = better_reason(error, path)
        if not surface_points or better.reason != "no-triangles":
            raise better from None
        points = read_points(Path(path), limits)
        if points is None:
            raise
    mesh = validate(surface_of(points, surface_points, str(path)), str(path))
    return creased_normals(mesh) if normals else mesh


def _load(path: str | Path, limits: Limits, textures: bool, normals: bool) -> Mesh:
    check_regular(path)
    suffix = Path(path).suffix.lower()
    if suffix in GLTF_SUFFIXES:
        return read_glb(path, limits, textures, normals)
    if suffix in FORMATS:
        return read_other(Path(path), limits, textures, normals)
    raise ObjectError(
        "unsupported-format",
        f"{path} is not one of {' '.join(MESH_SUFFIXES)}; convert it to .glb",
    )


def read_glb(
    path: str | Path, limits: Limits = LIMITS, textures: bool = False, normals: bool = True
) -> Mesh:
    """Read the default scene of a GLB or .gltf file as one mesh, validated.

    Colours are COLOR_0 × the material's base colour factor, sRGB-encoded; a part whose colour is in
    a texture has none unless textures are read. A primitive without normals is flat (glTF, section
    3.7.2.1). Vertices that no triangle uses are left out.

    ObjectError reasons: ``missing-file``, ``unreadable-file``, ``corrupt-file``,
    ``truncated-file``, ``unsupported-version``, ``unsupported-extension``, ``missing-decoder``,
    ``external-buffer``, ``missing-buffer``, ``git-lfs-pointer``, ``wrong-kind``, ``node-cycle``,
    ``too-large``, ``bad-index``, ``non-finite``, ``no-triangles``, ``zero-extent``.
    """
    try:
        file = GlbFile(path, limits)
        with np.errstate(all="ignore"):  # what overflows is found as non-finite
            reader = TextureReader(file) if textures else None
            mesh = _near(file, _parts(file, reader, normals), str(path))
            return replace(mesh, lost=tuple(reader.lost.values())) if reader else mesh
    except ObjectError:
        raise
    except MISTYPED as error:
        what = f"{type(error).__name__}, {str(error)[:99]}"
        raise ObjectError("corrupt-file", f"{path} is damaged: {what}") from None
    except MemoryError:
        raise OutOfMemoryError(f"{path} does not fit into memory") from None


def _parts(
    file: GlbFile, textures: TextureReader | None, normals: bool
) -> list[tuple[Part, Placement]]:
    """All parts of the scene and where they stand; counted before any is placed."""
    decoded: dict[tuple[Any, ...], list[Part]] = {}
    parts: list[tuple[Part, Placement]] = []
    triangles = 0
    for place in placements(file):
        key = (place.mesh, place.weights, place.joints is not None)
        known = decoded.get(key)
        decoded[key] = []
        for part in parts_of(file, *key, textures, normals) if known is None else known:
            times = len(place.matrices) if part.joint is None else 1
            triangles += len(part.mesh.t_pos_idx) * times
            if triangles > file.limits.triangles:
                raise file.too_large(f"{triangles} triangles", f"{file.limits.triangles}")
            decoded[key].append(part)
            parts.append((part, place))
    if not parts:
        raise ObjectError("no-triangles", f"{file.path} holds no triangles")
    return parts


def _near(file: GlbFile, parts: list[tuple[Part, Placement]], name: str) -> Mesh:
    """All parts in one frame, validated. A scene that stands so far from the origin that float32 does
    not tell its points apart, as on a map, is moved there."""
    mesh = validate(merge([_placed(file, part, place) for part, place in parts]), name)
    center = far_center(*mesh.bounds())
    if center is None:
        return mesh
    moved = [(part, _moved(place, -center)) for part, place in parts]
    return validate(merge([_placed(file, part, place) for part, place in moved]), name)


def _moved(place: Placement, offset: np.ndarray) -> Placement:
    """The same meshes, moved by `offset` (3,)."""
    move = np.eye(4)
    move[:3, 3] = offset
    joints = None if place.joints is None else move @ place.joints
    return replace(place, matrices=move @ place.matrices, joints=joints)


def _placed(file: GlbFile, part: Part, place: Placement) -> Mesh:
    """One part in the world, bent by its skin or moved by its nodes; in fresh arrays."""
    if part.joint is None:
        return _transformed(part.mesh, place.matrices)
    assert part.weight is not None and place.joints is not None  # as every skin has them
    if part.joint.max() >= len(place.joints):
        raise file.corrupt(f"a vertex follows the joint {part.joint.max()} of {len(place.joints)}")
    v_pos, mirrored = bend(part.mesh.v_pos, part.joint, part.weight, place.joints)
    normal = part.mesh.v_normal
    if normal is not None:
        normal = usable_normals(bend_normals(normal, part.joint, part.weight, place.joints))
    return _repeated(part.mesh, v_pos[None], normal, np.array([mirrored]))


def _transformed(mesh: Mesh, matrices: np.ndarray) -> Mesh:
    """The mesh seen from the world, once for each of the (N, 4, 4) matrices."""
    vertices = len(mesh.v_pos)
    v_pos = np.empty((len(matrices), vertices, 3), np.float32)
    together = max(1, STEP // vertices)  # instances at a time
    for n in range(0, len(matrices), together):
        some = matrices[n : n + together]
        turn, move = some[:, :3, :3].transpose(0, 2, 1), some[:, None, :3, 3]
        for v in range(0, vertices, STEP):
            points = mesh.v_pos[v : v + STEP].astype(np.float64)
            v_pos[n : n + together, v : v + STEP] = points @ turn + move
    normal = mesh.v_normal
    if normal is not None:
        turns = for_normals(matrices[:, :3, :3]).transpose(0, 2, 1)
        normal = usable_normals((normal @ turns.astype(np.float32)).reshape(-1, 3))
    return _repeated(mesh, v_pos, normal, np.linalg.det(matrices[:, :3, :3]) < 0)


def _repeated(
    mesh: Mesh, v_pos: np.ndarray, v_normal: np.ndarray | None, mirrored: np.ndarray
) -> Mesh:
    """The mesh with (N, V, 3) positions, N times; no array is a view of the file any more.

    v_normal: (N · V, 3), or None. mirrored: (N,) whether an instance's triangles have to be turned over.
    """
    count, vertices = v_pos.shape[:2]
    offsets = np.arange(count, dtype=np.int32)[:, None, None] * np.int32(vertices)
    faces = mesh.t_pos_idx[None] + offsets  # (N, F, 3)
    faces[mirrored] = faces[mirrored, :, ::-1]
    repeat = lambda a: None if a is None else np.tile(a, (count,) + (1,) * (a.ndim - 1))  # noqa: E731
    return Mesh(
        v_pos.reshape(-1, 3),
        faces.reshape(-1, 3),
        repeat(mesh.v_color),
        repeat(mesh.v_uv),
        repeat(mesh.t_texture),
        mesh.textures,
        v_normal,
    )
