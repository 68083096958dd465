"""A glTF file that gets new textures, or new coordinates for them, and is otherwise left as it is.

What is new is appended: bytes to the binary chunk, entries to the lists of the JSON tree. No number of
an entry changes, so nodes, animations, cameras and whatever else the file holds keep their references.
"""

import copy
from typing import Any

import numpy as np

from sdtool.errors import ObjectError
from sdtool.io.images import png_bytes
from sdtool.meshfiles.accessors import DTYPES, WIDTHS, GlbFile
from sdtool.meshfiles.extensions import DRACO, MESHOPT
from sdtool.meshfiles.packing import packed
from sdtool.meshfiles.primitives import TRIANGLES, Primitive
from sdtool.meshfiles.writing import (
    ARRAY_BUFFER,
    ELEMENT_ARRAY_BUFFER,
    FLOAT32,
    SAMPLER,
    UINT16,
    UINT32,
    container,
)

UV = "TEXCOORD_"
KINDS = {width: kind for kind, width in WIDTHS.items()}


class GltfPatch:
    """The tree and the binary chunk of a file's copy while they grow. A .gltf, and a GLB that keeps something
    in other files, becomes one GLB with all of it inside; images that are missing become a white pixel."""

    def __init__(self, file: GlbFile):
        self.file = file
        lists = [file.items(file.tree, kind) for kind in ("buffers", "images")]
        apart = any("uri" in entry for entries in lists for entry in entries)
        compressed = set(MESHOPT) & set(map(str, file.items(file.tree, "extensionsUsed")))
        if (file.is_text or apart) and compressed and len(lists[0]) > 1:
            raise ObjectError(
                "unsupported-extension",
                f"{file.path} keeps compressed data in several buffers; pack it into one GLB first",
            )
        if file.is_text or apart:
            white = png_bytes(np.full((1, 1, 3), 255, np.uint8))
            self.tree, data = packed(file, instead=white)
        else:
            self.tree, data = copy.deepcopy(file.tree), file.chunk.tobytes()
        if lists[0] and not data:
            raise file.corrupt("its first buffer has no bytes")
        self.binary = bytearray(data)
        self._sampler: int | None = None

    def encoded(self) -> bytes:
        """The GLB as it is now."""
        if self.binary:
            self._entries("buffers") or self._add("buffers", {})
            self.tree["buffers"][0]["byteLength"] = len(self.binary)
        return container(self.tree, bytes(self.binary))

    def texture(self, name: str, image: np.ndarray) -> int:
        """Add an (H, W, 3) or (H, W, 4) uint8 image as a PNG, and a texture that shows it; its number."""
        if self._sampler is None:
            self._sampler = self._add("samplers", dict(SAMPLER))
        png = {"name": name, "mimeType": "image/png", "bufferView": self._view(png_bytes(image))}
        source = self._add("images", png)
        return self._add("textures", {"name": name, "sampler": self._sampler, "source": source})

    def material(self, material: dict[str, Any]) -> int:
        """Add a material; its number."""
        return self._add("materials", material)

    def recoordinate(
        self,
        record: dict[str, Any],
        primitive: Primitive,
        origin: np.ndarray,
        v_uv: np.ndarray,
        faces: np.ndarray,
    ) -> None:
        """Give a primitive of the new tree, `record`, texture coordinates as its set 0; its former sets
        come behind. primitive: the same one of the file.

        Its vertices are split for that: origin (V,) says which former vertex each is, v_uv (V, 2) glTF
        coordinates, faces (F, 3). Every attribute and morph target goes along, in the number type that it
        has; the former arrays stay in the file, for others that use them.
        """
        attributes: dict[str, int] = {}
        for name in primitive.accessors:
            like = self._like(primitive.accessors[name])
            index = self._array(primitive.stored(name, origin), like, name)
            number = name.removeprefix(UV)
            is_set = number != name and number.isdecimal()
            attributes[f"{UV}{int(number) + 1}" if is_set else name] = index
        attributes[f"{UV}0"] = self._array(v_uv, {"componentType": FLOAT32})
        record["attributes"] = attributes
        for target in self.file.items(record, "targets"):
            for name, old in target.items():
                values = self.file.stored(old, origin)
                target[name] = self._array(values, self._like(old), name)
        short = len(origin) <= 65535  # index 65535 itself is reserved in 16 bits
        order = faces.astype("<u2" if short else "<u4").reshape(-1, 1)
        component = {"componentType": UINT16 if short else UINT32}
        record["indices"] = self._array(order, component, target=ELEMENT_ARRAY_BUFFER)
        record["mode"] = TRIANGLES
        if record.get("extensions", {}).pop(DRACO, None) is not None:
            record["extensions"] or record.pop("extensions")
            self._forget_draco()

    # The lists of the tree

    def _entries(self, kind: str) -> list[Any]:
        return self.tree.get(kind) or []

    def _add(self, kind: str, entry: dict[str, Any]) -> int:
        self.tree[kind] = [*self._entries(kind), entry]
        return len(self.tree[kind]) - 1

    def _view(self, raw: bytes, **view: int) -> int:
        self.binary += b"\0" * (-len(self.binary) % 4)
        place = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(raw)}
        self.binary += raw + b"\0" * (-len(raw) % 4)
        return self._add("bufferViews", place | view)

    def _like(self, index: Any) -> dict[str, Any]:
        """Of an accessor what says how its numbers are to be read."""
        accessor = self.file.entry("accessors", index)
        kept = ("name", "componentType", "normalized", "extras")
        return {name: accessor[name] for name in kept if name in accessor}

    def _array(
        self,
        values: np.ndarray,
        like: dict[str, Any],
        name: str = "",
        target: int = ARRAY_BUFFER,
    ) -> int:
        """Add (N, C) values as an accessor; elements begin at multiples of four, as vertices must. Bounds are
        told of the attribute POSITION, as they must be."""
        stored = np.ascontiguousarray(values, DTYPES[like["componentType"]])
        entry = {**like, "type": KINDS[stored.shape[1]], "count": len(stored)}
        if name == "POSITION":
            entry |= {"min": stored.min(axis=0).tolist(), "max": stored.max(axis=0).tolist()}
        size = stored.itemsize * stored.shape[1]
        if target == ELEMENT_ARRAY_BUFFER or size % 4 == 0:
            view = self._view(stored.tobytes(), target=target)
        else:
            wide = np.zeros((len(stored), size + -size % 4), np.uint8)
            wide[:, :size] = stored.view(np.uint8).reshape(len(stored), size)
            view = self._view(wide.tobytes(), target=target, byteStride=wide.shape[1])
        return self._add("accessors", {"bufferView": view, **entry})

    def _forget_draco(self) -> None:
        """Take the extension off the lists once no primitive is compressed any more."""
        for mesh in self._entries("meshes"):
            if any(DRACO in p.get("extensions", {}) for p in mesh.get("primitives", [])):
                return
        for kind in ("extensionsUsed", "extensionsRequired"):
            names = [name for name in self._entries(kind) if name != DRACO]
            self.tree[kind] = names
            names or self.tree.pop(kind)
