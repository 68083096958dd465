"""Bases in one `.safetensors` file: the same bits as from their folder, without a network; and refusals."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from checkpoint_samples import write_checkpoint
from prior_samples import write_sdxl, write_version, write_views
from safetensors.torch import load_file, save_file

from sdtool.cli import run
from sdtool.errors import InputError
from sdtool.io.stage_record import LARGE, digest
from sdtool.priors import vocabulary
from sdtool.priors.agp import fresh_agp
from sdtool.priors.cards import base_of, stored_base
from sdtool.priors.checkpoint import Checkpoint
from sdtool.priors.checkpoint_configs import text_config, unet_config, vae_config
from sdtool.priors.checkpoint_parts import measured_prediction
from sdtool.priors.folder_check import check_local
from sdtool.priors.loading import load_agp, load_base
from sdtool.priors.model_card import save_agp
from sdtool.priors.pairs import load_pair, text_encoders

CAPTIONS = ["a red disc", "a blue square"] * 3
KINDS = ("v1", "v2", "v2-v", "xl")
UNET = "model.diffusion_model."


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """kind → (folder, the same as one file)."""
    root, found = tmp_path_factory.mktemp("single"), {}
    for kind in KINDS:
        folder, more = root / kind, {}
        if kind == "xl":
            write_sdxl(folder, CAPTIONS, latents=128)
        elif kind == "v2-v":
            write_version(folder, CAPTIONS, prediction="v_prediction")
            more = {"v_pred": torch.zeros(1)}
        else:
            write_version(folder, CAPTIONS)
        place = root / f"{kind}-file"
        place.mkdir()
        found[kind] = folder, write_checkpoint(folder, place / "model.safetensors", **more)
    (root / "v2-file" / "model.yaml").write_text("model:\n  params:\n    linear_start: 0.00085\n")
    return found


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No vocabulary in the hub's cache, and no hub."""
    import huggingface_hub

    def absent(*args, **options):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", absent)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args: None)


def refusal(path):
    with pytest.raises(InputError) as error:
        load_base(path)
    said = str(error.value)
    assert str(path) in said and "\n" not in said and "cannot be loaded" not in said
    return said


def changed(path, place, function):
    """A copy of a file with other tensors; its vocabulary beside it."""
    place.mkdir(exist_ok=True)
    shutil.copytree(path.parent / "tokenizer", place / "tokenizer", dirs_exist_ok=True)
    tensors = {k: v.contiguous() for k, v in function(load_file(path)).items()}
    save_file(tensors, place / "model.safetensors")
    return place / "model.safetensors"


# What is read


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_the_same_model_as_its_folder(bases, kind, alone):
    one, other = (load_base(place) for place in bases[kind])
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    text = one.encode_text(["a red disc", ""])
    assert torch.equal(other.encode_text(["a red disc", ""]), text)
    t = torch.tensor([5, 900])
    assert torch.equal(other.predict_noise(x, t, text), one.predict_noise(x, t, text))
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(
        other.encode_image(image, 8), one.encode_image(image, 8), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(other.decode_image(x), one.decode_image(x), rtol=0, atol=1e-5)
    assert torch.equal(other.alphas_cumprod, one.alphas_cumprod)
    expected = {"v1": 64, "v2": 64, "v2-v": 96, "xl": 128}[kind]
    assert one.sample_size == other.sample_size == expected
    assert one.prediction == other.prediction == ("v_prediction" if kind == "v2-v" else "epsilon")
    assert other.text.length == 77 and other.takes_sizes == (kind == "xl")


def shapes_of(prefix, weights):
    """Names with a prefix → shapes, of lines like "name 320 4 3 3"."""
    rows = (line.split() for line in weights.strip().splitlines())
    return {prefix + name: tuple(map(int, shape)) for name, *shape in rows}


def full_size(channels, depths, width, linear, **more):
    """A head like that of a published checkpoint: two layers a level, of so many channels and as deep."""
    at, found = f"{UNET}input_blocks", {f"{UNET}input_blocks.0.0.weight": (channels[0], 4, 3, 3)}
    k = 1
    for level, (c, depth) in enumerate(zip(channels, depths, strict=True)):
        for _ in range(2):
            found[f"{at}.{k}.0.in_layers.2.weight"] = (c, c, 3, 3)
            for d in range(depth):
                found[f"{at}.{k}.1.transformer_blocks.{d}.attn2.to_k.weight"] = (c, width)
                found[f"{at}.{k}.1.proj_in.weight"] = (c, c) if linear else (c, c, 1, 1)
            k += 1
        if level < len(channels) - 1:
            found[f"{at}.{k}.0.op.weight"] = (c, c, 3, 3)
            k += 1
    for d in range(max(1, depths[-1])):
        found[f"{UNET}middle_block.1.transformer_blocks.{d}.attn2.to_k.weight"] = (c, width)
    found[f"{UNET}out.2.weight"] = (4, channels[0], 3, 3)
    for level, c in enumerate((128, 256, 512, 512)):
        for block in range(2):
            name = f"first_stage_model.encoder.down.{level}.block.{block}.conv1.weight"
            found[name] = (c, c, 3, 3)
    return found | {"first_stage_model.post_quant_conv.weight": (4, 4, 1, 1)} | more


def open_clip(prefix, width, layers):
    found = {
        f"{prefix}token_embedding.weight": (49408, width),
        f"{prefix}positional_embedding": (77, width),
        f"{prefix}text_projection": (width, width),
    }
    for k in range(layers):
        found[f"{prefix}transformer.resblocks.{k}.mlp.c_fc.weight"] = (4 * width, width)
    return found


def test_the_configurations_are_the_published_ones(bases):
    """Of Stable Diffusion 2.1 and SDXL at full size, from shapes alone."""
    found = Checkpoint(bases["v2"][1])
    found.shapes = full_size(
        (320, 640, 1280, 1280),
        (1, 1, 1, 0),
        1024,
        True,
        **open_clip("cond_stage_model.model.", 1024, 24),
    )
    unet, text, vae = unet_config(found), text_config(found), vae_config(found)
    assert unet["down_block_types"] == ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
    assert unet["attention_head_dim"] == [5, 10, 20, 20] and unet["cross_attention_dim"] == 1024
    assert unet["layers_per_block"] == 2 and unet["use_linear_projection"]
    assert (text["num_hidden_layers"], text["num_attention_heads"], text["hidden_act"]) == (
        23,
        16,
        "gelu",
    )
    assert vae["block_out_channels"] == [128, 256, 512, 512] and vae["layers_per_block"] == 2
    more = open_clip("conditioner.embedders.1.model.", 1280, 32)
    more |= {f"{UNET}label_emb.0.0.weight": (1280, 2816)}
    found.shapes = full_size((320, 640, 1280), (0, 2, 10), 2048, True, **more)
    unet, text = unet_config(found), text_config(found, second=True)
    assert unet["transformer_layers_per_block"] == [1, 2, 10]
    assert unet["down_block_types"] == ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2
    assert unet["addition_time_embed_dim"] == 256 and unet["sample_size"] == 128
    assert unet["projection_class_embeddings_input_dim"] == 2816
    assert (text["num_hidden_layers"], text["projection_dim"]) == (32, 1280)
    assert vae_config(found)["scaling_factor"] == 0.13025 and vae_config(found)["force_upcast"]
    name = f"{UNET}input_blocks.8.1.transformer_blocks.10.attn2.to_k.weight"
    found.shapes[name] = (1280, 2048)
    with pytest.raises(InputError, match="another shape than Stable Diffusion's"):
        unet_config(found)


def test_what_a_file_predicts_is_said_by_mark_metadata_or_the_file_beside_it(bases, tmp_path):
    source = bases["v2"][1]
    path = changed(source, tmp_path / "a", lambda tensors: tensors)
    assert Checkpoint(path).prediction == ""
    beside = path.with_suffix(".yaml")
    beside.write_text('model:\n  params:\n    parameterization: "v"\n')
    assert Checkpoint(path).prediction == "v_prediction"
    beside.write_text("model:\n  params:\n    # parameterization: v\n")
    assert Checkpoint(path).prediction == "epsilon"
    for said in ("v", "epsilon"):
        save_file(load_file(path), path, {"modelspec.prediction_type": said})
        assert Checkpoint(path).prediction == {"v": "v_prediction"}.get(said, said)


def test_else_the_model_shows_what_it_predicts(bases, tmp_path):
    unet = load_base(bases["v2"][0]).unet
    unet.forward = lambda x, *args, **options: type("Out", (), {"sample": x + 0.3})
    assert measured_prediction(unet) == "epsilon"
    unet.forward = lambda x, *args, **options: type("Out", (), {"sample": 0.07 * x - x.roll(1)})
    assert measured_prediction(unet) == "v_prediction"
    unmarked = changed(bases["v2"][1], tmp_path / "a", lambda tensors: tensors)
    assert load_base(unmarked).sample_size == 96  # noise gives no noise back


def test_a_schedule_that_ends_without_signal(bases, tmp_path):
    marks = {"v_pred": torch.zeros(1), "ztsnr": torch.zeros(1)}
    prior = load_base(changed(bases["xl"][1], tmp_path / "a", lambda tensors: tensors | marks))
    assert prior.prediction == "v_prediction"
    signal = prior.alphas_cumprod
    assert signal[-1] == 2**-24 and 0 < signal[-2] < 1e-5 and signal[0] > 0.99
    folder = Path(shutil.copytree(bases["v2-v"][0], tmp_path / "v2"))  # as a folder says it
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rescale_betas_zero_snr": True}))
    assert load_base(folder).alphas_cumprod[-1] == 2**-24


# An AGP of a file, and the commands


def test_an_agp_of_a_file_finds_it_again(bases, tmp_path, capsys, alone):
    place = tmp_path / "models"
    shutil.copytree(bases["v2-v"][1].parent, place)
    file, out = place / "model.safetensors", tmp_path / "agp"
    views = write_views(tmp_path / "64", size=64, objects=2, views=1)
    command = ["finetune-agp", str(views), "--captions", str(views), "--base", str(file)]
    assert run([*command, "--out", str(tmp_path / "wrong")]) == 2
    assert "render with --size 96" in capsys.readouterr().err
    prior = fresh_agp(load_base(file), torch.Generator().manual_seed(0))
    save_agp(prior, out, base=stored_base(file, out), facts={"steps": 0})
    assert json.loads((out / "agp.json").read_text())["base"] == "../models/model.safetensors"
    assert base_of(out) == str(out / "../models/model.safetensors")
    (tmp_path / "link.safetensors").symlink_to(shutil.copy(file, tmp_path / "blob"))
    assert stored_base(tmp_path / "link.safetensors", out) == "../link.safetensors"
    agp = load_agp(out)
    assert agp.prediction == "v_prediction" and agp.sample_size == 96
    pair = load_pair(base_of(out), out, "cpu", torch.float32)
    with text_encoders(*pair):
        assert pair[0].text is pair[1].text
    beside = json.loads((out / "agp.json").read_text()) | {"base": "../gone.safetensors"}
    (out / "agp.json").write_text(json.dumps(beside))
    with pytest.raises(InputError, match="there is no such file"):
        load_agp(out)


def test_a_large_file_is_known_by_parts_of_it(tmp_path):
    path, size = tmp_path / "model.safetensors", LARGE + 10**6
    path.touch()
    os.truncate(path, size)  # takes no disk
    first = digest(path)
    assert digest(path) == first
    for place in (0, size - 1):
        with open(path, "r+b") as file:
            file.seek(place)
            file.write(b"x")
        assert digest(path) != first
        first = digest(path)


# Refusals


def without(prefix):
    return lambda tensors: {k: v for k, v in tensors.items() if not k.startswith(prefix)}


def wide(channels):
    name = f"{UNET}input_blocks.0.0.weight"
    return lambda tensors: tensors | {name: torch.zeros(32, channels, 3, 3)}


REFUSED = {
    "(inpainting)": wide(9),
    "(depth-to-image)": wide(5),
    "(an upscaler)": wide(7),
    "as upscalers and unCLIP do": lambda t: t | {f"{UNET}label_emb.weight": torch.zeros(2)},
    "holds no VAE; take the checkpoint with": without("first_stage_model"),
    "holds no text encoder": without("cond_stage_model"),
    "one part of a diffusers folder": lambda t: {"down_blocks.0.a": torch.zeros(2)},
    "a LoRA": lambda t: {"lora_unet_x.lora_down.weight": torch.zeros(2)},
    "SD3 or Flux": lambda t: {f"{UNET}joint_blocks.0.a": torch.zeros(2)},
    "a ControlNet": lambda t: t | {"control_model.a": torch.zeros(2)},
    "the refiner of SDXL": lambda t: {"conditioner.embedders.0.model.a": torch.zeros(2)},
    "without a UNet of Stable Diffusion's": lambda t: {"other": torch.zeros(2)},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_of_another_kind_is_refused_by_its_head(bases, tmp_path, kind):
    assert kind in refusal(changed(bases["v1"][1], tmp_path / "a", REFUSED[kind]))


def test_a_file_that_is_not_whole_is_named(bases, tmp_path):
    path = changed(bases["v1"][1], tmp_path / "a", without(f"{UNET}middle_block.0.in_layers.0"))
    assert "is not whole" in refusal(path)
    path = changed(
        bases["v1"][1], tmp_path / "a", without("cond_stage_model.transformer.text_model.final")
    )
    assert "is not whole" in refusal(path)
    nan = {f"{UNET}out.2.bias": torch.full((4,), torch.nan)}
    path = changed(bases["v1"][1], tmp_path / "a", lambda tensors: tensors | nan)
    assert "is damaged" in refusal(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a whole file of safetensors" in refusal(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refusal(path)
    assert "there is no such file" in refusal(tmp_path / "nothing.safetensors")


def test_a_vocabulary_is_asked_for_in_one_sentence_before_any_work(
    bases, tmp_path, capsys, alone, monkeypatch
):
    path = changed(bases["v1"][1], tmp_path / "a", lambda tensors: tensors)
    held = tmp_path / "cache"
    shutil.move(path.parent / "tokenizer", held)
    for command in (["lift", "a"], ["sample-prior", "a"]):
        assert run([*command, "--base", str(path), "--out", str(tmp_path / "out")]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"sdtool: {path} holds no vocabulary") and said.count("\n") == 1
        assert str(path.parent / "tokenizer") in said and not (tmp_path / "out").exists()
    import huggingface_hub

    def cached(model, name):
        return str(held / name) if model.startswith("sd2-community") else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert vocabulary.vocabulary_of(path) == held / "tokenizer"
    shutil.copytree(bases["v1"][0] / "tokenizer", path.parent / "tokenizer")
    tokens = json.loads((path.parent / "tokenizer" / "tokenizer.json").read_text())
    tokens["added_tokens"].append(tokens["added_tokens"][-1] | {"id": 10**4, "content": "<more>"})
    (path.parent / "tokenizer" / "tokenizer.json").write_text(json.dumps(tokens))
    assert "do not belong together" in refusal(path)


@pytest.mark.parametrize("suffix", [".ckpt", ".bin"])
def test_files_that_can_run_code_are_refused_with_what_converts_them(bases, tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    tensors = load_file(bases["v1"][1])
    torch.save({"state_dict": tensors, "global_step": 3}, path)
    said = refusal(path)
    with pytest.raises(InputError):
        check_local(str(path))
    exec(said.split("in Python: ")[1])
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == tensors.keys()
