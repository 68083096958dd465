"""Real models of other proportions: `sdtool.evaluating.mutants`."""

import numpy as np
import pytest

from sdtool.evaluating import samples as samples_module
from sdtool.evaluating.mutants import mutant
from sdtool.evaluating.samples import difference, has_front, samples
from sdtool.evaluating.variation import stretched
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh, merge, vertex_normals
from sdtool.toyverse.toys import make


def toy(name, seed=0):
    return to_canonical(make(np.random.default_rng(seed), name)[0])


def test_a_mirror_image_of_itself_stays_one():
    half = toy("corgi")
    flipped = half.with_positions(half.v_pos * np.float32([-1, 1, 1]))
    flipped = Mesh(flipped.v_pos, flipped.t_pos_idx[:, ::-1])
    whole = merge([Mesh(half.v_pos, half.t_pos_idx), flipped])
    for seed in range(4):
        found = mutant(np.random.default_rng(seed), whole)
        low, high = found.bounds()
        places = found.v_pos - np.float32([(low[0] + high[0]) / 2, 0, 0])
        mirrored = places * np.float32([-1, 1, 1])
        gap = np.abs(places[:, None] - mirrored[None, ::7]).max(-1).min(0)
        assert gap.max() < 1e-4


@pytest.mark.parametrize("name", ["corgi", "chair", "car"])
def test_it_is_another_shape_that_still_has_a_front(name):
    mesh, ways = toy(name), []
    for seed in range(4):
        found = mutant(np.random.default_rng(seed), mesh)
        assert len(found.t_pos_idx) <= len(mesh.t_pos_idx)
        assert np.isfinite(found.v_pos).all() and has_front(to_canonical(found))
        ways.append(difference(mesh, to_canonical(found)))
    assert np.mean(ways) > 0.1


def test_normals_follow_the_surface():
    """A smooth ball's normals, moved by the map's cofactors, are those of the ball's new surface."""
    ball = fine_ball()
    found = mutant(np.random.default_rng(3), ball)
    np.testing.assert_allclose(np.linalg.norm(found.v_normal, axis=1), 1, atol=1e-5)
    own = vertex_normals(Mesh(found.v_pos, found.t_pos_idx))
    inner = np.abs(ball.v_pos).max(axis=1) < 0.45  # at x = 0 and at knots the map has kinks
    cosine = (own * found.v_normal).sum(1)[inner]
    assert np.median(cosine) > 0.995 and np.quantile(cosine, 0.05) > 0.95


def test_a_thin_thing_keeps_the_normals_of_its_sides():
    """They tilt no more than a lean of some 15% tilts them, however thin it is."""
    board = stretched(fine_ball(), np.array([1, 1, 1e-4]))
    sides = np.abs(board.v_normal[:, 2]) > 0.999
    assert sides.mean() > 0.9
    for seed in range(5):
        found = mutant(np.random.default_rng(seed), board)
        along = found.v_normal[:, 2] * np.sign(board.v_normal[:, 2])
        assert np.isfinite(along).all() and along[sides].min() > 0.5


def fine_ball():
    import trimesh

    ball = trimesh.creation.icosphere(4, 0.5)
    places = ball.vertices.astype(np.float32)
    return Mesh(places, ball.faces.astype(np.int32), v_normal=places / 0.5)


def test_the_same_seed_gives_the_same_mutant():
    mesh = toy("robot")
    one, other = (mutant(np.random.default_rng(7), mesh) for _ in range(2))
    np.testing.assert_array_equal(one.v_pos, other.v_pos)


def test_the_largest_part_is_never_gone():
    body = fine_ball()
    bits = [
        body.with_positions(0.1 * body.v_pos + [0, 0.4 + 0.1 * k, 0], body.v_normal)
        for k in range(4)
    ]
    whole, counts = merge([body, *bits]), set()
    for seed in range(20):
        found = mutant(np.random.default_rng(seed), whole)
        counts.add(len(found.t_pos_idx) // len(body.t_pos_idx))
    assert max(counts) == 5 and min(counts) >= 1 and len(counts) > 1


def test_as_many_real_models_are_mutants_as_are_asked_for(monkeypatch):
    """And without any the draws are those of before there were some."""
    mesh, drawn = toy("corgi"), []

    def spy(rng, one):
        drawn.append(one)
        return mutant(rng, one)

    monkeypatch.setattr(samples_module, "mutant", spy)
    monkeypatch.setattr(samples_module, "SHARES", {"asset": 1.0})

    def some(**more):
        stream = samples(np.random.default_rng(0), [mesh], flawed=0.0, rough=0.0, **more)
        return [next(stream).mesh for _ in range(8)]

    plain = some()
    assert not drawn
    other = some(mutants=1.0)
    assert len(drawn) >= 8 and all(one is mesh for one in drawn)
    assert all(difference(a, b) > 0.03 for a, b in zip(plain, other, strict=True))
    drawn.clear()
    some(mutants=0.5)
    assert 0 < len(drawn) < 8
