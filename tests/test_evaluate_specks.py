"""evaluate: what nobody can see, beside a model, decides nothing; nor is anything said of what is flat."""

import json
from dataclasses import replace

import numpy as np
import pytest
from shape_samples import box, icosphere

from sdtool.cli import run as sdtool
from sdtool.evaluating.measuring import consistency
from sdtool.evaluating.roughening import skin
from sdtool.evaluating.specks import CRUMB, GAP, without_specks
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh, Texture, merge
from sdtool.toyverse.toys import make


def toy(name="corgi", seed=3):
    return to_canonical(make(np.random.default_rng(seed), name)[0])


def speck(at, size=0.002):
    corners = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]) * size + np.float32(at)
    return Mesh(corners, np.int32([[0, 1, 2]]))


def bare(mesh):
    return Mesh(mesh.v_pos, mesh.t_pos_idx)


@pytest.mark.parametrize("at", [(0.8, 0, 0), (0, 1.5, 0), (-1e6, 0, 3), (0.9, 0.9, 0.9)])
def test_a_speck_far_off_changes_nothing(at):
    mesh = bare(toy())
    found, count = without_specks(merge([mesh, speck(at)]))
    assert count == 1
    assert np.array_equal(found.t_pos_idx, mesh.t_pos_idx)
    assert found.bounds() == pytest.approx(mesh.bounds())
    assert consistency(merge([mesh, speck((0.8, 0, 0))])) == consistency(mesh) != {}


def ball(at, size):
    mesh = icosphere(1, size / 2)
    return mesh.with_positions(mesh.v_pos + np.float32(at))


def test_what_is_small_stays_inside_and_what_is_larger_everywhere():
    mesh = bare(toy())
    inside = merge([mesh, speck((0, 0, 0))])
    assert without_specks(inside) == (inside, 0)
    balloon = merge([mesh, ball((0, 0.9, 0), 1.5 * CRUMB)])
    assert without_specks(balloon) == (balloon, 0)
    dust = merge([speck((k * 0.01, 0, 0)) for k in range(40)])  # nothing but specks: all are meant
    assert without_specks(dust) == (dust, 0)


def test_what_floats_beside_it_goes_and_what_touches_it_stays():
    mesh = to_canonical(skin(toy()))  # of one part
    _, high = mesh.bounds()
    floating, touching = (
        merge([mesh, ball((high[0] + away, 0, 0), 0.8 * CRUMB)])
        for away in (GAP + CRUMB / 2, CRUMB / 4)
    )
    found, count = without_specks(floating)
    assert count == 1 and np.array_equal(found.t_pos_idx, mesh.t_pos_idx)
    assert without_specks(touching) == (touching, 0)
    assert consistency(floating) == consistency(mesh) != consistency(touching)


@pytest.mark.parametrize("pieces", [1, 2, 8, 40])
def test_of_how_many_pieces_a_body_is_does_not_matter(pieces):
    edges = np.linspace(-0.5, 0.5, pieces + 1)
    body = [
        box((-0.1, low, -0.1), (0.1, high, 0.1))
        for low, high in zip(edges[:-1], edges[1:] - 0.002, strict=True)
    ]
    crumb, piece = (ball((0.1 + GAP + size, 0, 0), size) for size in (0.9 * CRUMB, 1.2 * CRUMB))
    assert without_specks(merge(body))[1] == 0
    assert without_specks(merge([*body, crumb]))[1] == 1
    assert without_specks(merge([*body, piece]))[1] == 0
    far = speck((0.6, 0, 0), 0.01)  # beside which the body is no larger
    assert without_specks(merge([far, *body, crumb]))[1] == 2


def test_faces_with_corners_of_their_own_hang_together():
    mesh = bare(toy())
    apart = Mesh(
        mesh.v_pos[mesh.t_pos_idx].reshape(-1, 3), np.arange(mesh.t_pos_idx.size).reshape(-1, 3)
    )
    apart = replace(apart, t_pos_idx=apart.t_pos_idx.astype(np.int32))
    assert without_specks(apart) == (apart, 0)
    assert without_specks(merge([apart, speck((0.8, 0, 0))]))[1] == 1


def test_textures_stay_with_their_faces():
    cube = box((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
    both = merge([speck((2, 0, 0)), cube])
    image = Texture(np.zeros((2, 2, 4), np.uint8))
    number = np.arange(len(both.t_pos_idx), dtype=np.int32)
    both = replace(both, v_uv=both.v_pos[:, :2], t_texture=number, textures=(image,) * len(number))
    found, count = without_specks(both)
    assert count == 1 and np.array_equal(found.t_texture, number[1:])


def test_what_is_not_finite_is_left_to_others():
    mesh = merge([bare(toy()), speck((np.nan, 0, 0))])
    assert without_specks(mesh) == (mesh, 0)


def test_evaluate_counts_specks_and_says_nothing_of_a_card(tmp_path, monkeypatch):
    import trimesh

    monkeypatch.chdir(tmp_path)
    mesh = bare(toy())
    for name, one in {
        "a-corgi": mesh,
        "a-corgi-and-dust": merge([mesh, speck((0.8, 0, 0))]),
        "a-card": mesh.with_positions(mesh.v_pos * np.float32([1, 1, 0.002])),
        "a-triangle": speck((0, 0, 0), 1),
    }.items():
        (tmp_path / "models").mkdir(exist_ok=True)
        trimesh.Trimesh(one.v_pos, one.t_pos_idx, process=False).export(
            tmp_path / f"models/{name}.glb"
        )
    assert sdtool(["evaluate", "models", "--out", "out"]) == 0
    assets = json.loads((tmp_path / "out/evaluation.json").read_text())["assets"]
    found = {one["name"].split("/")[-1]: one for one in assets}
    assert found["a-card"]["verdict"] == found["a-triangle"]["verdict"] == "not applicable"
    plain, dusty = (
        {f["measure"]: f["value"] for f in found[n]["findings"]}
        for n in ("a-corgi", "a-corgi-and-dust")
    )
    assert (plain["mesh: specks beside it"], dusty["mesh: specks beside it"]) == (0, 1)
    assert plain["soundness"] == dusty["soundness"]
    assert found["a-corgi"]["verdict"] == found["a-corgi-and-dust"]["verdict"]
