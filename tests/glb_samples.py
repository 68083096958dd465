"""Hand-made GLB files for the tests: a tree written out as data, and arrays packed behind it."""

import json
import struct

import numpy as np

CODES = {"b": 5120, "B": 5121, "h": 5122, "H": 5123, "I": 5125, "f": 5126}
KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}

# A right-angled corner: four triangles, counter-clockwise seen from outside, no two sides alike.
CORNER = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32)
CORNER_FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)


def container(tree, binary=b"", version=2):
    """The bytes of a GLB file; `tree` is a dict, or raw bytes for a broken one."""
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return b"glTF" + struct.pack("<II", version, 12 + len(chunks)) + chunks


class Sample:
    """A glTF tree under construction; change `tree` freely, then `save`."""

    def __init__(self):
        self.binary = b""
        self.tree = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": []}],
            "accessors": [],
            "bufferViews": [],
            "buffers": [],
        }

    def view(self, raw, **more):
        """Append bytes as a bufferView, 4-byte aligned; return its index."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(raw), **more}
        self.binary += raw
        self.tree["bufferViews"].append(view)
        return len(self.tree["bufferViews"]) - 1

    def accessor(self, array, **more):
        """Append a (count,) or (count, width) array as view and accessor; return its index."""
        array = np.asarray(array)
        width = array.shape[1] if array.ndim == 2 else 1
        record = {
            "bufferView": self.view(array.tobytes()),
            "componentType": CODES[array.dtype.char],
            "type": KINDS[width],
            "count": len(array),
        }
        self.tree["accessors"].append({**record, **more})
        return len(self.tree["accessors"]) - 1

    def primitive(self, positions, indices=None, *, mesh=0, color=None, **more):
        """Append a primitive; positions and colours may be arrays or accessor numbers."""
        number = lambda a: a if isinstance(a, int) else self.accessor(a)  # noqa: E731
        primitive = {"attributes": {"POSITION": number(positions)}, **more}
        if color is not None:
            primitive["attributes"]["COLOR_0"] = number(color)
        if indices is not None:
            if not isinstance(indices, int):
                indices = self.accessor(np.asarray(indices, np.uint16).reshape(-1))
            primitive["indices"] = indices
        self.tree["meshes"][mesh]["primitives"].append(primitive)
        return primitive

    def save(self, path):
        """Write the file; return its path."""
        if self.binary and not self.tree["buffers"]:
            self.tree["buffers"] = [{"byteLength": len(self.binary)}]
        path.write_bytes(container(self.tree, self.binary))
        return path


def corner(**node):
    """A sample with the corner mesh under one node that has the given fields."""
    sample = Sample()
    sample.primitive(CORNER, CORNER_FACES)
    sample.tree["nodes"][0].update(node)
    return sample
