"""Prompts longer than the text encoder's window: what goes is said, and is never the words of the view."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sdtool.lifting import lift_priors
from sdtool.lifting.presets import PRESETS
from sdtool.lifting.prompts import SIDES, Prompts
from sdtool.lifting.run import Lift
from sdtool.priors import pairs
from sdtool.priors.fitting import fitted, say_cut
from sdtool.priors.prior import Prior
from sdtool.priors.text import fresh_text_encoder
from sdtool.training.data import PromptTable
from sdtool.training.finetune import say_cut_captions

LONG = "a big red corgi with a blue hat and a small green chair and a white cup and a black table"


@pytest.fixture(scope="module", params=[24, 77])
def encoder(request):
    torch.manual_seed(0)
    return fresh_text_encoder(
        [LONG, *(f"{side}, normal map" for side in SIDES)] * 2,
        width=16,
        layers=1,
        length=request.param,
    )


def prior_of(encoder, suffix=""):
    unet = SimpleNamespace()
    prior = Prior.__new__(Prior)
    torch.nn.Module.__init__(prior)
    prior.text, prior.normal_suffix, prior.unet = encoder, suffix, unet
    return prior


def test_words_go_from_the_prompts_end():
    fits = lambda text: len(text.split()) <= 4  # noqa: E731
    assert fitted("a red corgi", ", front", fits) == ("a red corgi, front", "")
    assert fitted("a red, big corgi, sitting", " view", fits) == (
        "a red, big view",
        "corgi, sitting",
    )
    assert fitted("one two three four five six", "", fits) == ("one two three four", "five six")
    assert fitted("", " front view", fits) == (" front view", "")
    letters = lambda text: len(text) <= 9  # noqa: E731
    assert fitted("一只戴着红色帽子的大柯基犬", ", 正面", letters) == (
        "一只戴着红, 正面",
        "色帽子的大柯基犬",
    )
    assert fitted("corgis", ", an ending that is too long", letters)[1] == "corgis"


@pytest.mark.parametrize("words", [LONG * 5, "codependent" * 60, "柯基犬" * 50, "🐶 " * 60])
@pytest.mark.parametrize("suffix", ["", ", normal map"])
def test_the_view_is_never_what_is_cut(encoder, words, suffix):
    prior = prior_of(encoder, suffix)
    told = Prompts(prior, words, by_view=True, in_words=prior.fitted_normal)
    assert told.cut and " ".join(words.split()).endswith(told.cut)
    for first in range(4):
        for second in range(first):
            assert not torch.equal(told.text[first], told.text[second])
    for side in SIDES:
        text, cut = prior.fitted_normal(words, f", {side}")
        assert text.endswith(f", {side}{suffix}") and cut and not encoder.cuts(text)
        kept = text.removesuffix(f", {side}{suffix}")
        assert kept and " ".join(words.split()).startswith(kept)


def test_what_fits_is_told_as_it_is(encoder):
    prior = prior_of(encoder)
    told = Prompts(prior, "a  red corgi ", by_view=True, negative="ugly")
    assert (told.cut, told.cut_negative) == ("", "")
    assert torch.equal(told.text[2:3], encoder(["a  red corgi , back view"]))
    assert Prompts(prior, "a corgi", by_view=False, negative=LONG * 5).cut_negative


@pytest.mark.parametrize(
    ("negative", "said"), [("ugly", "--negative is"), ("", "the default of --negative is")]
)
def test_what_is_not_wanted_is_blamed_on_whoever_said_it(negative, said, monkeypatch, capsys):
    prior = SimpleNamespace(vocabulary=None, text_encoder=SimpleNamespace(length=77))
    monkeypatch.setattr(lift_priors, "_priors", lambda *_: (prior, prior, None))
    monkeypatch.setattr(pairs, "text_encoders", lambda *_: nullcontext())
    monkeypatch.setattr(
        lift_priors, "Guidance", lambda *_: SimpleNamespace(cut="", cut_negative="ugly")
    )
    plan = PRESETS["dmtet"]["preview"]
    lifting = Lift("dmtet", "tiny", "", "preview", plan, 1.0, 1.0, 1.0, True, negative, 0, True)
    lift_priors._guidance(lifting, "", "a corgi", "fp32")
    assert capsys.readouterr().err.startswith(f"{said} longer than the 77 tokens")


def test_it_is_said(encoder, capsys):
    said = say_cut("and a yellow duck " * 20, "the prompt", 24)
    assert said.startswith("the prompt is longer than the 24 tokens") and " …" in said
    assert len(said) < 180 and "yellow duck" in said
    processes = SimpleNamespace(is_main=True, say=print)
    texts = ["", "a corgi", LONG * 5, "柯基犬" * 50]
    assert encoder.count_cut(texts) == sum(map(encoder.cuts, texts)) == 2
    say_cut_captions(encoder, texts, processes)
    assert f"2 of 4 captions are longer than the {encoder.length} tokens" in capsys.readouterr().out
    say_cut_captions(encoder, ["a corgi"], processes)
    assert capsys.readouterr().out == ""


def test_captions_make_room_for_what_asks_for_normals(encoder):
    views = SimpleNamespace(uids=["a"], object=np.zeros(1, int), map=np.zeros(1, int))
    joined = lambda text, suffix: encoder.fitted(text, suffix)[0] if suffix else text  # noqa: E731
    table = PromptTable(views, {"a": [LONG * 5, "a cup"]}, ("", ", normal map"), joined).table
    assert table[1:3] == [LONG * 5, "a cup"] and table[4] == "a cup, normal map"
    assert table[3].endswith(", normal map") and not encoder.cuts(table[3])
