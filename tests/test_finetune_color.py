"""finetune-color: a prior that begins as its base, maps made rough, the card, and what is refused."""

import pytest
import torch
from prior_samples import write_views
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from sdtool.cli import run
from sdtool.errors import InputError
from sdtool.io.files import read_json
from sdtool.priors.color import fresh_color
from sdtool.priors.fresh import fresh_base, fresh_vae, save_base
from sdtool.priors.loading import load_base, load_color
from sdtool.priors.models import UNet2DConditionModel
from sdtool.priors.sampling import ddim
from sdtool.training.color import turned_round
from sdtool.training.conditions import GROWN, SHRUNK, Conditions, moved, reshaped
from sdtool.training.data import Views
from sdtool.training.settings import TrainingSettings

CAPTIONS = ["a red disc", "a blue square"]
SHORT = ["--steps", "2", "--batch", "4", "--device", "cpu"]


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    return write_views(tmp_path_factory.mktemp("views"), size=32)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    save_base(fresh_base(CAPTIONS, size=8, width=8, vae=fresh_vae(8)), folder, facts={})
    return folder


@pytest.fixture(scope="module")
def color(views, base, tmp_path_factory):
    out = tmp_path_factory.mktemp("color") / "color"
    assert run(["finetune-color", str(views), "--captions", str(views), "--base", str(base),
                "--out", str(out), *SHORT]) == 0  # fmt: skip
    return out


# The prior


def test_it_begins_as_its_base_whatever_the_map(base):
    plain = load_base(base)
    color, generator = fresh_color(plain), torch.Generator().manual_seed(0)
    x, ccm = torch.randn(2, 2, 4, 8, 8, generator=generator)
    t, text = torch.tensor([3, 800]), plain.encode_text(CAPTIONS)
    given = color.predict_noise(x, t, text, ccm=ccm)
    assert color.has_ccm and not plain.has_ccm and color.channels == plain.channels == 4
    assert torch.equal(given, color.predict_noise(x, t, text, ccm=-ccm))
    assert torch.allclose(given, plain.predict_noise(x, t, text), atol=1e-5)
    with pytest.raises(ValueError, match="needs ccm"):
        color.predict_noise(x, t, text)
    with pytest.raises(InputError, match="does not draw pictures with their coverage"):
        fresh_color(color)


# Maps made rough


@pytest.fixture(scope="module")
def conditions(views):
    return Conditions(Views([views], ("ccm",)), 8, 0.04)


def test_maps_are_averaged_and_stay_where_nothing_is_asked_for(views, conditions):
    maps, index = Views([views], ("ccm",)), torch.tensor([5, 0, 17])
    averaged = torch.nn.functional.avg_pool2d(maps.maps(index.numpy()), 4)
    assert torch.allclose(conditions.exact(index), averaged, atol=1e-3)
    plain = Conditions(maps, 8, 0.0)
    assert plain.draw(torch.Generator(), 3) == ()
    assert torch.equal(plain.maps(index, device=torch.device("cpu")), conditions.exact(index))


def test_coordinates_err_by_no_more_than_asked_and_only_where_something_is(conditions):
    index, generator = torch.arange(32), torch.Generator().manual_seed(1)
    smooth, fine, _ = conditions.draw(generator, 32)
    true, rough = conditions.exact(index), moved(conditions.exact(index), smooth, fine)
    error = (rough - true)[:, :3] / 2
    assert (
        torch.equal(rough[:, 3], true[:, 3])
        and (error[(true[:, 3:] == -1).expand_as(error)] == 0).all()
    )
    assert 0.005 < error[(true[:, 3:] == 1).expand_as(error)].std() < 0.04


def test_outlines_grow_and_shrink_by_a_pixel():
    ccm = torch.tensor([0.0, 0.0, 0.0, -1.0]).view(1, 4, 1, 1).repeat(9, 1, 8, 8)
    ccm[:, :, 2:6, 2:6] = torch.tensor([0.5, -0.5, 0.25, 1.0]).view(4, 1, 1)
    found = reshaped(ccm, torch.arange(9) % 8)
    widths = (found[:, 3, 3] > 0.5).sum(dim=1).tolist()
    assert widths[GROWN] == 6 and widths[SHRUNK] == 2 and widths[0] == widths[5] == 4
    assert torch.allclose(found[GROWN, :, 1, 3], torch.tensor([0.5, -0.5, 0.25, 1.0]))
    assert torch.allclose(found[SHRUNK, :, 2, 3], torch.tensor([0.0, 0.0, 0.0, -1.0]))
    assert torch.equal(found[[0, 5, 8]], ccm[[0, 5, 8]])


def test_a_half_turn_is_its_own_inverse(conditions):
    ccm = conditions.exact(torch.arange(3))
    turned = turned_round(ccm)
    assert torch.equal(turned[:, [1, 3]], ccm[:, [1, 3]]) and torch.equal(turned[:, 0], -ccm[:, 0])
    assert torch.equal(turned_round(turned), ccm)


# The stage


def test_the_folder_is_a_colour_prior_with_a_card(color, base):
    assert sorted(p.name for p in color.iterdir()) == [
        "README.md", "color.json", "log.jsonl", "samples", "stage.json", "unet",
    ]  # fmt: skip
    card = read_json(color / "color.json")
    assert (card["steps"], card["sample_size"], card["roughness"]) == (2, 8, 0.04)
    assert TrainingSettings(2).params().keys() <= read_json(color / "stage.json")["params"].keys()
    assert set(card["measure"]) == {"true_map", "opposite_map", "base", "maps", "objects", "t"}
    assert f"| {card['measure']['true_map']} |" in (color / "README.md").read_text()
    assert UNet2DConditionModel.from_pretrained(color, subfolder="unet").config["in_channels"] == 8
    prior = load_color(color)
    assert prior.has_ccm and prior.is_latent and not prior.has_camera
    text, empty = prior.encode_text(["a red disc", ""]).split(1)
    ccm = torch.zeros(1, 4, 8, 8)
    drawn = ddim(prior, text, empty, generator=torch.Generator(), ccm=ccm, steps=1)
    assert drawn.shape == (1, 4, 8, 8) and drawn.isfinite().all()


def test_a_finished_training_is_not_repeated(color, views, base, capsys):
    command = ["finetune-color", str(views), "--captions", str(views), "--base", str(base)]
    assert run([*command, "--out", str(color), *SHORT]) == 0
    assert "already done" in capsys.readouterr().err


def test_a_colour_prior_is_trained_further_from_its_own_weights(color, views, tmp_path, capsys):
    command = ["finetune-color", str(views), "--captions", str(views), *SHORT]
    command += ["--resume-from", str(color), "--lr", "1e-9", "--out", str(tmp_path / "more")]
    assert run(command) == 0, capsys.readouterr().err
    before = load_color(color).unet.state_dict()
    after = load_color(tmp_path / "more").unet.state_dict()
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    assert run([*command, "--base", "tiny"]) == 2
    assert "leave --base out" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_bits(color, views, base, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    command = ["finetune-color", str(views), "--captions", str(views), "--base", str(base), *SHORT]
    command += ["--out", str(tmp_path / "color"), "--sample-every", "1"]
    with monkeypatch.context() as patch:
        patch.setattr("sdtool.training.finetune.contact_sheet", stop)
        assert run([*command, "--checkpoint-every", "1"]) == 130
    assert run([*command, "--checkpoint-every", "1"]) == 0
    name = "unet/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "color" / name).read_bytes() == (color / name).read_bytes()


def test_views_without_both_maps_are_refused(views, base, tmp_path, capsys):
    (shard,) = views.glob("*.safetensors")
    with safe_open(shard, "np") as file:
        header = file.metadata()
    tensors = load_file(shard)
    del tensors["ccm"]
    (tmp_path / "views").mkdir()
    save_file(tensors, tmp_path / "views" / shard.name, metadata=header)
    command = [
        "finetune-color",
        str(tmp_path / "views"),
        "--captions",
        str(views),
        "--base",
        str(base),
    ]
    assert run([*command, "--out", str(tmp_path / "color"), *SHORT]) == 2
    assert "has no map ccm; render with --maps rgb,ccm" in capsys.readouterr().err
    assert not (tmp_path / "color" / "unet").exists()


def test_what_does_not_fit_together_is_named(views, base, color, tmp_path, capsys):
    small = write_views(tmp_path / "small", size=16)
    command = ["finetune-color", "--captions", str(small), "--out", str(tmp_path / "out"), *SHORT]
    assert run([*command, str(small), "--base", str(base)]) == 2
    assert "works on pictures of 32×32; render with --size 32" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"is not a colour prior \(it holds no color.json\)"):
        load_color(base)
    (tmp_path / "color.json").write_text("[]")
    with pytest.raises(InputError, match="is not the card of a colour prior; train it again"):
        load_color(tmp_path)
