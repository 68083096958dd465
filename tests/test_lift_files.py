"""What is no lift: one sentence that says what it is, and a cure that works."""

import json

import pytest
from export_samples import export, write_run
from view_samples import box, png

from sdtool.lifting.lift_files import lifts_in


@pytest.fixture
def there(in_a_folder, tmp_path):
    """A folder of two lifts and a stage's, a painted mesh, a picture, a text."""
    for name in ("lift-10", "lift-9", "mine"):
        write_run(tmp_path / "runs" / name, stage="evaluate" if name == "mine" else "lift")
    box(tmp_path / "painted/chair.glb")
    record = {"stage": "texture", "outputs": ["views.png", "chair.glb"]}
    (tmp_path / "painted/stage.json").write_text(json.dumps(record))
    png(tmp_path / "views.png", "white")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    return tmp_path


@pytest.mark.parametrize(
    "given, said",
    [
        ("runs", "runs holds 2 lifts, and is none; name one of them, such as runs/lift-9"),
        ("runs/mine", 'was written by evaluate, not by lift; make it with: sdtool lift "a corgi"'),
        ("painted", "written by texture; name the painted file in it, painted/chair.glb"),
        ("views.png", "views.png is neither the directory of a lift nor a mesh file (.glb"),
        ("notes.txt", "notes.txt is neither the directory of a lift nor a mesh file (.glb"),
        ("empty", 'holds no stage.json); make it with: sdtool lift "a corgi" --out empty'),
        ("full", "holds no stage.json); name another directory"),
        ("absent", "absent does not exist; name the directory of a lift, or make it with"),
        (
            "absent.glb",
            "absent.glb does not exist; name the directory of a lift or a mesh file (.glb",
        ),
    ],
)
def test_what_is_no_lift(given, said, there, capsys):
    code, stdout, stderr = export(capsys, given, "--out", "made.glb")
    assert (code, stdout) == (1, "") and said in stderr and stderr.count("\n") == 1
    assert not (there / "made.glb").exists()


def test_lifts_of_a_folder_are_counted_as_people_count(there):
    assert [path.name for path in lifts_in(there / "runs")] == ["lift-9", "lift-10"]
    assert lifts_in(there) == []
