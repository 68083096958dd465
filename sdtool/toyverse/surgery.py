"""The failures of text-to-3D made on any mesh, of whose parts nothing is known: pieces are cut out of its
surface and set on elsewhere."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sdtool.geometry.cameras import rotate_y
from sdtool.geometry.meshes import Mesh, merge, vertex_normals
from sdtool.geometry.parts import submesh

FINE = 0.08  # of the longest side: no edge is longer where a piece is cut out
MOST_FACES = 60_000
SUNK = 0.15  # of its own depth: how deep a piece that is set on stands in what it is set on


def spoil(rng: np.random.Generator, mesh: Mesh, kind: str) -> Mesh | None:
    """A copy with a flaw of this kind, a key of `CUTS`; None if the mesh has nothing to cut.

    mesh: any, Y up; its front, if it has one, faces +Z.
    """
    return CUTS[kind](rng, refined(mesh))


def refined(mesh: Mesh) -> Mesh:
    """The same surface of small triangles, with the normals it had or that its shape gives it."""
    normal = vertex_normals(mesh) if mesh.v_normal is None else mesh.v_normal
    corners, normals = mesh.v_pos[mesh.t_pos_idx], normal[mesh.t_pos_idx]
    flat = ~normals.any(axis=(1, 2))
    if flat.any():
        own = np.cross(corners[flat, 1] - corners[flat, 0], corners[flat, 2] - corners[flat, 0])
        own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-20)
        normals[flat] = own[:, None]
    low, high = mesh.bounds()
    values = np.concatenate([corners, normals], axis=2)  # (F, 3, 6), or 9 with colours
    if mesh.v_color is not None:
        values = np.concatenate([values, mesh.v_color[mesh.t_pos_idx]], axis=2)
    done: list[np.ndarray] = []
    limit = FINE * float((high - low).max())
    while len(values):
        edge = np.linalg.norm(values[:, :, :3] - np.roll(values[:, :, :3], -1, axis=1), axis=2)
        long = edge.max(axis=1) > limit
        if sum(len(one) for one in done) + len(values) + 3 * long.sum() > MOST_FACES:
            done.append(values)
            break
        done.append(values[~long])
        values = _quartered(values[long])
    places = np.concatenate(done).reshape(-1, values.shape[2]).astype(np.float32)
    faces = np.arange(len(places), dtype=np.int32).reshape(-1, 3)
    color = None if mesh.v_color is None else places[:, 6:].copy()
    return Mesh(places[:, :3].copy(), faces, color, v_normal=places[:, 3:6].copy())


def _quartered(values: np.ndarray) -> np.ndarray:
    """Each triangle (F, 3, C) of values as four, cut at the middles of its edges."""
    a, b, c = values.transpose(1, 0, 2)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(corners, axis=1) for corners in quarters])


def placed(mesh: Mesh, scale: float, angle: float, offset: np.ndarray | float = 0.0) -> Mesh:
    """Scaled and turned about +Y at the origin, then moved, with its normals if it has some."""
    normal = None if mesh.v_normal is None else rotate_y(mesh.v_normal, angle)
    return mesh.with_positions(rotate_y(scale * mesh.v_pos, angle) + offset, normal)


def set_on(
    body: Mesh, piece: Mesh, angle: float, scale: float, height: float, aside: float
) -> Mesh | None:
    """The body with a piece of its front once more, turned by `angle` radians about +Y and `scale` as
    large, on what the body shows there.

    height, aside: where its middle goes, of the body's box as seen from there, from below (0) to above
    (1) and from left to right. None if the body has nothing there.
    """
    low, high = body.bounds().astype(float)
    axis = np.array([(low[0] + high[0]) / 2, 0.0, (low[2] + high[2]) / 2])
    moved = placed(piece, scale, angle, 0.0)
    way = np.array([np.sin(angle), 0.0, np.cos(angle)])
    right = np.array([np.cos(angle), 0.0, -np.sin(angle)])
    seen = np.stack([(body.v_pos - axis) @ right, body.v_pos[:, 1], (body.v_pos - axis) @ way], 1)
    least, most = seen.min(axis=0), seen.max(axis=0)
    goal = least[:2] + np.array([aside, height]) * (most[:2] - least[:2])
    own = np.stack([moved.v_pos @ right, moved.v_pos[:, 1], moved.v_pos @ way], 1)
    reach = 0.5 * np.ptp(own[:, :2], axis=0)
    under = (np.abs(seen[:, :2] - goal) < 0.7 * np.maximum(reach, 0.03 * np.ptp(least))).all(axis=1)
    if not under.any():
        return None
    ground = np.quantile(seen[under, 2], 0.9)
    middle = (own.min(axis=0) + own.max(axis=0)) / 2
    depth = np.ptp(own[:, 2])
    back = ground - SUNK * depth - own[:, 2].min()
    offset = (goal[0] - middle[0]) * right + back * way + axis
    offset[1] = goal[1] - middle[1]
    return merge([body, moved.with_positions(moved.v_pos + offset, moved.v_normal)])


def front_piece(
    mesh: Mesh, depth: float, width: float, low: float = 0.0, high: float = 1.0
) -> Mesh | None:
    """What of the surface lies in front: the foremost `depth` of the depth of what stands between the
    heights `low` and `high`, and the middle `width` of the width, each a share; None if that is nothing.
    """
    middles = mesh.v_pos[mesh.t_pos_idx].mean(axis=1)
    floor, top = mesh.bounds()
    x, y, _ = ((middles - floor) / np.maximum(top - floor, 1e-9)).T
    within = (y >= low) & (y <= high) & (np.abs(x - 0.5) <= width / 2)
    if not within.any():
        return None
    z = middles[:, 2]
    foremost = z[within].max() - depth * (top[2] - floor[2])
    chosen = within & (z >= foremost)
    return submesh(mesh, mesh.t_pos_idx[chosen]) if chosen.sum() >= 8 else None


def _second_head(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    """A large part of the front, upper more often than lower, once more about the middle."""
    low, high = mesh.bounds().astype(float)
    bottom = rng.uniform(0.0, 0.45)
    piece = front_piece(mesh, rng.uniform(0.25, 0.45), 1.0, bottom, 1.0)
    if piece is None:
        return None
    axis = np.array([(low[0] + high[0]) / 2, 0.0, (low[2] + high[2]) / 2])
    centred = piece.with_positions(piece.v_pos - axis, piece.v_normal)
    angle = np.pi if rng.random() < 0.7 else rng.choice([-1, 1]) * np.pi / 2
    return merge([mesh, placed(centred, 1.0, float(angle), axis)])


def _second_face(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    """A piece of the front on the back of the head, on the rump or on a side."""
    bottom = rng.uniform(0.0, 0.6)
    piece = front_piece(
        mesh,
        rng.uniform(0.12, 0.35),
        rng.uniform(0.5, 0.95),
        bottom,
        min(1.0, bottom + rng.uniform(0.3, 0.6)),
    )
    if piece is None:
        return None
    angle, height, aside = place(rng)
    return set_on(mesh, piece, angle, rng.uniform(0.5, 1.0), height, aside)


def place(rng: np.random.Generator) -> tuple[float, float, float]:
    """Where a second face may stand, as `set_on` takes it: on the back of the head, the rump, a side."""
    where = rng.integers(3)
    turn = rng.normal(0, 0.15)
    if where == 0:
        return np.pi + turn, rng.uniform(0.65, 0.85), rng.uniform(0.42, 0.58)
    if where == 1:
        return np.pi + turn, rng.uniform(0.35, 0.6), rng.uniform(0.42, 0.58)
    side = float(rng.choice([-1, 1]))
    return side * np.pi / 2 + turn, rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.7)


def _mirrored(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    """The front half and its mirror image, which close each other."""
    low, high = mesh.bounds()
    plane = (low[2] + high[2]) / 2 + rng.uniform(-0.15, 0.08) * (high[2] - low[2])
    ahead = (mesh.v_pos[mesh.t_pos_idx, 2] > plane).any(axis=1)
    mesh = submesh(mesh, mesh.t_pos_idx[ahead])
    v_pos = mesh.v_pos.copy()
    v_pos[:, 2] = np.maximum(v_pos[:, 2], plane)
    front = replace(mesh, v_pos=v_pos)
    v_pos, flip = v_pos.copy(), np.array([1, 1, -1], np.float32)
    v_pos[:, 2] = 2 * plane - v_pos[:, 2]
    assert mesh.v_normal is not None
    turned = mesh.t_pos_idx[:, ::-1].copy()
    back = Mesh(v_pos, turned, mesh.v_color, v_normal=mesh.v_normal * flip)
    return merge([front, back])


def _extra_legs(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    """The lower part once more, turned or moved; of what stands on legs, these are legs too many."""
    low, high = mesh.bounds().astype(float)
    middles = mesh.v_pos[mesh.t_pos_idx].mean(axis=1)
    share = rng.uniform(0.25, 0.45)
    lower = middles[:, 1] < low[1] + share * (high[1] - low[1])
    if lower.sum() < 8:
        return None
    piece = submesh(mesh, mesh.t_pos_idx[lower])
    own = piece.bounds().astype(float)
    axis = (own[0] + own[1]) / 2 * [1, 0, 1]
    centred = piece.with_positions(piece.v_pos - axis, piece.v_normal)
    if rng.random() < 0.6:
        return merge([mesh, placed(centred, 1.0, float(rng.choice([1, -1, 2])) * np.pi / 4, axis)])
    step = (own[1] - own[0]) * [0, 0, rng.uniform(0.25, 0.5) * rng.choice([-1, 1])]
    return merge([mesh, placed(centred, 1.0, 0.0, axis + step)])


def patched(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    """A copy with a piece of its front set on where it was cut out, a little larger: as ragged as what
    `spoil` makes, and sound."""
    mesh = refined(mesh)
    bottom = rng.uniform(0.0, 0.6)
    piece = front_piece(mesh, rng.uniform(0.12, 0.4), rng.uniform(0.5, 1.0), bottom, bottom + 0.5)
    if piece is None:
        return None
    middle = piece.v_pos.mean(axis=0)
    centred = piece.with_positions(piece.v_pos - middle, piece.v_normal)
    return merge([mesh, placed(centred, rng.uniform(1.0, 1.15), 0.0, middle)])


CUTS: dict[str, Callable[[np.random.Generator, Mesh], Mesh | None]] = {
    "second-head": _second_head,
    "second-face": _second_face,
    "mirrored": _mirrored,
    "extra-legs": _extra_legs,
}
"""Flaws that any mesh can be given; the names are those of `janus.KINDS`."""
