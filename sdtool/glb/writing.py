"""Writing a mesh as binary glTF 2.0: positions, normals, linear vertex colours, one material."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from sdtool import __version__
from sdtool.errors import ObjectError
from sdtool.files import atomic_path
from sdtool.meshes import Mesh, srgb_to_linear, validate, vertex_normals

UINT16, UINT32, FLOAT32 = 5123, 5125, 5126
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
TRIANGLES = 4


def write_glb(
    path: str | Path,
    mesh: Mesh,
    *,
    name: str = "object",
    extras: dict[str, Any] | None = None,
    generator: str = f"sdtool {__version__}",
    double_sided: bool = False,
) -> Path:
    """Write `mesh` as one node of a GLB file, atomically; the same mesh gives the same bytes.

    Mesh.v_color is sRGB-encoded and COLOR_0 is linear: it is converted here and stored in 16 bits,
    which keeps dark colours. `extras` becomes `asset.extras` (a JSON object: prompt, seed, …).
    ObjectError if the mesh is not usable (see `meshes.validate`).
    """
    validate(mesh, name)
    for array in (mesh.v_pos, mesh.v_color):
        if array is not None and not np.isfinite(array).all():
            raise ObjectError("non-finite", f"{name} has NaN or infinite values in a vertex")
    binary = _Binary()
    positions = np.ascontiguousarray(mesh.v_pos, np.float32)
    attributes = {
        "POSITION": binary.add(
            positions,
            ARRAY_BUFFER,
            type="VEC3",
            componentType=FLOAT32,
            min=positions.min(axis=0).tolist(),
            max=positions.max(axis=0).tolist(),
        ),
        "NORMAL": binary.add(
            vertex_normals(mesh), ARRAY_BUFFER, type="VEC3", componentType=FLOAT32
        ),
    }
    if mesh.v_color is not None:
        attributes["COLOR_0"] = binary.add(
            _linear_rgba16(mesh.v_color),
            ARRAY_BUFFER,
            type="VEC4",
            componentType=UINT16,
            normalized=True,
        )
    short = len(positions) <= 65535  # index 65535 itself is reserved in 16 bits
    indices = mesh.t_pos_idx.astype(np.uint16 if short else np.uint32).reshape(-1)
    kind = UINT16 if short else UINT32
    faces = binary.add(indices, ELEMENT_ARRAY_BUFFER, type="SCALAR", componentType=kind)
    material = {
        "pbrMetallicRoughness": {
            "baseColorFactor": [1.0, 1.0, 1.0, 1.0],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.8,
        },
        "doubleSided": double_sided,
    }
    primitive = {"attributes": attributes, "indices": faces, "material": 0, "mode": TRIANGLES}
    tree = {
        "asset": {"version": "2.0", "generator": generator},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0}],
        "meshes": [{"name": name, "primitives": [primitive]}],
        "materials": [material],
        "accessors": binary.accessors,
        "bufferViews": binary.views,
        "buffers": [{"byteLength": len(binary.data)}],
    }
    if extras:
        tree["asset"]["extras"] = extras
    with atomic_path(path) as temporary:
        temporary.write_bytes(_container(tree, bytes(binary.data)))
    return Path(path)


def _linear_rgba16(color: np.ndarray) -> np.ndarray:
    """(V, 3) sRGB-encoded [0, 1] → (V, 4) uint16 linear, opaque; four parts keep rows aligned."""
    linear = np.rint(srgb_to_linear(np.asarray(color, np.float64)) * 65535).astype(np.uint16)
    opaque = np.full((len(linear), 1), 65535, np.uint16)
    return np.concatenate([linear, opaque], axis=1)


class _Binary:
    """The binary chunk while it grows: one bufferView and one accessor per array."""

    def __init__(self) -> None:
        self.data, self.views, self.accessors = bytearray(), [], []

    def add(self, array: np.ndarray, target: int, **accessor: Any) -> int:
        """Append `array`, 4-byte aligned; return the index of its accessor."""
        raw = array.tobytes()
        view = {
            "buffer": 0,
            "byteOffset": len(self.data),
            "byteLength": len(raw),
            "target": target,
        }
        self.views.append(view)
        self.data += raw + b"\0" * (-len(raw) % 4)
        self.accessors.append({"bufferView": len(self.views) - 1, "count": len(array), **accessor})
        return len(self.accessors) - 1


def _container(tree: dict[str, Any], binary: bytes) -> bytes:
    """The GLB container: header, JSON chunk padded by spaces, binary chunk padded by zeros."""
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    return b"".join(
        [
            struct.pack("<4sII", b"glTF", 2, total),
            struct.pack("<I4s", len(text), b"JSON"),
            text,
            struct.pack("<I4s", len(binary), b"BIN\0"),
            binary,
        ]
    )
