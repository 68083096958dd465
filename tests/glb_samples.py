"""Hand-made GLB files for the tests: a tree written out as data, and arrays packed behind it."""

import json
import struct

import numpy as np

CODES = {"b": 5120, "B": 5121, "h": 5122, "H": 5123, "I": 5125, "f": 5126}
KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}

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

    def primitive(self, positions, indices=None, *, mesh=0, color=None, vertex=None, **more):
        """Append a primitive; `vertex` has more attributes. All may be arrays or accessor numbers.

        Integer attributes of `vertex` other than joints are normalised.
        """
        primitive = {"attributes": {}, **more}
        attributes = {"POSITION": positions, "COLOR_0": color, **(vertex or {})}
        for name, values in attributes.items():
            if values is not None and not isinstance(values, int):
                values = np.asarray(values)
                integers = name in (vertex or ()) and values.dtype.kind in "iu"
                normalized = {"normalized": True} if integers and "JOINTS" not in name else {}
                values = self.accessor(values, **normalized)
            if values is not None:
                primitive["attributes"][name] = values
        if indices is not None:
            if not isinstance(indices, int):
                indices = self.accessor(np.asarray(indices, np.uint16).reshape(-1))
            primitive["indices"] = indices
        self.tree["meshes"][mesh]["primitives"].append(primitive)
        return primitive

    def save(self, path):
        """Write the file; return its path."""
        path.write_bytes(self.data())
        return path

    def data(self):
        """The bytes of the file."""
        if self.binary and not self.tree["buffers"]:
            self.tree["buffers"] = [{}]
        if self.binary and "uri" not in self.tree["buffers"][0]:
            self.tree["buffers"][0].setdefault("byteLength", len(self.binary))
        return container(self.tree, self.binary)


def matrices(*arrays):
    """4×4 matrices as MAT4 elements: (N, 16) float32, column after column."""
    return np.stack([np.asarray(a, np.float32).T.reshape(16) for a in arrays])


def translation(x, y, z):
    """4×4."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def corner(**node):
    """A sample with the corner mesh under one node that has the given fields."""
    sample = Sample()
    sample.primitive(CORNER, CORNER_FACES)
    sample.tree["nodes"][0].update(node)
    return sample


def draco_sample(positions, faces, *, colors=None, joints=None, stream=None, **options):
    """A sample whose one primitive lies in a Draco stream (made here unless `stream` is given)."""
    import DracoPy

    if stream is None:
        stream = DracoPy.encode(
            positions,
            np.asarray(faces, np.uint32),
            colors=colors,
            generic_attributes=None if joints is None else {5: joints},
            **options,
        )
        ids = {a["attribute_type"]: a["unique_id"] for a in DracoPy.decode(stream).attributes}
    else:
        ids = {0: 0}
    sample = Sample()
    attributes = {"POSITION": (ids[0], np.zeros((0, 3), np.float32))}
    if colors is not None:
        attributes["COLOR_0"] = (ids[2], np.zeros((0, 3), np.uint8))
    if joints is not None:
        attributes["JOINTS_0"] = (ids[4], np.zeros((0, 4), joints.dtype))
    numbers = {}
    for name, (_, kind) in attributes.items():
        more = {"normalized": True} if name == "COLOR_0" else {}
        numbers[name] = sample.accessor(kind, count=len(positions), **more)
        del sample.tree["accessors"][numbers[name]]["bufferView"]
    indices = sample.accessor(np.zeros(0, np.uint32), count=3 * len(faces))
    del sample.tree["accessors"][indices]["bufferView"]
    packed = {"bufferView": sample.view(stream), "attributes": {n: a[0] for n, a in attributes.items()}}  # fmt: skip # noqa: E501
    sample.tree["meshes"][0]["primitives"] = [
        {
            "attributes": numbers,
            "indices": indices,
            "extensions": {"KHR_draco_mesh_compression": packed},
        }
    ]
    sample.tree["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    return sample


def meshopt_sample(positions, faces, mode, extension):
    """A sample whose positions (view 0) and faces (view 1) are compressed; no plain copy."""
    import meshopt

    sample = Sample()
    raw = positions.tobytes(), faces.tobytes()
    sample.tree["buffers"] = [{}, {"byteLength": len(raw[0]) + len(raw[1])}]
    for data, array, kind, start in (
        (meshopt.encode_gltf_buffer(positions, "ATTRIBUTES"), positions, "ATTRIBUTES", 0),
        (meshopt.encode_gltf_buffer(faces.reshape(-1), mode), faces.reshape(-1), mode, len(raw[0])),
    ):
        view = sample.tree["bufferViews"][sample.view(data)]
        stride = array.itemsize * (array.shape[1] if array.ndim == 2 else 1)
        packed = {**view, "byteStride": stride, "count": len(array), "mode": kind}
        view.update(buffer=1, byteOffset=start, byteLength=array.nbytes)
        view["extensions"] = {extension: packed}
        sample.tree["accessors"].append(
            {
                "bufferView": len(sample.tree["bufferViews"]) - 1,
                "componentType": CODES[array.dtype.char],
                "type": "VEC3" if array.ndim == 2 else "SCALAR",
                "count": len(array),
            }
        )
    sample.primitive(0, 1)
    sample.tree["extensionsRequired"] = [extension]
    return sample


def text_gltf(path, *, uri="corner.bin", **tree):
    """Write the corner as a .gltf with a buffer at `uri`; the caller places the file. Its bytes."""
    sample = corner()
    sample.tree["buffers"] = [{"byteLength": len(sample.binary), "uri": uri}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sample.tree | tree), encoding="utf-8")
    return sample.binary
