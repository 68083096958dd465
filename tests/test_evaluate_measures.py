"""The measures of `evaluate`: each against what its formula gives by hand."""

import numpy as np
import pytest
from shape_samples import box, icosphere

from sdtool.evaluating import measures
from sdtool.evaluating.roughening import filled, roughened, skin
from sdtool.evaluating.views import FOV, cameras, normal_views, within_views
from sdtool.geometry.cameras import WITHIN
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh, merge

BINS = 24
AROUND = np.arange(BINS) * 2 * np.pi / BINS


def sure(azimuths):
    """Probabilities (N, BINS) of a classifier that is sure of these azimuths, whole bins."""
    return np.eye(BINS)[np.round(np.asarray(azimuths) * BINS / (2 * np.pi)).astype(int) % BINS]


# View ambiguity


@pytest.mark.parametrize("offset", [0, 3, 12, 19])
def test_one_front_gives_one_wherever_it_points(offset):
    angle = offset * 2 * np.pi / BINS
    sides = sure(AROUND - angle)
    assert measures.view_agreement(AROUND, sides) == pytest.approx(1)
    apart = measures.turn(AROUND, sides) - angle
    assert np.exp(1j * apart) == pytest.approx(1)
    assert measures.recognised(sides) == pytest.approx((AROUND - angle) % (2 * np.pi), abs=1e-9)


def test_what_folds_back_gives_nothing():
    folded = np.minimum(AROUND, 2 * np.pi - AROUND)  # front, side, back, and the same way back
    both_ways = (sure(AROUND) + sure(AROUND + np.pi)) / 2
    two_faces = np.where(AROUND < np.pi, 2 * AROUND, 2 * AROUND - 2 * np.pi)
    assert measures.view_agreement(AROUND, sure(folded)) == pytest.approx(0, abs=1e-9)
    assert measures.view_agreement(AROUND, both_ways) == pytest.approx(0, abs=1e-9)
    assert measures.view_agreement(AROUND, sure(two_faces)) == pytest.approx(0, abs=1e-9)
    assert measures.view_agreement(AROUND, np.full((BINS, BINS), 1 / BINS)) == pytest.approx(0)


def test_the_wrong_sense_of_turning_gives_minus_one():
    assert measures.view_agreement(AROUND, sure(-AROUND)) == pytest.approx(-1)


def test_doubt_lowers_the_agreement_by_the_length_of_its_mean():
    unsure = 0.7 * sure(AROUND) + 0.3 * sure(AROUND + np.pi)
    assert measures.view_agreement(AROUND, unsure) == pytest.approx(0.7 - 0.3)


def test_first_harmonic_is_the_share_of_one_wave():
    one, two = np.cos(AROUND - 0.4), np.cos(2 * AROUND)
    assert measures.first_harmonic(AROUND, 5 + 2 * one) == pytest.approx(1)
    assert measures.first_harmonic(AROUND, two) == pytest.approx(0, abs=1e-9)
    assert measures.first_harmonic(AROUND, one + two) == pytest.approx(0.5)
    assert measures.first_harmonic(AROUND, np.full(BINS, 0.3)) == 0


# Repetition


def views_of(mesh, around=12):
    return normal_views(to_canonical(mesh), np.arange(around) * 2 * np.pi / around, 0.2)


def test_what_a_turn_does_not_change_repeats_itself_wholly():
    square = box([-0.4, -0.5, -0.4], [0.4, 0.5, 0.4])  # the same after 90°
    assert measures.repetition(views_of(icosphere(4))) > 0.97
    # not wholly: normals are blended over two triangles a side, which no turn maps onto each other
    assert measures.repetition(views_of(square)) > 0.93


def test_what_no_turn_repeats_is_less_alike():
    nose = merge([icosphere(3, 0.3), to_canonical(icosphere(2)).with_positions(
        icosphere(2, 0.15).v_pos + np.array([0, 0.1, 0.45], np.float32))])  # fmt: skip
    twice = merge([nose, nose.with_positions(nose.v_pos * np.array([1, 1, -1], np.float32))])
    twice = Mesh(
        twice.v_pos, np.concatenate([nose.t_pos_idx, nose.t_pos_idx[:, ::-1] + len(nose.v_pos)])
    )
    alone, doubled = measures.repetition(views_of(nose)), measures.repetition(views_of(twice))
    assert alone < 0.8
    assert doubled > alone + 0.1


def test_views_are_normals_as_the_camera_sees_them():
    image = views_of(icosphere(5))[0]
    middle = image[32, 32]
    assert middle[3] == pytest.approx(1)
    assert middle[2] > 0.98  # looks at the eye
    covered = image[image[..., 3] == 1]
    assert np.linalg.norm(covered[:, :3], axis=1) == pytest.approx(1, abs=0.02)
    column = image[32, image[32, :, 3] == 1]
    assert np.all(np.diff(column[:, 0]) > 0)  # from left to right the normal turns right


# Text agreement


def test_chamfer_and_f_score_of_known_points():
    a = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert measures.chamfer_and_f_score(a, a, 0.05) == (0, 1)
    moved = a + [0, 0.1, 0]
    assert measures.chamfer_and_f_score(a, moved, 0.05) == pytest.approx((0.1, 0))
    assert measures.chamfer_and_f_score(a, moved, 0.2) == pytest.approx((0.1, 1))
    more = np.concatenate([a, [[0, 0, 3.0], [0, 0, 3.0]]])  # a lacks half of it: P = 1, R = 1/2
    assert measures.chamfer_and_f_score(a, more, 0.05) == pytest.approx(((0 + 1.5) / 2, 2 / 3))


def test_points_lie_on_the_surface_evenly():
    mesh = box([0, 0, 0], [1, 2, 3])
    points = measures.surface_points(np.random.default_rng(0), mesh, 20000)
    sides = np.minimum(np.abs(points), np.abs(points - [1, 2, 3]))
    assert sides.min(axis=1).max() < 1e-6
    on_top = np.isclose(points[:, 1], 2).mean()  # 1×3 of 22
    assert on_top == pytest.approx(3 / 22, abs=0.01)


# Mesh sanity


def test_a_closed_box_is_sane_and_damage_is_named():
    cube = box([0, 0, 0], [1, 1, 1])
    sane = {"components": 1, "watertight": True, "degenerate": 0, "non_finite": 0, "faces": 12}
    assert measures.sanity(cube) == sane
    soup = Mesh(
        cube.v_pos[cube.t_pos_idx].reshape(-1, 3), np.arange(36, dtype=np.int32).reshape(12, 3)
    )
    assert measures.sanity(soup) == sane, "vertices at one place are one"
    holed = Mesh(cube.v_pos, cube.t_pos_idx[1:])
    assert not measures.sanity(holed)["watertight"]
    flipped = Mesh(cube.v_pos, np.concatenate([cube.t_pos_idx[1:], cube.t_pos_idx[:1, ::-1]]))
    assert not measures.sanity(flipped)["watertight"]
    assert measures.sanity(merge([cube, box([3, 0, 0], [4, 1, 1])]))["components"] == 2
    flat = Mesh(cube.v_pos, np.concatenate([cube.t_pos_idx, [[0, 0, 1]]]).astype(np.int32))
    assert measures.sanity(flat) | {"faces": 12} == sane | {"degenerate": 1}
    torn = cube.v_pos.copy()
    torn[0] = np.nan
    found = measures.sanity(Mesh(torn, cube.t_pos_idx))
    assert found["non_finite"] == 1 and not found["watertight"]
    nothing = measures.sanity(
        Mesh(np.full((3, 3), np.inf, np.float32), np.array([[0, 1, 2]], np.int32))
    )
    assert nothing["components"] == 0


# Solids


def test_what_overlapping_parts_fill_is_counted_once():
    ball, cube = icosphere(5, 0.4), box([-0.1, -0.2, -0.1], [0.5, 0.2, 0.1])
    inside = filled(merge([ball, cube]))
    n = len(inside)
    line = np.linspace(-0.58, 0.58, n)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    truth = (x**2 + y**2 + z**2 < 0.16) | (
        (x > -0.1) & (x < 0.5) & (np.abs(y) < 0.2) & (np.abs(z) < 0.1)
    )
    assert (inside != truth).mean() < 0.004
    assert inside[n // 2, n // 2, n // 2]


def test_a_skin_is_closed_and_has_the_size_of_its_solid():
    inner = icosphere(3, 0.2)
    mesh = skin(merge([icosphere(5, 0.5), inner]))  # what is within is gone
    radius = np.linalg.norm(mesh.v_pos, axis=1)
    assert radius.min() > 0.47 and radius.max() < 0.53
    assert measures.sanity(mesh)["watertight"]


def test_roughened_is_another_surface_each_time_and_the_same_for_the_same_seed():
    cube = box([-0.5, -0.3, -0.4], [0.5, 0.3, 0.4])
    one, again, other = (roughened(np.random.default_rng(seed), cube) for seed in (1, 1, 2))
    assert np.array_equal(one.v_pos, again.v_pos)
    assert one.v_pos.shape != other.v_pos.shape or not np.allclose(one.v_pos, other.v_pos)
    assert np.ptp(one.bounds(), axis=0).max() == pytest.approx(1, abs=1e-5)
    thin = box([-0.5, -0.001, -0.001], [0.5, 0.001, 0.001])
    assert roughened(np.random.default_rng(0), thin) is None


def test_what_a_picture_would_cut_is_made_smaller_and_nothing_else():
    c2w = cameras(np.arange(12) * np.pi / 6, np.radians(25.0))
    cube, thin = box([-0.5] * 3, [0.5] * 3), box([-0.2, -0.5, -0.2], [0.2, 0.5, 0.2])
    for mesh, smaller in ((cube, True), (thin, False)):
        found = within_views(mesh, c2w)
        assert (found is not mesh) == smaller
        edge = normal_views(found, np.arange(12) * np.pi / 6, np.radians(25.0))[..., 3]
        edge = np.concatenate([edge[:, [0, -1]], edge[:, :, [0, -1]].transpose(0, 2, 1)])
        assert edge.max() == 0
    fits = within_views(cube, c2w).v_pos
    assert np.allclose(fits, cube.v_pos * fits[-1, 0] / 0.5)
    x, y, z = np.moveaxis((fits - c2w[:, None, :3, 3]) @ c2w[:, :3, :3], -1, 0)
    reach = np.maximum(abs(x), abs(y)) / (-z * np.tan(np.radians(FOV / 2)))
    assert reach.max() == pytest.approx(WITHIN, abs=1e-5)
    assert normal_views(cube, np.arange(12) * np.pi / 6, np.radians(25.0))[:, :, 0, 3].max() > 0
