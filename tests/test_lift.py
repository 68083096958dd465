"""lift: through the command line with the bundled prior, its exact restart, a real corgi."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from killed import CODE, kill_at
from lift_samples import QUICK, SMALL_PLAN, corgi_faults
from PIL import Image

from sdtool import cli
from sdtool.evaluating.solids import corgi_facts
from sdtool.io.files import read_json
from sdtool.lifting import loop, pictures, presets
from sdtool.lifting.folders import folder_of
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.lift_files import read_lift
from sdtool.meshfiles import read_glb
from sdtool.runtime.progress import Bar

WHOLE_TURN = pictures.FRAMES  # before `conftest.py` shortens it
SMALL = f"""
from sdtool import cli
from sdtool.lifting import presets
from sdtool.lifting.config import LiftPlan, Phase
presets.PRESETS["dmtet"]["preview"] = {SMALL_PLAN!r}
loop = __import__("sdtool.lifting.loop").lifting.loop
loop.CHECKPOINT_EVERY = 5
"""


SMALL_LIFT = ["lift", "a corgi", "--preset", "preview", "--out"]


@pytest.mark.slow
def test_killed_and_continued_equals_uninterrupted(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(presets.PRESETS["dmtet"], "preview", SMALL_PLAN)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 5)
    assert cli.run([*SMALL_LIFT, str(tmp_path / "a")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a'}\n"
    log = tmp_path / "b" / "log.jsonl"
    kill_at([*SMALL_LIFT, tmp_path / "b"], 'lifting "a corgi"', 8, code=SMALL + CODE)
    assert len(log.read_text().splitlines()) == 8  # the log before the bar
    assert not (tmp_path / "b" / "stage.json").exists()
    assert cli.run([*SMALL_LIFT, str(tmp_path / "b")]) == 0
    assert "continuing at the coarse phase" in capsys.readouterr().err
    for name in ("shape.safetensors", "material.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    assert [s["step"] for s in steps if s["phase"] == "coarse"] == list(range(1, 11))
    for name in ("views.png", "turntable.webp", "previews/coarse-0010.png"):
        assert (tmp_path / "b" / name).stat().st_size > 500
    assert cli.run([*SMALL_LIFT, str(tmp_path / "b")]) == 0
    assert "already lifted" in capsys.readouterr().err
    assert cli.run([*SMALL_LIFT, str(tmp_path / "b"), "--seed", "1"]) == 2
    assert "seed: 0 there, 1 now" in capsys.readouterr().err


@pytest.mark.slow
def test_the_bar_ends_at_its_total_after_a_rollback(tmp_path, monkeypatch):
    calls, places, loss, advance = iter(range(99)), [], Guidance.loss, Bar.advance

    def broken_once(*arguments):
        total, sizes = loss(*arguments)
        return total * (math.nan if next(calls) == 7 else 1), sizes

    def noted(bar, *arguments, **options):
        advance(bar, *arguments, **options)
        places.append(bar._place)

    monkeypatch.setattr(Guidance, "loss", broken_once)
    monkeypatch.setattr(Bar, "advance", noted)
    monkeypatch.setitem(presets.PRESETS["dmtet"], "preview", SMALL_PLAN)
    assert cli.run([*SMALL_LIFT, str(tmp_path / "a")]) == 0
    assert places == [*range(1, 8), *range(1, 21)]  # the eighth of ten coarse steps failed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lift", "  "], "the prompt is empty"),
        (["lift", "a corgi", "--preset", "nope"], "'nope' is not one of 'tiny-cpu'"),
        (["lift", "a corgi", "--lambda-ori", "0", "--lambda-align", "0"], "nothing guides"),
        (["lift", "a corgi", "--environment", "sky.hdr"], "add --appearance pbr"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_agp_is_named(capsys, tmp_path):
    assert cli.run(["lift", "a corgi", "--agp", "nowhere", "--out", str(tmp_path / "x")]) == 1
    assert "nowhere is not an AGP" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
def test_what_does_not_fit_into_memory_fails_before_the_first_step(tmp_path):
    out = tmp_path / "run"
    command = ["lift", "a corgi", "--set", "tet_resolution=200", "--out", str(out)]
    code = f"""
import psutil, resource
import sdtool.lifting.run
from sdtool import cli
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 2**30,) * 2)
cli.main({command!r})
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "the geometry phase needs more memory" in ended.stderr
    assert "try --preset preview" in ended.stderr and "Traceback" not in ended.stderr
    assert not (out / "log.jsonl").exists()


# Many prompts


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_many_prompts_get_a_directory_each(workers, tmp_path, capsys):
    wishes = tmp_path / "wishes.txt"
    wishes.write_text("a corgi\n# not this one\n\na red chair  # but this\nA corgi!\na corgi\n")
    out = tmp_path / "runs"
    mine = folder_of("A corgi!", out, is_shared=True)
    mine.mkdir(parents=True)
    (mine / "mine.txt").write_text("a stranger's file")
    command = ["lift", "--prompts", str(wishes), "--out", str(out), "--set", "coarse.lr=0.2"]
    assert cli.run([*command, "--workers", workers, *QUICK]) == 3
    said = capsys.readouterr()
    assert said.out == f"{out}\n" and '"A corgi!" failed: ' in said.err
    assert "is not empty and sdtool did not write it" in said.err
    for name, prompt in (("a-corgi", "a corgi"), ("a-red-chair", "a red chair")):
        assert read_json(out / name / "stage.json")["params"]["prompt"] == prompt
    assert (mine / "mine.txt").read_text() == "a stranger's file"
    assert cli.run([*command, "--workers", "1", *QUICK]) == 3
    assert capsys.readouterr().err.count("is already lifted") == 2
    assert cli.run(["export", str(out)]) == 1
    assert f"{out} holds 2 lifts, and is none; name one of them, such as" in capsys.readouterr().err
    (out / "a-corgi/shape.safetensors").unlink()
    (out / "a-red-chair/views.png").unlink()  # a picture may be thrown away
    assert cli.run([*command, "--workers", "1", *QUICK]) == 3
    said = capsys.readouterr().err
    assert said.count("is already lifted") == 1
    assert "a-corgi was finished, but shape.safetensors in it is gone; --overwrite" in said


def test_prompts_are_given_in_one_way(tmp_path, capsys):
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n")
    assert cli.run(["lift", "--prompts", str(empty)]) == 1
    assert "holds no prompt; write one a line" in capsys.readouterr().err
    assert cli.run(["lift", "a corgi", "--prompts", str(empty)]) == 2
    assert "not both" in capsys.readouterr().err


# What covers the shape


@pytest.mark.slow
def test_a_physically_based_material_is_lifted_and_exported(tmp_path, capsys):
    light = tmp_path / "sky.hdr"
    pixels = np.tile(np.array([[96, 128, 160, 128]], np.uint8), (32, 1))
    light.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 8\n" + pixels.tobytes())
    run = tmp_path / "run"
    command = ["lift", "a corgi", "--init", "sphere", "--appearance", "pbr", "--out", str(run)]
    command += [*QUICK, "--set", "color.steps=4", "--set", "detail=0.5"]
    assert cli.run([*command, "--environment", str(light)]) == 0
    lifted = read_lift(run)
    surface = lifted.material(lifted.mesh.v_pos)
    assert np.abs(surface.base_color - lifted.mesh.v_color).max() < 1e-5
    assert surface.roughness.shape == surface.metallic.shape == (len(lifted.mesh.v_pos),)
    assert np.ptp(surface.base_color) > 0 and surface.detail.shape == surface.base_color.shape
    capsys.readouterr()
    assert cli.run([*command]) == 2
    assert "settings.environment" in capsys.readouterr().err
    out = tmp_path / "model.glb"
    assert cli.run(["export", str(run), "--out", str(out), "--texture-size", "64"]) == 0
    assert read_glb(out).t_pos_idx.shape[0] > 100


@pytest.mark.slow
def test_the_preset_paper_has_surfaces_of_two_resolutions_and_a_material(tmp_path):
    command = ["lift", "a corgi", "--preset", "paper", "--out", str(tmp_path / "run")]
    for phase, size in (("coarse", 32), ("fine", 32), ("material", 48)):
        command += [part for name, value in (("steps", 1), ("views", 1), ("size", size))
                    for part in ("--set", f"{phase}.{name}={value}")]  # fmt: skip
    assert (
        cli.run(
            [
                *command,
                "--set",
                "tet_resolution=12",
                "--set",
                "log2_table=12",
                "--set",
                "sdf_table=12",
            ]
        )
        == 0
    )
    lifted = read_lift(tmp_path / "run")
    length = lifted.mesh.v_pos.max(axis=0) - lifted.mesh.v_pos.min(axis=0)
    np.testing.assert_allclose(length, [0.5, 0.6, 0.8], atol=0.06)  # the ellipsoid
    surface = lifted.material(lifted.mesh.v_pos)
    assert (surface.metallic == 0).all() and surface.detail is None


def test_an_environment_that_is_missing_is_named_before_anything_is_begun(tmp_path, capsys):
    command = ["lift", "a corgi", "--init", "sphere", "--appearance", "pbr", *QUICK]
    command += ["--environment", str(tmp_path / "no.hdr"), "--out", str(tmp_path / "run")]
    assert cli.run(command) == 2
    said = capsys.readouterr().err
    assert "--environment" in said and "no.hdr is no file; name an .hdr picture" in said
    assert not (tmp_path / "run").exists()


# The whole thing, as the README shows it


@pytest.mark.slow
def test_a_corgi_is_a_corgi(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "FRAMES", WHOLE_TURN)
    out = tmp_path / "corgi"
    assert cli.run(["lift", "a corgi", "--rep", "dmtet", "--out", str(out)]) == 0
    assert Image.open(out / "turntable.webp").n_frames == 36
    plain = ["--out", str(tmp_path / "plain.glb"), "--texture-size", "0"]
    assert cli.run(["export", str(out), *plain]) == 0
    mesh = read_glb(tmp_path / "plain.glb")
    assert cli.run(["export", str(out), "--out", str(tmp_path / "corgi.glb")]) == 0
    textured = read_glb(tmp_path / "corgi.glb", textures=True)
    image = textured.textures[0].image
    row, column = (textured.v_uv[:, ::-1] * len(image)).astype(int).clip(0, len(image) - 1).T
    texels = image[row, column, :3].mean(0) / 255
    np.testing.assert_allclose(texels, mesh.v_color.mean(0), atol=0.06)
    assert not corgi_faults(corgi_facts(mesh))
