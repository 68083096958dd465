"""One contract for every prior: pixel, latent, v-prediction, AGP; loading and its refusals."""

import json
import math
import shutil

import pytest
import torch
from prior_samples import small_unet, write_stable_diffusion
from transformers import CLIPTokenizer

from sdtool.errors import InputError
from sdtool.geometry.cameras import azimuth_elevation, orbit
from sdtool.priors.agp import fresh_agp
from sdtool.priors.cards import SD21_BASE, base_of, camera_of, stored_base
from sdtool.priors.fresh import fresh_base, save_base
from sdtool.priors.loading import load_agp, load_base
from sdtool.priors.model_card import save_agp
from sdtool.priors.models import DDPMScheduler, UNet2DConditionModel
from sdtool.priors.prior import Prior, camera_vector
from sdtool.priors.sampling import ddim
from sdtool.priors.text import fresh_text_encoder, learn_merges
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.training.identification import camera_ring, turntable_cameras, view_identification

CAPTIONS = ["a red wooden chair", "a small corgi", "a blue car", "a wooden table"] * 3


@pytest.fixture(scope="module")
def tiny() -> Prior:
    return fresh_base(CAPTIONS, size=16, width=8, seed=1)


@pytest.fixture(scope="module")
def tiny_folder(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "base"
    save_base(tiny, folder, facts={"steps": 0})
    return folder


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory):
    return write_stable_diffusion(tmp_path_factory.mktemp("sd") / "sd", CAPTIONS)


def noisy(prior: Prior, count: int = 3):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(
        count, prior.channels, prior.sample_size, prior.sample_size, generator=generator
    )
    t = torch.tensor([10, 500, 900])[:count]
    with torch.no_grad():
        return x, t, prior.encode_text(["a corgi", "", "a blue car"][:count])


# Images


def test_a_pixel_prior_takes_maps_averaged_premultiplied(tiny):
    color = torch.full((1, 3, 32, 32), 0.75, requires_grad=True)
    coverage = torch.zeros(1, 1, 32, 32)
    coverage[..., :9] = 1.0  # columns 0–7 fill four cells of the 16, column 8 half of a fifth
    assert tiny.takes_maps
    x = tiny.encode_image(torch.cat([(2 * color - 1) * coverage, 2 * coverage - 1], dim=1))
    assert x.shape == (1, 4, 16, 16)
    row = x[0, :, 7]
    assert torch.allclose(row[0, :6], torch.tensor([0.5, 0.5, 0.5, 0.5, 0.25, 0.0]))
    assert torch.allclose(row[3, :6], torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, -1.0]))
    x.sum().backward()
    assert color.grad[0, 0, 0, 8] == pytest.approx(2 / 4) and color.grad[0, 0, 0, 9] == 0


def test_maps_are_shown_over_white(tiny):
    x = torch.zeros(1, 4, 1, 3)
    x[0, :, 0, 0] = torch.tensor([0.5, -0.5, 0.0, 1.0])  # (0.75, 0.25, 0.5), covered
    x[0, :, 0, 1] = torch.tensor([0.0, 0.0, 0.0, -1.0])  # empty
    x[0, :, 0, 2] = torch.tensor([0.25, -0.25, 0.0, 0.0])  # the first colour, half covered
    expected = torch.tensor([[0.75, 0.25, 0.5], [1.0, 1.0, 1.0], [0.875, 0.625, 0.75]])
    assert torch.allclose(tiny.decode_image(x)[0, :, 0].T, expected)


def test_a_latent_prior_goes_through_its_vae(stable_diffusion):
    prior = load_base(stable_diffusion)
    assert (prior.is_latent, prior.channels, prior.sample_size) == (True, 4, 8)
    assert prior.normal_suffix == "" and prior.unknown_words("a zyzzyva") == []
    color = torch.rand(2, 3, 128, 128, requires_grad=True)
    assert not prior.takes_maps
    x = prior.encode_image(2 * color - 1)
    half = torch.nn.functional.avg_pool2d(2 * color - 1, 2)  # 8 latents · 8 pixels each = 64
    expected = prior.vae.encode(half).latent_dist.mean * 0.18215
    assert x.shape == (2, 4, 8, 8) and torch.allclose(x, expected, atol=1e-6)
    x.square().sum().backward()
    assert color.grad.abs().sum() > 0
    assert prior.encode_image(torch.rand(1, 3, 32, 32)).shape[-1] == 8
    assert prior.decode_image(x.detach()).shape == (2, 3, 64, 64)


def test_a_prior_of_the_if_kind_has_three_channels_and_drops_the_variance(tiny):
    text = fresh_text_encoder(CAPTIONS, width=32, layers=1, length=16)
    unet = small_unet(3, 6, 16)
    prior = Prior(unet, text, tiny.alphas_cumprod, name="if")
    x, t, embedding = noisy(prior)
    raw = unet(x, t, encoder_hidden_states=embedding).sample
    guess = prior.predict_noise(x, t, embedding)
    assert guess.shape == (3, 3, 16, 16) and torch.allclose(guess, raw[:, :3], atol=1e-5)
    color = torch.rand(1, 3, 16, 16)
    assert not prior.takes_maps and torch.equal(prior.encode_image(color), color)
    ccm = torch.rand(2, 4, 16, 16)
    assert torch.equal(prior.encode_map(ccm), ccm[:, :3]) and tiny.encode_map(ccm).equal(ccm)
    agp = fresh_agp(prior, torch.Generator())
    cameras = turntable_cameras(3)
    assert torch.allclose(agp.predict_noise(x, t, embedding, cameras), guess, atol=1e-5)
    odd = Prior(small_unet(9, 4, 16), text, tiny.alphas_cumprod, name="inpainting")
    with pytest.raises(InputError, match="9 channels"):
        fresh_agp(odd, torch.Generator())


# Noise


def test_add_noise_is_ddpm(tiny):
    scheduler = DDPMScheduler(beta_start=1e-4, beta_end=0.02)
    x, t, _ = noisy(tiny)
    noise = torch.randn_like(x)
    assert torch.allclose(tiny.add_noise(x, noise, t), scheduler.add_noise(x, noise, t), atol=1e-6)


def test_v_and_sample_predictions_become_noise(tiny):
    x, t, text = noisy(tiny)
    out = tiny.predict(x, t, text)
    a = tiny.alphas_cumprod[t].view(-1, 1, 1, 1)
    v = Prior(tiny.unet, tiny.text, tiny.alphas_cumprod, prediction="v_prediction")
    direct = Prior(tiny.unet, tiny.text, tiny.alphas_cumprod, prediction="sample")
    for prior, clean in ((v, a.sqrt() * x - (1 - a).sqrt() * out), (direct, out)):
        noise = prior.predict_noise(x, t, text)
        assert torch.allclose(prior.add_noise(clean, noise, t), x, atol=1e-5)
        assert torch.allclose(prior.target(clean, noise, t), out, atol=1e-5)
    plain = Prior(tiny.unet, tiny.text, tiny.alphas_cumprod)
    assert torch.equal(plain.predict_noise(x, t, text), out)
    assert plain.target(x, out, t) is out


def test_a_v_prediction_folder_is_recognised(stable_diffusion, tmp_path):
    folder = shutil.copytree(stable_diffusion, tmp_path / "v")
    config = {"prediction_type": "v_prediction", "beta_schedule": "scaled_linear"}
    from diffusers import DDIMScheduler

    DDIMScheduler(**config, beta_start=0.00085, beta_end=0.012).save_pretrained(
        folder / "scheduler"
    )
    prior, plain = load_base(folder), load_base(stable_diffusion)
    x, t, text = noisy(prior)
    a = plain.alphas_cumprod[t].view(-1, 1, 1, 1)
    expected = a.sqrt() * plain.predict_noise(x, t, text) + (1 - a).sqrt() * x
    assert torch.allclose(prior.predict_noise(x, t, text), expected, atol=1e-5)


def test_half_precision_weights_still_speak_float32(tiny_folder):
    prior, full = load_base(tiny_folder, dtype=torch.bfloat16), load_base(tiny_folder)
    x, t, text = noisy(prior)
    guess = prior.predict_noise(x, t, text)
    assert prior.unet.dtype == torch.bfloat16
    assert guess.dtype == text.dtype == torch.float32
    assert (guess - full.predict_noise(x, t, noisy(full)[2])).abs().mean() < 0.05


# The camera


def test_a_fresh_agp_equals_its_base_bit_for_bit(tiny):
    agp = fresh_agp(tiny, torch.Generator().manual_seed(0))
    x, t, text = noisy(tiny)
    cameras = turntable_cameras(3)
    with torch.no_grad():
        assert torch.equal(agp.predict_noise(x, t, text, cameras), tiny.predict_noise(x, t, text))
        torch.nn.init.normal_(agp.unet.class_embedding.linear_2.weight)
        one = agp.predict_noise(x, t, text, cameras)
        assert not torch.allclose(one, agp.predict_noise(x, t, text, cameras.roll(1, 0)))
    with pytest.raises(ValueError, match="c2w"):
        agp.predict_noise(x, t, text)
    with pytest.raises(InputError, match="already"):
        fresh_agp(agp, torch.Generator())


def test_the_camera_vector_is_the_upper_three_rows():
    c2w = torch.arange(16.0).view(1, 4, 4)
    assert camera_vector(c2w).tolist() == [[float(k) for k in range(12)]]


def test_an_agp_survives_its_folder_and_finds_its_base_beside_it(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "base")
    agp = fresh_agp(load_base(tmp_path / "base"), torch.Generator().manual_seed(0))
    torch.nn.init.normal_(agp.unet.class_embedding.linear_2.weight)
    stored = stored_base(tmp_path / "base", tmp_path / "agp")
    assert stored == "../base" and stored_base("tiny", tmp_path) == "tiny"
    save_agp(agp, tmp_path / "agp", base=stored, facts={"steps": 0})
    (tmp_path / "agp").rename(tmp_path / "moved")
    again = load_agp(tmp_path / "moved")
    x, t, text = noisy(again)
    cameras = turntable_cameras(3)
    expected = agp.predict_noise(x, t, text, cameras)
    assert torch.equal(again.predict_noise(x, t, text, cameras), expected)
    plain = UNet2DConditionModel.from_pretrained(tmp_path / "moved", subfolder="unet")
    camera = camera_vector(cameras)
    raw = plain(x, t, encoder_hidden_states=text, class_labels=camera).sample
    expected = again.predict(x, t, text, cameras)
    assert torch.allclose(raw, expected, atol=1e-4)  # other memory layout, other order of sums
    assert load_base(base_of(tmp_path / "moved")).sample_size == 16
    with pytest.raises(InputError, match="is an AGP"):
        shutil.copytree(tmp_path / "moved" / "unet", tmp_path / "base" / "unet", dirs_exist_ok=True)
        load_base(tmp_path / "base")


# Text


def test_the_tokenizer_takes_any_text_and_learns_whole_words(tiny):
    tokenizer = tiny.text.tokenizer
    for text in ("a zebra", "éü 日本", "#! \U0001f600"):
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(
            " ", ""
        )
    assert len(tokenizer("wooden", add_special_tokens=False).input_ids) == 1
    assert learn_merges(CAPTIONS) == learn_merges(list(reversed(CAPTIONS)))
    assert tiny.encode_text(["a corgi", "a b c " * 40]).shape == (2, 24, 128)


def test_words_of_equal_frequency_merge_in_the_same_order_every_time():
    kinds, colors = sorted(CATEGORIES), ("red", "blue", "tall green", "purple", "wooden", "pink")
    captions = [f"a {color} {kind} with a {other}" for color in colors
                for kind, other in zip(kinds, reversed(kinds), strict=True)]  # fmt: skip
    assert len({json.dumps(learn_merges(captions)) for _ in range(12)}) == 1


def test_the_tokenizer_reads_back_from_clips_own_files(tiny, tiny_folder, tmp_path):
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(tiny_folder / "tokenizer" / name, tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    for text in ("a red wooden chair", "zyzzyva!", ""):
        assert again(text).input_ids == tiny.text.tokenizer(text).input_ids


def test_a_small_prior_names_the_words_it_has_not_met(tiny_folder):
    prior = load_base(tiny_folder)
    assert prior.unknown_words("A red zyzzyva, normal map") == ["zyzzyva"]
    assert prior.unknown_words("a “red” chair – 🐶🔥, ☂!") == ["🐶🔥", "☂"]
    assert prior.normal_suffix == ", normal map"


# Refusals


def test_refusals_name_the_input_and_a_cure(tiny_folder, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="not a base prior"):
        load_base(tmp_path / "nothing")
    with pytest.raises(InputError, match="no agp.json"):
        load_agp(tiny_folder)
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=f"{SD21_BASE}.*could not be downloaded"):
        load_base(SD21_BASE)
    broken = shutil.copytree(tiny_folder, tmp_path / "broken")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="broken.*cannot be loaded"):
        load_base(broken)
    weights.rename(weights.with_suffix(".bin"))  # pickled weights are not even opened
    with pytest.raises(InputError, match="safetensors"):
        load_base(broken)


@pytest.mark.parametrize(
    "file, content",
    [
        ("unet/config.json", "[]"),
        ("unet/config.json", '{"sample_size": "large", "down_block_types": 3}'),
        ("unet/config.json", '{"block_out_channels": null}'),
        ("text_encoder/config.json", "[]"),
        ("text_encoder/config.json", '{"architectures": 3}'),
        ("text_encoder/config.json", '{"hidden_size": "wide"}'),
        ("tokenizer/tokenizer_config.json", "[]"),
        ("scheduler/scheduler_config.json", '{"num_train_timesteps": "many"}'),
        ("sdtool.json", "[]"),
        ("sdtool.json", '{"vocabulary": 3}'),
    ],
)
def test_a_broken_file_of_a_prior_is_one_sentence(tiny_folder, tmp_path, file, content):
    broken = shutil.copytree(tiny_folder, tmp_path / "broken")
    assert (broken / file).is_file()
    (broken / file).write_text(content)
    with pytest.raises(InputError, match="broken.*(cannot be loaded|text encoder of the kind)"):
        load_base(broken)


@pytest.mark.parametrize("card", ["[]", '{"base": 3}', '{"camera": "far"}'])
def test_a_broken_card_of_an_agp_is_named(tmp_path, card):
    (tmp_path / "agp.json").write_text(card)
    for read in (load_agp, base_of, camera_of):
        with pytest.raises(InputError, match="agp.json is not the card"):
            read(tmp_path)


# Sampling and measuring, against priors known in closed form


class PointPrior:
    """The exact denoiser of a constant image: the text's number plus one that the azimuth gives."""

    is_latent, channels, sample_size, device = False, 4, 4, torch.device("cpu")
    alphas_cumprod = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), dim=0)
    add_noise, encode_map = Prior.add_noise, Prior.encode_map

    def __init__(self, turned_by: float = 0.0):
        self.turned_by = turned_by

    def image(self, text, c2w):
        value = text.view(-1)
        if c2w is not None:
            azimuth, _ = azimuth_elevation(c2w.numpy())
            angle = torch.from_numpy(azimuth) + self.turned_by
            value = value + 0.3 * torch.sin(angle) + 0.1 * torch.cos(angle)
        return value.float().view(-1, 1, 1, 1)

    def predict_noise(self, x, t, text, c2w=None):
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return (x - a.sqrt() * self.image(text, c2w)) / (1 - a).sqrt()


def test_ddim_reaches_the_image_of_an_exact_prior():
    text, empty = torch.tensor([0.5, -0.25, 0.4]).view(3, 1, 1), torch.zeros(1, 1, 1)
    draw = {"steps": 7, "batch": 2}
    x = ddim(PointPrior(), text, empty, generator=torch.Generator(), scale=1.0, **draw)
    assert x.shape == (3, 4, 4, 4)
    assert torch.allclose(x[:, 0, 0, 0], text.view(-1), atol=1e-3)
    x = ddim(PointPrior(), text, empty, generator=torch.Generator(), scale=3.0, **draw)
    assert torch.allclose(x[:, 0, 0, 0], torch.tensor([1.0, -0.75, 1.0]), atol=1e-3)  # 1.5, 1.2 cut


def test_the_camera_ring_turns_about_the_vertical_axis():
    c2w = torch.from_numpy(orbit([0.3, -2.0], [0.1, 0.5], [1.5, 1.4]))
    ring = camera_ring(c2w)
    assert torch.allclose(ring[:, 0], c2w, atol=1e-6)
    azimuth, elevation = azimuth_elevation(ring[1].numpy())
    steps = [(b - a) % (2 * math.pi) for a, b in zip(azimuth[:-1], azimuth[1:], strict=True)]
    assert steps == pytest.approx([math.pi / 4] * 7, abs=1e-5)
    assert elevation.tolist() == pytest.approx([0.5] * 8, abs=1e-5)


@pytest.mark.parametrize(("turned_by", "expected"), [(0.0, 1.0), (math.pi / 2, 0.0)])
def test_view_identification_finds_the_right_camera(turned_by, expected):
    c2w = torch.from_numpy(orbit(torch.linspace(-3, 3, 12).numpy(), 0.2, 1.5))
    text = torch.zeros(12, 1, 1)
    maps = PointPrior().image(text, c2w).expand(12, 4, 4, 4)
    prior = PointPrior(turned_by)
    share = view_identification(prior, maps, c2w, text, generator=torch.Generator())
    assert share == expected


def test_a_prior_that_ignores_the_camera_identifies_by_chance(tiny):
    agp = fresh_agp(tiny, torch.Generator().manual_seed(0))
    x, _, text = noisy(tiny, 2)
    cameras = turntable_cameras(2)
    share = view_identification(agp, x, cameras, text, generator=torch.Generator(), batch=16)
    assert share == pytest.approx(1 / 8)


@pytest.mark.slow
def test_a_long_prompt_keeps_its_normal_suffix():
    prior = load_base("tiny")
    assert prior.normal_prompt("a red chair") == "a red chair, normal map"
    long = prior.normal_prompt("a red chair " + "with a zeppelin quux " * 9)
    assert long.startswith("a red chair with") and long.endswith(", normal map")
    assert not prior.text.cuts(long) and prior.text.cuts(long.replace(",", " quux quux quux,"))
