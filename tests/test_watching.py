"""Watching a training: exams in between, their curves, and trackers."""

from xml.etree import ElementTree

import pytest

from sdtool.cli import run
from sdtool.errors import MissingDependencyError
from sdtool.io.files import read_json, read_jsonl
from sdtool.priors.fresh import fresh_base, save_base
from sdtool.training import trackers
from sdtool.training.exam_curves import curves, drawn, note_exams
from sdtool.training.settings import TrainingSettings

# Exams in between


def test_exams_in_between_give_curves_and_change_no_bit(views, tmp_path, capsys):
    base = tmp_path / "base"
    save_base(fresh_base(["a red disc"], size=16, width=8), base, facts={})
    command = ["finetune-agp", str(views), "--captions", str(views), "--base", str(base)]
    command += ["--batch", "4", "--exam", "2", "--sample-every", "0", "--device", "cpu"]
    command += ["--steps", "5"]
    plain, often = tmp_path / "plain", tmp_path / "often"
    assert run([*command, "--out", str(plain)]) == 0, capsys.readouterr().err
    assert run([*command, "--out", str(often), "--exam-every", "2"]) == 0, capsys.readouterr().err
    lines = list(read_jsonl(often / "exams.jsonl"))
    assert [line["step"] for line in lines] == [2, 4, 5]
    exam = read_json(often / "agp.json")["exams"]["held-out objects"]
    assert lines[-1]["view_identification"] == exam["view_identification"]
    assert lines[-1]["bands"] == exam["loss"]
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (plain / weights).read_bytes() == (often / weights).read_bytes()
    assert read_json(plain / "agp.json") == read_json(often / "agp.json")
    assert not (plain / "exams.jsonl").exists()
    assert {"exams.jsonl", "exams.svg"} <= set(read_json(often / "stage.json")["outputs"])
    tree = ElementTree.parse(often / "exams.svg")
    assert len(tree.findall("{*}polyline")) == 1 and len(tree.findall("{*}circle")) == 3


def test_a_continued_run_takes_the_place_of_its_lost_exams(tmp_path):
    facts = {"view_identification": 0.5, "category_identification": 0.25, "loss": {"a": 1, "b": 2}}
    for step in (2, 4, 6, 4):
        numbers = note_exams(tmp_path, step, {"held <out>": facts})
    lines = list(read_jsonl(tmp_path / "exams.jsonl"))
    assert [line["step"] for line in lines] == [2, 4] and numbers["held <out>/loss"] == 1.5
    found = curves(lines)
    assert found["category identification, held <out>"] == [(2, 0.25), (4, 0.25)]
    first, second = ElementTree.fromstring(drawn(found)).findall("{*}polyline")
    # 552 pixels wide from 44, 210 high from 16: step 2 of 4 in the middle, a half in the middle
    assert first.get("points") == "320.0,121.0 596.0,121.0"
    assert second.get("points") == "320.0,173.5 596.0,173.5"


# Trackers


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_is_an_extra(name, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda module: None)
    settings = TrainingSettings(steps=1, tracker=name)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'sdtool\[{name}\]'"):
        settings.check()
    assert "tracker" not in settings.params()


def test_trackers_keep_to_the_folder_and_stay_offline(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    out = tmp_path / "agp"
    options = trackers.tracker_options("wandb", out)
    assert options == {"name": "agp", "group": "agp", "dir": str(out), "mode": "offline"}
    trackers.tracker_options("trackio", out)
    assert trackers.os.environ["TRACKIO_DIR"] == str(out / "trackio")
    monkeypatch.setenv("WANDB_MODE", "online")
    assert trackers.tracker_options("wandb", out)["mode"] == "online"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_real_tracker_takes_lines(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip(name)
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    (tmp_path / "agp").mkdir()
    write, finish = trackers.open_tracker(name, tmp_path / "agp", {"steps": 1}, on_cpu=True)
    write({"step": 1, "loss": 0.5, "exam/held-out objects/loss": 1.0})
    finish()
    assert capsys.readouterr().out == ""
    assert any(path.is_file() for path in (tmp_path / "agp" / name).rglob("*"))
