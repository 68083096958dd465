"""The Toyverse's shapes: primitives by closed forms, parts that hold together, and what faces which way."""

import numpy as np
import pytest
from scipy import ndimage
from toy_samples import GREY, PEOPLE, centred, plain, samples

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.primitives import box, ellipsoid, lathe, ring, slab, tube
from sdtool.toyverse.spoiled import point_cloud
from sdtool.toyverse.words import Look

FOUR_LEGGED = ["corgi", "cat", "horse", "elephant", "rabbit", "bear", "pig", "giraffe", "lion"]
LEGS_BELOW = [*FOUR_LEGGED, "turtle", "chair", "table"]
EARED = [name for name in FOUR_LEGGED if name != "lion"]  # its mane is about as high
SYMMETRIC = [
    *FOUR_LEGGED, "turtle", "dinosaur", "bird", "duck", "penguin", "fish", "chair", "sofa", "bed",
    "bookshelf", "teapot", "car", "truck", "train", "airplane", "helicopter", "boat",
    "hammer", "axe", "flower", *PEOPLE, "robot", "teddy", "snowman",
]  # fmt: skip
ROUND = ["lamp", "lighthouse", "apple", "cake", "burger", "cupcake", "mushroom", "drum", "ball"]


def overlap(mesh: Mesh, signs: tuple[int, int, int]) -> float:
    """Intersection over union of surface voxels of the mesh and its mirror image."""
    points = point_cloud(np.random.default_rng(0), mesh, 20000).v_pos
    low, high = mesh.bounds()
    points = (points - (low + high) / 2) / (high - low).max()
    one, other = (
        np.unique(np.floor(p * 16).astype(int) @ (10_000, 100, 1))  # a number for each voxel
        for p in (points, points * np.array(signs))
    )
    return len(np.intersect1d(one, other)) / len(np.union1d(one, other))


def pieces_at(mesh: Mesh, share: float) -> int:
    """How many separate pieces a horizontal cut at `share` of the height meets (by boxes)."""
    low, high = mesh.bounds()
    above = mesh.v_pos[:, 1] > low[1] + share * (high - low)[1]
    corner = above[mesh.t_pos_idx]
    crossing = mesh.t_pos_idx[corner.any(axis=1) & ~corner.all(axis=1)]
    rectangles = [
        np.concatenate([p.min(axis=0), p.max(axis=0)]) for p in mesh.v_pos[crossing][:, :, [0, 2]]
    ]
    merged: list[np.ndarray] = []
    for new in rectangles:
        touching = [m for m in merged if (m[:2] <= new[2:]).all() and (new[:2] <= m[2:]).all()]
        merged = [m for m in merged if not any(m is t for t in touching)]
        lows, highs = [t[:2] for t in touching], [t[2:] for t in touching]
        merged.append(np.concatenate([np.min([new[:2], *lows], 0), np.max([new[2:], *highs], 0)]))
    return len(merged)


def volume(mesh: Mesh) -> float:
    a, b, c = (mesh.v_pos[mesh.t_pos_idx[:, k]].astype(np.float64) for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def is_closed(mesh: Mesh) -> bool:
    """Every edge is run through once in each direction."""
    f = mesh.t_pos_idx
    edges = np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]])
    key, back = (np.unique(e.astype(np.int64) @ (2**31, 1)) for e in (edges, edges[:, ::-1]))
    return len(key) == len(edges) and np.array_equal(key, back)


# Primitives against closed forms


def test_volumes_of_primitives_agree_with_closed_forms():
    sphere = ellipsoid((1, 2, 3), (0.5, 1.0, 2.0), GREY, rings=40, segments=64)
    assert volume(sphere) == pytest.approx(4 / 3 * np.pi * 0.5 * 1.0 * 2.0, rel=0.01)
    cylinder = lathe([(0.5, 0), (0.5, 2)], GREY, segments=128)
    assert volume(cylinder) == pytest.approx(np.pi * 0.5**2 * 2, rel=0.01)
    cone = lathe([(0.5, 0), (0, 3)], GREY, segments=128)
    assert volume(cone) == pytest.approx(np.pi * 0.5**2 * 3 / 3, rel=0.01)
    brick = box((0, 0, 0), (1, 2, 3), GREY, radius=1e-4)
    assert volume(brick) == pytest.approx(1 * 2 * 3, rel=0.01)
    capsule = tube([(0, 0, 0), (0, 2, 0)], 0.5, GREY, segments=64)
    assert volume(capsule) == pytest.approx(np.pi * 0.25 * 2 + 4 / 3 * np.pi * 0.125, rel=0.03)
    torus = ring((0, 1, 0), (2, 2), (0.3, 0.5), GREY, segments=64)  # centroid × area of the section
    assert volume(torus) == pytest.approx(2 * np.pi * 2 * np.pi * 0.3 * 0.5, rel=0.03)
    plate = slab([(0, 0), (0, 1), (1, 1), (1, 0)], -0.5, 0.5, GREY)
    assert volume(plate) == pytest.approx(1.0, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("category", CATEGORIES)
def test_every_part_is_closed_and_looks_outward(category):
    entry = CATEGORIES[category]
    words = [(trait, "") for trait in ("", *entry.traits)] + [("", e) for e in entry.extras]
    for trait, extra in words:
        look = Look(GREY, "grey", "", trait, extra, GREY)
        for k in range(2):
            for number, part in enumerate(entry.build(np.random.default_rng(k), look)):
                assert is_closed(part), (trait, extra, number)
                assert volume(part) > 0, (trait, extra, number)


# Shape and orientation


@pytest.mark.slow
@pytest.mark.parametrize("category", CATEGORIES)
def test_toys_are_small_meshes_that_stand_on_the_ground(category):
    everything = [plain(category, 0, extra=extra) for extra in CATEGORIES[category].extras]
    for mesh in [*samples(category), *everything]:
        assert 300 <= len(mesh.t_pos_idx) <= 6000
        assert mesh.v_color.shape == mesh.v_pos.shape
        assert 0 <= mesh.v_color.min() and mesh.v_color.max() <= 1
        low, high = mesh.bounds()
        np.testing.assert_allclose([low[1], *(low + high)[[0, 2]]], 0, atol=1e-5)
        assert 0.5 < (high - low).max() < 2.6 and (high - low).min() > 0.1


def pieces(mesh: Mesh, cells: int = 40) -> int:
    """How many separate pieces the surface has, if a gap below 1/`cells` of the size is none."""
    points = point_cloud(np.random.default_rng(0), mesh, 60000).v_pos
    points = np.concatenate([points, mesh.v_pos])
    low, high = mesh.bounds()
    grid = np.zeros((cells + 2,) * 3, bool)
    grid[tuple(np.floor((points - low) / (high - low).max() * cells).astype(int).T)] = True
    return ndimage.label(grid, np.ones((3, 3, 3)))[1]


@pytest.mark.slow
@pytest.mark.parametrize("category", CATEGORIES)
def test_all_parts_hold_together(category):
    entry = CATEGORIES[category]
    words = [{}, *({"trait": t} for t in entry.traits), *({"extra": e} for e in entry.extras)]
    for k, own in enumerate(words):
        assert pieces(plain(category, k, **own)) == 1, own


@pytest.mark.parametrize("category", LEGS_BELOW)
def test_a_low_cut_meets_four_legs(category):
    assert [pieces_at(mesh, 0.12) for mesh in samples(category, 8)] == [4] * 8


@pytest.mark.parametrize("category", EARED)
def test_two_ears_are_highest_and_in_front(category):
    for mesh in samples(category):
        points = centred(mesh)
        top = points[points[:, 1] > points[:, 1].max() - 0.03 * np.ptp(points[:, 1])]
        assert (top[:, 2] > 0).all()
        assert top[:, 0].min() < 0 < top[:, 0].max()
        assert np.abs(top[:, 0]).min() > 0.02  # nothing between the two


@pytest.mark.parametrize("category", ROUND)
def test_what_has_no_front_looks_alike_from_all_sides(category):
    for mesh in samples(category, 3):
        assert min(overlap(mesh, (-1, 1, 1)), overlap(mesh, (1, 1, -1))) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("category", SYMMETRIC)
def test_left_mirrors_right_and_front_differs_from_back(category):
    for mesh in samples(category, 4):
        across, along = overlap(mesh, (-1, 1, 1)), overlap(mesh, (1, 1, -1))
        assert across > 0.75
        assert across > along + 0.1, (across, along)


def test_fronts_are_at_plus_z():
    for mesh in samples("chair"):  # the backrest, all that is high, is behind
        points = centred(mesh)
        assert (points[points[:, 1] > 0.3 * np.ptp(points[:, 1]), 2] < 0).all()
    for mesh in samples("mug"):  # the handle makes +X reach farther from the cup's axis
        points = centred(mesh)
        rim = points[points[:, 1] > points[:, 1].max() - 1e-4]
        assert rim[:, 0].mean() < -0.05
    for category in ("airplane", "fish"):  # the tail's fin is the highest point of an airplane
        for mesh in samples(category):
            points = centred(mesh)
            thick = np.abs(points[points[:, 2] > 0.3 * np.ptp(points[:, 2])][:, 0]).max()
            assert thick > 0.05
    for mesh in samples("airplane"):
        points = centred(mesh)
        assert points[points[:, 1].argmax(), 2] < 0
    for mesh in samples("boat"):  # narrow bow, wide stern
        points = centred(mesh)
        bow, stern = (points[s * points[:, 2] > 0.45 * np.ptp(points[:, 2])] for s in (1, -1))
        assert np.ptp(bow[:, 0]) < 0.5 * np.ptp(stern[:, 0])
    for k in range(12):  # the chimney is behind
        points = centred(plain("house", k, extra="chimney"))
        assert points[points[:, 1].argmax(), 2] < 0


@pytest.mark.parametrize("category", ["bird", "duck", "lion", "turtle", "dinosaur", "truck"])
def test_what_is_highest_is_in_front(category):
    """Heads and the cab of a truck (a turtle's shell may rise above its head: not in a short one)."""
    for k in range(12):
        points = centred(plain(category, k))
        low, high = np.ptp(points, axis=0)[2] * np.array([-0.5, 0.5])
        front = points[points[:, 2] > high * 0.35]
        back = points[points[:, 2] < low * 0.6]
        assert front[:, 1].max() > back[:, 1].max()


@pytest.mark.parametrize("category", ["sofa", "bed", "bookshelf", "helicopter"])
def test_backs_and_tails_are_behind(category):
    """A sofa's back, a headboard, a closed side; a helicopter's tail is thin."""
    for k in range(12):
        mesh = plain(category, k)
        points = centred(mesh)
        length, high = np.ptp(points[:, 2]), np.ptp(points[:, 1])
        if category == "helicopter":
            low = points[(points[:, 2] < -0.3 * length) & (points[:, 1] < 0.3 * high)]
            assert np.ptp(low[:, 0]) < 0.4 * np.ptp(points[:, 0])
        elif category == "bookshelf":  # light from the front falls on the dark inside of its back
            behind = mesh.v_color[points[:, 2] < -0.45 * length].mean()
            assert behind < mesh.v_color[points[:, 2] > 0.45 * length].mean()
        else:
            assert points[points[:, 1] > points[:, 1].max() - 0.05 * high, 2].max() < 0.05 * length


@pytest.mark.parametrize("category", ["car", "truck", "bus"])
def test_headlights_are_in_front_and_tail_lights_behind(category):
    for k in range(6):
        mesh = plain(category, k, colour="blue")
        points = centred(mesh)
        for color, side in (((1.0, 0.93, 0.62), 1), ((0.8, 0.1, 0.1), -1)):
            lit = np.linalg.norm(mesh.v_color - color, axis=1) < 0.05
            assert lit.any() and (side * points[lit, 2] > 0.4 * np.ptp(points[:, 2])).all()


def test_a_train_is_narrow_in_front_and_has_its_cab_behind():
    for k in range(6):
        points = centred(plain("train", k))
        high = points[points[:, 1] > 0.1 * np.ptp(points[:, 1])]
        wide = high[np.abs(high[:, 0]) > 0.35 * np.ptp(points[:, 0])]
        assert len(wide) and wide[:, 2].max() < 0


@pytest.mark.parametrize("category", ["house", "castle", "lighthouse", "windmill"])
def test_doors_are_in_front(category):
    """Something as dark brown as a door lies low at +Z, and nothing like it at −Z."""
    for k in range(8):
        mesh = plain(category, k, colour="white")
        points = centred(mesh)
        low = points[:, 1] < -0.15 * np.ptp(points[:, 1])
        brown = (mesh.v_color[:, 0] > mesh.v_color[:, 2] + 0.1) & (mesh.v_color.mean(axis=1) < 0.35)
        assert (points[low & brown, 2] > 0).sum() > 20
        assert not (points[low & brown, 2] < 0).any()


@pytest.mark.parametrize("category", [*PEOPLE, "knight", "teddy", "snowman", "robot", "penguin"])
def test_faces_look_toward_plus_z(category):
    """Around the middle of the head and chest the colours in front are not those behind."""
    for k in range(6):
        mesh = plain(category, k, colour="green")
        points = centred(mesh)
        high = points[:, 1] / np.ptp(points[:, 1])
        band = (high > 0.12) & (high < 0.4) & (np.abs(points[:, 0]) < 0.2)
        front, back = (mesh.v_color[band & (s * points[:, 2] > 0.02)] for s in (1, -1))
        assert np.abs(front.mean(axis=0) - back.mean(axis=0)).sum() > 0.1
