"""The one light of training renders, lifting and previews: a soft headlight from above the camera.

Works on numpy arrays and torch tensors alike.
"""

import numpy as np

AMBIENT, DIFFUSE = 0.6, 0.4


def headlight(c2w: np.ndarray) -> np.ndarray:
    """(N, 3) float32 unit directions toward the light: the viewing direction, raised by 0.7."""
    direction = c2w[:, :3, 2] + np.array([0.0, 0.7, 0.0], np.float32)
    return (direction / np.linalg.norm(direction, axis=-1, keepdims=True)).astype(np.float32)


def shade(albedo, normal, light):
    """Lambert shading with a floor: albedo (..., 3) · (0.6 + 0.4·max(0, n·l)), all in [0, 1]."""
    cosine = (normal * light).sum(-1)[..., None].clip(0, None)
    return albedo * (AMBIENT + DIFFUSE * cosine)
