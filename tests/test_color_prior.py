"""A colour prior in a lift: which phases it guides, what it is shown, and when the base stays."""

import math
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
from shape_samples import box

from sdtool import cli
from sdtool.errors import UsageError
from sdtool.geometry.cameras import orbit
from sdtool.geometry.ccm import to_canonical
from sdtool.io.files import read_json
from sdtool.lifting import presets
from sdtool.lifting.config import LiftPlan, Phase, override
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.painting import ColorScene
from sdtool.lifting.run import Lift
from sdtool.priors.agp import fresh_agp
from sdtool.priors.bundled import chosen_color_prior
from sdtool.priors.color import fresh_color, save_color
from sdtool.priors.fresh import fresh_base, fresh_vae
from sdtool.priors.loading import load_base
from sdtool.rendering.maps import render_maps

PHASE = presets.with_color_prior(presets.TINY_CPU).phases[-1]
C2W = orbit(np.array([0.3, 2.0]), np.array([0.2, 0.5]), np.array([1.8, 1.8]))
MEASURE = dict.fromkeys(("true_map", "opposite_map", "base", "maps", "objects", "t"), 0)


@pytest.fixture(scope="module")
def priors():
    """A small latent base, an AGP and a colour prior that makes use of its map."""
    base = fresh_base(["a red corgi"], size=8, width=8, vae=fresh_vae(8))
    color = fresh_color(base)
    with torch.no_grad():
        color.unet.conv_in.weight[:, 4:] = 0.1
    return base, fresh_agp(base, torch.Generator().manual_seed(0)), color


# Guidance


def pull(priors, ccm, phase=PHASE):
    """Sizes of the losses, and the picture's gradient, under this map of coordinates."""
    rgb = torch.linspace(-1, 1, 2 * 4 * 32 * 32).view(2, 4, 32, 32).requires_grad_()
    base, agp, color = priors
    generator = torch.Generator().manual_seed(0)
    loss, sizes = Guidance(base, agp, "a red corgi", color=color).loss(
        {"rgb": rgb, "ccm": ccm}, torch.from_numpy(C2W), phase, 0.5, 1.0, generator
    )
    loss.backward()
    return sizes, rgb.grad


def test_the_colour_prior_pulls_on_the_picture_as_the_map_says(priors):
    ccm = torch.full((2, 4, 32, 32), 0.5, requires_grad=True)
    sizes, gradient = pull(priors, ccm)
    assert sizes.keys() == {"color"} and math.isfinite(sizes["color"])
    assert gradient.abs().sum() > 0 and ccm.grad is None
    _, other = pull(priors, -ccm)
    assert not torch.allclose(other, gradient, atol=1e-4)
    _, same = pull(priors, ccm + torch.tensor([[1.0, -1.0] * 16, [-1.0, 1.0] * 16] * 16))
    assert torch.allclose(same, gradient, atol=1e-6)  # it is averaged to 8×8, where this is nothing
    sizes, _ = pull(priors, ccm, replace(PHASE, guide="base"))
    assert sizes.keys() == {"ori"}


def test_a_phase_that_wants_one_says_so(priors):
    with pytest.raises(
        UsageError, match="the color phase is to be guided by a colour prior"
    ) as one:
        pull((*priors[:2], None), torch.zeros(2, 4, 32, 32))
    assert "--color-prior" in one.value.options


# The scene


def test_a_painted_mesh_shows_its_coordinates_in_training_only():
    mesh = to_canonical(box((0.0, 0.0, 0.0), (1.0, 0.5, 0.75)))
    scene = ColorScene(torch.from_numpy(mesh.v_pos), torch.from_numpy(mesh.t_pos_idx), 0.6, 16)
    assert [grid.shape[-1] for grid in scene.field.grids] == [2, 4, 8, 16]
    generator = torch.Generator()
    assert scene.render(C2W, 0.8, 24, generator).keys() == {"rgb"}
    scene.with_ccm = True
    assert scene.render(C2W, 0.8, 24).keys() == {"rgb"}
    found = scene.render(C2W, 0.8, 24, generator)["ccm"]
    expected = render_maps(mesh, C2W, 0.8, 24, ("ccm",), 1)["ccm"].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


# Which plan, which prior


def test_a_plan_leaves_its_colours_to_it_and_keeps_the_rest():
    plan = presets.with_color_prior(presets.PREVIEW)
    assert plan.phases[:2] == presets.PREVIEW.phases[:2]
    assert (plan.phases[2].guide, plan.phases[2].steps) == ("color", 40)
    assert plan.phases[2].t_high[1] < 0.3
    plan = presets.with_color_prior(presets.NERF_TINY_CPU)
    assert [phase.guide for phase in plan.phases] == ["base", "color"]
    assert plan.phases[1].lambda_align == (0.5, 0.5)
    pbr = presets.painted_as(presets.TINY_CPU, "pbr")
    assert presets.with_color_prior(pbr) == pbr  # a material is the base's


def test_a_colour_prior_sees_pictures_only():
    with pytest.raises(UsageError, match="sees rgb only"):
        override(presets.TINY_CPU, ["geometry.guide=color"])
    with pytest.raises(UsageError, match="color_grid is 8 or more"):
        override(presets.TINY_CPU, ["color.color_grid=4"])


def test_which_colour_prior_is_meant(monkeypatch):
    for is_bundled in (True, False):
        monkeypatch.setattr("sdtool.priors.bundled.has_bundled_color", lambda one=is_bundled: one)
        assert chosen_color_prior("", "tiny", "tiny-cpu", 1.0) == ("tiny" if is_bundled else "")
        for asked, agp, preset, weight in (
            ("none", "tiny", "preview", 1.0),
            ("", "my/agp", "preview", 1.0),  # of another base, perhaps
            ("", "tiny", "paper", 1.0),
            ("", "tiny", "tiny-cpu", 0.0),
        ):
            assert chosen_color_prior(asked, agp, preset, weight) == ""
        assert chosen_color_prior("mine", "my/agp", "preview", 0.0) == "mine"
    with pytest.raises(UsageError, match="leaves the colours to the base"):
        chosen_color_prior("mine", "tiny", "paper", 1.0)


def test_the_record_says_it():
    options = ("dmtet", "tiny", "", "preview")
    rest = (1.0, 1.0, 1.0, None, "", 0, False)
    plain = Lift(*options, presets.PREVIEW, *rest).params("a corgi")
    assert "color_prior" not in plain and plain["settings"]["phases"][2]["guide"] == "base"
    plan = presets.with_color_prior(presets.PREVIEW)
    params = Lift(*options, plan, *rest, color="mine").params("a corgi")
    assert params["color_prior"] == "mine"
    assert params["settings"]["phases"][2]["guide"] == "color"


def test_print_config_shows_the_settings_that_hold(capsys):
    assert cli.run(["lift", "a corgi", "--color-prior", "mine", "--print-config"]) == 0
    written = tomllib.loads(capsys.readouterr().out)
    assert written["color-prior"] == "mine" and written["set"]["color"]["guide"] == "color"


# A lift


@pytest.mark.slow
def test_a_lift_with_a_colour_prior(tmp_path, monkeypatch):
    tiny = load_base("tiny")
    save_color(fresh_color(tiny), tmp_path / "color", base="tiny", facts={}, measure=MEASURE)
    plan = LiftPlan(
        phases=(
            Phase("geometry", "surface", steps=1, lr=0.001, views=1),
            replace(presets.TINY_CPU.phases[-1], steps=2, views=1),
        ),
        init="sphere",
        tet_resolution=12,
    )
    monkeypatch.setitem(presets.PRESETS["dmtet"], "preview", plan)
    command = ["lift", "a corgi", "--preset", "preview", "--set", "color.views=1"]
    command += ["--color-prior", str(tmp_path / "color"), "--out", str(tmp_path / "lift")]
    assert cli.run(command) == 0
    record = read_json(tmp_path / "lift" / "stage.json")
    assert record["params"]["color_prior"] == str(tmp_path / "color")
    assert record["priors"]["color"] == str(tmp_path / "color")
    assert '"color":' in (tmp_path / "lift" / "log.jsonl").read_text().splitlines()[-1]
