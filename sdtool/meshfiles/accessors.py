"""The accessors of a glTF file as numpy arrays: mapped, never trusted, decompressed on demand.

Everything is checked against the bytes that are really there before it is read, and against the
limits before memory is taken.
"""

import base64
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.meshfiles.extensions import MESHOPT
from sdtool.meshfiles.gltf_tree import GlbTree
from sdtool.meshfiles.limits import Limits
from sdtool.meshfiles.meshopt import decode_meshopt

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
DTYPES = {code: np.dtype(name) for code, name in COMPONENTS.items()}
URL_SAFE = bytes.maketrans(b"-_", b"+/")
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class GlbFile(GlbTree):
    """One opened GLB or .gltf: `tree` is its JSON object, `accessor(i)` an array of its data."""

    def __init__(self, path: str | Path, limits: Limits):
        super().__init__(path, limits)
        self._spent = 0
        self._buffers: dict[int, np.ndarray] = {}
        self._views: dict[int, np.ndarray] = {}
        self._sparse: dict[int, np.ndarray] = {}

    def spend(self, size: int) -> None:
        """Count `size` bytes that are about to be decoded against the limit of the whole file."""
        self._spent += size
        if self._spent > self.limits.decoded_bytes:
            raise self.too_large("compressed or sparse data", f"{self.limits.decoded_bytes} bytes")

    # Accessors

    def count(self, index: Any) -> int:
        """The number of elements of an accessor."""
        count = self.integer(self.entry("accessors", index), "count")
        if count > self.limits.vertices:
            raise self.too_large(f"an accessor of {count} elements", f"{self.limits.vertices}")
        return count

    def accessor(self, index: Any, rows: np.ndarray | None = None) -> np.ndarray:
        """(count, width) array of the accessor's number type; normalised integers become float32.

        rows: (N,) of the elements that are wanted, all if None. Sparse values are in place. The
        array may be a view of the mapped file: it cannot be written to.
        """
        return self.normalised(index, self.stored(index, rows))

    def stored(self, index: Any, rows: np.ndarray | None = None) -> np.ndarray:
        """As `accessor`, but integers stay as they are in the file."""
        values = self._elements(index)
        return values if rows is None else values[rows]

    def normalised(self, index: Any, values: np.ndarray) -> np.ndarray:
        """Stored values of accessor `index` as what they stand for (glTF, section 3.6.2.2)."""
        accessor = self.entry("accessors", index)
        dtype = self._layout(accessor)[0]
        if accessor.get("normalized") is not True or "f" in (dtype.kind, values.dtype.kind):
            return values
        # Signed types have one value more below zero than above: it is −1 as well.
        return np.maximum(values / np.float32(np.iinfo(dtype).max), np.float32(-1))

    def _elements(self, index: Any) -> np.ndarray:
        """(count, width) as stored, with sparse values in place."""
        if type(index) is int and index in self._sparse:
            return self._sparse[index]
        accessor = self.entry("accessors", index)
        dtype, width = self._layout(accessor)
        count = self.count(index)
        offset = self.integer(accessor, "byteOffset", 0)
        if accessor.get("bufferView") is None:
            values = np.broadcast_to(np.zeros(width, dtype), (count, width))  # takes no memory
        else:
            values = self._rows(accessor["bufferView"], offset, count, dtype, width)
        if "sparse" in accessor:
            values = self._with_sparse(values, self.child(accessor, "sparse"))
            self._sparse[index] = values
        return values

    def _layout(self, accessor: dict[str, Any]) -> tuple[np.dtype, int]:
        component, kind = accessor.get("componentType"), accessor.get("type")
        if type(component) is not int or component not in DTYPES:
            raise self.corrupt(f"an accessor has the unknown componentType {str(component)[:99]}")
        if not isinstance(kind, str) or kind not in WIDTHS:
            raise self.corrupt(f"geometry lies in an accessor of type {str(kind)[:99]}")
        return DTYPES[component], WIDTHS[kind]

    def _with_sparse(self, values: np.ndarray, sparse: dict[str, Any]) -> np.ndarray:
        count = self.integer(sparse, "count")
        if count > len(values):
            raise self.corrupt("a sparse accessor replaces more elements than there are")
        where, what = self.child(sparse, "indices"), self.child(sparse, "values")
        component = where.get("componentType")
        if component not in (5121, 5123, 5125):
            raise self.corrupt("the indices of a sparse accessor are not unsigned integers")
        start = self.integer(where, "byteOffset", 0)
        rows = self._rows(where.get("bufferView"), start, count, DTYPES[component], 1)
        if count and rows.max() >= len(values):
            raise self.corrupt("a sparse accessor replaces elements outside itself")
        start = self.integer(what, "byteOffset", 0)
        new = self._rows(what.get("bufferView"), start, count, values.dtype, values.shape[1])
        self.spend(values.size * values.itemsize)
        values = np.array(values)
        values[rows[:, 0]] = new
        return values

    # Buffer views

    def _rows(self, index: Any, offset: int, count: int, dtype: np.dtype, width: int) -> np.ndarray:
        """(count, width) elements of a bufferView, not copied, after checking that they exist."""
        data = self.view(index)
        element = dtype.itemsize * width
        stride = self.integer(self.entry("bufferViews", index), "byteStride", 0) or element
        if stride < element:
            raise self.corrupt(f"the byteStride of bufferView {index} is shorter than an element")
        if count == 0:
            return np.empty((0, width), dtype)
        if offset + stride * (count - 1) + element > len(data):
            raise self.corrupt(f"an accessor reaches past the end of bufferView {index}")
        return np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize))

    def view(self, index: Any) -> np.ndarray:
        """(N,) uint8 of one bufferView, decompressed if it has to be."""
        view = self.entry("bufferViews", index)
        if index in self._views:
            return self._views[index]
        for name in MESHOPT:
            packed = self.extension(view, name)
            if packed and (name in self.required or not self._has_bytes(view.get("buffer"))):
                compressed = self._slice(packed, f"compressed bufferView {index}")
                self._views[index] = decode_meshopt(self, packed, compressed)
                return self._views[index]
        return self._slice(view, f"bufferView {index}")

    def _has_bytes(self, index: Any) -> bool:
        """Whether a buffer is more than a placeholder for what was compressed."""
        buffer = self.entry("buffers", index)
        return buffer.get("uri") is not None or (index == 0 and len(self.chunk) > 0)

    def _slice(self, view: dict[str, Any], name: str) -> np.ndarray:
        data = self.buffer(view.get("buffer"))
        start, length = self.integer(view, "byteOffset", 0), self.integer(view, "byteLength")
        if start + length > len(data):
            raise self.corrupt(f"{name} reaches past the end of its buffer")
        return data[start : start + length]

    def buffer(self, index: Any) -> np.ndarray:
        """(N,) uint8 of one buffer: the binary chunk, a data URI, or a file beside the model."""
        buffer = self.entry("buffers", index)
        if index in self._buffers:
            return self._buffers[index]
        uri, length = buffer.get("uri"), self.integer(buffer, "byteLength")
        if uri is None:
            data = self.chunk if index == 0 else np.empty(0, np.uint8)
        else:
            data = self.at_uri(uri, f"buffer {index}")
        if length > len(data):
            said = f"buffer {index} has {len(data)} of its {length} bytes"
            raise self.corrupt(said) if uri is None else self.truncated(said)
        self._buffers[index] = data[:length]
        return self._buffers[index]

    def at_uri(self, uri: Any, name: str) -> np.ndarray:
        """(N,) uint8 of a base64 data URI, or of the file that it names beside the model."""
        if not isinstance(uri, str):
            raise self.external(name, uri)
        taken_out = uri.removeprefix("embedded:")
        if taken_out != uri and taken_out.isdecimal() and int(taken_out) < len(self.embedded):
            text = self.embedded[int(taken_out)].partition(b";base64,")[2]
        elif uri.startswith("data:"):
            _, mark, rest = uri.partition(";base64,")
            if not mark:
                raise self.external(name, uri)
            text = rest.encode("utf-8", "replace")
        else:
            return self.beside(uri, name)
        self.spend(len(text) // 4 * 3)
        try:
            text = text.translate(URL_SAFE, b" \t\r\n")  # as some wrap it, or write it for URLs
            text += b"=" * (-len(text) % 4)  # some leave the padding out
            return np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
        except ValueError as error:
            raise self.corrupt(f"{name} is not base64 ({error})") from None
