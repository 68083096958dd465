"""Flaws on any mesh: is a piece of the front really there once more, and where it should be?"""

import numpy as np
import pytest
from shape_samples import box, icosphere

from sdtool.evaluating.samples import VISIBLE, difference, has_front, spoiled_somehow
from sdtool.geometry.meshes import merge, triangle_areas
from sdtool.toyverse import janus, surgery


def nosed():
    """A box of ±0.5, ±0.5, ±0.5 with a nose of ±0.1 that reaches to z = 0.7."""
    return merge([box([-0.5] * 3, [0.5] * 3), box([-0.1, -0.1, 0.4], [0.1, 0.1, 0.7])])


def test_refined_is_the_same_surface_in_small_triangles():
    mesh = box([0, 0, 0], [1, 2, 3])
    fine = surgery.refined(mesh)
    assert triangle_areas(fine.v_pos, fine.t_pos_idx).sum() == pytest.approx(22, rel=1e-5)
    edges = fine.v_pos[fine.t_pos_idx] - np.roll(fine.v_pos[fine.t_pos_idx], 1, axis=1)
    assert np.linalg.norm(edges, axis=2).max() <= 3 * surgery.FINE
    assert np.allclose(fine.bounds(), mesh.bounds())
    # with its own normals: a vertex of the box looks outward from its middle
    assert ((fine.v_pos - [0.5, 1, 1.5]) * fine.v_normal).sum(axis=1).min() > 0


@pytest.mark.parametrize(
    "angle, way", [(np.pi, [0, 0, -1]), (np.pi / 2, [1, 0, 0]), (-np.pi / 2, [-1, 0, 0])]
)
def test_a_piece_of_the_front_stands_where_it_is_set(angle, way):
    mesh = surgery.refined(nosed())
    nose = surgery.front_piece(mesh, 0.15, 0.5)
    assert np.ptp(nose.v_pos[:, 0]) == pytest.approx(0.2, abs=1e-5)
    found = surgery.set_on(mesh, nose, angle, 0.5, 0.75, 0.5)
    new = found.v_pos[len(mesh.v_pos) :]
    middle = (new.min(axis=0) + new.max(axis=0)) / 2
    assert middle[1] == pytest.approx(0.25, abs=1e-3)  # 0.75 of its height
    assert np.ptp(new[:, 1]) == pytest.approx(0.1, abs=1e-3)  # half as large
    assert (new @ way).max() == pytest.approx(0.5 + 0.85 * np.ptp(new @ way), abs=0.03)
    assert (
        abs(middle - way @ middle * np.array(way))[[0, 2]].max() < 0.12
    )  # in the middle of the box
    assert np.array_equal(found.v_pos[: len(mesh.v_pos)], mesh.v_pos)


def test_mirrored_halves_mirror_each_other():
    found = surgery.spoil(np.random.default_rng(0), nosed(), "mirrored")
    z = found.v_pos[:, 2]
    middle = (z.min() + z.max()) / 2
    assert z.max() == pytest.approx(0.7)
    assert np.allclose(np.sort(z - middle), np.sort(middle - z), atol=1e-5)


@pytest.mark.parametrize("kind", surgery.CUTS)
def test_every_cut_of_something_with_a_front_can_be_seen(kind):
    assert kind in janus.KINDS
    mesh = merge([box([-0.3, -0.5, -0.6], [0.3, 0.2, 0.5]), box([-0.2, 0.0, 0.4], [0.2, 0.6, 1.0])])
    found = spoiled_somehow(np.random.default_rng(1), mesh, kind)
    assert np.isfinite(found.v_pos).all() and difference(mesh, found) >= VISIBLE


def test_what_looks_alike_from_all_sides_is_not_spoiled():
    assert has_front(nosed()) and not has_front(icosphere(3))
    assert spoiled_somehow(np.random.default_rng(0), icosphere(3), "second-face") is None


def test_a_patch_leaves_it_what_it_was():
    found = surgery.patched(np.random.default_rng(0), nosed())
    assert len(found.t_pos_idx) > len(surgery.refined(nosed()).t_pos_idx)
    assert difference(nosed(), found) < 0.15
    assert not np.any(found.v_pos[:, 2] < -0.5 - 1e-6), "nothing is set on the back"
