"""The stage record: open, done, resumed or refused, and what `--overwrite` removes."""

import os
import subprocess
import sys

import pytest
from stage_samples import names, run_stage
from touched import touch

from sdtool import __version__
from sdtool.errors import UsageError
from sdtool.io import stage_record
from sdtool.io.files import read_json
from sdtool.io.lock import release_all
from sdtool.io.stage_record import begin, digest


def test_a_stage_is_open_then_done(tmp_path):
    source, out = tmp_path / "in.txt", tmp_path / "out"
    source.write_text("x")
    record = run_stage(
        out, params={"size": (32, 32), "at": out}, inputs={"text": source, "no": None}
    )
    assert not record.is_done and not record.resumed
    assert names(out) == ["stage.partial.json"]
    result = record.finish(counts={"ok": 2, "failed": 1}, outputs=["a.png", out / "b.png"])
    assert (result.path, result.failed) == (out, 1)
    assert names(out) == ["stage.json"]
    assert read_json(out / "stage.json") == {
        "stage": "demo",
        "sdtool": __version__,
        "params": {"size": [32, 32], "at": str(out)},
        "inputs": {"text": {"path": str(source), "digest": digest(source)}},
        "counts": {"ok": 2, "failed": 1},
        "outputs": ["a.png", str(out / "b.png")],
    }


def test_the_same_command_finds_it_done_with_the_same_result(tmp_path):
    first = run_stage(tmp_path / "out").finish(counts={"ok": 1, "failed": 2}, outputs=["x"])
    before = (tmp_path / "out" / "stage.json").stat().st_mtime_ns
    again = run_stage(tmp_path / "out")
    assert again.is_done and not again.resumed
    result = again.result()
    assert (result.path, result.failed) == (first.path, 2)
    assert result.summary == {**first.summary, "reused": True}
    assert (tmp_path / "out" / "stage.json").stat().st_mtime_ns == before


def test_an_interrupted_command_is_resumed_and_its_litter_swept(tmp_path):
    out = tmp_path / "out"
    run_stage(out)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (out / "deep").mkdir()
    for name in (f".a.png.{dead.pid}.tmp.png", f"deep/.b.json.{dead.pid}.tmp.json"):
        (out / name).write_text("half")
    alive = f".c.png.{os.getppid()}.tmp.png"  # another process of the same run is writing it
    for name in (alive, "done.png", ".tmp.png"):
        (out / name).write_text("mine")
    record = run_stage(out)
    assert record.resumed and not record.is_done
    assert names(out) == sorted([alive, ".tmp.png", "done.png", "stage.partial.json"])


@pytest.mark.parametrize("finished", [True, False])
def test_a_difference_is_named(tmp_path, finished):
    source, out = tmp_path / "in.txt", tmp_path / "out"
    source.write_text("x")
    record = run_stage(out, params={"seed": 0, "size": 8}, inputs={"text": source})
    (out / "shard").write_text("work")
    if finished:
        record.finish(counts={}, outputs=[])
    else:
        (out / "shard-0").write_text("made")
    for changed, complaint in (
        ({"seed": 0, "size": 9}, "size: 8 there, 9 now"),
        ({"seed": 0}, "size: 8 there, not given now"),
        ({"seed": 0, "size": 8, "views": 4}, "views: not given there, 4 now"),
    ):
        with pytest.raises(UsageError, match=complaint) as error:
            run_stage(out, params=changed, inputs={"text": source})
        assert "--overwrite" in str(error.value) and str(out) in str(error.value)
    source.write_text("y")
    with pytest.raises(UsageError, match="its input has changed: text"):
        run_stage(out, params={"seed": 0, "size": 8}, inputs={"text": source})
    with pytest.raises(UsageError, match="its input has changed: text"):
        run_stage(out, params={"seed": 0, "size": 8})


def test_a_difference_deep_inside_is_named_alone(tmp_path):
    def settings(steps):
        return {"settings": {"phases": [{"name": "fine", "steps": steps, "t": [0, 1]}], "half": 1}}

    begin(tmp_path / "a", "lift", params=settings(5)).finish(counts={}, outputs=[])
    with pytest.raises(UsageError, match=r"\(settings.phases.fine.steps: 5 there, 6 now\)"):
        begin(tmp_path / "a", "lift", params=settings(6))
    assert begin(tmp_path / "a", "lift", params=settings(5)).is_done


def test_what_changes_together_is_named_together(tmp_path):
    """One option may change several parameters: the first by name is not always the one it stands for."""
    source = tmp_path / "in.txt"
    source.write_text("x")
    old = {"prior": "tiny", "settings": {"phases": [{"name": "color", "by": "plain"}]}}
    begin(tmp_path / "a", "lift", params=old, inputs={"text": source})
    (tmp_path / "a" / "made").write_text("work")
    new = {"settings": {"phases": [{"name": "color", "by": "pbr"}]}}
    said = r"\(prior: tiny there, not given now; settings.phases.color.by: plain there, pbr now\)"
    with pytest.raises(UsageError, match=said):
        begin(tmp_path / "a", "lift", params=new, inputs={"text": source})
    source.write_text("y")
    with pytest.raises(UsageError, match=r"by: .* now; its input has changed: text\)"):
        begin(tmp_path / "a", "lift", params=new, inputs={"text": source})
    many = new | {"size": 8, "seed": 0}
    with pytest.raises(UsageError, match=r"; settings.* pbr now; and 2 more\)"):
        begin(tmp_path / "a", "lift", params=many, inputs={"text": source})


def test_a_command_that_made_nothing_binds_nobody(tmp_path):
    out = tmp_path / "out"
    run_stage(out, params={"seed": 0})
    record = run_stage(out, params={"seed": 1})
    assert not record.resumed and not record.is_done


def test_a_command_that_failed_before_it_made_anything_binds_nobody(tmp_path):
    run_stage(tmp_path / "out")
    record = run_stage(tmp_path / "out", params={"seed": 1}, stage="lift")
    assert not record.is_done and not record.resumed
    assert read_json(tmp_path / "out" / "stage.partial.json")["stage"] == "lift"


def test_a_command_that_ends_before_it_made_anything_leaves_no_record(tmp_path):
    out = tmp_path / "out"
    run_stage(out)
    assert names(out) == ["stage.partial.json"]
    release_all()
    assert not out.exists()
    run_stage(out, params={"seed": 7})
    (out / "shard").write_text("work")
    release_all()
    assert names(out) == ["shard", "stage.partial.json"], "what is begun is continued"
    assert run_stage(out, params={"seed": 7}).resumed


# What is overwritten, and what never


def test_overwrite_begins_afresh(tmp_path):
    out = tmp_path / "out"
    run_stage(out).finish(counts={}, outputs=["old.png"])
    (out / "old.png").write_text("old")
    record = run_stage(out, params={"seed": 1}, overwrite=True)
    assert not record.is_done and not record.resumed and names(out) == ["stage.partial.json"]
    assert not run_stage(tmp_path / "new", overwrite=True).is_done  # nothing there is no error


@pytest.mark.parametrize("linked", [False, True])
def test_overwrite_removes_what_the_record_lists_and_leaves_the_rest(tmp_path, linked):
    touch(tmp_path, "thesis.txt", "elsewhere/precious.txt")
    out = folder = tmp_path / "out"
    if linked:
        folder = tmp_path / "disk"
        folder.mkdir()
        out.symlink_to(folder)
    record = run_stage(out)
    touch(out, "glbs/0/a.glb", "ccm-00000.safetensors", "deep/b.png", "absolute.png")
    (out / "linked").symlink_to(tmp_path / "elsewhere")
    (out / "folder").symlink_to(tmp_path / "elsewhere")
    listed = ["glbs", "ccm-00000.safetensors", "deep/b.png", out / "absolute.png", "gone.png"]
    listed += ["../thesis.txt", "glbs/../../thesis.txt", tmp_path / "thesis.txt", ".", ""]
    record.finish(counts={}, outputs=[*listed, "linked/precious.txt", "folder"])
    touch(out, "failures.jsonl", "log.jsonl", "checkpoint-000005.safetensors")
    others = ["filtered/stage.json", "model.glb", "ccm-00001.safetensors", "deep/mine.png"]
    touch(out, *others)
    record = run_stage(out, params={"seed": 1}, overwrite=True, owned=["ccm-*.safetensors"])
    assert not record.is_done and not record.resumed
    assert names(folder) == sorted([*others, "stage.partial.json"])
    assert not (out / "folder").is_symlink() and out.is_symlink() == linked
    assert (tmp_path / "thesis.txt").exists() and (tmp_path / "elsewhere/precious.txt").exists()
    assert run_stage(out, params={"seed": 1}).resumed  # what others put there hinders nothing


def test_overwrite_of_an_unfinished_run_removes_what_the_stage_would_continue(tmp_path):
    out = tmp_path / "out"
    run_stage(out)
    mine = ["ccm-00000.safetensors", "samples/step-000001.png", "checkpoint.safetensors"]
    touch(out, *mine, "log.jsonl", "failures.jsonl", "model.glb", "samples/holiday.png")
    owned = ("ccm-?????.safetensors", "samples/step-*.png")
    assert not run_stage(out, overwrite=True, owned=owned).resumed
    assert names(out) == ["model.glb", "samples/holiday.png", "stage.partial.json"]


def test_a_patient_overwrite_waits_for_the_inputs(tmp_path):
    out = tmp_path / "out"
    run_stage(out).finish(counts={}, outputs=["old.png"])
    touch(out, "old.png")
    run_stage(out, params={"seed": 1}, overwrite=True, patient=True)  # and its inputs are bad
    assert names(out) == ["old.png", "stage.json"] and run_stage(out).is_done
    record = run_stage(out, params={"seed": 1}, overwrite=True, patient=True)
    record.clear()
    assert names(out) == ["stage.partial.json"]
    touch(out, "new.png")
    record.clear()
    assert names(out) == ["new.png", "stage.partial.json"]
    assert run_stage(out, params={"seed": 1}).resumed


def test_an_out_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "unmounted")
    with pytest.raises(UsageError, match="out is a link to nothing"):
        run_stage(tmp_path / "out", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_the_stage_did_not_write_is_never_removed(tmp_path, overwrite):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="choose another --out"):
        run_stage(folder, overwrite=overwrite)
    run_stage(tmp_path / "other", stage="lift").finish(counts={}, outputs=[])
    with pytest.raises(UsageError, match="written by lift"):
        run_stage(tmp_path / "other", overwrite=overwrite)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        run_stage(tmp_path / "file", overwrite=overwrite)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "stage.json").write_text("[]")  # of some other program
    with pytest.raises(UsageError, match="something else"):
        run_stage(foreign, overwrite=overwrite)
    assert names(tmp_path) == [
        "file",
        "foreign/stage.json",
        "other/stage.json",
        "thesis/thesis.txt",
    ]


@pytest.mark.parametrize("overwrite", [False, True])
def test_out_may_not_hold_an_input(tmp_path, overwrite):
    run_stage(tmp_path / "out").finish(counts={}, outputs=[])
    (tmp_path / "out" / "objects.jsonl").write_text("{}")
    for source in (tmp_path / "out", tmp_path / "out" / "objects.jsonl"):
        with pytest.raises(UsageError, match="holds the input objects"):
            run_stage(tmp_path / "out", inputs={"objects": source}, overwrite=overwrite)
    assert names(tmp_path) == ["out/objects.jsonl", "out/stage.json"]


def test_out_may_lie_inside_an_input_folder(tmp_path):
    (tmp_path / "a.glb").write_text("x")
    out = tmp_path / "ccm"
    record = run_stage(out, inputs={"objects": tmp_path})
    (out / "shard").write_text("result")
    assert run_stage(out, inputs={"objects": tmp_path}).resumed
    record.finish(counts={}, outputs=[])
    assert run_stage(out, inputs={"objects": tmp_path}).is_done
    (tmp_path / "b.glb").write_text("x")
    with pytest.raises(UsageError, match="its input has changed: objects"):
        run_stage(out, inputs={"objects": tmp_path})


def test_a_record_that_is_taken_back_while_another_looks_is_no_foreign_file(tmp_path, monkeypatch):
    """Between the two looks of the second process the first one ends."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "stage.partial.json").write_text("{}")
    marks = stage_record._marks

    def ends_meanwhile(folder):
        (folder / "stage.partial.json").unlink(missing_ok=True)
        return marks(folder)

    monkeypatch.setattr(stage_record, "_marks", ends_meanwhile)
    assert not run_stage(out).resumed
    release_all()
    (out / "mine.txt").write_text("foreign")
    with pytest.raises(UsageError, match="sdtool did not write it"):
        run_stage(out)
