"""Guidance in one pass: the hook, the loss, the command, and when a lift makes use of it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from prior_samples import write_views

from sdtool.cli import run
from sdtool.geometry.cameras import orbit
from sdtool.io.files import read_json
from sdtool.lifting import sds
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.presets import PRESETS
from sdtool.priors.agp import fresh_agp
from sdtool.priors.fresh import fresh_base, save_base
from sdtool.priors.guided import fresh_guided
from sdtool.priors.loading import load_agp, load_base
from sdtool.priors.model_card import save_agp
from sdtool.training.guidance_distillation import GuidedObjective
from sdtool.training.settings import TrainingSettings


@pytest.fixture(scope="module")
def base():
    return fresh_base(["a red disc", "a blue square"], size=16, width=8)


@pytest.fixture(scope="module")
def agp(base):
    made = fresh_agp(base, torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    with torch.no_grad():  # so that the camera matters
        for value in made.unet.class_embedding.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return made


def inputs(prior, count=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 4, 16, 16, generator=generator)
    text = prior.encode_text(["a red disc", "a blue square", "a red square"][:count])
    c2w = torch.from_numpy(orbit(np.arange(count) * 1.0, np.full(count, 0.2), 1.5))
    return x, torch.tensor([20, 400, 900][:count]), text, c2w


@pytest.mark.parametrize("kind", ["base", "agp"])
def test_a_fresh_copy_answers_as_its_teacher_until_it_has_learned(kind, request):
    teacher = request.getfixturevalue(kind)
    copy, given, scales = fresh_guided(teacher), inputs(teacher), torch.tensor([1.0, 2, 8])
    with torch.no_grad():
        wanted = teacher.predict_noise(*given)
        assert torch.equal(copy.predict_noise(*given), wanted)
        assert torch.equal(copy.predict_noise(*given, guidance=scales), wanted)
        copy.unet.conv_out.bias[4:] = 0.5
        told = copy.predict(*given, guidance=scales) - teacher.predict(*given)
    assert torch.equal(copy.predict(*given), teacher.predict(*given))
    expected = torch.tensor([0.0, 0.5, 3.5]).view(3, 1, 1, 1).expand(told.shape)
    assert torch.allclose(told, expected, atol=1e-5)
    with pytest.raises(ValueError, match="answers no guided predictions"):
        teacher.predict_noise(*given, guidance=scales)


def test_the_loss_is_zero_for_one_that_answers_as_guidance_does(agp):
    """The student of the test is handed the closed form; a direction that is off misses it."""
    x, t, text, c2w = inputs(agp)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    empty = agp.encode_text([""])

    def answer(noisy, t, text, c2w, ccm=None, factor=1.0):
        without = agp.predict(noisy, t, empty.expand(3, -1, -1), c2w)
        with_text = agp.predict(noisy, t, text, c2w)
        return with_text, factor * (with_text - without)

    student = fresh_guided(agp)
    objective = GuidedObjective(student, agp, empty)
    student.predict_both = answer
    with torch.no_grad():
        assert objective(x, noise, t, text, c2w) == pytest.approx(0, abs=1e-9)
        student.predict_both = partial(answer, factor=1.1)
        assert objective(x, noise, t, text, c2w) > 1e-7


def test_what_is_trained_from_a_guided_base_has_no_such_hook(base):
    guided = fresh_guided(base)
    made = fresh_agp(guided, torch.Generator().manual_seed(0))
    assert not made.is_guided and made.unet.config["out_channels"] == 4
    x, t, text, c2w = inputs(base)
    with torch.no_grad():
        assert torch.equal(made.predict(x, t, text, c2w), base.predict(x, t, text))
    again = fresh_guided(guided)
    with torch.no_grad():
        assert torch.equal(again.predict(x, t, text), base.predict(x, t, text))


@pytest.mark.parametrize(
    "negative, rescale, expected", [("", 0, True), ("blurry", 0, False), ("", 0.5, False)]
)
def test_one_pass_is_taken_where_it_means_the_same(base, negative, rescale, expected):
    assert sds.answers_guided(fresh_guided(base), negative, rescale) is expected
    assert not sds.answers_guided(base, negative, rescale)


def test_a_lift_asks_once_for_each_view(base, agp):
    asked = {"base": [], "agp": []}

    def counting(name, prior):
        whole = prior.predict_noise

        def predict_noise(x, t, text, c2w=None, ccm=None, guidance=None):
            asked[name].append((len(x), None if guidance is None else guidance.tolist()))
            return whole(x, t, text, c2w, ccm, guidance)

        prior.predict_noise = predict_noise
        return prior

    pair = counting("base", base), counting("agp", fresh_guided(agp))
    guidance = Guidance(*pair, "a red disc")
    phase = replace(PRESETS["dmtet"]["tiny-cpu"].phases[1], scale_align=7.0, ori_every=1)
    maps = {name: torch.zeros(2, 4, 16, 16, requires_grad=True) for name in ("ccm", "normal")}
    c2w = inputs(base, 2)[3]
    guidance.loss(maps, c2w, phase, 0.5, 1.0, torch.Generator().manual_seed(0))
    assert asked == {"base": [(4, None)], "agp": [(2, [7.0, 7.0])]}
    del base.predict_noise


def test_the_share_at_half_resolution_is_first_or_spread():
    first = TrainingSettings(10, half_resolution=0.3)
    spread = TrainingSettings(10, half_resolution=0.3, spread_half=True)
    assert [first.is_half(k) for k in range(10)] == [True] * 3 + [False] * 7
    assert [k for k in range(10) if spread.is_half(k)] == [3, 6, 9]
    assert not first.params()["spread_half"] and spread.params()["spread_half"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["base", "agp"])
def test_the_command_writes_a_folder_of_the_same_kind(kind, base, agp, views, tmp_path, capsys):
    save_base(base, tmp_path / "base", facts={})
    save_agp(agp, tmp_path / "agp", base="../base", facts={"camera": {"distance": 1.5}})
    out = tmp_path / "guided"
    command = ["distill-guidance", str(tmp_path / kind), str(views), "--captions", str(views)]
    command += ["--out", str(out), "--steps", "2", "--batch", "4", "--fp16"]
    assert run(command) == 0
    said = capsys.readouterr().err
    assert "one pass differs from two" in said
    load = {"base": load_base, "agp": load_agp}[kind]
    guided, teacher = load(out), load(tmp_path / kind)
    assert guided.is_guided and not teacher.is_guided
    card = read_json(out / {"base": "sdtool.json", "agp": "agp.json"}[kind])
    assert set(card["distillation"]["guidance_error"]) == {"50-349", "350-649", "650-949"}
    if kind == "agp":
        assert card["camera"] == {"distance": 1.5}
    assert not list(out.glob("*.cache")) + list(out.glob("latents.npy"))
    given = inputs(guided)
    with torch.no_grad():  # two steps at fp16: near its teacher still
        assert torch.allclose(guided.predict(*given), teacher.predict(*given), atol=0.05)
    assert run(command) == 0 and "already done" in capsys.readouterr().err


def test_what_is_no_prior_and_maps_of_another_size_are_named(base, views, tmp_path, capsys):
    command = ["--captions", str(views), "--out", str(tmp_path / "out")]
    assert run(["distill-guidance", str(tmp_path), str(views), *command]) == 1
    assert "holds no unet/" in capsys.readouterr().err
    save_base(base, tmp_path / "base", facts={})
    large = write_views(tmp_path / "large", size=32)
    assert run(["distill-guidance", str(tmp_path / "base"), str(large), *command]) == 2
    assert "render with --size 16" in capsys.readouterr().err
