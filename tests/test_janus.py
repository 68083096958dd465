"""Toys with flaws: is there really a second head, or a leg too many?"""

import numpy as np
import pytest
from lift_samples import corgi_faults

from sdtool.evaluating.roughening import filled, skin
from sdtool.evaluating.solids import (
    corgi_facts,
    overlap,
    pieces,
    slice_fill,
    voxels,
)
from sdtool.geometry.ccm import to_canonical
from sdtool.toyverse import janus
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.designs import Design
from sdtool.toyverse.toys import build


def corgi(seed=0):
    return build(np.random.default_rng(seed), Design("corgi", "orange"))


def spoiled(kind, seed=0, name="corgi"):
    mesh = build(np.random.default_rng(seed), Design(name, CATEGORIES[name].colour))
    return janus.spoil(np.random.default_rng(seed), mesh, kind)


def solid(mesh):
    """Its outer skin, which the facts about cross-sections need."""
    return skin(to_canonical(mesh))


@pytest.mark.slow
def test_a_sound_corgi_has_one_front():
    facts = corgi_facts(solid(corgi()))
    assert facts["legs"] == 4 and facts["ears_in_front"] > 0.95 and facts["mirror_z"] < 0.4
    assert not corgi_faults(facts)


@pytest.mark.slow
def test_a_second_head_stands_at_the_back():
    facts = corgi_facts(solid(spoiled("second-head")))
    assert facts["legs"] == 4
    assert 0.3 < facts["ears_in_front"] < 0.7
    assert facts["mirror_z"] > 0.5
    assert set(corgi_faults(facts)) == {"ears_in_front"}


@pytest.mark.slow
def test_mirrored_halves_are_their_own_mirror_image():
    body = solid(spoiled("mirrored"))
    inside = filled(body)
    depth = np.nonzero(inside.any(axis=(1, 2)))[0]
    inside = inside[depth[0] : depth[-1] + 1]
    assert overlap(inside, inside[::-1]) > 0.9
    ears = corgi_facts(body)["ears_in_front"]
    assert 0.4 < ears < 0.6


@pytest.mark.parametrize("seed", range(4))
def test_extra_legs_can_be_counted(seed):
    mesh = solid(spoiled("extra-legs", seed))
    assert pieces(slice_fill(mesh, 0.12)) in (6, 8)


def test_a_head_turned_back_looks_over_its_own_back():
    good, bad = to_canonical(corgi()), to_canonical(spoiled("wrong-way"))
    assert len(bad.v_pos) == len(good.v_pos), "nothing is added or lost"
    assert overlap(voxels(good), voxels(bad)) < 0.95
    tip = good.v_pos[:, 2].max()
    nose = good.v_pos[:, 2] > tip - 0.02
    assert nose.any() and bad.v_pos[:, 2].max() - bad.v_pos[:, 2].min() <= 1.0 + 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CATEGORIES if janus.kinds_for(name)])
def test_every_kind_that_can_be_spoiled_can(name):
    made = [spoiled(kind, seed, name) for kind in janus.kinds_for(name) for seed in range(3)]
    found = [mesh for mesh in made if mesh is not None]
    assert found
    for mesh in found:
        assert np.isfinite(mesh.v_pos).all()
        assert mesh.t_pos_idx.max() < len(mesh.v_pos)
        assert mesh.v_color is not None and len(mesh.v_color) == len(mesh.v_pos)


def test_what_has_no_front_has_no_flaws():
    assert janus.kinds_for("ball") == janus.kinds_for("cake") == ()
