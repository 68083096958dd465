"""Reading meshes: GLB files by our own accessor reader, a few older formats through trimesh.

The reader takes geometry and base colour and nothing else: it bakes node transforms, keeps
triangles, strips and fans, and ignores points, lines, images, skins, morph targets and animation
(a skinned mesh stands as its vertices and its node place it).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import ObjectError
from sdtool.glb_file import COMPRESSED, MAX_COUNT, GlbFile
from sdtool.glb_write import write_glb
from sdtool.limits import Limits
from sdtool.meshes import Mesh, linear_to_srgb, merge, validate

__all__ = ["Limits", "load_mesh", "read_glb", "write_glb"]

LIMITS = Limits()
TRIANGLES, STRIP, FAN = 4, 5, 6
THROUGH_TRIMESH = {".obj", ".ply", ".stl", ".off"}


def load_mesh(path: str | Path, limits: Limits = LIMITS, textures: bool = False) -> Mesh:
    """Read one object: .glb, or .obj, .ply, .stl, .off (taken as they are: +Y up, facing +Z).

    ObjectError with a named reason for anything that cannot be used.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".glb":
        return read_glb(path, limits, textures)
    if suffix in THROUGH_TRIMESH:
        return _through_trimesh(Path(path))
    raise ObjectError(
        "unsupported-format",
        f"{path} is not one of .glb {' '.join(sorted(THROUGH_TRIMESH))}; convert it to .glb",
    )


def read_glb(path: str | Path, limits: Limits = LIMITS, textures: bool = False) -> Mesh:
    """Read the default scene of a GLB file as one mesh, validated.

    Colours are COLOR_0 × the material's base colour factor, sRGB-encoded; a part whose colour is in
    a texture has none. Vertices that no triangle uses are left out; the order is kept.

    ObjectError reasons: ``missing-file``, ``unreadable-file``, ``corrupt-file``,
    ``unsupported-version``, ``unsupported-extension``, ``external-buffer``, ``node-cycle``,
    ``too-large``, ``bad-index``, ``non-finite``, ``no-triangles``, ``zero-extent``.
    """
    file = GlbFile(path)
    try:
        with np.errstate(all="ignore"):  # what overflows is found as non-finite
            return validate(_bake(file), str(path))
    except ObjectError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise file.corrupt(f"{type(error).__name__}, {error}") from None  # a tree of wrong types
    except MemoryError:
        raise ObjectError("too-large", f"{path} does not fit into memory") from None


def _bake(file: GlbFile) -> Mesh:
    """All parts of the scene in one frame."""
    decoded: dict[int, list[Mesh]] = {}
    parts: list[Mesh] = []
    vertices = faces = 0
    for index, matrix in _placed_meshes(file):
        if index not in decoded:
            decoded[index] = list(_primitives(file, file.entry("meshes", index)))
        for part in decoded[index]:
            vertices, faces = vertices + len(part.v_pos), faces + len(part.t_pos_idx)
            if max(vertices, faces) > MAX_COUNT:
                raise ObjectError("too-large", f"{file.path} has over {MAX_COUNT} triangles")
            parts.append(_transform(part, matrix))
    if not parts:
        raise ObjectError("no-triangles", f"{file.path} holds no triangles")
    return merge(parts)


# Nodes


def _placed_meshes(file: GlbFile) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (mesh index, 4×4 float64 object-to-world) along the scene's node tree."""
    nodes = file.items(file.tree, "nodes")
    if not nodes:  # a library of meshes without a scene
        yield from ((i, np.eye(4)) for i in range(len(file.items(file.tree, "meshes"))))
        return
    if file.items(file.tree, "scenes"):
        scene = file.entry("scenes", file.integer(file.tree, "scene", 0))
        roots = file.items(scene, "nodes")
    else:
        inner = {
            c for i in range(len(nodes)) for c in file.items(file.entry("nodes", i), "children")
        }
        roots = [i for i in range(len(nodes)) if i not in inner] or [0]
    seen: set[int] = set()
    stack = [(root, np.eye(4)) for root in reversed(roots)]
    while stack:
        index, parent = stack.pop()
        node = file.entry("nodes", index)
        if index in seen:
            raise ObjectError("node-cycle", f"{file.path} reaches its node {index} in two ways")
        seen.add(index)
        matrix = parent @ _local_matrix(file, node)
        if node.get("mesh") is not None:
            yield file.integer(node, "mesh"), matrix
        stack += [(child, matrix) for child in reversed(file.items(node, "children"))]


def _local_matrix(file: GlbFile, node: dict[str, Any]) -> np.ndarray:
    """4×4 float64 of a node: its matrix, or translation · rotation · scale."""
    if "matrix" in node:
        return _numbers(file, node, "matrix", np.eye(4).reshape(-1)).reshape(4, 4).T
    x, y, z, w = _numbers(file, node, "rotation", [0, 0, 0, 1])
    norm = x * x + y * y + z * z + w * w
    if not norm > 0:
        raise file.corrupt("a node has the rotation 0, 0, 0, 0")
    s = 2 / norm
    rotation = np.array(
        [
            [1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
            [s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)],
            [s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * _numbers(file, node, "scale", [1, 1, 1])
    matrix[:3, 3] = _numbers(file, node, "translation", [0, 0, 0])
    return matrix


def _numbers(file: GlbFile, owner: dict[str, Any], key: str, default: Any) -> np.ndarray:
    """The list of numbers `owner[key]`, float64, as many as `default` has, all finite."""
    values = np.asarray(owner.get(key, default), np.float64)
    if values.shape != np.shape(default):
        raise file.corrupt(f"{key} does not have {len(default)} numbers")
    if not np.isfinite(values).all():
        raise ObjectError("non-finite", f"{file.path} has NaN or infinite numbers in a {key}")
    return values


def _transform(part: Mesh, matrix: np.ndarray) -> Mesh:
    """The part seen from the world; a mirroring matrix turns its triangles over again."""
    if np.array_equal(matrix, np.eye(4)):
        return part
    v_pos = part.v_pos.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    mirrored = np.linalg.det(matrix[:3, :3]) < 0
    faces = part.t_pos_idx[:, ::-1] if mirrored else part.t_pos_idx
    return replace(part, v_pos=v_pos.astype(np.float32), t_pos_idx=faces)


# Primitives


def _primitives(file: GlbFile, mesh: dict[str, Any]) -> Iterator[Mesh]:
    """Yield the primitives of one glTF mesh that have triangles, in the mesh's own frame."""
    for primitive in file.items(mesh, "primitives"):
        attributes = file.child(primitive, "attributes")
        mode = file.integer(primitive, "mode", TRIANGLES)
        if mode < TRIANGLES or "POSITION" not in attributes:
            continue
        _refuse_hidden_geometry(file, primitive)
        positions = file.accessor(attributes["POSITION"])
        if positions.shape[1] != 3:
            raise file.corrupt("POSITION does not have three components")
        faces = _triangles(file, primitive, mode, len(positions))
        if len(faces) == 0:
            continue
        used = np.zeros(len(positions), bool)
        used[faces] = True
        number = np.cumsum(used, dtype=np.int32) - 1  # old vertex → new vertex
        color = _color(file, primitive, len(positions))
        yield Mesh(
            positions[used].astype(np.float32),
            number[faces].astype(np.int32),
            None if color is None else color[used],
        )


def _refuse_hidden_geometry(file: GlbFile, primitive: dict[str, Any]) -> None:
    """Compressed primitives whose plain fallback is absent would read as zeros: refuse by name."""
    accessor = file.entry("accessors", primitive["attributes"]["POSITION"])
    if accessor.get("bufferView") is None and "sparse" not in accessor:
        for extension in file.child(primitive, "extensions"):
            if extension in COMPRESSED:
                raise file.compressed(extension)


def _triangles(file: GlbFile, primitive: dict[str, Any], mode: int, count: int) -> np.ndarray:
    """(F, 3) int64 vertex indices of a primitive, checked against its `count` vertices."""
    if primitive.get("indices") is None:
        order = np.arange(count)
    else:
        indices = file.accessor(primitive["indices"])
        if indices.dtype.kind != "u" or indices.shape[1] != 1:
            raise file.corrupt("the indices are not unsigned integers")
        order = indices[:, 0].astype(np.int64)
    if len(order) and order.max() >= count:
        raise ObjectError("bad-index", f"{file.path} has a face index outside its {count} vertices")
    if mode == TRIANGLES:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    if mode == STRIP:  # every second triangle is turned over; repeated vertices are only stitches
        faces = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
        faces[1::2] = faces[1::2][:, [1, 0, 2]]
        a, b, c = faces.T
        return faces[(a != b) & (b != c) & (c != a)]
    if mode == FAN:
        first = np.broadcast_to(order[:1], max(len(order) - 2, 0))
        return np.stack([first, order[1:-1], order[2:]], axis=1)
    raise file.corrupt(f"a primitive has the unknown mode {mode}")


def _color(file: GlbFile, primitive: dict[str, Any], count: int) -> np.ndarray | None:
    """(count, 3) float32 sRGB-encoded base colour, or None if only a texture knows it."""
    factor, textured = np.ones(4), False
    if primitive.get("material") is not None:
        material = file.entry("materials", primitive["material"])
        surface = file.child(material, "pbrMetallicRoughness")
        factor_key, texture_key = "baseColorFactor", "baseColorTexture"
        glossy = file.child(material, "extensions").get("KHR_materials_pbrSpecularGlossiness")
        if isinstance(glossy, dict):
            surface, factor_key, texture_key = glossy, "diffuseFactor", "diffuseTexture"
        factor, textured = _numbers(file, surface, factor_key, factor), texture_key in surface
    index = primitive["attributes"].get("COLOR_0")
    if index is None:
        if textured:
            return None
        linear = np.broadcast_to(factor[:3], (count, 3))
    else:
        values = file.accessor(index)
        if len(values) != count or values.shape[1] < 3:
            raise file.corrupt("COLOR_0 does not give every vertex a colour")
        linear = np.nan_to_num(values[:, :3]) * factor[:3]
    return linear_to_srgb(linear).astype(np.float32)


# Other formats


def _through_trimesh(path: Path) -> Mesh:
    import trimesh

    if not path.is_file():
        raise ObjectError("missing-file", f"{path} does not exist")
    try:
        loaded = trimesh.load_mesh(path, process=False, skip_materials=True)
        v_pos = np.asarray(loaded.vertices, np.float32).reshape(-1, 3)
        faces = np.asarray(loaded.faces, np.int64).reshape(-1, 3)
        colored = loaded.visual.kind == "vertex"
        color = (
            np.asarray(loaded.visual.vertex_colors[:, :3] / 255, np.float32) if colored else None
        )
    except Exception as error:  # its parsers raise anything on a damaged file
        message = (
            f"{path} cannot be read as {path.suffix.lower()} ({type(error).__name__}: {error})"
        )
        raise ObjectError("corrupt-file", message) from None
    if len(faces) and (faces.min() < 0 or faces.max() >= len(v_pos)):
        raise ObjectError("bad-index", f"{path} has a face index outside its {len(v_pos)} vertices")
    return validate(Mesh(v_pos, faces.astype(np.int32), color), str(path))
