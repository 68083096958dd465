"""What the judge learns from, how it learns, and what its verdict asks."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from measure_samples import fake
from shape_samples import box, icosphere

from sdtool.evaluating import judge_batches, measures, thresholds
from sdtool.evaluating.assets import Asset
from sdtool.evaluating.blobs import blob
from sdtool.evaluating.chimeras import chimera, lump
from sdtool.evaluating.compositions import assemble, compose
from sdtool.evaluating.judge_batches import Views
from sdtool.evaluating.judge_training import average, checked, known_kinds, losses
from sdtool.evaluating.judge_views import UNIT, azimuths, write_views
from sdtool.evaluating.patches import PATCHES, WIDE, Patches
from sdtool.evaluating.repeated import repeated_parts
from sdtool.evaluating.results import Calibrated, Calibration, Rate
from sdtool.evaluating.samples import HELD_OUT, NO_FRONT, Sample, has_front, read_assets, samples
from sdtool.evaluating.variation import varied
from sdtool.evaluating.verdicts import verdict_on
from sdtool.evaluating.viewnet import AROUND, BINS, ViewNet, load_judge
from sdtool.evaluating.views import normal_views
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import merge
from sdtool.geometry.parts import connected_parts
from sdtool.meshfiles import write_glb
from sdtool.toyverse.toys import make

CPU = torch.device("cpu")


def nosed():
    return to_canonical(merge([icosphere(3), box([-0.15, -0.1, 0.3], [0.15, 0.1, 0.9])]))


# What it learns from


def test_compositions_have_a_front_or_look_alike_after_a_turn():
    fronts = []
    for seed in range(12):
        mesh, front = compose(np.random.default_rng(seed))
        fronts.append(front)
        low, high = mesh.bounds()
        assert low[1] == pytest.approx(0, abs=1e-5) and abs(low + high)[[0, 2]].max() < 1e-4
        again, _ = compose(np.random.default_rng(seed))
        assert np.array_equal(mesh.v_pos, again.v_pos)
        if not front:
            views = normal_views(to_canonical(mesh), np.arange(40) * np.pi / 20, 0.1)
            turns = [measures.alike(views, np.roll(views, n, axis=0)) for n in (5, 8, 10)]
            assert max(turns) > 0.7 * measures.alike(views, views)
    assert any(fronts) and not all(fronts)


def test_assemblies_are_made_of_whole_pieces():
    pieces = [box([0, 0, 0], [2, 3, 4]), icosphere(2)]
    for seed in range(6):
        mesh = assemble(np.random.default_rng(seed), pieces)
        low, high = mesh.bounds()
        assert low[1] == pytest.approx(0, abs=1e-5) and 0.2 < (high - low).max() < 8
        assert len(mesh.t_pos_idx) > 2 * 12, "a body, and what marks its front"
        again = assemble(np.random.default_rng(seed), pieces)
        assert np.array_equal(mesh.v_pos, again.v_pos)


def test_chimeras_are_one_thing_with_a_front_and_differ_from_their_kind():
    made = [chimera(np.random.default_rng(seed), ["corgi"]) for seed in range(12)]
    fronted = [has_front(mesh) for mesh in made]
    assert sum(fronted) > 8, "a head is in front of a body still"
    for mesh in made:
        assert mesh.bounds()[0, 1] == pytest.approx(0, abs=1e-5)
        views = normal_views(to_canonical(mesh), np.array([np.pi / 2, -np.pi / 2]), 0.1)
        mirrored = views[1:, :, ::-1] * np.array([-1, 1, 1, 1], np.float32)
        assert measures.alike(views[:1], mirrored) > 0.85 * measures.alike(views[:1], views[:1])
    shapes = [np.ptp(mesh.bounds(), axis=0) for mesh in made]
    ratios = [size[1] / size[2] for size in shapes]
    assert max(ratios) > 1.3 * min(ratios), "in other proportions"
    again = chimera(np.random.default_rng(3), ["corgi"])
    assert np.array_equal(made[3].v_pos, again.v_pos)


def test_lumps_have_no_face():
    for seed in range(6):
        mesh = lump(np.random.default_rng(seed), ["corgi", "robot"])
        whole = make(np.random.default_rng(seed), "corgi")[0]
        parts = connected_parts(mesh.t_pos_idx, len(mesh.v_pos))[0]
        assert 1 <= parts <= 9, "a body, legs, and a body or two more"
        assert parts < connected_parts(whole.t_pos_idx, len(whole.v_pos))[0]
        assert mesh.bounds()[0, 1] == pytest.approx(0, abs=1e-5)


def test_blobs_are_bodies_of_any_form():
    made = [blob(np.random.default_rng(seed)) for seed in range(8)]
    assert all(one is not None for one in made)
    for mesh in made:
        size = np.ptp(mesh.bounds(), axis=0)
        assert size.max() == pytest.approx(1, abs=1e-5) and size.min() > 0.1
    forms = np.array([np.ptp(mesh.bounds(), axis=0) for mesh in made])
    assert np.ptp(forms, axis=0).max() > 0.2
    pieces = [connected_parts(mesh.t_pos_idx, len(mesh.v_pos))[0] for mesh in made]
    assert min(pieces) == 1 < max(pieces), "some came loose"
    again = blob(np.random.default_rng(3))
    assert np.array_equal(again.v_pos, made[3].v_pos)


def test_varied_is_the_same_object_made_otherwise():
    mesh = nosed()
    made = [varied(np.random.default_rng(seed), mesh, 0.0) for seed in range(8)]
    for one in made:
        assert np.ptp(one.bounds(), axis=0).max() == pytest.approx(1, abs=1e-5)
        front = one.v_pos[one.v_pos[:, 2] > one.v_pos[:, 2].max() - 0.1]
        assert np.ptp(front[:, 0]) < 0.45, "its nose is in front still"
    assert len({len(one.t_pos_idx) for one in made}) > 1, "some have holes or are coarser"
    assert len(varied(np.random.default_rng(0), mesh, 1.0).v_pos) > len(mesh.v_pos)


def test_nothing_is_learnt_of_kinds_that_are_held_out():
    stream = samples(np.random.default_rng(0), rough=0.0)
    found = [next(stream) for _ in range(10)]
    assert not {one.category for one in found} & set(HELD_OUT)
    assert not set(known_kinds()) & set(HELD_OUT)
    assert {bool(one.flaw) for one in found} == {True, False}
    assert all(one.front is False for one in found if one.category in NO_FRONT and not one.flaw)
    assert not any(one.faces for one in found if one.flaw), "sides are learnt from sound ones"


def test_assets_of_a_folder_are_read_once_whatever_their_colour(tmp_path):
    for name, mesh in (("a", nosed()), ("b", nosed()), ("ball", icosphere(2))):
        write_glb(tmp_path / f"{name}.glb", mesh, name=name)
    write_glb(tmp_path / "rug.glb", box([0, 0, 0], [1, 0.02, 1]), name="rug")
    assert len(read_assets(tmp_path)) == 2


# How it learns


def test_views_are_kept_and_mirrored_with_their_azimuths(tmp_path, monkeypatch):
    monkeypatch.setattr(judge_batches, "BESIDE", 0)
    mesh = nosed()  # its own mirror image: mirrored views are those of other azimuths
    rng = np.random.default_rng(0)
    stream = iter([Sample(mesh, "cat", "", True, True)] * 9)
    for part in ("0", "1"):
        write_views(tmp_path / part, stream, 5 - int(part), rng, ["corgi", "cat"])
    data = Views(tmp_path, np.array([7, 8, -1]), CPU, 0)
    assert data.facts["kind"].tolist() == [8] * 9 and data.facts["faces"].all()
    rows = data.rows(np.array([6, 0]))["views"].numpy()
    assert np.array_equal(rows[0] * UNIT, data.views[1][1]) and np.array_equal(
        rows[1] * UNIT, data.views[0][0]
    )
    assert np.abs(rows[..., :3]).max() <= 1 and rows[0].shape == (AROUND, 64, 64, 4)
    batch = data.batch(8, np.random.default_rng(1))
    azimuth = batch["azimuth"].numpy() * 2 * np.pi / BINS
    assert np.allclose(np.diff(azimuth, axis=1), 2 * np.pi / AROUND, atol=1e-5)
    for seen, where in zip(batch["views"].numpy(), azimuth, strict=True):
        truth = normal_views(mesh, where, 0.25)
        turned = [measures.alike(seen, np.roll(truth, turn, axis=0)) for turn in range(AROUND)]
        assert np.argmax(turned) == 0
    assert np.allclose(np.diff(azimuths(0.3)), 2 * np.pi / AROUND)


def test_some_models_stand_off_the_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(judge_batches, "BESIDE", 1)
    monkeypatch.setattr(judge_batches, "AWAY", (8, 8))
    stream = iter([Sample(icosphere(2, 0.4), "", "", False)] * 40)
    write_views(tmp_path / "0", stream, 40, np.random.default_rng(0), ["corgi"])
    data = Views(tmp_path, np.array([0, -1]), CPU, 0)
    data.twins = data.learnt[1:]
    batch = data.batch(8, np.random.default_rng(1))
    places = np.arange(64) - 31.5
    for seen, azimuth in zip(batch["views"].numpy(), batch["azimuth"].numpy(), strict=True):
        covered = seen[..., 3]
        across = (covered * places).sum((1, 2)) / covered.sum((1, 2))
        wave = np.exp(1j * azimuth * 2 * np.pi / BINS)
        assert abs(np.mean(across * wave)) * 2 == pytest.approx(
            8, abs=1
        )  # once a turn, by 8 pixels


def test_averaged_weights_follow_and_settle():
    net, mean = ViewNet(["corgi"], looks=2), ViewNet(["corgi"], looks=2)
    for step in range(1, 400):
        average(mean, net, step)
    apart = [(a - b).abs().max() for a, b in zip(mean.parameters(), net.parameters(), strict=True)]
    assert max(apart) < 1e-3
    with torch.no_grad():
        net.odd.bias += 1
    before = mean.odd.bias.item()
    average(mean, net, 10_000)
    assert mean.odd.bias.item() - before == pytest.approx(0.005, abs=1e-4)


def test_a_spoiled_one_stands_beside_itself_without_its_flaw(tmp_path):
    """Its views that differ are those that show the flaw; of others nobody knows."""
    ball = icosphere(3)
    ball = ball.with_positions(ball.v_pos * 0.4)
    nose = merge([ball, box([-0.1, -0.06, 0.3], [0.1, 0.06, 0.5])])
    pair = Sample(nose, "", "second-face", True, False, twin=ball)
    stream = iter([pair, Sample(ball, "", "", False), pair] * 4)
    write_views(tmp_path / "0", stream, 12, np.random.default_rng(0), [])
    data = Views(tmp_path, np.array([-1]), CPU, 0)
    assert data.facts["twin"].tolist() == [0, 1, 0, 0, 1] * 2 + [0, 1]
    assert data.facts["sound"].tolist() == [0, 1, 1, 0, 1] * 2 + [0, 1]
    assert np.array_equal(data.facts["first"][0:1], data.facts["first"][1:2])
    batch = data.batch(8, np.random.default_rng(0))
    changed = batch["changed"].numpy()
    for row in range(len(changed)):
        if batch["sound"][row]:
            assert (changed[row] == 0).all()
    pairs = changed[:2]  # spoiled ones whose twin is beside them
    assert (pairs > 0.1).any(axis=1).all() and (pairs < 0.05).any(axis=1).all()
    assert np.isnan(changed[4:][batch["sound"].numpy()[4:] == 0]).all()
    patches = batch["patches"].numpy()
    assert patches.shape == (8, AROUND, PATCHES, PATCHES)
    assert np.isnan(patches[4:][batch["sound"].numpy()[4:] == 0]).all()
    assert (patches[2:4] == 0).all(), "a twin shows no flaw"
    for row in range(2):
        most, least = np.argmax(changed[row]), np.argmin(changed[row])
        assert patches[row, most].max() > 0.5 and (patches[row, most] > 0.1).mean() < 0.3
        assert patches[row, least].max() < 0.2, "where the nose is hidden nothing is changed"
    assert batch["views"].shape == (8, AROUND, 64, 64, 4), "what is changed is no part of them"


@pytest.mark.slow
def test_what_is_held_out_is_never_learnt_and_tells_how_good_it_is(tmp_path):
    ball = icosphere(2)
    nose = merge([ball, box([-0.3, -0.2, 0.8], [0.3, 0.2, 1.3])])
    two = [Sample(nose, "", "second-face", True), Sample(ball, "", "", False)]
    write_views(tmp_path / "0", iter(two * 80), 160, np.random.default_rng(0), [])
    data = Views(tmp_path, np.array([-1]), CPU, 0)
    assert data.held.tolist() == [156, 157, 158, 159] and len(data.learnt) == 156

    class Knows(ViewNet):
        def forward(self, views):
            said = super().forward(views)
            sound = data.rows(data.held)["sound"].bool()
            model = torch.where(
                sound[:, None], torch.tensor([0, 0, 4.0]), torch.tensor([4.0, 0, 0])
            )
            return said._replace(model=model)

    found = checked(Knows(["cat"]), data)
    assert found["area"] == 1.0 and found["loss"] == pytest.approx(
        math.log(1 + 2 * math.exp(-4)), abs=1e-3
    )


def test_a_judge_of_any_size_is_saved_and_read(tmp_path):
    net = ViewNet(["corgi", "cat"], 40, 64).eval()
    net.save(tmp_path, {"steps": 1})
    again, facts = load_judge(tmp_path)
    assert facts["width"] == 40 and facts["looks"] == 64 and facts["steps"] == 1
    views = torch.rand(2, AROUND, 64, 64, 4)
    for a, b in zip(net(views), again(views), strict=True):
        assert torch.allclose(a, b, atol=0.02)


@torch.no_grad()
def test_patches_go_round_with_the_model_and_nothing_is_seen_where_nothing_is():
    torch.manual_seed(1)
    features = torch.randn(2, AROUND, 20, PATCHES, PATCHES)
    covered = (torch.rand(2, AROUND, PATCHES, PATCHES) > 0.4).float()
    net = Patches(20).eval()
    views, part, worst = net(features, covered)
    assert views.shape == (2, AROUND, 2 * WIDE) and worst.shape == (2, 4)
    turned = net(features.roll(5, 1), covered.roll(5, 1))
    for one, other in ((views, turned[0]), (part, turned[1])):
        assert torch.allclose(one.roll(5, 1), other, atol=1e-5)
    assert torch.allclose(worst, turned[2], atol=1e-5)
    highest = part[covered > 0].max()
    assert worst[:, 0].max() == pytest.approx(highest.item() / 4)
    net.part.bias += 1  # a logit more of all
    more = net(features, covered)[2] - worst
    assert torch.allclose(more[:, :3], torch.full((2, 3), 0.25), atol=1e-5)
    nothing = net(features, torch.zeros_like(covered))
    assert all(torch.isfinite(one).all() for one in nothing)
    assert (nothing[2][:, 0] == -5).all() and (nothing[0][..., :WIDE] == 0).all()


def test_the_loss_asks_only_what_is_known():
    class Net:
        def __call__(self, views):
            logits = torch.tensor([[0.0, 1.0, 2.0]]).repeat(4, 1)
            odd = torch.zeros(4, AROUND)
            odd[1] = 2.0
            part = torch.zeros(4, AROUND, PATCHES, PATCHES)
            part[1, 0, 0, 0] = part[1, 0, 0, 1] = 3.0
            return torch.zeros(4, AROUND, BINS), torch.zeros(4, AROUND, 5), logits, odd, part

    data = {
        "views": torch.zeros(4, AROUND, 64, 64, 4),
        "azimuth": torch.zeros(4, AROUND),
        "kind": torch.tensor([-1, -1, 3, -1]),
        "sound": torch.tensor([0, 1, 1, 1]),
        "front": torch.tensor([1, 1, 0, -1]),
        "faces": torch.tensor([0, 0, 0, 1]),
        "changed": torch.full((4, AROUND), torch.nan),
        "patches": torch.full((4, AROUND, PATCHES, PATCHES), torch.nan),
    }
    data["changed"][1, 0], data["changed"][1, 1] = 0.5, 0.07  # plainly seen; neither nor
    data["views"][1, 0, :8, :8, 3] = 1  # the first patch shows something, all others nothing
    data["patches"][1, 0] = 0.5
    found = losses(Net(), data)
    assert found["part"].item() == pytest.approx(math.log(1 + math.exp(-3)), rel=1e-5)
    assert found["odd"].item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)
    p = np.exp([0.0, 1, 2]) / np.exp([0.0, 1, 2]).sum()
    wanted = -np.mean(np.log([p[0], p[1], p[2], p[1] + p[2]]))
    assert found["model"].item() == pytest.approx(wanted, rel=1e-5)
    assert found["kind"].item() == pytest.approx(math.log(5), rel=1e-5)
    assert found["side"].item() == pytest.approx(math.log(BINS), rel=1e-5)


# What the verdict asks

LINES = thresholds.Thresholds(
    Calibration(
        (Calibrated("soundness", 0.5, True, Rate(9, 10), Rate(0, 10)),),
        Rate(9, 10),
        Rate(0, 10),
        {},
        "",
    )
)
THING = Asset(Path("thing.glb"), "m")


def verdict(found):
    sane = {"components": 1, "watertight": True, "degenerate": 0, "non_finite": 0, "specks": 0}
    sane |= {"faces": 12}
    return verdict_on(THING, replace(found, sanity=sane), "", "x.png", LINES)


def test_the_verdict_does_not_hang_on_a_guessed_kind():
    sound = replace(fake(True, 0), category="", sound=0.9, told=0.9)
    for guess in ("corgi", "car", "ball"):
        found = replace(sound, kind=guess, kind_share=1.0)
        assert verdict(found).verdict == "consistent" and verdict(found).category == ""
        assert verdict(replace(found, sound=0.2)).verdict == "inconsistent"


def test_what_looks_alike_from_all_sides_cannot_be_told_and_is_no_janus():
    found = verdict(replace(fake(False, 0), category="", sound=0.1, told=0.2))
    assert found.verdict == "not applicable" and "cannot be told" in found.reasons[0]


def test_of_what_no_side_is_recognised_nothing_is_said():
    """A lump contradicts itself nowhere; above the line lie nearly all sound objects with a front."""
    found = replace(fake(True, 0), category="", sound=0.9, told=0.9)
    lines = replace(LINES, sure=0.3)
    sane = {"components": 1, "watertight": True, "degenerate": 0, "non_finite": 0, "specks": 0}
    sane |= {"faces": 12}
    for sure, said in (([0.9, 0.1], "consistent"), ([0.3, 0.2], "not applicable")):
        one = verdict_on(THING, replace(found, sanity=sane, sure=sure), "", "x.png", lines)
        assert one.verdict == said
    assert "hardly any side of it is recognised (sides recognised 0.25" in one.reasons[0]

    def case(k, flaw, sure):
        return thresholds.Case(k, "toys", flaw, replace(fake(not flaw, k), sure=[sure]))

    cases = [case(k, "", k / 100) for k in range(1, 101)]
    cases += [case(k, "mirrored", k % 10 / 10) for k in range(100, 200)]
    drawn = thresholds.draw(cases, "")
    assert drawn.sure == pytest.approx(0.04, abs=0.005)
    assert drawn.calibration.sources["toys"].untold_spoiled.count == 10
    assert drawn.calibration.caught.of == 90


def test_lines_are_not_drawn_on_real_assets():
    cases = [thresholds.Case(k, "toys", "", fake(True, k)) for k in range(100)]
    cases += [thresholds.Case(k, "toys", "mirrored", fake(False, k)) for k in range(100, 200)]
    real = [
        thresholds.Case(k, "real", "mirrored" * (k % 2), fake(False, k), draws=False)
        for k in range(200, 260)
    ]
    alone, both = thresholds.draw(cases, ""), thresholds.draw(cases + real, "")
    assert [one.threshold for one in alone.calibration.measures] == [
        one.threshold for one in both.calibration.measures
    ]
    assert both.calibration.caught == alone.calibration.caught
    assert both.calibration.sources["real"].blamed == Rate(30, 30)
    assert both.calibration.sources["real"].by_kind["mirrored"] == Rate(30, 30)
    untold = [replace(one, found=replace(one.found, told=0.1)) for one in real]
    found = thresholds.draw(cases + untold, "").calibration.sources["real"]
    assert found.blamed.of == 0 and found.untold_sound == Rate(30, 30)


# Repeated parts


def views_of(mesh):
    return normal_views(to_canonical(mesh), np.arange(12) * np.pi / 6, 0.1)


def face(angle):
    """Two eyes and a beak on a ball's side."""
    from sdtool.geometry.cameras import rotate_y

    marks = [
        box([0.1, 0.15, 0.4], [0.22, 0.27, 0.6]),
        box([-0.22, 0.15, 0.4], [-0.1, 0.27, 0.6]),
        box([-0.08, -0.15, 0.4], [0.08, 0.05, 0.72]),
    ]
    mesh = merge(marks)
    return mesh.with_positions(rotate_y(mesh.v_pos, angle))


def test_a_second_face_is_a_repeated_part_and_one_face_is_none():
    once = merge([icosphere(4, 0.5), face(0.0)])
    twice = merge([once, face(2.2)])
    assert repeated_parts(views_of(twice)) > repeated_parts(views_of(once)) + 0.15
    assert repeated_parts(views_of(icosphere(4, 0.5))) == 0, "plain"
