"""The example scripts, at a reduced size: every stage takes what the stage before it printed."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from served import run_served

from sdtool.meshfiles import read_glb
from sdtool.priors.loading import load_agp, load_base, load_color
from sdtool.training import guidance_distillation

EXAMPLES = Path(__file__).parent.parent / "examples"
TINY = EXAMPLES.parent / "sdtool" / "tiny"
pytestmark = pytest.mark.slow


def asset(path):
    """The `asset` object of a GLB file."""
    data = path.read_bytes()
    return json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])["asset"]


SMALL = """
[filter-objaverse]
workers = 1
[caption]
workers = 1
[render-ccm]
workers = 1
[train-vae]
batch = 2
sample-every = 0
[train-base]
batch = 2
width = 16
sample-every = 0
[finetune-agp]
batch = 2
sample-every = 0
[finetune-color]
sample-every = 0
[lift.set]
tet_resolution = 32
samples = 16
coarse = { steps = 10, views = 1 }
geometry = { steps = 2, views = 1 }
color = { steps = 2, views = 1 }
"""
HERE = ("filter-objaverse", "caption", "render-ccm", "finetune-agp", "lift")
"""Stages that need no process of their own to show that the installed command works: others have one."""


def test_end_to_end(tmp_path):
    (tmp_path / "small.toml").write_text(SMALL)
    size = {
        "CONFIG": "small.toml",
        "COUNT": "16",
        "VIEWS": "3",
        "STEPS": "2",
        "EXAM": "2",
        "PRESET": "preview",
        "AGP": "tiny",
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = os.environ | size | {"OUT": "out", "PATH": path}
    first = run_served([EXAMPLES / "end_to_end.sh"], tmp_path, given, stages=HERE)
    assert first.returncode == 0, first.stderr
    assert first.stdout == "out/model.glb\n"
    out = tmp_path / "out"
    for stage in ("objects", "filtered", "captions", "ccm", "agp", "shape"):
        assert (out / stage / "stage.json").is_file(), stage
    assert load_agp(out / "agp").has_camera
    mesh = read_glb(out / "model.glb", textures=True)
    low, high = mesh.bounds()
    np.testing.assert_allclose(low + high, 0, atol=1e-6)
    assert (high - low).max() == pytest.approx(1)
    assert len(mesh.t_pos_idx) > 500 and np.ptp(mesh.textures[0].image[..., :3]) > 25
    assert asset(out / "model.glb")["extras"]["prompt"] == "a corgi"

    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    again = run_served([EXAMPLES / "end_to_end.sh"], tmp_path, given)
    assert (again.returncode, again.stdout) == (0, "out/model.glb\n"), again.stderr
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()} == before


def test_tiny_prior(tmp_path, monkeypatch):
    """Its stages run in this process: that the installed command works, `test_end_to_end` shows."""
    monkeypatch.setattr(guidance_distillation, "MEASURED", 2)
    size = {"COUNT": "16", "UNSEEN": "4", "EXAM": "2", "BUILD": "build"}
    (tmp_path / "small.toml").write_text(SMALL)
    size |= {
        "CONFIG": "small.toml",
        "VAE_STEPS": "2",
        "BASE_STEPS": "2",
        "AGP_STEPS": "2",
        "MORE_STEPS": "2",
    }
    size |= {"MORE": "12", "GUIDED_STEPS": "2", "COLOR_STEPS": "2", "DEVICE": "cpu"}
    size |= {f"{which}_BATCH": "2" for which in ("AGP", "GUIDED", "COLOR")}
    old = tmp_path / "bundle" / "agp" / "old"
    old.mkdir(parents=True)
    environment = os.environ | {"BUNDLE": "bundle"} | size
    finished = run_served([EXAMPLES / "tiny_prior.sh"], tmp_path, environment)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == f"{tmp_path / 'bundle'}\n"
    assert not old.exists()
    moved = (tmp_path / "bundle").rename(tmp_path / "elsewhere")
    base, agp, color = (
        load_base(moved / "base"),
        load_agp(moved / "agp"),
        load_color(moved / "color"),
    )
    assert color.has_ccm and base.is_guided
    assert agp.has_camera and base.is_latent and base.sample_size == agp.sample_size == 32
    names = {p.name for p in moved.glob("*/*")}
    assert not names & {"stage.json", "log.jsonl", "samples"}
    assert sum(p.stat().st_size for p in moved.rglob("*") if p.is_file()) < 30e6
