"""Triangle meshes: one immutable type, and the checks every mesh passes on its way in."""

from dataclasses import dataclass, replace

import numpy as np

from sdtool.errors import ObjectError


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in glTF axes: right-handed, +Y up, the front faces +Z.

    v_pos: (V, 3) float32 positions. t_pos_idx: (F, 3) int32 vertex indices, counter-clockwise seen
    from outside. v_color: (V, 3) float32 sRGB-encoded base colour in [0, 1], or None.
    """

    v_pos: np.ndarray
    t_pos_idx: np.ndarray
    v_color: np.ndarray | None = None

    def with_positions(self, v_pos: np.ndarray) -> "Mesh":
        """The same surface with other vertex positions."""
        return replace(self, v_pos=np.asarray(v_pos, np.float32))

    def bounds(self) -> np.ndarray:
        """(2, 3) float32: lowest and highest corner of the vertices that faces use."""
        used = self.v_pos[np.unique(self.t_pos_idx)]
        return np.stack([used.min(axis=0), used.max(axis=0)])


def validate(mesh: Mesh, name: str) -> Mesh:
    """Return `mesh` if it is usable; else raise ObjectError with a named reason.

    Reasons: ``no-triangles``, ``bad-index``, ``non-finite``, ``zero-extent``.
    """
    faces, vertices = mesh.t_pos_idx, mesh.v_pos
    if len(faces) == 0:
        raise ObjectError("no-triangles", f"{name} holds no triangles")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ObjectError(
            "bad-index", f"{name} has a face index outside its {len(vertices)} vertices"
        )
    if not np.isfinite(vertices[np.unique(faces)]).all():
        raise ObjectError("non-finite", f"{name} has NaN or infinite vertex positions")
    low, high = mesh.bounds()
    if not (high - low).max() > 0:
        raise ObjectError("zero-extent", f"{name} has no size: all its vertices coincide")
    return mesh


def merge(meshes: list[Mesh]) -> Mesh:
    """One mesh of several. Parts without colour become mid-grey if any other part has a colour."""
    offsets = np.cumsum([0] + [len(m.v_pos) for m in meshes[:-1]])
    color = None
    if any(m.v_color is not None for m in meshes):
        grey = [np.full((len(m.v_pos), 3), 0.5, np.float32) for m in meshes]
        color = np.concatenate(
            [g if m.v_color is None else m.v_color for m, g in zip(meshes, grey, strict=True)]
        )
    return Mesh(
        np.concatenate([m.v_pos for m in meshes]).astype(np.float32),
        np.concatenate([m.t_pos_idx + o for m, o in zip(meshes, offsets, strict=True)]).astype(
            np.int32
        ),
        color,
    )


def face_normals(mesh: Mesh) -> np.ndarray:
    """(F, 3) float32 unit normals; zero for degenerate faces."""
    a, b, c = (mesh.v_pos[mesh.t_pos_idx[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return (normal / np.maximum(length, 1e-20)).astype(np.float32)


def srgb_to_linear(color: np.ndarray) -> np.ndarray:
    """sRGB-encoded [0, 1] → linear [0, 1] (IEC 61966-2-1)."""
    color = np.clip(color, 0.0, 1.0)
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(color: np.ndarray) -> np.ndarray:
    """Linear [0, 1] → sRGB-encoded [0, 1] (IEC 61966-2-1)."""
    color = np.clip(color, 0.0, 1.0)
    return np.where(color <= 0.0031308, color * 12.92, 1.055 * color ** (1 / 2.4) - 0.055)
