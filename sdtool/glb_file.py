"""The GLB container: its JSON tree, and its accessors as numpy arrays, mapped and never trusted.

Everything is checked against the bytes that are really there before it is read. Images are never
touched. What is wrong is an ObjectError with a named reason.
"""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import ObjectError

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
MAX_COUNT = 30_000_000  # vertices or triangles of one object: a bound on memory, not on quality

# Extensions that change materials, textures, lights or animation, and no triangle.
HARMLESS = {
    "KHR_animation_pointer", "KHR_lights_punctual", "KHR_mesh_quantization", "KHR_texture_basisu",
    "KHR_texture_transform", "KHR_xmp", "KHR_xmp_json_ld", "EXT_texture_avif", "EXT_texture_webp",
    "MSFT_texture_dds", "EXT_lights_image_based",
}  # fmt: skip
HARMLESS_PREFIX = "KHR_materials_"
COMPRESSED = {
    "KHR_draco_mesh_compression": "Draco-compressed",
    "EXT_meshopt_compression": "meshopt-compressed",
    "KHR_meshopt_compression": "meshopt-compressed",
}


class GlbFile:
    """One opened GLB: `tree` is its JSON object, `accessor(i)` an array of its data."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._data = self._map()
        self.tree, self._chunk = self._split()
        self._check_extensions()

    def corrupt(self, what: str) -> ObjectError:
        """The error for a file that contradicts the glTF specification or itself."""
        return ObjectError("corrupt-file", f"{self.path} is damaged: {what}")

    # The container

    def _map(self) -> np.ndarray:
        try:
            if self.path.stat().st_size == 0:
                raise self.corrupt("the file is empty")
            return np.memmap(self.path, np.uint8, mode="r")
        except FileNotFoundError:
            raise ObjectError("missing-file", f"{self.path} does not exist") from None
        except (OSError, ValueError) as error:
            raise ObjectError("unreadable-file", f"{self.path} cannot be read ({error})") from None

    def _split(self) -> tuple[dict[str, Any], np.ndarray]:
        """The JSON tree and the bytes of the binary chunk (empty if there is none)."""
        data, size = self._data, len(self._data)
        if size < 20 or data[:4].tobytes() != b"glTF":
            raise self.corrupt("it does not begin as a GLB file does")
        version, total = struct.unpack("<II", data[4:12].tobytes())
        if version != 2:
            raise ObjectError(
                "unsupported-version", f"{self.path} is glTF {version}; convert it to glTF 2.0"
            )
        if total > size:
            raise self.corrupt(f"it ends after {size} of {total} bytes")
        chunks, start = [], 12
        while start + 8 <= total:
            length, kind = struct.unpack("<I4s", data[start : start + 8].tobytes())
            if start + 8 + length > total:
                raise self.corrupt("a chunk reaches past the end")
            chunks.append((kind, data[start + 8 : start + 8 + length]))
            start += 8 + length
        if not chunks or chunks[0][0] != b"JSON":
            raise self.corrupt("its first chunk is not JSON")
        try:
            tree = json.loads(chunks[0][1].tobytes())
        except (ValueError, RecursionError) as error:
            raise self.corrupt(f"its JSON cannot be read ({error})") from None
        if not isinstance(tree, dict):
            raise self.corrupt("its JSON is not an object")
        has_binary = len(chunks) > 1 and chunks[1][0] == b"BIN\0"
        return tree, chunks[1][1] if has_binary else np.empty(0, np.uint8)

    def _check_extensions(self) -> None:
        for name in map(str, self.items(self.tree, "extensionsRequired")):
            if name in COMPRESSED:
                raise self.compressed(name)
            if name not in HARMLESS and not name.startswith(HARMLESS_PREFIX):
                raise ObjectError(
                    "unsupported-extension",
                    f"{self.path} requires the glTF extension {name}, which sdtool cannot read",
                )

    def compressed(self, extension: str) -> ObjectError:
        """The error for geometry that only a decoder could read."""
        return ObjectError(
            "unsupported-extension",
            f"{self.path} is {COMPRESSED[extension]} ({extension}); decompress it first, "
            "for example with `gltf-transform copy`",
        )

    # The tree

    def items(self, owner: dict[str, Any], key: str) -> list[Any]:
        """The list `owner[key]`; empty if absent."""
        value = owner.get(key, [])
        if not isinstance(value, list):
            raise self.corrupt(f"{key} is not a list")
        return value

    def child(self, owner: dict[str, Any], key: str) -> dict[str, Any]:
        """The object `owner[key]`; empty if absent."""
        value = owner.get(key, {})
        if not isinstance(value, dict):
            raise self.corrupt(f"{key} is not an object")
        return value

    def entry(self, kind: str, index: Any) -> dict[str, Any]:
        """The object number `index` of the top-level list `kind`."""
        entries = self.items(self.tree, kind)
        if type(index) is not int or not 0 <= index < len(entries):
            raise self.corrupt(f"there is no entry {index} in {kind}")
        if not isinstance(entries[index], dict):
            raise self.corrupt(f"entry {index} of {kind} is not an object")
        return entries[index]

    def integer(self, owner: dict[str, Any], key: str, default: int | None = None) -> int:
        """The integer `owner[key]`, not negative."""
        value = owner.get(key, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or value < 0:
            raise self.corrupt(f"{key} is {value!r}, not a count")
        return value

    # Accessors

    def accessor(self, index: Any) -> np.ndarray:
        """(count, width) array of the accessor's number type; normalised integers become float64.

        Sparse values are in place. The array may be a view of the mapped file: do not write to it.
        """
        accessor = self.entry("accessors", index)
        dtype, width = self._layout(accessor)
        count = self.integer(accessor, "count")
        offset = self.integer(accessor, "byteOffset", 0)
        if count > MAX_COUNT * 3:
            raise ObjectError("too-large", f"{self.path} has an accessor of {count} elements")
        if accessor.get("bufferView") is None:
            values = np.zeros((count, width), dtype)
        else:
            values = self._view(accessor["bufferView"], offset, count, dtype, width)
        if "sparse" in accessor:
            values = self._with_sparse(values, self.child(accessor, "sparse"))
        if accessor.get("normalized") is True and dtype.kind in "iu":
            # Signed types have one value more below zero than above: it is −1 as well.
            return np.maximum(values / np.float64(np.iinfo(dtype).max), -1.0)
        return values

    def _layout(self, accessor: dict[str, Any]) -> tuple[np.dtype, int]:
        component, kind = accessor.get("componentType"), accessor.get("type")
        if type(component) is not int or component not in COMPONENTS:
            raise self.corrupt(f"an accessor has the unknown componentType {component!r}")
        if not isinstance(kind, str) or kind not in WIDTHS:
            raise self.corrupt(f"geometry lies in an accessor of type {kind!r}")
        return np.dtype(COMPONENTS[component]), WIDTHS[kind]

    def _with_sparse(self, values: np.ndarray, sparse: dict[str, Any]) -> np.ndarray:
        count = self.integer(sparse, "count")
        if count > len(values):
            raise self.corrupt("a sparse accessor replaces more elements than there are")
        where, what = self.child(sparse, "indices"), self.child(sparse, "values")
        component = where.get("componentType")
        if component not in (5121, 5123, 5125):
            raise self.corrupt("the indices of a sparse accessor are not unsigned integers")
        rows = self._view(
            where.get("bufferView"),
            self.integer(where, "byteOffset", 0),
            count,
            np.dtype(COMPONENTS[component]),
            1,
        )
        if count and rows.max() >= len(values):
            raise self.corrupt("a sparse accessor replaces elements outside itself")
        start = self.integer(what, "byteOffset", 0)
        new = self._view(what.get("bufferView"), start, count, values.dtype, values.shape[1])
        values = np.array(values)
        values[rows[:, 0]] = new
        return values

    def _view(self, index: Any, offset: int, count: int, dtype: np.dtype, width: int) -> np.ndarray:
        """(count, width) elements of a bufferView, not copied, after checking that they exist."""
        view = self.entry("bufferViews", index)
        for extension in self.child(view, "extensions"):
            if extension in COMPRESSED:
                raise self.compressed(extension)
        data = self._buffer(view.get("buffer"))
        start, length = self.integer(view, "byteOffset", 0), self.integer(view, "byteLength")
        if start + length > len(data):
            raise self.corrupt(f"bufferView {index} reaches past the end of its buffer")
        element = dtype.itemsize * width
        stride = self.integer(view, "byteStride", 0) or element
        if stride < element:
            raise self.corrupt(f"the byteStride of bufferView {index} is shorter than an element")
        if count == 0:
            return np.empty((0, width), dtype)
        if offset + stride * (count - 1) + element > length:
            raise self.corrupt(f"an accessor reaches past the end of bufferView {index}")
        steps = (stride, dtype.itemsize)
        return np.ndarray((count, width), dtype, data, start + offset, steps)

    def _buffer(self, index: Any) -> np.ndarray:
        """(N,) uint8 of one buffer: the binary chunk, or an embedded data URI."""
        buffer = self.entry("buffers", index)
        uri, length = buffer.get("uri"), self.integer(buffer, "byteLength")
        if uri is None:
            data = self._chunk if index == 0 else np.empty(0, np.uint8)
        elif isinstance(uri, str) and uri.startswith("data:") and ";base64," in uri:
            try:
                raw = base64.b64decode(uri.split(";base64,", 1)[1], validate=True)
            except ValueError as error:
                raise self.corrupt(f"buffer {index} is not base64 ({error})") from None
            data = np.frombuffer(raw, np.uint8)
        else:
            raise ObjectError(
                "external-buffer",
                f"{self.path} keeps its data in another file, {str(uri)[:99]}; pack both into one",
            )
        if length > len(data):
            raise self.corrupt(f"buffer {index} has {len(data)} of its {length} bytes")
        return data[:length]
