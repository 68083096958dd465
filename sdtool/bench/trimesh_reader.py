"""Models as trimesh's own loaders read them: the independent reader of the part `readers`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh, srgb_to_linear

GLTF = (".glb", ".gltf")


@dataclass(frozen=True, eq=False)
class Read:
    """A model of P parts. mesh: all of them in the world. geometries: (P,) of trimesh, as they were read.

    ends: (P,) int64, where the faces of each part end in the mesh.
    linear: whether vertex colours and plain colours are linear, as glTF has them, or sRGB-encoded.
    """

    mesh: Mesh
    geometries: list[Any]
    ends: np.ndarray
    linear: bool

    def base_color(self, face: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(K, 3) linear base colours in [0, 1]; NaN where trimesh knows none.

        face: (K,) int64 of the mesh. weights: (K, 3) of its vertices.
        """
        part = np.searchsorted(self.ends, face, side="right")
        color = np.full((len(face), 3), np.nan)
        for number in np.unique(part):
            here = part == number
            start = self.ends[number - 1] if number else 0
            color[here] = self._of_part(self.geometries[number], face[here] - start, weights[here])
        return color

    def _of_part(self, geometry: Any, face: np.ndarray, weights: np.ndarray) -> np.ndarray:
        visual, corners = geometry.visual, np.asarray(geometry.faces)[face]

        def mixed(attribute: Any) -> np.ndarray:
            return np.einsum("kc,kcd->kd", weights, np.asarray(attribute)[corners])

        if visual.kind == "vertex":
            return mixed(self._plain(visual.vertex_colors))
        if visual.kind == "face":
            return self._plain(visual.face_colors)[face]
        if visual.kind != "texture":
            return np.full((len(face), 3), np.nan)
        material, color = visual.material, np.ones((len(face), 3))
        physical = hasattr(material, "baseColorTexture")
        image = material.baseColorTexture if physical else material.image
        plain = material.baseColorFactor if physical else material.diffuse
        if (
            image is not None and image.format is None
        ):  # of no file: it stands in where none is given
            return np.full((len(face), 3), np.nan)
        if image is not None and visual.uv is not None:
            color = _texels(image, mixed(visual.uv))
        if plain is not None and (
            physical or image is None
        ):  # programs write any Kd beside an image
            color = color * self._plain(np.atleast_2d(plain))
        if "color" in visual.vertex_attributes:
            color = color * mixed(self._plain(visual.vertex_attributes["color"]))
        return color

    def _plain(self, values: Any) -> np.ndarray:
        """(N, 3) linear, of (N, 3 or 4) integers or floats."""
        values = np.asarray(values)[:, :3]
        color = values / np.iinfo(values.dtype).max if values.dtype.kind in "ui" else values
        return np.clip(color, 0, 1) if self.linear else srgb_to_linear(color)


def _texels(image: Any, uv: np.ndarray) -> np.ndarray:
    """(K, 3) linear, bilinear and repeated, by SciPy. uv: (K, 2), t up, as trimesh has it.

    Not by trimesh's `to_color`, which takes the first and last texels' centres for the image's sides:
    up to half a texel off. It does not keep samplers, so clamped and nearest ones are not known here.
    """
    from scipy.ndimage import map_coordinates

    pixels = srgb_to_linear(np.asarray(image.convert("RGB")) / 255)
    height, width = pixels.shape[:2]
    place = np.stack([(1 - uv[:, 1]) * height - 0.5, uv[:, 0] * width - 0.5])
    each = [map_coordinates(pixels[..., k], place, order=1, mode="grid-wrap") for k in range(3)]
    return np.stack(each, axis=1)


def read_by_trimesh(path: Path) -> Read:
    """Read one file. ObjectError for whatever trimesh cannot do; the reason is the name of its error."""
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False)
        geometries, positions, faces, count = [], [], [], 0
        for node in scene.graph.nodes_geometry:
            matrix, name = scene.graph[node]
            geometry = scene.geometry[name]
            if not isinstance(geometry, trimesh.Trimesh) or not len(geometry.faces):
                continue
            corners = np.asarray(geometry.vertices, np.float64)
            geometries.append(geometry)
            positions.append(corners @ matrix[:3, :3].T + matrix[:3, 3])
            faces.append(np.asarray(geometry.faces, np.int64) + count)
            count += len(corners)
        if not faces:
            raise ValueError("no triangles")
    except Exception as error:  # its parsers raise anything
        raise ObjectError(
            type(error).__name__, f"{path}: trimesh cannot read it ({error})"
        ) from None
    mesh = Mesh(
        np.concatenate(positions).astype(np.float32), np.concatenate(faces).astype(np.int32)
    )
    ends = np.cumsum([len(part) for part in faces])
    return Read(mesh, geometries, ends, path.suffix.lower() in GLTF)
