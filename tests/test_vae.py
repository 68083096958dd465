"""The tiny VAE: it learns, restarts exactly, and a base prior on its latents is a prior like any other."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from prior_samples import write_views

from sdtool.cli import run
from sdtool.io.files import read_json, read_jsonl
from sdtool.priors.fresh import fresh_base, fresh_vae, save_base
from sdtool.priors.loading import load_agp, load_base, load_vae
from sdtool.priors.prior import vae_encode
from sdtool.training.checkpoints import save_checkpoint
from sdtool.training.data import Views
from sdtool.training.vae import LatentViews, psnr, save_vae

QUICK = ["--channels", "8", "--batch", "8", "--lr", "0.003"]


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    return write_views(tmp_path_factory.mktemp("views"), size=32)


@pytest.fixture(scope="module")
def vae(views):
    folder = views.parent / "vae"
    assert run(["train-vae", str(views), "--out", str(folder), "--steps", "200", *QUICK]) == 0
    return folder


def test_latents_are_a_quarter_of_the_size_and_pictures_come_back_in_shape():
    vae = fresh_vae(8)
    z = vae.encode(torch.zeros(2, 4, 32, 32)).latents
    assert z.shape == (2, 4, 8, 8)
    assert vae.decode(z).sample.shape == (2, 4, 32, 32)


@pytest.mark.slow
def test_it_learns_to_give_pictures_back(vae, views):
    facts, log = read_json(vae / "sdtool.json"), list(read_jsonl(vae / "log.jsonl"))
    assert log[-1]["loss"] < 0.6 * log[0]["loss"]
    shown = Views([views], ("rgb", "normal")).maps(np.arange(0, 64, 4))
    assert psnr(load_vae(vae), shown) > psnr(fresh_vae(8), shown) + 3
    assert facts["psnr"] > 14 and "psnr" in (vae / "README.md").read_text(encoding="utf-8")
    with Image.open(vae / "samples/step-000200.png") as picture:
        assert picture.size == (16 * 34 - 2, 2 * 34 - 2)


@pytest.mark.slow
def test_latents_resemble_the_maps_at_a_quarter_of_their_size(vae, views):
    maps = Views([views], ("rgb", "normal")).maps(np.arange(64))
    small = torch.nn.functional.avg_pool2d(maps, 4)
    with torch.no_grad():
        distance = (vae_encode(load_vae(vae), maps) - small).square().mean()
        untrained = (vae_encode(fresh_vae(8), maps) - small).square().mean()
    assert distance < 0.5 * untrained


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_bits(vae, views, tmp_path, monkeypatch):
    saved = []

    def stop(out, step, *rest):
        save_checkpoint(out, step, *rest)
        saved.append(step)
        raise KeyboardInterrupt

    command = ["train-vae", str(views), "--out", str(tmp_path / "vae"), "--steps", "200", *QUICK]
    command += ["--checkpoint-every", "70"]
    with monkeypatch.context() as patch:
        patch.setattr("sdtool.training.loop.save_checkpoint", stop)
        assert run(command) == 130
    assert saved == [70]
    assert run(command) == 0
    name = "diffusion_pytorch_model.safetensors"
    assert (tmp_path / "vae" / name).read_bytes() == (vae / name).read_bytes()


@pytest.mark.slow
def test_a_finished_training_is_not_repeated_and_its_size_is_checked(vae, views, tmp_path, capsys):
    assert run(["train-vae", str(views), "--out", str(vae), "--steps", "200", *QUICK]) == 0
    assert "already done" in capsys.readouterr().err
    odd = write_views(tmp_path / "odd", size=18, objects=2)
    assert run(["train-vae", str(odd), "--out", str(tmp_path / "vae")]) == 2
    assert "maps of 18 pixels" in capsys.readouterr().err
    assert not (tmp_path / "vae" / "config.json").exists()


def test_no_pictures_are_drawn_when_none_are_asked_for(views, tmp_path):
    command = ["train-vae", str(views), "--out", str(tmp_path), "--steps", "2", *QUICK]
    assert run([*command, "--sample-every", "0"]) == 0
    assert not (tmp_path / "samples").exists()
    assert "samples" not in read_json(tmp_path / "stage.json")["outputs"]


@pytest.mark.slow
def test_cached_latents_are_what_the_vae_says(vae, views, tmp_path):
    data, codec = Views([views], ("rgb", "normal")), load_vae(vae)
    cached = LatentViews(data, codec, tmp_path / "latents.npy", batch=10)
    index = np.array([3, 40, 63])
    with torch.no_grad():
        expected = vae_encode(codec, data.maps(index))
    assert cached.size == 8 and torch.allclose(cached.maps(index), expected, atol=2e-3, rtol=1e-3)


@pytest.mark.slow
def test_a_base_on_latents_is_a_prior_like_any_other(vae, views, tmp_path):
    base = tmp_path / "base"
    command = ["train-base", str(views), "--captions", str(views), "--vae", str(vae)]
    command += ["--out", str(base), "--steps", "4", "--width", "8", "--batch", "4", "--fp16"]
    assert run(command) == 0
    assert sorted(p.name for p in base.iterdir()) == [
        "README.md", "log.jsonl", "model_index.json", "samples", "scheduler", "sdtool.json",
        "stage.json", "text_encoder", "tokenizer", "unet", "vae",
    ]  # fmt: skip
    prior = load_base(base)
    assert (prior.is_latent, prior.sample_size, prior.channels) == (True, 8, 4)
    maps = (2 * torch.rand(2, 4, 32, 32) - 1).requires_grad_()
    z = prior.encode_image(maps)
    z.sum().backward()
    assert prior.takes_maps and z.shape == (2, 4, 8, 8) and maps.grad.abs().min() > 0
    assert prior.decode_image(z).shape == (2, 3, 32, 32)
    assert json.loads((base / "model_index.json").read_text())["vae"] == [
        "diffusers", "AutoencoderTiny",
    ]  # fmt: skip
    agp = tmp_path / "agp"
    small = write_views(tmp_path / "small", size=8)
    command = ["finetune-agp", str(small), "--captions", str(small), "--base", str(base)]
    assert run([*command, "--out", str(agp), "--steps", "2", "--batch", "4"]) == 0
    assert load_agp(agp).sample_size == 8


def test_a_base_does_not_tell_where_its_vae_lay(tmp_path):
    save_vae(fresh_vae(8), tmp_path / "vae", {})
    codec = load_vae(tmp_path / "vae")
    prior = fresh_base(["a corgi"], size=8, width=8, vae=codec)
    save_base(prior, tmp_path / "base", facts={})
    written = [path.read_text(encoding="utf-8") for path in (tmp_path / "base").rglob("*.json")]
    assert len(written) > 5 and not any(str(tmp_path) in text for text in written)


def test_a_folder_without_a_vae_is_named(views, tmp_path, capsys):
    command = ["train-base", str(views), "--captions", str(views), "--vae", str(tmp_path)]
    for _ in range(2):
        assert run([*command, "--out", str(tmp_path / "base")]) == 1
        assert "holds no VAE of the kinds" in (said := capsys.readouterr().err)
        assert "name a folder that train-vae wrote, or vae/ of a diffusers folder" in said
        (tmp_path / "config.json").write_text("{}")


@pytest.mark.parametrize("stage", [["train-vae"], ["train-base", "--captions", "nowhere"]])
def test_many_processes_are_refused(stage, views, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run([*stage, str(views), "--out", str(tmp_path / "out")]) == 2
    assert f"{stage[0]} trains in one process" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
