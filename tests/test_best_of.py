"""lift --best-of: the best candidate alone is finished, as its seed alone would be; interrupted, goes on."""

import math

import numpy as np
import pytest
import torch

from sdtool import cli
from sdtool.errors import SdtoolError
from sdtool.geometry.cameras import ViewRange
from sdtool.io.files import read_json
from sdtool.lifting import best_of, folders, loop, presets, scoring
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.scoring import prior_errors, ranked
from sdtool.toyverse.toys import make

PLAN = LiftPlan(
    phases=(
        Phase("coarse", "density", steps=8, lr=0.4, size=32, views=1, lambda_ori=(0.0, 0.3)),
        Phase("geometry", "surface", steps=2, lr=0.002, views=1),
        Phase("color", "color", steps=2, lr=0.05, views=1, sees="rgb", lambda_align=(0.0, 0.0)),
    ),
    tet_resolution=16,
    samples=16,
)
LIFT = ["lift", "a corgi", "--preset", "preview", "--seed", "3", "--out"]


@pytest.mark.slow
def test_the_best_is_what_its_seed_alone_gives_even_if_interrupted(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(presets.PRESETS["dmtet"], "preview", PLAN)
    monkeypatch.setattr(scoring, "VIEWS", 2)
    seen = []

    def errors(scene, guidance, phase, view_range):
        found = prior_errors(scene, guidance, phase, view_range)
        assert found.keys() == {"align", "ori"} and all(map(math.isfinite, found.values()))
        seen.append(found)
        if len(seen) == 4:  # the first of those that are left
            raise KeyboardInterrupt
        return {"align": (3.0, 1.0, 2.0, 0.0, 0.5, 1.5)[len(seen) - 1]}

    monkeypatch.setattr(best_of, "prior_errors", errors)
    out = tmp_path / "many"
    assert cli.run([*LIFT, str(out), "--best-of", "3"]) == 130
    before = read_json(out / best_of.TABLE)
    assert "chosen" not in before and [len(c["found"]) for c in before["candidates"]] == [1, 1, 1]
    assert cli.run([*LIFT, str(out), "--best-of", "3"]) == 0
    assert "seed 4 is chosen of 3" in capsys.readouterr().err
    table = read_json(out / best_of.TABLE)
    assert [c["steps"] for c in table["candidates"]] == [4, 8, 8] and table["chosen"] == 4
    assert sorted(p.name for p in (out / folders.CANDIDATES).iterdir()) == [
        "seed-3.png", "seed-4.png", "seed-5.png",
    ]  # fmt: skip
    assert read_json(out / "stage.json")["seed"] == 4 and (out / best_of.SHEET).is_file()
    assert cli.run([*LIFT, str(tmp_path / "one"), "--seed", "4"]) == 0
    for name in ("shape.safetensors", "material.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert cli.run([*LIFT, str(out), "--best-of", "2"]) == 2
    assert "best_of: 3 there, 2 now" in capsys.readouterr().err


def test_scores_compare_shapes_with_one_another():
    errors = [{"align": 1.0, "ori": 3.0}, {"align": 3.0, "ori": 1.0}, {"align": 0.5, "ori": 0.5}]
    scores = ranked(errors)
    assert scores[2] > scores[0] == pytest.approx(scores[1])
    assert ranked([{"align": 1.0}, {"align": math.nan}, {}])[1:] == [-math.inf] * 2
    assert ranked([{}, {}]) == [-math.inf] * 2


def test_a_failed_candidate_is_last_and_the_judge_decides_where_it_can():
    failed = {"failed": "it vanished"}
    priors = [{"align": 2.0}, failed, {"align": 1.0}]
    assert np.argmax(best_of._scores(priors)) == 2 and best_of._scores(priors)[1] == best_of.FAILED
    judged = [{"align": 2.0, "agreement": 0.9}, failed, {"align": 1.0, "agreement": 0.1}]
    assert np.argmax(best_of._scores(judged)) == 0
    some = [judged[0], {"align": 1.0}]  # of the second it cannot tell: the priors say
    assert np.argmax(best_of._scores(some)) == 1


def test_rounds_halve_only_where_that_saves_anything():
    def rounds(count: int) -> list[tuple[int, int]]:
        seeds = tuple(range(count))
        return best_of.Choice(None, "", None, PLAN, None, ViewRange(), seeds).rounds

    assert rounds(2) == [(8, 1)]
    assert rounds(4) == [(4, 2), (8, 1)] and rounds(5) == [(4, 3), (8, 1)]


def test_none_came_through_is_said(tmp_path, monkeypatch):
    def fails(*given, **more):
        raise SdtoolError("it vanished")

    class Blob:
        first_scene = staticmethod(lambda plan, device: None)

    class Nobody:
        device = torch.device("cpu")

    monkeypatch.setattr(loop, "optimise", fails)
    given = best_of.Choice(tmp_path, "a dog", Blob, PLAN, Nobody(), ViewRange(), (0, 1, 2))
    with pytest.raises(SdtoolError, match="none of 3 candidates came through .it vanished"):
        best_of.choose(given, shown=False)


def test_candidates_that_no_prior_can_see_did_not_come_through(tmp_path, monkeypatch):
    monkeypatch.setattr(best_of, "_run", lambda *given: {"align": math.nan})
    given = best_of.Choice(tmp_path, "a dog", None, PLAN, None, ViewRange(), (0, 1, 2))
    with pytest.raises(
        SdtoolError, match="none of 3 candidates came through .no prior gives it a number"
    ):
        best_of.choose(given, shown=False)


def test_the_judge_scores_a_mesh_or_says_that_it_cannot_tell():
    from sdtool.evaluating.measuring import consistency

    rng = np.random.default_rng(4)
    found = consistency(make(rng, "corgi")[0])
    assert found.keys() == {"soundness", "agreement"} and found["agreement"] > 0.5
    assert consistency(make(rng, "ball")[0]) == {}


def test_a_judge_needs_several_to_choose_from(tmp_path, capsys):
    command = ["lift", "a cat", "--choose-by", "judge", "--out", str(tmp_path / "run")]
    assert cli.run(command) == 2
    assert "add --best-of" in capsys.readouterr().err and not (tmp_path / "run").exists()
