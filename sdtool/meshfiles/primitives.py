"""The primitives of a glTF mesh: triangles, positions, colours, coordinates of a texture."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh, linear_to_srgb
from sdtool.geometry.normals import no_normals, usable_normals
from sdtool.meshfiles.accessors import GlbFile
from sdtool.meshfiles.draco import decode_draco
from sdtool.meshfiles.extensions import DRACO
from sdtool.meshfiles.gltf_tree import MISTYPED
from sdtool.meshfiles.materials import WHITE, GltfMaterial, material_of
from sdtool.meshfiles.skins import influences
from sdtool.meshfiles.textures import TextureReader, texture_coordinates

TRIANGLES, STRIP, FAN = 4, 5, 6


@dataclass(frozen=True, eq=False)
class Part:
    """One primitive in its mesh's own frame; arrays may be read-only views of the file.

    mesh: as any mesh, with one texture at most. joint, weight: (V, K) of a skinned primitive.
    """

    mesh: Mesh
    joint: np.ndarray | None = None
    weight: np.ndarray | None = None


class Primitive:
    """One primitive's data, wherever they lie: in accessors, or in a Draco stream."""

    def __init__(self, file: GlbFile, record: dict[str, Any]):
        self.file, self.record = file, record
        self.accessors = file.child(record, "attributes")
        position = self.accessors["POSITION"]
        self.count = file.count(position)
        self._faces: np.ndarray | None = None
        self._decoded: dict[str, np.ndarray] = {}
        packed = file.extension(record, DRACO)
        # A plain copy beside optional compression is the same for readers with and without Draco.
        plain = file.entry("accessors", position).get("bufferView") is not None
        if packed and (DRACO in file.required or not plain):
            self._faces, self._decoded = decode_draco(file, packed)
            self.count = len(self._decoded["POSITION"])

    def attribute(self, name: str, width: int, rows: np.ndarray | None) -> np.ndarray:
        """(N, width) of the vertices `rows` (None: all); wider attributes are cut."""
        index = self.accessors[name]
        if name in self._decoded:
            values = self._decoded[name]
            values = self.file.normalised(index, values if rows is None else values[rows])
        elif self.file.count(index) != self.count:
            raise self.file.corrupt(f"{name[:99]} does not give every vertex a value")
        else:
            values = self.file.accessor(index, rows)
        if values.shape[1] < width:
            raise self.file.corrupt(f"{name[:99]} has fewer than {width} components")
        return values[:, :width]

    def stored(self, name: str, rows: np.ndarray) -> np.ndarray:
        """(N, width) of an attribute's vertices `rows`, integers not normalised; all components."""
        if name in self._decoded:
            return self._decoded[name][rows]
        return self.file.stored(self.accessors[name], rows)

    def colors(self, rows: np.ndarray | None) -> np.ndarray | None:
        """(N, 3) linear COLOR_0 of the vertices `rows`; None if there is none that can be read.

        Whole numbers are normalised, also where a file forgot to say so.
        """
        if "COLOR_0" not in self.accessors:
            return None
        try:
            values = self.attribute("COLOR_0", 3, rows)
        except (ObjectError, *MISTYPED):
            return None
        largest = np.float32(np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1)
        return values if largest == 1 else values / largest

    def numbered(self, name: str, rows: np.ndarray | None) -> list[np.ndarray]:
        """(N, 4) arrays of {name}_0, {name}_1, … as far as they go without a gap."""
        found: list[np.ndarray] = []
        while f"{name}_{len(found)}" in self.accessors:
            self.file.spend(16 * (self.count if rows is None else len(rows)))
            found.append(self.attribute(f"{name}_{len(found)}", 4, rows))
        return found

    def morphed(
        self,
        values: np.ndarray,
        weights: tuple[float, ...],
        rows: np.ndarray | None,
        name: str = "POSITION",
    ) -> np.ndarray:
        """(N, 3) float32 values of an attribute plus those of the morph targets, weighted."""
        targets = self.file.items(self.record, "targets")
        for target, weight in zip(targets, weights, strict=False):
            if weight and isinstance(target, dict) and name in target:
                if self.file.count(target[name]) != self.count:
                    raise self.file.corrupt("a morph target does not move every vertex")
                offset = self.file.accessor(target[name], rows)
                if offset.shape[1] != 3:
                    raise self.file.corrupt("a morph target has no positions in space")
                values = values + np.float32(weight) * offset.astype(np.float32)
        return values

    def normals(
        self, weights: tuple[float, ...], rows: np.ndarray | None, count: int
    ) -> np.ndarray:
        """(count, 3) float32 unit normals of the vertices `rows`, zero where there are none.

        Normals that cannot be read cost nothing but themselves.
        """
        if "NORMAL" not in self.accessors:
            return no_normals(count)
        try:
            normal = self.attribute("NORMAL", 3, rows).astype(np.float32, copy=False)
            return usable_normals(self.morphed(normal, weights, rows, "NORMAL"))
        except (ObjectError, *MISTYPED):
            return no_normals(count)

    def triangles(self, mode: int) -> np.ndarray:
        """(F, 3) vertex numbers, checked against `count`; strips and fans become triangles."""
        if self._faces is not None:  # triangles, whatever they were packed as
            self._check_size(len(self._faces))
            return self._faces.astype(np.int32)
        if self.record.get("indices") is None:
            order = np.arange(self.count, dtype=np.int32)
        else:
            indices = self.file.accessor(self.record["indices"])
            if indices.dtype.kind not in "ui" or indices.shape[1] != 1:
                raise self.file.corrupt("the indices are not whole numbers")
            if len(indices) and not 0 <= indices.min() <= indices.max() < self.count:
                raise self.file.bad_index(self.count)
            order = indices[:, 0].astype(np.int32)
        self._check_size(len(order) // 3 if mode == TRIANGLES else len(order) - 2)
        if mode == TRIANGLES:
            return order[: len(order) // 3 * 3].reshape(-1, 3)
        if mode == STRIP:  # every second triangle is turned over; repeats are only stitches
            faces = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
            faces[1::2] = faces[1::2][:, [1, 0, 2]]
            a, b, c = faces.T
            return faces[(a != b) & (b != c) & (c != a)]
        if mode == FAN:
            first = np.broadcast_to(order[:1], max(len(order) - 2, 0))
            return np.stack([first, order[1:-1], order[2:]], axis=1)
        raise self.file.corrupt(f"a primitive has the unknown mode {mode}")

    def _check_size(self, triangles: int) -> None:
        if triangles > self.file.limits.triangles:
            raise self.file.too_large(f"{triangles} triangles", f"{self.file.limits.triangles}")


def parts_of(
    file: GlbFile,
    index: int,
    weights: tuple[float, ...] | None,
    skinned: bool,
    textures: TextureReader | None,
    normals: bool,
) -> Iterator[Part]:
    """Yield the primitives of mesh `index` that have triangles.

    weights: of the morph targets; None: those of the mesh. skinned: whether a skin will bend them.
    textures: None leaves images alone. normals: whether to read normals.
    """
    mesh = file.entry("meshes", index)
    if weights is None:
        weights = tuple(file.numbers(mesh, "weights", [0] * len(file.items(mesh, "weights"))))
    for record in file.items(mesh, "primitives"):
        mode = file.integer(record, "mode", TRIANGLES)
        if mode < TRIANGLES or "POSITION" not in file.child(record, "attributes"):
            continue
        primitive = Primitive(file, record)
        faces = primitive.triangles(mode)
        if len(faces):
            rows, faces = _used(faces, primitive.count)
            part = _part(primitive, faces, rows, weights, skinned, textures)
            if normals:
                v_normal = primitive.normals(weights, rows, len(part.mesh.v_pos))
                part = replace(part, mesh=replace(part.mesh, v_normal=v_normal))
            yield part


def _part(
    primitive: Primitive,
    faces: np.ndarray,
    rows: np.ndarray | None,
    weights: tuple[float, ...],
    skinned: bool,
    textures: TextureReader | None,
) -> Part:
    """The primitive's vertices `rows` (None: all), which `faces` number from zero."""
    v_pos = primitive.attribute("POSITION", 3, rows)
    v_pos = primitive.morphed(v_pos.astype(np.float32, copy=False), weights, rows)
    material = _material(primitive, textures)
    texture = v_uv = None
    if textures is not None and material.texture is not None:
        texture = textures.of(material)
        if texture is not None:
            v_uv = texture_coordinates(
                primitive.file, material, lambda name: primitive.attribute(name, 2, rows)
            )
            if v_uv is None:
                textures.lack(material, "without coordinates")
    color = _color(primitive, material, rows, len(v_pos), textures is not None)
    mesh = Mesh(v_pos, faces, color)
    if texture is not None and v_uv is not None:
        mesh = Mesh(v_pos, faces, color, v_uv, np.zeros(len(faces), np.int32), (texture,))
    joints = primitive.numbered("JOINTS", rows) if skinned else []
    if not joints:
        return Part(mesh)
    return Part(mesh, *influences(primitive.file, joints, primitive.numbered("WEIGHTS", rows)))


def _material(primitive: Primitive, textures: TextureReader | None) -> GltfMaterial:
    """What colours a primitive. A material that is damaged costs its looks alone, and is counted."""
    try:
        return material_of(primitive.file, primitive.record)
    except (ObjectError, *MISTYPED):
        if textures is not None:
            name = f"material {str(primitive.record.get('material'))[:20]}"
            textures.lost[name] = f"{name} (damaged)"
        return WHITE


def _used(faces: np.ndarray, count: int) -> tuple[np.ndarray | None, np.ndarray]:
    """The vertices that `faces` use, ascending (None: all `count`), and faces in their numbers."""
    if count > 4 * faces.size:  # a few triangles among many vertices: look at the few only
        rows, faces = np.unique(faces, return_inverse=True)
        return rows, faces.reshape(-1, 3).astype(np.int32)
    used = np.zeros(count, bool)
    used[faces.reshape(-1)] = True
    if used.all():
        return None, faces
    number = np.cumsum(used, dtype=np.int32) - 1  # old vertex → new vertex
    return np.flatnonzero(used), number[faces]


def _color(
    primitive: Primitive,
    material: GltfMaterial,
    rows: np.ndarray | None,
    count: int,
    textures: bool,
) -> np.ndarray | None:
    """(count, 3) float32 sRGB-encoded factor · COLOR_0; None if only an image knows the colour."""
    linear = primitive.colors(rows)
    if linear is not None:
        return linear_to_srgb(np.nan_to_num(linear * material.factor)).astype(np.float32)
    if material.texture is not None and not textures:
        return None
    plain = linear_to_srgb(material.factor.astype(np.float64)).astype(np.float32)
    return np.broadcast_to(plain, (count, 3))
