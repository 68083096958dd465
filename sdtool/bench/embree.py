"""CCMs by Embree, an independent ray tracer (the package `embreex`): an oracle and a baseline."""

import numpy as np

from sdtool.errors import MissingDependencyError
from sdtool.geometry import ccm
from sdtool.geometry.cameras import pixel_rays
from sdtool.geometry.meshes import Mesh
from sdtool.rendering import kernels


def embree_rast(mesh: Mesh, c2w: np.ndarray, fov: float, size: int) -> np.ndarray:
    """What rays through the pixel centres hit, in the form of `kernels.rasterize_views`.

    c2w: (N, 4, 4). fov: radians. Returns (N, size, size, 4) float32: the weights of the face's
    first two vertices, the distance from the eye (in the place of z/w), face id + 1; 0 if empty.
    """
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError:
        raise MissingDependencyError(
            "embreex is not installed; install it with: pip install embreex"
        ) from None
    scene = EmbreeScene()
    TriangleMesh(scene, mesh.v_pos[mesh.t_pos_idx])
    eye, direction = pixel_rays(c2w, fov, size)
    origin = np.broadcast_to(eye[:, None, None], direction.shape)
    hit = scene.run(
        np.ascontiguousarray(origin.reshape(-1, 3)),
        np.ascontiguousarray(direction.reshape(-1, 3)),
        output=True,
    )
    u, v = hit["u"], hit["v"]  # the weights of the second and third vertex
    rast = np.stack([1 - u - v, u, hit["tfar"], hit["primID"] + 1], axis=-1)
    rast[hit["primID"] < 0] = 0
    return rast.astype(np.float32).reshape(*direction.shape[:3], 4)


def embree_maps(mesh: Mesh, c2w: np.ndarray, fov: float, size: int) -> np.ndarray:
    """CCMs (N, size, size, 4) of a canonical mesh as `render_maps` makes them, by Embree."""
    rast = embree_rast(mesh, c2w, fov, size)
    corner = ccm.canonical_coordinates(mesh.v_pos, *mesh.bounds()).astype(np.float32)
    value = kernels.interpolate(corner, mesh.t_pos_idx, rast)
    return ccm.encode_map(value, (rast[..., 3:] > 0).astype(np.float32))
