"""A mesh of any file as a GLB with its colours and base colour textures: what a page shows of it."""

from typing import Any

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh, Texture, srgb_to_linear, validate, vertex_normals
from sdtool.geometry.normals import explicit_normals
from sdtool.io.images import png_bytes
from sdtool.meshfiles.writing import container

WRAPS = {"repeat": 10497, "clamp": 33071, "mirror": 33648}
NEAREST, LINEAR, MIPMAPS = 9728, 9729, 9987
FLOAT, UINT = 5126, 5125


def glb_with_looks(mesh: Mesh, name: str) -> bytes:
    """The bytes of a GLB with a primitive for each texture, and one for the faces without any.

    ObjectError if the mesh is not usable (see `validate`).
    """
    mesh = explicit_normals(validate(mesh, name))
    if not np.isfinite(mesh.v_pos).all():
        raise ObjectError("non-finite", f"{name} has NaN or infinite values in a vertex")
    file = _File()
    attributes = {"POSITION": file.vertices(mesh.v_pos)}
    normal = vertex_normals(mesh) if mesh.v_normal is None else mesh.v_normal
    attributes["NORMAL"] = file.vertices(normal)
    if mesh.v_color is not None:
        attributes["COLOR_0"] = file.vertices(srgb_to_linear(mesh.v_color.astype(np.float64)))
    if mesh.v_uv is not None:
        attributes["TEXCOORD_0"] = file.vertices(mesh.v_uv)
    worn = np.full(len(mesh.t_pos_idx), -1) if mesh.t_texture is None else mesh.t_texture
    for number in np.unique(worn).tolist():
        texture = None if number < 0 else mesh.textures[number]
        file.primitive(attributes, mesh.t_pos_idx[worn == number], texture)
    return file.data(name)


class _File:
    """The lists of a glTF tree while they grow."""

    def __init__(self) -> None:
        self.binary = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.primitives: list[dict[str, Any]] = []
        self.looks: dict[str, list[dict[str, Any]]] = {
            kind: [] for kind in ("materials", "textures", "images", "samplers")
        }

    def vertices(self, array: np.ndarray) -> int:
        """Add (V, C) numbers as float32; return the number of their accessor."""
        array = np.ascontiguousarray(array, np.float32)
        box = {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        return self._accessor(array, FLOAT, type=f"VEC{array.shape[1]}", **box)

    def primitive(
        self, attributes: dict[str, int], faces: np.ndarray, texture: Texture | None
    ) -> None:
        """Add the (F, 3) faces that wear one texture, or none."""
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.8}
        material: dict[str, Any] = {"pbrMetallicRoughness": surface}
        if texture is not None:
            surface["baseColorTexture"] = {"index": self._texture(texture)}
            if (texture.image[..., 3] < 255).any():
                material["alphaMode"] = "MASK"
        self.looks["materials"].append(material)
        indices = self._accessor(faces.astype(np.uint32).reshape(-1), UINT, type="SCALAR")
        number = len(self.looks["materials"]) - 1
        one = {"attributes": attributes, "indices": indices, "material": number}
        self.primitives.append(one)

    def data(self, name: str) -> bytes:
        """The bytes of the file."""
        tree: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"name": name, "mesh": 0}],
            "meshes": [{"primitives": self.primitives}],
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.binary)}],
        }
        return container(
            tree | {kind: some for kind, some in self.looks.items() if some}, bytes(self.binary)
        )

    def _texture(self, texture: Texture) -> int:
        opaque = (texture.image[..., 3] == 255).all()
        png = png_bytes(texture.image[..., :3] if opaque else texture.image)
        self.looks["images"].append({"mimeType": "image/png", "bufferView": self._view(png)})
        s, t = (WRAPS[wrap] for wrap in texture.wrap)
        blend = (NEAREST, NEAREST) if texture.nearest else (LINEAR, MIPMAPS)
        sampler = {"magFilter": blend[0], "minFilter": blend[1], "wrapS": s, "wrapT": t}
        self.looks["samplers"].append(sampler)
        number = len(self.looks["textures"])
        self.looks["textures"].append({"sampler": number, "source": number})
        return number

    def _accessor(self, array: np.ndarray, component: int, **accessor: Any) -> int:
        view = self._view(array.tobytes())
        entry = {"bufferView": view, "componentType": component, "count": len(array)}
        self.accessors.append(entry | accessor)
        return len(self.accessors) - 1

    def _view(self, raw: bytes) -> int:
        place = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(raw)}
        self.views.append(place)
        self.binary += raw + b"\0" * (-len(raw) % 4)
        return len(self.views) - 1
