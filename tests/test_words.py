"""What commands say of one object, and of several, is English."""

import pytest
from glb_samples import corner

from sdtool.cli import run
from sdtool.io.words import counted


def test_a_number_with_its_noun():
    said = [counted(count, "object") for count in (0, 1, 2, 2000)]
    assert said == ["0 objects", "1 object", "2 objects", "2,000 objects"]


@pytest.mark.parametrize(
    "stage, options, said",
    [
        ("caption", [], "1 caption: 1 from name"),
        ("filter-objaverse", [], "1 of 1 object kept"),
        ("orient", ["--by", "table", "--table", "table.json"], "to be turned: 1 of 1 object;"),
        ("render-ccm", ["--yaw-fix", "turns.csv"], "turns.csv: 1 of its 1 uid is of no object"),
        ("render-ccm", ["--max-triangles", "1"], "the only object could not be rendered"),
    ],
)
def test_one_object_is_one(in_a_folder, tmp_path, capsys, stage, options, said):
    (tmp_path / "objs").mkdir()
    corner().save(tmp_path / "objs" / "red-chair.glb")
    (tmp_path / "table.json").write_text('{"red-chair": 90}')
    (tmp_path / "turns.csv").write_text("uid,degrees\nmug,90\n")
    small = ["--views", "1", "--size", "8"] if stage == "render-ccm" else []
    run([stage, "objs", "--out", "out", "--workers", "1", *small, *options])
    told = capsys.readouterr().err
    assert said in told and "1 objects" not in told and "1 captions" not in told


def test_what_differs_from_an_earlier_run_is_told_together(in_a_folder, tmp_path, capsys):
    (tmp_path / "objs").mkdir()
    corner().save(tmp_path / "objs" / "red-chair.glb")
    command = ["render-ccm", "objs", "--out", "out", "--yaw-fix", "turns.csv", "--workers", "1"]
    command += ["--views", "1", "--size", "8"]
    (tmp_path / "turns.csv").write_text("uid,degrees\nred-chair,90\n")
    assert run(command) == 0
    (tmp_path / "turns.csv").write_text("uid,degrees\nred-chair,180\n")
    corner().save(tmp_path / "objs" / "mug.glb")
    assert run(command) == 2
    assert "its inputs have changed: objects, yaw_fix" in capsys.readouterr().err
