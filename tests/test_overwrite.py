"""`--overwrite` of a command that fails before it begins: what was made before is still there."""

import shutil
import sys

import numpy as np
import pytest

from sdtool import cli
from sdtool.io.stage_record import begin
from sdtool.meshfiles import write_glb
from sdtool.priors.bundled import bundled_folder
from sdtool.toyverse.toys import make


@pytest.fixture
def objects(tmp_path):
    folder = tmp_path / "objects"
    folder.mkdir()
    write_glb(folder / "duck.glb", make(np.random.default_rng(0), "duck")[0], name="duck")
    return folder


def broken(folder):
    """The bundled AGP, half of whose weights is lost."""
    agp = shutil.copytree(bundled_folder("agp"), folder / "agp")
    weights = next((agp / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100_000])
    return str(agp)


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("caption", ["--method", "model", "--captioner", "BROKEN", "--clip", "BROKEN"]),
        ("render-ccm", ["--backend", "nvdiffrast", "--views", "2", "--size", "16"]),
        ("evaluate", ["--clip", "BROKEN"]),
        ("orient", ["--by", "agp", "--agp", "nowhere"]),
        ("orient", ["--by", "model", "--model", "nowhere"]),
        ("lift", ["--agp", "nowhere"]),
        ("sample-prior", ["--agp", "nowhere"]),
        ("sample-prior", ["--base", "BROKEN"]),
        ("merge-agp", []),
    ],
)
def test_what_was_made_before_stays(objects, tmp_path, capsys, monkeypatch, stage, options):
    monkeypatch.setitem(sys.modules, "nvdiffrast", None)
    out = tmp_path / "out"
    record = begin(out, stage, params={"of": "before"})
    (out / "made.txt").write_text("hours of work")
    record.finish(counts={"ok": 1}, outputs=["made.txt"])
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    subjects = {"lift": "a duck", "sample-prior": "a duck", "merge-agp": "BROKEN"}
    subject = subjects.get(stage, str(objects))
    if "BROKEN" in (subject, *options):
        bad = broken(tmp_path)
        subject, *options = (bad if one == "BROKEN" else one for one in (subject, *options))
    assert cli.run([stage, subject, "--out", str(out), *options, "--overwrite"]) in (1, 2)
    assert capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("caption", ["--method", "model", "--captioner", "BROKEN"]),
        ("render-ccm", ["--backend", "nvdiffrast", "--views", "2", "--size", "16"]),
        ("evaluate", ["--clip", "BROKEN"]),
        ("orient", ["--by", "model", "--model", "nowhere"]),
        ("lift", ["--agp", "nowhere"]),
        ("sample-prior", ["--agp", "nowhere"]),
        ("texture", ["a duck", "--agp", "nowhere"]),
        ("train-vae", []),
        ("train-base", ["--captions", "torn.jsonl"]),
        ("finetune-agp", ["--captions", "torn.jsonl", "--base", "tiny"]),
    ],
)
def test_a_command_that_fails_at_once_leaves_no_folder(
    objects, tmp_path, capsys, monkeypatch, stage, options
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "nvdiffrast", None)
    (tmp_path / "torn.jsonl").write_text("{")
    subjects = {"lift": "a duck", "sample-prior": "a duck", "texture": "objects/duck.glb"}
    subject = subjects.get(stage, "objects")
    options = [broken(tmp_path) if one == "BROKEN" else one for one in options]
    out = tmp_path / "deep" / "out"
    command = [stage, subject, *options, "--out", str(out)]
    assert cli.run(command) == 1 and capsys.readouterr().err
    assert not (tmp_path / "deep").exists()
    out.mkdir(parents=True)  # somebody else's
    assert cli.run(command) == 1
    assert list(out.iterdir()) == []
