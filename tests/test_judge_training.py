"""The command that trains the judge: what it refuses, and what an interruption leaves."""

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from shape_samples import icosphere

from sdtool.evaluating.judge_batches import Views
from sdtool.evaluating.judge_options import options
from sdtool.evaluating.judge_training import known_kinds, main
from sdtool.evaluating.judge_views import write_views
from sdtool.evaluating.samples import Sample
from sdtool.evaluating.viewnet import ViewNet, load_judge
from sdtool.io.files import read_json, write_json


def views_of_balls(folder, count: int):
    stream = iter([Sample(icosphere(1), "", "", False)] * count)
    write_views(folder / "0", stream, count, np.random.default_rng(0), [])
    return folder


def refused(capsys, *given: object) -> str:
    """The one sentence with which the command refuses what it is given."""
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, given)))
    said = capsys.readouterr().err
    assert stop.value.code in (1, 2) and said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("option", "value", "cure"),
    [
        ("--samples", 0, "give 1 or more"),
        ("--steps", 0, "give 1 or more"),
        ("--batch", -1, "give 1 or more"),
        ("--workers", 0, "give 1 or more"),
        ("--lr", "nan", "such as 0.002"),
        ("--mutants", 1.5, "such as 0.75"),
        ("--width", 30, "multiple of 20"),
        ("--looks", 7, "even number"),
        ("--device", "cuda:99", "try cpu"),
        ("--views", __file__, "name a folder"),
        ("--start", "nowhere", "holds no judge"),
        ("--assets", "nowhere", "does not exist"),
    ],
)
def test_what_cannot_work_is_said_before_any_work(tmp_path, capsys, option, value, cure):
    said = refused(capsys, "--out", tmp_path / "out", option, value)
    assert str(value) in said and cure in said
    assert not list(tmp_path.glob("out/*"))


def test_a_training_on_few_samples_ends_with_a_judge(tmp_path, capsys):
    views = views_of_balls(tmp_path / "views", 4)
    given = ["--views", str(views), "--out", str(tmp_path / "out")]
    assert "--batch 8 is more than the 4 samples" in refused(capsys, *given)
    sizes = ["--width", "20", "--looks", "2"]
    main([*given, "--batch", "2", "--steps", "20", *sizes])  # of 20 the rise were one step
    assert load_judge(tmp_path / "out")[1]["held_out"] == {}, "nothing is held out of 4"
    again = [*given, "--start", tmp_path / "out"]
    assert "the judge of --start has 2; leave it out" in refused(capsys, *again, "--looks", 4)


def test_views_whose_making_was_interrupted_are_named(tmp_path, capsys):
    views = views_of_balls(tmp_path / "views", 3)
    facts = dict(np.load(views / "0" / "samples.npz"))
    np.savez(views / "0" / "samples.npz", **{name: value[:2] for name, value in facts.items()})
    (views / "1").mkdir()
    (views / "1" / "views.npy").write_bytes(b"")
    asked = options("", ["--out", str(tmp_path), "--views", str(views)])
    assert len(Views(views, np.array([-1]), asked.device, 0)) == 2
    told = capsys.readouterr().err
    assert f"{views / '0'}: only 2 of its 3 samples" in told and f"{views / '1'}: only 0" in told
    for name in ("samples.npz", "views.npy"):
        (views / "0" / name).write_bytes(b"PK half")
        said = refused(capsys, "--views", views, "--out", tmp_path / "out", "--batch", 1)
        assert f"{views / '0'} cannot be read" in said and f"remove {views}" in said
        views_of_balls(views, 3)


def test_an_old_or_a_broken_judge(tmp_path, capsys):
    ViewNet(known_kinds(), 20, 128).save(tmp_path, {})
    facts = read_json(tmp_path / "judge.json")
    assert load_judge(tmp_path)[0].wide == 128
    write_json(tmp_path / "judge.json", {k: v for k, v in facts.items() if k != "looks"})
    weights = load_file(tmp_path / "judge.safetensors")
    old = {name: value for name, value in weights.items() if not name.startswith("patches.")}
    save_file(old, tmp_path / "judge.safetensors")
    said = refused(capsys, "--start", tmp_path, "--out", tmp_path / "out")
    assert "older sdtool" in said and "make it anew" in said
    save_file({}, tmp_path / "judge.safetensors")
    for break_it in (
        lambda: None,
        lambda: write_json(tmp_path / "judge.json", facts),
        lambda: (tmp_path / "judge.safetensors").write_bytes(b"half"),
        lambda: write_json(tmp_path / "judge.json", facts | {"width": 30}),
        lambda: write_json(tmp_path / "judge.json", []),
    ):
        break_it()
        said = refused(capsys, "--start", tmp_path, "--out", tmp_path / "out")
        assert f"{tmp_path} holds no judge" in said
