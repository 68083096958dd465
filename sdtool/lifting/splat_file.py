"""`splats.ply`: 3D Gaussians in the layout that viewers of 3D Gaussian splatting read (Kerbl et al. 2023).

One binary element "vertex" of 32-bit floats: x y z, nx ny nz, f_dc_0 to f_dc_2 (the constant spherical
harmonic: colour = 1/2 + f_dc · `HARMONIC`), opacity (its logit), scale_0 to scale_2 (natural logarithms of
the standard deviations), rot_0 to rot_3 (a unit quaternion, w first).
"""

from pathlib import Path

import numpy as np

from sdtool.io.files import atomic_file

SPLATS = "splats.ply"
HARMONIC = 0.5 / np.pi**0.5
"""The spherical harmonic of degree 0."""
COLUMNS = (
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
    "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
)  # fmt: skip


def write_splats(
    path: Path,
    points: np.ndarray,
    normals: np.ndarray,
    color: np.ndarray,
    opacity: np.ndarray,
    deviations: np.ndarray,
    quaternions: np.ndarray,
) -> None:
    """Write G splats: points, normals, deviations (G, 3); color (G, 3) sRGB in [0, 1]; opacity (G,) in
    (0, 1); quaternions (G, 4), w first."""
    opacity = np.clip(opacity.astype(np.float64), 1e-6, 1 - 1e-6)
    columns = [
        points,
        normals,
        (color - 0.5) / HARMONIC,
        np.log(opacity / (1 - opacity))[:, None],
        np.log(deviations),
        quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
    ]
    table = np.concatenate(columns, axis=1).astype("<f4")
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    head += [f"property float {name}" for name in COLUMNS]
    with atomic_file(path) as file:
        file.write("\n".join([*head, "end_header", ""]).encode("ascii"))
        file.write(table.tobytes())
