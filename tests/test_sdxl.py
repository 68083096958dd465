"""SDXL through the same contract as every other prior: text, sizes, camera, VAE; from folder to lift."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from prior_samples import write_sdxl, write_views

from sdtool.cli import run
from sdtool.errors import InputError
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.presets import PRESETS
from sdtool.priors import traced
from sdtool.priors.agp import fresh_agp
from sdtool.priors.loading import load_agp, load_base
from sdtool.priors.model_card import save_agp
from sdtool.priors.models import AutoencoderKL, UNet2DConditionModel
from sdtool.priors.pairs import load_pair, text_encoders
from sdtool.priors.split import split

CAPTIONS = ["a red disc", "a blue square"] * 3
POOLED = 24


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    return write_sdxl(tmp_path_factory.mktemp("xl") / "xl", CAPTIONS)


@pytest.fixture(scope="module")
def base(sdxl):
    return load_base(sdxl)


@pytest.fixture(scope="module")
def agp(sdxl, base):
    """An AGP of it, beside it, whose camera counts."""
    prior = fresh_agp(base, torch.Generator().manual_seed(0))
    torch.nn.init.normal_(prior.unet.class_embedding.linear_2.weight)
    save_agp(prior, sdxl.parent / "agp", base="../xl", facts={"steps": 0})
    return sdxl.parent / "agp"


def noisy(count=2):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 4, 8, 8, generator=generator), torch.tensor([10, 900])[:count]


# The model


def test_texts_sizes_and_predictions_are_those_of_diffusers_own_pipeline(sdxl, base):
    from diffusers import StableDiffusionXLPipeline

    pipe = StableDiffusionXLPipeline.from_pretrained(sdxl)
    text, empty, pooled, nothing = pipe.encode_prompt("a red disc", device="cpu")
    told = base.encode_text(["a red disc", ""])
    assert told.shape == (2, 78, 40)
    torch.testing.assert_close(told[:, :-1], torch.cat([text, empty]))
    torch.testing.assert_close(told[:, -1, :POOLED], torch.cat([pooled, nothing]))
    assert not told[1].any() and not told[:, -1, POOLED:].any()
    x, t = noisy()
    sizes = pipe._get_add_time_ids((64, 64), (0, 0), (64, 64), torch.float32, POOLED)
    added = {"text_embeds": torch.cat([pooled, nothing]), "time_ids": sizes.repeat(2, 1)}
    expected = pipe.unet(x, t, torch.cat([text, empty]), added_cond_kwargs=added).sample
    torch.testing.assert_close(base.predict_noise(x, t, told), expected)
    assert base.prediction == "epsilon" and base.sample_size == 8 and not base.takes_maps
    expected = pipe.scheduler.alphas_cumprod
    torch.testing.assert_close(base.alphas_cumprod, expected)


def test_smaller_latents_are_said_to_be_of_a_picture_of_the_models_own_size(base):
    seen = []
    base.unet.register_forward_pre_hook(
        lambda _, args, given: seen.append(given["added_cond_kwargs"]), with_kwargs=True
    )
    x, t = noisy()
    base.predict_noise(x[..., :4, :4], t, base.encode_text(["a", "b"]))
    base.unet._forward_pre_hooks.clear()
    assert seen[0]["time_ids"].tolist() == [[64, 64, 0, 0, 32, 32]] * 2


def test_an_empty_prompt_is_zero_only_where_the_folder_says_so(sdxl, tmp_path):
    other = Path(shutil.copytree(sdxl, tmp_path / "xl"))
    index = json.loads((other / "model_index.json").read_text())
    assert index["force_zeros_for_empty_prompt"]
    text = json.dumps(index | {"force_zeros_for_empty_prompt": False})
    (other / "model_index.json").write_text(text)
    assert load_base(other).encode_text([""]).any()


def test_its_vae_is_of_float32_where_float16_would_overflow(sdxl, tmp_path):
    image = torch.rand(1, 3, 64, 64)
    half = load_base(sdxl, dtype=torch.float16, with_text=False)
    assert half.unet.dtype == torch.float16 and half.vae.dtype == torch.float32
    assert half.encode_image(image, 8).isfinite().all()
    assert load_base(sdxl, dtype=torch.bfloat16, with_text=False).vae.dtype == torch.bfloat16
    mended = Path(shutil.copytree(sdxl, tmp_path / "xl"))  # one that was made not to overflow
    vae = AutoencoderKL.from_pretrained(mended / "vae")
    vae.register_to_config(force_upcast=False)
    vae.save_pretrained(mended / "vae")
    assert load_base(mended, dtype=torch.float16, with_text=False).vae.dtype == torch.float16


# The AGP


def test_a_fresh_agp_equals_it_and_its_camera_stands_beside_the_sizes(base):
    agp = fresh_agp(base, torch.Generator().manual_seed(0))
    x, t = noisy()
    text, c2w = base.encode_text(["a red disc", ""]), torch.eye(4).repeat(2, 1, 1)
    assert torch.equal(agp.predict_noise(x, t, text, c2w), base.predict_noise(x, t, text))
    first = agp.unet.class_embedding.linear_1.weight
    assert first.shape[1] == 6 * 8 + POOLED and not first[:, 12:].any() and first[:, :12].any()
    torch.nn.init.normal_(agp.unet.class_embedding.linear_2.weight)
    turned = c2w.flip(1)
    one, other = (agp.predict_noise(x, t, text, where) for where in (c2w, turned))
    assert not torch.allclose(one, other)
    less = torch.cat([text[:, :-1], torch.zeros_like(text[:, -1:])], dim=1)
    assert not torch.allclose(one, agp.predict_noise(x, t, less, c2w))  # the pooled text counts


def test_an_agp_is_read_again_and_plain_diffusers_reads_it_as_its_card_says(agp):
    prior = load_agp(agp)
    x, t = noisy()
    text, c2w = prior.encode_text(["a red disc", "a"]), torch.eye(4).repeat(2, 1, 1)
    unet = UNet2DConditionModel.from_pretrained(agp, subfolder="unet")
    card = (agp / "README.md").read_text()
    assert "added_cond_kwargs" in card and "followed by zeros" in card
    camera = torch.zeros(2, unet.config["projection_class_embeddings_input_dim"])
    camera[:, :12] = c2w[:, :3].flatten(1)
    sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]]).repeat(2, 1)
    added = {"text_embeds": text[:, -1, :POOLED], "time_ids": sizes}
    expected = unet(x, t, text[:, :-1], class_labels=camera, added_cond_kwargs=added).sample
    torch.testing.assert_close(prior.predict_noise(x, t, text, c2w), expected)


def test_both_priors_have_both_encoders_once_and_give_way_to_records_and_halves(
    sdxl, agp, monkeypatch
):
    pair = load_pair(sdxl, agp, "cpu", torch.float32)
    with text_encoders(*pair):
        assert pair[0].text is pair[1].text
        text = pair[0].encode_text(["a red disc", "a", ""])
    x, t = torch.cat([noisy()[0], noisy()[0][:1]]), torch.tensor([10, 900, 500])
    c2w = torch.eye(4).repeat(3, 1, 1)
    with torch.no_grad():
        expected = [prior.predict_noise(x, t, text, c2w) for prior in pair]
        with split(pair, None, 1):
            for prior, whole in zip(pair, expected, strict=True):
                torch.testing.assert_close(prior.predict_noise(x, t, text, c2w), whole)
        monkeypatch.setattr(traced, "RECORD_AT", 1)
        recorded = lambda unet, given: traced._Called(unet, list(given))  # noqa: E731  # quick
        monkeypatch.setattr(traced, "_recorded", recorded)
        pair[1].unet = traced.TracedUNet(pair[1].unet)
        torch.testing.assert_close(pair[1].predict_noise(x, t, text, c2w), expected[1])
        assert len(pair[1].unet.found) == 1


# Refusals


def test_what_is_of_its_kind_and_not_it_is_refused(sdxl, tmp_path):
    def copy(name):
        return Path(shutil.copytree(sdxl, tmp_path / name))

    def refusal(folder):
        with pytest.raises(InputError) as error:
            load_base(folder)
        assert str(folder) in str(error.value)
        return str(error.value)

    def change(folder, part, **values):
        path = folder / part
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    refiner = copy("refiner")
    change(refiner, "model_index.json", text_encoder=[None, None])
    shutil.rmtree(refiner / "text_encoder")
    assert "the refiner of SDXL" in refusal(refiner)
    for part in ("text_encoder_2", "tokenizer_2"):
        shutil.rmtree(copy(part) / part)
        assert f"lacks {part}/" in refusal(tmp_path / part)
    mixed = copy("mixed")
    change(mixed, "text_encoder_2/config.json", projection_dim=32)
    assert "pooled text of width 24, its second text encoder gives 32" in refusal(mixed)
    inpainting = copy("inpainting")
    change(inpainting, "unet/config.json", in_channels=9)
    assert "(inpainting)" in refusal(inpainting)
    agp = tmp_path / "agp"
    shutil.copytree(sdxl / "unet", agp / "unet")
    change(agp, "unet/config.json", class_embed_type="projection")
    (agp / "agp.json").write_text('{"base": "tiny"}')
    with pytest.raises(InputError, match="tiny is not the base of what was trained from it"):
        load_agp(agp)


# The commands


@pytest.mark.slow
def test_an_agp_is_trained_on_it_and_lifts_with_both(sdxl, tmp_path, capsys):
    views = write_views(tmp_path / "views", size=16)
    command = ["finetune-agp", "--captions", str(views), "--base", str(sdxl)]
    command += ["--steps", "2", "--batch", "2", "--sample-every", "0", "--exam", "1"]
    assert run([*command, str(views), "--out", str(tmp_path / "wrong")]) == 2
    assert "render with --size 8" in capsys.readouterr().err
    views, out = write_views(tmp_path / "small", size=8), tmp_path / "agp"
    assert run([*command, str(views), "--captions", str(views), "--out", str(out)]) == 0
    trained = load_agp(out)
    assert trained.takes_sizes and trained.has_camera

    pair = load_pair(sdxl, out, "cpu", torch.float32)
    with text_encoders(*pair):
        guidance = Guidance(*pair, "a red disc", by_view=True, perp_neg=True, open_words=True)
    maps = {name: torch.rand(2, 4, 16, 16, requires_grad=True) for name in ("ccm", "rgb", "normal")}
    c2w = torch.eye(4).repeat(2, 1, 1)
    c2w[:, 2, 3] = 1.5
    for rep in ("dmtet", "nerf"):
        for phase in PRESETS[rep]["paper"].phases:
            for one in maps.values():
                one.grad = None
            generator = torch.Generator().manual_seed(0)
            loss, sizes = guidance.loss(maps, c2w, phase, 0.5, 1.0, generator)
            loss.backward()
            seen = "rgb" if phase.sees == "rgb" else "normal"
            assert "ori" in sizes and maps[seen].grad.isfinite().all() and maps[seen].grad.any()
            assert ("align" in sizes) == bool(maps["ccm"].grad is not None)
