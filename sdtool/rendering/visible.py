"""The samples of a rasterisation that show a mesh: values are worked out for these alone."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.rendering import kernels
from sdtool.rendering.face_ids import from_array
from sdtool.rendering.texturing import Samples


class Visible(Samples):
    """P samples of N views: `view`, `row`, `column` and `face` are (P,) int64, `weights` (P, 3)."""

    def __init__(self, mesh: Mesh, rast: np.ndarray):
        """rast: (N, S, S, 4), as `sdtool.rendering.kernels.rasterize_views` makes it."""
        self.shape = rast.shape[:3]
        self.view, self.row, self.column = np.nonzero(rast[..., 3])
        picked = rast[self.view, self.row, self.column]
        face = from_array(picked[:, 3], len(mesh.t_pos_idx)) - 1
        u, v = picked[:, 0], picked[:, 1]
        super().__init__(mesh, face, np.stack([u, v, 1 - u - v], axis=1))

    def to_maps(self, values: np.ndarray, factor: int) -> np.ndarray:
        """Values (P, 3) in [0, 1] → maps (N, S / factor, S / factor, 4) as `sdtool.geometry.ccm` has them."""
        count, side, _ = self.shape
        values = np.ascontiguousarray(values, np.float32)
        return kernels.gather_maps(
            values, self.view, self.row, self.column, count, side // factor, factor
        )
