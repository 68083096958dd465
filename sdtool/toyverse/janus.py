"""Toys with the failures of text-to-3D made on purpose: what an evaluation must catch."""

from collections.abc import Callable

import numpy as np

from sdtool.geometry.cameras import rotate_y
from sdtool.geometry.meshes import Mesh, merge, triangle_areas
from sdtool.geometry.parts import connected_parts, submesh
from sdtool.toyverse import surgery
from sdtool.toyverse.catalogue import CATEGORIES

KINDS = {
    "second-head": "the head, or whatever else is in front, once more at the back",
    "mirrored": "the front half, and its mirror image instead of the back",
    "extra-legs": "two or more legs too many",
    "wrong-way": "the head, or the upper parts, turned back to front",
    "second-face": "a face without ears, half its size to full, behind the head, on the rump or a side",
    "extra-parts": "ears, arms, eyes or other small parts once more where none should be",
}

LEAST = 0.05  # of the surface must be wrong, or nobody could see it
APART = 1.25  # thicknesses between the middles of two legs that are to be seen as two
BODIES = ("animals-pets", "people", "characters-creatures")
SEATS = ("chair", "sofa", "bed")
VEHICLES = ("truck", "airplane", "helicopter")  # a car or a boat of two fronts may be a sound one
SMALL = 0.12  # of the surface: a part that may be there once too often


def kinds_for(category: str) -> tuple[str, ...]:
    """The flaws that show on a toy of this category; none where the toy has no front to double."""
    if CATEGORIES[category].group in BODIES:
        return tuple(KINDS)
    if category in SEATS:
        return "second-head", "mirrored"
    return ("mirrored",) if category in VEHICLES else ()


def spoil(rng: np.random.Generator, mesh: Mesh, kind: str) -> Mesh | None:
    """A copy of a toy with a flaw of this kind; None if it has no part that could be wrong so.

    mesh: as `toys.build` makes it: made of separate parts, on y = 0, facing +Z.
    """
    return _MAKERS[kind](rng, mesh)


class Parts:
    """The connected parts of a mesh: number of each vertex, and (P, 2, 3) corners of their boxes.

    welded: whether vertices at one place are one, as where each face has corners of its own.
    """

    def __init__(self, mesh: Mesh, welded: bool = False):
        one = np.arange(len(mesh.v_pos))
        if welded:
            one = np.unique(mesh.v_pos.round(4), axis=0, return_inverse=True)[1].reshape(-1)
        count, part = connected_parts(one[mesh.t_pos_idx], int(one.max()) + 1)
        self.of_vertex = part[one]
        self.boxes = np.empty((count, 2, 3))
        for k in range(count):
            own = mesh.v_pos[self.of_vertex == k]
            self.boxes[k] = own.min(axis=0), own.max(axis=0)
        self.mesh = mesh
        self.low, self.high = mesh.bounds().astype(float)
        self.size = np.maximum(self.high - self.low, 1e-9)
        middle = (self.low + self.high) / 2
        self.centres = (self.boxes.mean(axis=1) - [middle[0], self.low[1], middle[2]]) / self.size
        """(P, 3) of the whole size: x and z from the middle, in ±½; y from the ground, in [0, 1]."""
        self.extents = (self.boxes[:, 1] - self.boxes[:, 0]) / self.size.max()

    def only(self, chosen: np.ndarray) -> Mesh:
        """The mesh of the chosen parts, (P,) bool."""
        faces = self.mesh.t_pos_idx
        kept = chosen[self.of_vertex[faces[:, 0]]]
        return submesh(self.mesh, faces[kept])

    def shows(self, chosen: np.ndarray) -> bool:
        """Whether the chosen parts are enough of the whole to be seen when they are wrong."""
        area = triangle_areas(self.mesh.v_pos, self.mesh.t_pos_idx)
        of_face = self.of_vertex[self.mesh.t_pos_idx[:, 0]]
        return bool(area[chosen[of_face]].sum() > LEAST * area.sum())

    def head(self) -> np.ndarray:
        """(P,) bool: parts in front and not on the ground; else those at the back; maybe none."""
        x, y, z = self.centres.T
        upper = (y > 0.35) & (self.extents.max(axis=1) < 0.7)
        in_front = upper & (z > 0.13)
        if in_front.any():
            return in_front
        return upper & (z < -0.13)

    def legs(self) -> np.ndarray:
        """(P,) bool: slender parts that stand on the ground, with the feet."""
        width, height, depth = self.extents.T
        grounded = self.boxes[:, 0, 1] - self.low[1] < 0.08 * self.size[1]
        return grounded & (width < 0.4) & (depth < 0.4) & (height < 0.7) & (height > 0.02)


def _second_head(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    parts = Parts(mesh)
    head = parts.head()
    if not parts.shows(head):
        return None
    middle = (parts.low + parts.high) / 2
    axis = np.array([middle[0], 0.0, middle[2] + rng.uniform(-0.05, 0.05) * parts.size[2]])
    return merge([mesh, _turned(parts.only(head), np.pi, axis)])


def _mirrored(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    """The front half, or of what has its high side at the back, that. Both halves are closed: what
    lies beyond the plane is pressed flat onto it."""
    low, high = mesh.bounds()
    plane = (low[2] + high[2]) / 2 + rng.uniform(-0.08, 0.08) * (high[2] - low[2])
    upper = mesh.v_pos[:, 1] > low[1] + 0.75 * (high[1] - low[1])
    in_front = np.mean(mesh.v_pos[upper, 2]) > plane - 0.25 * (high[2] - low[2])
    v_pos = mesh.v_pos.copy()
    v_pos[:, 2] = (np.maximum if in_front else np.minimum)(v_pos[:, 2], plane)
    front = mesh.with_positions(v_pos)
    v_pos = v_pos.copy()
    v_pos[:, 2] = 2 * plane - v_pos[:, 2]
    back = Mesh(v_pos, mesh.t_pos_idx[:, ::-1].copy(), mesh.v_color)
    return merge([front, back])


def _extra_legs(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    parts = Parts(mesh)
    legs = parts.legs()
    z = parts.centres[:, 2]
    front, rear = legs & (z > 0.1), legs & (z < -0.1)
    if front.any() and rear.any():  # a third pair between, or two more
        gap = (z[front].mean() - z[rear].mean()) * parts.size[2]
        thick = parts.extents[legs, 2].max() * parts.size.max()
        shares = (0.33, 0.67) if rng.random() < 0.5 and gap / 3 > APART * thick else (0.5,)
        if gap * shares[0] < APART * thick:
            return None
        pair = parts.only(front)
        moved = [pair.with_positions(pair.v_pos - [0, 0, share * gap]) for share in shares]
        return merge([mesh, *moved])
    if legs.sum() < 2 or not parts.shows(legs):
        return None
    own = parts.boxes[legs]
    axis = (own[:, 0].min(axis=0) + own[:, 1].max(axis=0)) / 2
    angles = (np.pi / 2,) if rng.random() < 0.5 else (np.pi / 3, -np.pi / 3)
    return merge([mesh, *(_turned(parts.only(legs), angle, axis) for angle in angles)])


def _wrong_way(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    parts = Parts(mesh)
    head = parts.head() & (parts.centres[:, 2] > 0)
    reach = np.ptp(parts.centres[head, 2]) if head.any() else 0.0
    if reach < 0.08:  # no head in front of a body: everything above a height
        head = parts.centres[:, 1] > rng.uniform(0.4, 0.6)
    if head.all() or not parts.shows(head):
        return None
    own = parts.boxes[head]
    axis = (own[:, 0].min(axis=0) + own[:, 1].max(axis=0)) / 2
    return merge([parts.only(~head), _turned(parts.only(head), np.pi, axis)])


def _second_face(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    """What stands before the skull, or what a cut takes of the front where no part does."""
    parts = Parts(mesh)
    head = parts.head() & (parts.centres[:, 2] > 0)
    if head.sum() < 2 or rng.random() < 0.3:
        return surgery.spoil(rng, mesh, "second-face")
    volume = parts.extents.prod(axis=1)
    skull = int(np.argmax(np.where(head, volume, -1)))
    low, high = parts.boxes[skull]
    before = parts.boxes.mean(axis=1)[:, 2] > (low[2] + high[2]) / 2 + 0.1 * (high[2] - low[2])
    under_top = parts.boxes.mean(axis=1)[:, 1] < high[1]
    face = head & before & under_top
    face[skull] = False
    if not face.any():
        return surgery.spoil(rng, mesh, "second-face")
    if rng.random() < 0.4:
        face[skull] = True
    angle, height, aside = surgery.place(rng)
    if height > 0.62:  # behind the head, where the head is
        height = float(parts.centres[face, 1].mean()) + rng.uniform(-0.05, 0.05)
    return surgery.set_on(mesh, parts.only(face), angle, rng.uniform(0.5, 1.0), height, aside)


def _extra_parts(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    """One to three small parts, each with its twin, set on from another side or moved back."""
    parts = Parts(mesh)
    area = triangle_areas(mesh.v_pos, mesh.t_pos_idx)
    share = np.bincount(parts.of_vertex[mesh.t_pos_idx[:, 0]], area, len(parts.boxes)) / area.sum()
    small = (share < SMALL) & (parts.extents.max(axis=1) > 0.05) & ~parts.legs()
    if not small.any():
        return None
    result = mesh
    for first in rng.choice(np.nonzero(small)[0], min(int(rng.integers(1, 4)), int(small.sum()))):
        x, y, z = parts.centres[first]
        apart = np.abs(parts.centres - [-x, y, z]).max(axis=1)
        chosen = (np.arange(len(apart)) == first) | ((apart < 0.03) & small)
        piece = parts.only(chosen)
        if rng.random() < 0.5:
            angle, height, aside = surgery.place(rng)
            found = surgery.set_on(result, piece, angle, rng.uniform(0.8, 1.4), height, aside)
        else:
            found = _moved_back(rng, result, piece)
        result = result if found is None else found
    return None if result is mesh else result


def _moved_back(rng: np.random.Generator, mesh: Mesh, piece: Mesh) -> Mesh | None:
    """Once more further back, on what is highest there, or at its own height."""
    low, high = mesh.bounds().astype(float)
    step = np.array([0.0, 0.0, -rng.uniform(0.2, 0.7) * (high[2] - low[2])])
    scale = rng.uniform(0.8, 1.3)
    middle = piece.v_pos.mean(axis=0)
    moved = (piece.v_pos - middle) * scale + middle + step
    own_low, own_high = moved.min(axis=0), moved.max(axis=0)
    if own_low[2] < low[2]:
        return None
    inside = (mesh.v_pos[:, [0, 2]] > own_low[[0, 2]] - 0.02) & (
        mesh.v_pos[:, [0, 2]] < own_high[[0, 2]] + 0.02
    )
    below = inside.all(axis=1)
    if below.any():
        top = float(mesh.v_pos[below, 1].max())
        if rng.random() < 0.7 or own_low[1] > top:
            moved[:, 1] += top - own_low[1] - 0.2 * (own_high[1] - own_low[1])
    return merge([mesh, piece.with_positions(moved)])


def _turned(mesh: Mesh, angle: float, axis: np.ndarray) -> Mesh:
    """Turned about the vertical line through the point `axis`."""
    return mesh.with_positions(rotate_y(mesh.v_pos - axis, angle) + axis)


_MAKERS: dict[str, Callable[[np.random.Generator, Mesh], Mesh | None]] = {
    "second-head": _second_head,
    "mirrored": _mirrored,
    "extra-legs": _extra_legs,
    "wrong-way": _wrong_way,
    "second-face": _second_face,
    "extra-parts": _extra_parts,
}
