"""The texels of a texture: which point of the surface each one shows, and what fills the rest."""

import numpy as np

from sdtool.geometry.meshes import interpolated
from sdtool.rendering import kernels
from sdtool.rendering.face_ids import from_array


class Texels:
    """P texels of an image of `size` a side that show the surface: `row`, `column`, `face` (P,)
    int64 and `weights` (P, 3) float32 of the face's vertices. faces: (F, 3) int32.
    """

    def __init__(self, v_uv: np.ndarray, faces: np.ndarray, size: int):
        clip = np.zeros((len(v_uv), 4), np.float32)
        clip[:, :2], clip[:, 3] = 2 * v_uv - 1, 1
        rast = kernels.rasterize(clip, faces, size, size)
        self.size, self.faces = size, faces
        self.row, self.column = np.nonzero(rast[..., 3])
        picked = rast[self.row, self.column]
        self.face = from_array(picked[:, 3], len(faces)) - 1
        u, v = picked[:, 0], picked[:, 1]
        self.weights = np.stack([u, v, 1 - u - v], axis=1)

    def interpolate(self, attributes: np.ndarray) -> np.ndarray:
        """Vertex attributes (V, C) float32 → (P, C) float32."""
        return interpolated(attributes, self.faces[self.face], self.weights)

    def images(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Values (P, 3) in [0, 1] → images (size, size, 3) uint8.

        Texels beside the surface take the nearest one's value, so that neither filtering nor
        smaller versions of the image bring a background in.
        """
        from scipy.ndimage import distance_transform_edt

        empty = np.ones((self.size, self.size), bool)
        empty[self.row, self.column] = False
        nearest = distance_transform_edt(empty, return_distances=False, return_indices=True)
        made = []
        for value in values:
            image = np.zeros((self.size, self.size, 3), np.uint8)
            # a hair above one half: what is 127.5 but for rounding errors becomes an even 128
            image[self.row, self.column] = np.clip(value, 0, 1) * 255 + 0.501
            made.append(image[nearest[0], nearest[1]])
        return made
