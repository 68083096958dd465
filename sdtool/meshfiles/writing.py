"""Writing a mesh as binary glTF 2.0: one node, one material, vertex colours or baked textures."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from sdtool import __version__
from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh, srgb_to_linear, validate, vertex_normals
from sdtool.geometry.surfaces import TexturedMesh
from sdtool.io.files import UTF8, atomic_path
from sdtool.io.images import png_bytes

UINT16, UINT32, FLOAT32 = 5123, 5125, 5126
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
TRIANGLES = 4
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071
SAMPLER = {
    "magFilter": LINEAR,
    "minFilter": LINEAR_MIPMAP_LINEAR,
    "wrapS": CLAMP_TO_EDGE,
    "wrapT": CLAMP_TO_EDGE,
}


def write_glb(
    path: str | Path,
    mesh: Mesh,
    *,
    name: str = "object",
    extras: dict[str, Any] | None = None,
    generator: str = f"sdtool {__version__}",
) -> Path:
    """Write `mesh` as one node of a GLB file, atomically; the same mesh gives the same bytes.

    Mesh.v_color is sRGB-encoded and COLOR_0 is linear: it is converted here and stored in 16 bits,
    which keeps dark colours. `extras` becomes `asset.extras` (a JSON object: prompt, seed, …).
    Normals are those of the mesh, which needs one at every vertex (`normals.explicit_normals`), or
    smooth. ObjectError if the mesh is not usable (see `meshes.validate`).
    """
    _check(mesh, name)
    file = _File()
    file.vertices("POSITION", mesh.v_pos)
    file.vertices("NORMAL", vertex_normals(mesh) if mesh.v_normal is None else mesh.v_normal)
    if mesh.v_color is not None:
        color = _linear_rgba16(mesh.v_color)
        file.vertices("COLOR_0", color, componentType=UINT16, normalized=True)
    material = {
        "pbrMetallicRoughness": {
            "baseColorFactor": [1.0, 1.0, 1.0, 1.0],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.8,
        },
        "doubleSided": False,
    }
    return file.write(path, mesh.t_pos_idx, material, name, extras, generator)


def write_textured_glb(
    path: str | Path,
    mesh: TexturedMesh,
    *,
    name: str = "object",
    extras: dict[str, Any] | None = None,
    generator: str = f"sdtool {__version__}",
) -> Path:
    """Write a mesh with baked textures, each as a PNG inside the file; else as `write_glb`."""
    _check(Mesh(mesh.v_pos, mesh.t_pos_idx), name)
    file = _File()
    file.vertices("POSITION", mesh.v_pos)
    file.vertices("NORMAL", mesh.v_normal)
    file.vertices("TANGENT", mesh.v_tangent)
    file.vertices("TEXCOORD_0", mesh.v_uv)
    textures = mesh.textures
    material = {
        "pbrMetallicRoughness": {
            "baseColorTexture": file.texture("base color", textures.base_color),
            "metallicRoughnessTexture": file.texture(
                "metallic roughness", textures.metallic_roughness
            ),
        },
        "normalTexture": file.texture("normal", textures.normal),
        "doubleSided": False,
    }
    return file.write(path, mesh.t_pos_idx, material, name, extras, generator)


def _check(mesh: Mesh, name: str) -> None:
    validate(mesh, name)
    for array in (mesh.v_pos, mesh.v_color):
        if array is not None and not np.isfinite(array).all():
            raise ObjectError("non-finite", f"{name} has NaN or infinite values in a vertex")


def _linear_rgba16(color: np.ndarray) -> np.ndarray:
    """(V, 3) sRGB-encoded [0, 1] → (V, 4) uint16 linear, opaque; four parts keep rows aligned."""
    linear = np.rint(srgb_to_linear(np.asarray(color, np.float64)) * 65535).astype(np.uint16)
    opaque = np.full((len(linear), 1), 65535, np.uint16)
    return np.concatenate([linear, opaque], axis=1)


class _File:
    """A file with one primitive while it grows: a bufferView for each array and each image."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.attributes: dict[str, int] = {}
        self.images: list[dict[str, Any]] = []

    def vertices(self, attribute: str, array: np.ndarray, **accessor: Any) -> None:
        """Add a vertex attribute (V, C): float32 unless `accessor` names another componentType."""
        if not accessor:
            array = np.ascontiguousarray(array, np.float32)
            accessor = {"componentType": FLOAT32}
        if attribute == "POSITION":
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        kind = f"VEC{array.shape[1]}"
        self.attributes[attribute] = self._accessor(array, ARRAY_BUFFER, type=kind, **accessor)

    def texture(self, name: str, image: np.ndarray) -> dict[str, int]:
        """Add an image (S, S, 3) uint8 and its texture; return the textureInfo."""
        view = self._view(png_bytes(image))
        self.images.append({"name": name, "mimeType": "image/png", "bufferView": view})
        return {"index": len(self.images) - 1}

    def write(
        self,
        path: str | Path,
        faces: np.ndarray,
        material: dict[str, Any],
        name: str,
        extras: dict[str, Any] | None,
        generator: str,
    ) -> Path:
        """Write the file with its faces (F, 3), atomically."""
        vertices = self.accessors[self.attributes["POSITION"]]["count"]
        short = vertices <= 65535  # index 65535 itself is reserved in 16 bits
        indices = self._accessor(
            faces.astype(np.uint16 if short else np.uint32).reshape(-1),
            ELEMENT_ARRAY_BUFFER,
            type="SCALAR",
            componentType=UINT16 if short else UINT32,
        )
        primitive = {
            "attributes": self.attributes,
            "indices": indices,
            "material": 0,
            "mode": TRIANGLES,
        }
        tree: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": generator},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"name": name, "mesh": 0}],
            "meshes": [{"name": name, "primitives": [primitive]}],
            "materials": [material],
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.data)}],
        }
        if self.images:
            tree["images"] = self.images
            tree["samplers"] = [SAMPLER]
            tree["textures"] = [{"sampler": 0, "source": k} for k in range(len(self.images))]
        if extras:
            tree["asset"]["extras"] = extras
        with atomic_path(path) as temporary:
            temporary.write_bytes(container(tree, bytes(self.data)))
        return Path(path)

    def _accessor(self, array: np.ndarray, target: int, **accessor: Any) -> int:
        view = self._view(array.tobytes(), target=target)
        self.accessors.append({"bufferView": view, "count": len(array), **accessor})
        return len(self.accessors) - 1

    def _view(self, raw: bytes, **view: int) -> int:
        """Append bytes, 4-byte aligned; return the index of their bufferView."""
        place = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)}
        self.views.append(place | view)
        self.data += raw + b"\0" * (-len(raw) % 4)
        return len(self.views) - 1


def container(tree: dict[str, Any], binary: bytes) -> bytes:
    """The GLB container: header, JSON chunk padded by spaces, binary chunk padded by zeros."""
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode(**UTF8)
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
