"""evaluate: what CLIP and an orientation model say of sides, and how far judges agree."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from orient_models import write_orient_anything
from shape_samples import box

from sdtool.errors import InputError
from sdtool.evaluating import clip, orientation
from sdtool.evaluating.judges import (
    BUNDLED,
    CLIP,
    ORIENTATION,
    agreement,
    compared,
    findings,
    lines,
    opinions,
)
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    SYMMETRIC,
    UNJUDGED,
    UNTOLD,
    Evaluated,
    Finding,
)
from sdtool.geometry.cameras import rotate_y
from sdtool.geometry.ccm import to_canonical
from sdtool.toyverse import janus
from sdtool.toyverse.designs import Design
from sdtool.toyverse.toys import build

AROUND = np.arange(12) * 30
YES, NO, CANNOT = CONSISTENT, INCONSISTENT, UNTOLD


def peaks(*azimuths, spread=8.0):
    """(12, 360) probabilities that peak at each of the azimuths, (12,) degrees."""
    away = [(np.arange(360) - np.asarray(a)[:, None] + 180) % 360 - 180 for a in azimuths]
    chances = sum(np.exp(-0.5 * (one / spread) ** 2) for one in away)
    return chances / chances.sum(axis=1, keepdims=True)


def said(chances, front=1.0):
    found = orientation.turns(chances)
    return orientation.opinion(found["orient_once"], found["orient_sharp"], front)


# The orientation model


@pytest.mark.parametrize("turn", [0, 77, 180])
def test_one_front_goes_round_once_whichever_way_it_faces(turn):
    found = orientation.turns(peaks(AROUND + turn))
    assert found["orient_once"] > 0.999 and found["orient_turns"] == 1
    assert found["orient_sharp"] > 0.97 and said(peaks(AROUND + turn)) == YES
    assert said(peaks(-AROUND - turn)) == YES  # a model may count its azimuths the other way round
    noise = np.random.default_rng(0).normal(0, 25, 12)
    assert said(peaks(AROUND + turn + noise)) == YES


def test_two_fronts_or_none_contradict():
    twice = orientation.turns(peaks(2 * AROUND))
    assert twice["orient_turns"] == 2 and said(peaks(2 * AROUND)) == NO
    folded = np.where(
        np.cos(np.radians(AROUND)) >= 0, AROUND, 180 - AROUND
    )  # a face at the back, too
    assert said(peaks(folded)) == NO
    assert orientation.turns(peaks(0 * AROUND + 90))["orient_turns"] == 0
    assert said(peaks(0 * AROUND + 90)) == NO  # the same side from everywhere
    assert orientation.turns(peaks(folded, spread=1))["orient_once"] == pytest.approx(
        0.25, abs=0.01
    )


def test_what_has_no_front_or_hides_it_cannot_be_told():
    assert said(peaks(AROUND), front=0.4) == CANNOT
    assert said(peaks(AROUND, AROUND + 180)) == CANNOT  # a sedan: front or back
    assert said(np.full((12, 360), 1 / 360)) == CANNOT
    broken = orientation.turns(np.full((12, 360), np.nan))
    assert math.isnan(broken["orient_once"]) and said(np.full((12, 360), np.nan)) == CANNOT


def test_a_model_of_random_weights_looks_through_the_adapter(tmp_path):
    write_orient_anything(tmp_path / "model")
    eyes = orientation.OrientationEyes(str(tmp_path / "model"), torch.device("cpu"))
    found = eyes.scores(to_canonical(box([0, 0, 0], [1, 2, 3])))
    assert found.keys() == {"orient_once", "orient_turns", "orient_sharp", "orient_front"}
    assert all(0 <= found[f"orient_{name}"] <= 1 for name in ("once", "sharp", "front"))
    again = eyes.scores(to_canonical(box([0, 0, 0], [1, 2, 3])))
    assert found == again
    with pytest.raises(InputError, match="is not a folder"):
        orientation.OrientationEyes("nowhere", torch.device("cpu"))


class Knowing:
    """A model that knows one object from twelve sides, and takes every picture for the likest of them."""

    def __init__(self, mesh):
        self.known = clip.pictures(mesh, 12).astype(float)

    def __call__(self, images):
        away = [((self.known - image) ** 2).mean(axis=(1, 2, 3)) for image in images]
        azimuths = np.argmin(away, axis=1) * 30
        return torch.from_numpy(peaks(azimuths)).log(), torch.ones(len(images))


def test_a_model_that_knows_a_toy_sees_its_turn_and_its_second_half(monkeypatch):
    monkeypatch.setattr(clip, "SIZE", 64)
    toy = to_canonical(build(np.random.default_rng(0), Design("corgi", "red")))
    monkeypatch.setattr(orientation, "load_orient_anything", lambda name, device: Knowing(toy))
    eyes = orientation.OrientationEyes("", torch.device("cpu"))

    def said_of(mesh):
        found = eyes.scores(to_canonical(mesh))
        values = (found[f"orient_{name}"] for name in ("once", "sharp", "front"))
        return found["orient_turns"], orientation.opinion(*values)

    assert said_of(toy) == (1, YES)  # azimuths grow as the cameras' do
    assert said_of(toy.with_positions(rotate_y(toy.v_pos, np.pi / 2))) == (1, YES)
    assert said_of(janus.spoil(np.random.default_rng(0), toy, "mirrored"))[1] == NO


# CLIP


def test_one_wave_of_frontness_is_one_front_and_two_are_two():
    truth = np.arange(8) * np.pi / 4
    assert clip.two_waves(truth, np.cos(2 * truth + 1)) == pytest.approx(1)
    assert clip.two_waves(truth, np.cos(truth)) == pytest.approx(0, abs=1e-12)
    assert clip.two_waves(truth, np.cos(truth) + np.cos(2 * truth)) == pytest.approx(1 / 2)
    assert clip.opinion(0.9, 0.05, 0.4) == YES and clip.opinion(0.1, 0.8, 0.4) == NO
    assert clip.opinion(0.4, 0.3, 0.4) == CANNOT
    assert clip.opinion(0.9, 0.05, 0.01) == CANNOT  # hardly any difference


# Opinions


# What `opinions` reads of what was measured; NaN: not asked.
MEASURED = SimpleNamespace(clip_sides=math.nan, orient_front=math.nan)
ASSET = Evaluated("x", "m", "x", "", "", CONSISTENT, findings=(Finding("sides", 1, 0.5, True),))


def test_only_judges_that_were_asked_have_an_opinion():
    assert opinions(MEASURED, ASSET) == {BUNDLED: YES}
    seen = SimpleNamespace(clip_sides=0.1, clip_twice=0.8, clip_spread=0.3, orient_front=math.nan)
    assert opinions(seen, ASSET) == {BUNDLED: YES, CLIP: NO}
    said = {"orient_once": 0.9, "orient_sharp": 0.9, "orient_front": 0.9}
    turned = SimpleNamespace(clip_sides=math.nan, **said)
    assert opinions(turned, ASSET) == {BUNDLED: YES, ORIENTATION: YES}


def test_a_number_that_is_none_is_nothing_in_the_findings():
    assert findings(MEASURED) == []
    said = {"orient_once": 0.9, "orient_turns": -1.0, "orient_sharp": 0.8, "orient_front": 0.7}
    whole = findings(SimpleNamespace(**said))
    assert [one.value for one in whole] == [0.9, 0.8, 0.7]
    assert whole[0].note == "-1 turns as the camera makes one"
    broken = orientation.turns(np.full((12, 360), np.nan)) | {"orient_front": 0.7}
    found = findings(SimpleNamespace(**broken))
    assert [(one.value, one.note) for one in found] == [
        (None, "its probabilities are no numbers"),
        (None, "its probabilities are no numbers"),
        (0.7, ""),
    ]
    assert Finding("views told", math.nan).value is None and Finding("sides", 0).value == 0


def test_the_bundled_judge_speaks_without_clip():
    alone = {SYMMETRIC: CANNOT, UNJUDGED: CANNOT, INCONSISTENT: NO}
    for verdict, expected in alone.items():
        assert opinions(MEASURED, replace(ASSET, verdict=verdict))[BUNDLED] == expected
    by_clip = Finding("CLIP sides", 0.1, 0.5, False)
    whole = replace(ASSET, verdict=INCONSISTENT, findings=(*ASSET.findings, by_clip))
    assert opinions(MEASURED, whole)[BUNDLED] == YES  # CLIP alone spoilt the verdict
    assert opinions(MEASURED, replace(whole, findings=(by_clip,)))[BUNDLED] == CANNOT


# Agreement

VOTES = [
    {"a": YES, "b": YES, "c": YES},
    {"a": YES, "b": YES, "c": NO},
    {"a": NO, "b": NO, "c": NO},
    {"a": YES, "b": NO, "c": CANNOT},
    {"a": NO, "b": NO},
    {"a": CANNOT, "b": YES, "c": YES},
]


def test_what_cannot_be_told_is_counted_and_left_out_of_pairs():
    found = compared(VOTES)
    assert found.answers["a"] == {YES: 3, NO: 2, CANNOT: 1, "not asked": 0}
    assert found.answers["c"] == {YES: 2, NO: 2, CANNOT: 1, "not asked": 1}
    pairs = {(one.first, one.second): one for one in found.pairs}
    ab = pairs["a", "b"]
    assert ab.told == [[2, 1], [0, 2]]
    # 4 of 5 agree; by chance 3/5·2/5 + 2/5·3/5 = 12/25
    assert ab.kappa == pytest.approx((4 / 5 - 12 / 25) / (1 - 12 / 25))
    bc = pairs["b", "c"]
    assert bc.told == [[2, 1], [0, 1]]
    assert found.told_by_all == 3
    # 3 yes, 2 yes, 0 yes of 3: (1 + 1/3 + 1)/3 agree; 5 of 9 answers are yes
    assert found.fleiss == pytest.approx((7 / 9 - 41 / 81) / (1 - 41 / 81))
    assert found.as_json()["pairs"][0]["cohen_kappa"] == pytest.approx(ab.kappa, abs=1e-4)
    told = lines(found)
    assert told[0].startswith("a and b: the same of 4 of 5 that both told, Cohen's kappa 0.62; ")
    assert told[-1].startswith("all of them: Fleiss' kappa 0.55 of 3 that all told; ")


def test_cannot_be_told_is_a_third_answer_of_the_other_kappas():
    found = compared(VOTES)
    ac = found.pairs[1]
    assert ac.table == ((1, 1, 1), (0, 1, 0), (1, 0, 0))
    # of 5 asked of both 2 agree; by chance 3/5·2/5 + 1/5·2/5 + 1/5·1/5 = 9/25
    assert ac.kappa_of_three == pytest.approx((2 / 5 - 9 / 25) / (1 - 9 / 25))
    # pairs of 3 that agree, in turn: 3, 1, 3, 0, 1 of 3; answers 8 yes, 5 no, 2 untold of 15
    chance = (8**2 + 5**2 + 2**2) / 15**2
    assert found.asked_of_all == 5
    assert found.fleiss_of_three == pytest.approx((8 / 15 - chance) / (1 - chance))
    record = found.as_json()
    assert record["fleiss_kappa_of_three"] == pytest.approx(found.fleiss_of_three, abs=1e-4)
    assert record["pairs"][1]["asked_both"] == 5
    told = lines(found)
    assert told[1].endswith('; 0.06 of 5 with "cannot be told" as an answer')
    assert told[-1].endswith('; 0.20 of 5 with "cannot be told" as an answer')


def test_who_said_nothing_is_left_out_of_the_kappa_of_all():
    with_nobody, without = compared(VOTES, ["d"]), compared(VOTES)
    assert with_nobody.silent == ("d",) and with_nobody.as_json()["said nothing"] == ["d"]
    for name in ("fleiss", "told_by_all", "fleiss_of_three", "asked_of_all"):
        assert getattr(with_nobody, name) == getattr(without, name)
    told = "all of them but d, who said nothing: Fleiss' kappa 0.55 of 3 that all told; "
    assert lines(with_nobody)[-1].startswith(told)
    assert without.silent == () and "said nothing" not in without.as_json()
    alone = compared([{"a": YES}], ["b", "c"])
    assert alone.told_by_all == alone.asked_of_all == 0


def test_one_judge_agrees_with_nobody():
    assert compared([{"a": YES}]) is None and compared([]) is None and lines(None) == []


def test_people_are_judges_too_and_failed_assets_are_no_ones():
    some = [replace(ASSET, path=str(k), opinions={BUNDLED: YES}) for k in range(3)]
    failed = replace(ASSET, path="3", verdict=FAILED)
    answers = [
        {"path": str(k), "method": "m", "answer": answer}
        for k, answer in enumerate(("yes", "no", "unsure"))
    ]
    found = agreement([*some, failed], {"a person": answers})
    assert found.answers["a person"] == {YES: 1, NO: 1, CANNOT: 1, "not asked": 0}
    assert found.pairs[0].agreed.of == 2 and found.pairs[0].kappa == 0
    nobody = agreement(some, {"a person": []})
    assert nobody.answers["a person"]["not asked"] == 3
    assert lines(nobody) == [f"{BUNDLED} and a person: nothing that both were asked"]
