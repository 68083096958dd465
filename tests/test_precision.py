"""Half precision of frozen priors: how far the guidance errs in either kind, and what overflows."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from prior_samples import write_stable_diffusion
from safetensors.torch import load_file, save_file

from sdtool.errors import SdtoolError, UsageError
from sdtool.io import stage_record
from sdtool.lifting import lift_priors
from sdtool.lifting.config import override
from sdtool.lifting.lift_files import SHAPE
from sdtool.lifting.lift_materials import MATERIAL
from sdtool.lifting.lift_priors import HALF
from sdtool.lifting.presets import PRESETS, starting_from
from sdtool.lifting.run import Lift
from sdtool.priors.agp import fresh_agp
from sdtool.priors.loading import load_agp, load_base
from sdtool.priors.model_card import save_agp
from sdtool.training.identification import turntable_cameras

HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@torch.no_grad()
def difference(prior, times) -> torch.Tensor:
    """ε_c − ε_u of two noisy maps at each of these times, which the guidance multiplies."""
    generator = torch.Generator().manual_seed(0)
    t = torch.tensor(times).repeat_interleave(2)
    x = torch.randn(len(t), prior.channels, 32, 32, generator=generator)
    text = prior.encode_text(["a corgi", ""])
    c2w = turntable_cameras(len(t))
    with_text, without = (
        prior.predict_noise(x, t, one.expand(len(t), -1, -1), c2w) for one in text[:, None]
    )
    return with_text - without


@pytest.mark.slow
@pytest.mark.parametrize("load", [load_base, load_agp])
def test_fp16_errs_at_most_a_quarter_of_bf16_in_the_guidance(load):
    """Relative to float32: from t = 300 on 0.1 to 0.3% in fp16 and 1.3 to 2.2% in bf16, 8 times as much; at
    t = 20, where both are worst, 0.9 to 1.4% and 7 to 11%."""
    times = (100, 500, 900)
    exact, error = difference(load("tiny"), times), {}
    for name, dtype in HALVES.items():
        found = difference(load("tiny", dtype=dtype), times)
        error[name] = float((found - exact).norm() / exact.norm())
    assert error["fp16"] < 0.006 and error["bf16"] < 0.06
    assert 4 * error["fp16"] < error["bf16"], error


@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    """A small Stable Diffusion with weights of which one is beyond fp16, an AGP whose weights are not, and
    such a base without that weight."""
    folder = tmp_path_factory.mktemp("priors")
    fine = write_stable_diffusion(folder / "fine", ["a corgi"])
    agp = fresh_agp(load_base(fine), torch.Generator().manual_seed(0))
    save_agp(agp, folder / "agp", base=str(fine), facts={"steps": 0})
    huge = write_stable_diffusion(folder / "huge", ["a corgi"])
    path = huge / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_in.weight"] *= 1e6  # normalised away after it
    save_file(weights, path, metadata={"format": "pt"})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", HALF])
def test_priors_of_broken_weights_are_named_before_the_first_step(precision, priors, tmp_path):
    for value, said in (
        (torch.nan, "unet is damaged: its tensor conv_out.bias holds what is no number"),
        (1e38, f"not finite, in {precision.replace(HALF, 'bf16')}; check the weights"),
    ):
        broken = shutil.copytree(priors / "fine", tmp_path / f"broken by {value}")
        path = broken / "unet" / "diffusion_pytorch_model.safetensors"
        weights = load_file(path)
        weights["conv_out.bias"][0] = value
        weights["conv_out.weight"] *= max(1.0, value)
        save_file(weights, path, metadata={"format": "pt"})
        lifting = lift_of(tmp_path, broken.name, precision, agp=priors / "agp")
        with pytest.raises(SdtoolError, match=said):
            lifting(("a corgi", tmp_path / "run"))
        assert not (tmp_path / "run" / "log.jsonl").exists()


def lift_of(priors, base: str, precision: str, agp=None) -> Lift:
    plan = starting_from(PRESETS["dmtet"]["preview"], "ellipsoid")
    few = [
        f"{name}.{what}=1"
        for name in ("coarse", "geometry", "color")
        for what in ("steps", "views")
    ]
    plan = override(plan, [*few, "tet_resolution=8", "coarse.size=16", "geometry.size=16"])
    options = {"lambda_ori": 1.0, "lambda_align": 1.0, "scale": 1.0, "by_view": False}
    return Lift(
        "dmtet", str(agp or priors / "agp"), str(priors / base), "preview", plan, **options, negative="",
        seed=0, overwrite=False, precision=precision,
    )  # fmt: skip


def told(out) -> str:
    return json.loads((out / "stage.json").read_text())["precision"]


@pytest.mark.slow
def test_what_overflows_in_fp16_is_lifted_in_bf16_and_said_once(priors, tmp_path, capfd):
    lifting = lift_of(priors, "huge", HALF)
    lifting(("a corgi", tmp_path / "one"))
    said = "fp16 overflows in the coarse phase: the priors are bf16"
    assert capfd.readouterr().err.count(said) == 1
    assert told(tmp_path / "one") == "bf16"
    lifting(("a cat", tmp_path / "two"))  # the same process knows
    assert said not in capfd.readouterr().err and told(tmp_path / "two") == "bf16"


@pytest.mark.slow
def test_what_fits_into_fp16_stays_there(priors, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(lift_priors, "_overflowing", set())
    lift_of(priors, "fine", HALF)(("a corgi", tmp_path / "run"))
    assert "overflows" not in capfd.readouterr().err and told(tmp_path / "run") == "fp16"


@pytest.mark.slow
def test_fp16_that_was_asked_for_and_overflows_is_an_error(priors, tmp_path):
    with pytest.raises(UsageError, match="overflow in the coarse phase; use --precision bf16"):
        lift_of(priors, "huge", "fp16")(("a corgi", tmp_path / "run"))


def test_a_finished_lift_in_another_precision_is_not_what_was_asked_for(tmp_path):
    lifting, out = lift_of(tmp_path, "base", "fp32"), tmp_path / "run"
    made = stage_record.begin(
        out, "lift", params=lifting.params("a corgi"), inputs=lifting.inputs()
    )
    made.head["precision"] = "fp32"
    made.finish(counts={}, outputs=[])
    for name in (SHAPE, MATERIAL):
        (out / name).touch()
    for precision, asked in (
        ("fp32", True),
        ("fp16", False),
    ):  # no word of it: as the device has it
        again = replace(lifting, precision=precision, asked=asked)
        assert again(("a corgi", out)).summary["reused"]
    with pytest.raises(UsageError, match="precision: fp32 there, bf16 now"):
        replace(lifting, precision="bf16", asked=True)(("a corgi", out))
