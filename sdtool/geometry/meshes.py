"""Triangle meshes: one immutable type, and the checks every mesh passes on its way in."""

from dataclasses import dataclass, replace

import numpy as np

from sdtool.errors import ObjectError

FAR = 2000.0  # distance over size from where on float32 has steps of more than 1/10,000 of the size


@dataclass(frozen=True, eq=False)
class Texture:
    """A base colour image, and what happens outside [0, 1] of its coordinates.

    image: (H, W, 4) uint8 RGBA, sRGB-encoded, alpha not premultiplied; row 0 is at t = 0, the top.
    wrap: what happens along s and along t: "repeat", "clamp" or "mirror".
    nearest: whether a texel is a square of one colour, as in pixel art, or neighbours are blended.
    """

    image: np.ndarray
    wrap: tuple[str, str] = ("repeat", "repeat")
    nearest: bool = False


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in glTF axes: right-handed, +Y up, the front faces +Z.

    v_pos: (V, 3) float32 positions. t_pos_idx: (F, 3) int32 vertex indices, counter-clockwise seen
    from outside. v_color: (V, 3) float32 sRGB-encoded base colour in [0, 1], or None.

    Textures come together or not at all. v_uv: (V, 2) float32 glTF texture coordinates (s to the
    right, t down). t_texture: (F,) int32 index into `textures`, −1 where a face has none. The base
    colour of a textured face is v_color times the texel, both made linear first.

    v_normal: (V, 3) float32 unit normals that the mesh brings along, zero at a vertex where every face
    has its own; None: the surface is smooth, and its shape decides (see `vertex_normals`).
    lost: what it should be coloured by and could not be read, as "wood.png (missing)".
    """

    v_pos: np.ndarray
    t_pos_idx: np.ndarray
    v_color: np.ndarray | None = None
    v_uv: np.ndarray | None = None
    t_texture: np.ndarray | None = None
    textures: tuple[Texture, ...] = ()
    v_normal: np.ndarray | None = None
    lost: tuple[str, ...] = ()

    @property
    def lost_images(self) -> int:
        """How many images and materials could not be read."""
        return len(self.lost)

    def with_positions(self, v_pos: np.ndarray, v_normal: np.ndarray | None = None) -> "Mesh":
        """The same surface with other vertex positions; of its normals nothing is known any more
        unless they are given."""
        return replace(self, v_pos=np.asarray(v_pos, np.float32), v_normal=v_normal)

    def bounds(self) -> np.ndarray:
        """(2, 3) float32: lowest and highest corner of the vertices that faces use."""
        return _bounds(self.v_pos, self.t_pos_idx)


def _bounds(v_pos: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(2, 3) of the vertices that faces use; NaN where one of them is NaN."""
    used = np.zeros(len(v_pos), bool)
    used[faces.reshape(-1)] = True
    axes = np.ascontiguousarray((v_pos if used.all() else v_pos[used]).T)
    return np.stack([axes.min(axis=1), axes.max(axis=1)])


def interpolated(attributes: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Vertex attributes (V, C) at P points of faces, of which `corners` (P, 3) are the vertices and `weights`
    (P, 3) the barycentric coordinates → (P, C)."""
    return sum(attributes[corners[:, k]] * weights[:, k : k + 1] for k in range(3))


def far_center(low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """The centre (3,) float64 of a box that stands so far from the origin for its size that float32
    positions in it are coarse; None if they are not."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    center = (low + high) / 2
    return center if np.abs(center).max() > FAR * (high - low).max() > 0 else None


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
    low, high = mesh.bounds()
    if not np.isfinite([low, high]).all():
        raise ObjectError("non-finite", f"{name} has NaN or infinite vertex positions")
    if not (high.astype(np.float64) - low).max() > 0:
        raise ObjectError("zero-extent", f"{name} has no size: all its vertices coincide")
    return mesh


def merge(meshes: list[Mesh]) -> Mesh:
    """One mesh of several. Parts without colour become mid-grey if any other part has a colour.

    Textures that are one and the same object stay one; parts without textures get −1.
    """
    if len(meshes) == 1:
        return meshes[0]
    vertices = np.cumsum([0] + [len(m.v_pos) for m in meshes])
    faces = np.cumsum([0] + [len(m.t_pos_idx) for m in meshes])
    v_pos = np.empty((vertices[-1], 3), np.float32)
    t_pos_idx = np.empty((faces[-1], 3), np.int32)
    colored = any(m.v_color is not None for m in meshes)
    textured = any(m.textures for m in meshes)
    v_color = np.full((vertices[-1], 3), 0.5, np.float32) if colored else None
    v_uv = np.zeros((vertices[-1], 2), np.float32) if textured else None
    lost = tuple(name for m in meshes for name in m.lost)
    normals = any(m.v_normal is not None for m in meshes)
    v_normal = np.empty((vertices[-1], 3), np.float32) if normals else None
    t_texture = np.full(faces[-1], -1, np.int32) if textured else None
    textures: dict[Texture, int] = {}  # by identity
    for mesh, v, v_end, f, f_end in zip(
        meshes, vertices, vertices[1:], faces, faces[1:], strict=False
    ):
        v_pos[v:v_end] = mesh.v_pos
        np.add(mesh.t_pos_idx, v, out=t_pos_idx[f:f_end], casting="unsafe")
        if v_color is not None and mesh.v_color is not None:
            v_color[v:v_end] = mesh.v_color
        if v_normal is not None:
            v_normal[v:v_end] = vertex_normals(mesh) if mesh.v_normal is None else mesh.v_normal
        if v_uv is not None and t_texture is not None and mesh.textures:
            v_uv[v:v_end] = mesh.v_uv
            numbers = [textures.setdefault(t, len(textures)) for t in mesh.textures]
            t_texture[f:f_end] = np.array([*numbers, -1], np.int32)[mesh.t_texture]
    return Mesh(v_pos, t_pos_idx, v_color, v_uv, t_texture, tuple(textures), v_normal, lost)


def triangle_areas(v_pos: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) areas of the triangles `faces` (F, 3) of positions (V, 3), in the type of `v_pos`."""
    a, b, c = (v_pos[faces[:, k]] for k in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def face_normals(mesh: Mesh) -> np.ndarray:
    """(F, 3) float32 unit normals; zero for degenerate faces."""
    a, b, c = (mesh.v_pos[mesh.t_pos_idx[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return (normal / np.maximum(length, 1e-20)).astype(np.float32)


def vertex_normals(mesh: Mesh) -> np.ndarray:
    """(V, 3) float32 unit normals: face normals averaged by area; +Y where no face decides."""
    corners = mesh.v_pos.astype(np.float64)[mesh.t_pos_idx]  # (F, 3, 3)
    doubled_area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    summed = np.stack(
        [
            np.bincount(
                mesh.t_pos_idx.reshape(-1), np.repeat(doubled_area[:, k], 3), len(mesh.v_pos)
            )
            for k in range(3)
        ],
        axis=1,
    )
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    # Where opposite faces cancel, what remains is rounding: no direction.
    undecided = length < 1e-12 * max(float(np.abs(doubled_area).max()), 1e-300)
    normals = np.where(undecided, [0.0, 1.0, 0.0], summed / np.where(undecided, 1.0, length))
    return normals.astype(np.float32)


def srgb_to_linear(color: np.ndarray) -> np.ndarray:
    """sRGB-encoded [0, 1] → linear [0, 1] (IEC 61966-2-1)."""
    color = np.clip(color, 0.0, 1.0)
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(color: np.ndarray) -> np.ndarray:
    """Linear [0, 1] → sRGB-encoded [0, 1] (IEC 61966-2-1)."""
    color = np.clip(color, 0.0, 1.0)
    return np.where(color <= 0.0031308, color * 12.92, 1.055 * color ** (1 / 2.4) - 0.055)
