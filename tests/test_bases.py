"""Bases that are broken, foreign or of half precision: read as they are, or one sentence before any other."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from prior_samples import write_deepfloyd, write_stable_diffusion, write_views
from safetensors.torch import load_file, save_file

from sdtool.cli import run
from sdtool.errors import InputError
from sdtool.priors import hub
from sdtool.priors.loading import load_agp, load_base
from sdtool.priors.weights import variant_of

CAPTIONS = ["a red disc", "a blue square"]
UNET, VAE = "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"
TEXT = "text_encoder/model"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_stable_diffusion(tmp_path_factory.mktemp("bases") / "sd", CAPTIONS)


@pytest.fixture
def base(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "sd"))


def refusal(folder, load=load_base):
    with pytest.raises(InputError) as error:
        load(folder)
    said = str(error.value)
    assert str(folder) in said and "\n" not in said and "cannot be loaded" not in said
    return said


def change(path, **values):
    path.parent.mkdir(exist_ok=True)
    old = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(old | values))


def change_weights(path, function):
    tensors = function(load_file(path))
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, {"format": "pt"})


# Broken copies


@pytest.mark.parametrize("part", ["unet", "text_encoder", "tokenizer", "scheduler", "vae"])
def test_a_part_that_is_missing_is_named(base, part):
    shutil.rmtree(base / part)
    said = refusal(base)
    assert f"lacks {part}/" in said or (part == "unet" and "and no UNet" in said)
    (base / part).mkdir()
    assert part in refusal(base)


@pytest.mark.parametrize("stem", [UNET, VAE, TEXT])
def test_weights_that_are_not_there_or_not_whole_are_named(base, stem):
    path = base / f"{stem}.safetensors"
    kept = path.read_bytes()
    path.unlink()
    assert "lacks its weights" in refusal(base)
    path.with_suffix(".bin").write_bytes(b"a pickle")
    said = refusal(base)
    assert "can run code" in said and f"from_pretrained('{base}'" in said
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refusal(base)
    path.write_bytes(kept)
    first = sorted(load_file(path))[:2]
    change_weights(path, lambda tensors: {k: v for k, v in tensors.items() if k not in first})
    said = refusal(base)
    assert "is not whole: its weights lack 2 of" in said and first[0].split(".")[-1] in said
    path.write_bytes(kept)
    damaged = sorted(load_file(path))[-1]
    change_weights(path, lambda tensors: tensors | {damaged: tensors[damaged] * torch.nan})
    assert "is damaged" in refusal(base) and "NaN" in refusal(base)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_shard_of_weights_that_is_missing_is_named(base, variant):
    whole = load_base(base).unet
    whole.save_pretrained(base / "unet", max_shard_size="20KB", variant=variant)
    (base / f"{UNET}.safetensors").unlink()
    found = load_base(base).unet.state_dict()
    assert all(torch.equal(found[name], value) for name, value in whole.state_dict().items())
    next((base / "unet").glob("*-00002-of-*")).unlink()
    assert "lacks 1 of its" in refusal(base)


def test_parts_of_other_models_are_told(base, tmp_path):
    change(base / "unet" / "config.json", cross_attention_dim=64)
    assert "width 64, its text encoder gives 32" in refusal(base)
    other = write_stable_diffusion(tmp_path / "other", ["another", "tokenizer of words"] * 9)
    shutil.rmtree(other / "tokenizer")
    big = json.loads((base / "tokenizer" / "tokenizer.json").read_text())
    big["model"]["vocab"] |= {f"zz{k}": len(big["model"]["vocab"]) + k for k in range(500)}
    shutil.copytree(base / "tokenizer", other / "tokenizer")
    (other / "tokenizer" / "tokenizer.json").write_text(json.dumps(big))
    vocab = other / "tokenizer" / "vocab.json"
    if vocab.is_file():
        vocab.write_text(json.dumps(big["model"]["vocab"]))
    assert "do not belong together" in refusal(other)


# Other kinds of models


KINDS = {
    "image_hint": {"addition_embed_type": "image_hint"},
    "text_image_proj": {"encoder_hid_dim_type": "text_image_proj"},
    "timestep": {"class_embed_type": "timestep"},
    "classes": {"num_class_embeds": 1000},
    "inpainting": {"in_channels": 9},
    "depth-to-image": {"in_channels": 5},
    "UNetMotionModel": {"_class_name": "UNetMotionModel"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_unet_of_another_kind_is_refused_by_its_config(base, kind):
    change(base / "unet" / "config.json", **KINDS[kind])
    for stem in (UNET, TEXT):
        (base / f"{stem}.safetensors").unlink()  # nothing large is opened to find out
    assert kind in refusal(base) and "which sdtool cannot use" in refusal(base)


def test_other_families_are_refused(base, tmp_path):
    change(
        base / "scheduler" / "scheduler_config.json", _class_name="FlowMatchEulerDiscreteScheduler"
    )
    assert "flow matching" in refusal(base)
    change(base / "scheduler" / "scheduler_config.json", _class_name="X", prediction_type="flow")
    assert "predicts 'flow'" in refusal(base)
    change(base / "scheduler" / "scheduler_config.json", _class_name="EDMEulerScheduler")
    assert "noise levels of its own" in refusal(base)
    shutil.copytree(base / "text_encoder", base / "text_encoder_2")
    assert "second text encoder" in refusal(base)
    (base / "unet").rename(base / "transformer")
    assert "SD3 or Flux" in refusal(base)
    with pytest.raises(InputError, match="not a base prior; name a diffusers folder"):
        load_base(tmp_path / "nothing")


def test_the_refusal_comes_before_any_other_word(base, tmp_path, capsys):
    """Not after the advice to render everything at the size of a base that cannot be used."""
    views = write_views(tmp_path / "views", size=16)  # the base works on 8×8
    change(base / "unet" / "config.json", in_channels=9)
    command = ["finetune-agp", str(views), "--captions", str(views), "--base", str(base)]
    for one in (
        command,
        ["lift", "a", "--base", str(base)],
        ["sample-prior", "a", "--base", str(base)],
    ):
        assert run([*one, "--out", str(tmp_path / "out")]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"sdtool: {base} is one whose UNet takes 9 channels")
        assert "(inpainting)" in said
        assert said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_an_agp_of_another_kind_is_refused(base, tmp_path):
    agp = Path(shutil.copytree(base, tmp_path / "agp"))
    (agp / "agp.json").write_text(json.dumps({"base": "../sd"}))
    assert "takes no camera" in refusal(agp, load_agp)
    change(agp / "unet" / "config.json", class_embed_type="projection", addition_embed_type="image")
    assert "also wants 'image'" in refusal(agp, load_agp)
    assert "is an AGP, not a base prior" in refusal(agp)


# Half precision only


def names_of_half(base):
    for stem in (UNET, VAE, TEXT):
        (base / f"{stem}.safetensors").rename(base / f"{stem}.fp16.safetensors")


def test_weights_of_half_precision_alone_are_taken(base):
    x, t = torch.zeros(1, 4, 8, 8), torch.tensor([5])
    before = load_base(base)
    text = before.encode_text(["a red disc"])
    expected = before.predict_noise(x, t, text)
    names_of_half(base)
    after = load_base(base)
    assert torch.equal(after.encode_text(["a red disc"]), text)
    assert torch.equal(after.predict_noise(x, t, text), expected)


@pytest.mark.parametrize(
    "files, variant",
    [
        (["w.safetensors", "w.fp16.safetensors"], None),
        (["w.fp16.safetensors", "w.non_ema.safetensors", "w.bf16.safetensors"], "fp16"),
        (["w.non_ema.safetensors"], "non_ema"),
        (["w.fp16-00001-of-00002.safetensors", "w.fp16-00002-of-00002.safetensors"], "fp16"),
        (["w-00001-of-00002.fp16.safetensors", "w.safetensors.index.fp16.json"], "fp16"),
        (["w-00001-of-00002.safetensors", "w.safetensors.index.json"], None),
    ],
)
def test_names_of_weights(tmp_path, files, variant):
    for name in files:
        (tmp_path / name).write_text("{}")
    assert variant_of(tmp_path, "w", "a base") == variant


def test_a_hub_is_asked_for_the_small_files_first(base, tmp_path, monkeypatch):
    """As huggingface_hub does it: a folder that grows by what is asked for."""
    names_of_half(base)
    asked, here = [], tmp_path / "snapshot"

    def snapshot(name, allow_patterns, ignore_patterns, revision=None):
        asked.append(allow_patterns)
        for path in (p for p in base.rglob("*") if p.is_file()):
            place = path.relative_to(base)
            if any(map(place.match, allow_patterns)) and not any(map(place.match, ignore_patterns)):
                (here / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, here / place)
        return str(here)

    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert load_base("someone/half").sample_size == 8
    assert len(asked) == 5 and asked[0] == hub.SMALL
    shutil.rmtree(here)
    asked.clear()
    change(base / "unet" / "config.json", in_channels=5)
    with pytest.raises(InputError, match="someone/half is one whose UNet takes 5 .*depth-to-image"):
        load_base("someone/half")
    assert asked == [hub.SMALL] and not list(here.rglob("*.safetensors"))


@pytest.mark.parametrize(
    "error, said",
    [
        (PermissionError(13, "Permission denied", "/nohome/hub"), "/nohome/hub: Permission denied"),
        (RuntimeError("Could not determine home directory."), "home directory"),
    ],
)
def test_a_hub_whose_files_cannot_be_kept_asks_for_another_folder(monkeypatch, error, said):
    import huggingface_hub

    def refuse(*args, **options):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=f"{said}.*HF_HOME"):
        load_base("someone/half")


# What is sound stays so


def test_sound_bases_of_every_kind_are_taken(base, tmp_path):
    assert load_base(base).is_latent
    assert load_base(write_deepfloyd(tmp_path / "if")).channels == 3
    assert load_base("tiny").channels == 4
    (
        base / "tokenizer" / "tokenizer_config.json"
    ).unlink()  # then nobody says how long texts may be
    assert load_base(base).text.length == 77
    assert np.isfinite(load_base(base).encode_text(["a"]).detach().numpy()).all()
    assert re.match(r"the base .*sd", load_base(base).name)
