"""The bench of lifts: what it asks for, and what it prints. The lifts themselves are tested elsewhere."""

import json
import sys
import tomllib

import pytest
from rich.console import Console

from sdtool import cli
from sdtool.bench import lifting, reference
from sdtool.errors import SdtoolError
from sdtool.lifting.config import settings_of

LIFT = """
import pathlib, sys, time
pictures = pathlib.Path(sys.argv[sys.argv.index("--out") + 1]) / "previews"
pictures.mkdir(parents=True)
(pictures / "coarse-0001.png").touch()
time.sleep(0.2)
said = '{"counts": {"steps": 10}, "seconds": {"priors": 4, "render": 2, "backward": 1, "total": 8}}'
print(said if "--fail" not in sys.argv else exit(3))
"""


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """`sdtool lift` is a script that writes a picture and says how long it took."""
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\n{LIFT}")
    script.chmod(0o755)
    monkeypatch.setattr(lifting.sys, "executable", str(script))


def printed(folder, *options):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(lifting.lifting(folder, list(options)))
    return capture.get()


def test_both_presets_of_both_representations_are_compared(pretended, tmp_path):
    said = printed(tmp_path, "--seed", "3")
    for rep in ("dmtet", "nerf"):
        for preset in ("reference", "tiny-cpu"):
            assert f"(--rep {rep} --preset {preset} --seed 3)" in said
        assert f"--rep {rep}: tiny-cpu against reference" in said
    rows = [line.split() for line in said.splitlines() if line.split()[1:2] == ["prior"]]
    assert [row[3] for row in rows if "50%" in row] == ["4.0"] * 4  # of 8 s, 400 ms a step
    assert sum(row[-2] == "1.00" for row in rows) == 2


@pytest.mark.parametrize("rep", reference.PLANS)
def test_the_older_recipe_is_all_that_its_file_asks_for(rep, tmp_path, capsys):
    command = ["lift", "a corgi", *lifting.recipe(tmp_path, rep, lifting.OLD), "--print-config"]
    assert cli.run(command) == 0
    asked = tomllib.loads(capsys.readouterr().out)
    assert asked["rep"] == rep and asked["color-prior"] == "none"
    assert asked["set"] == json.loads(json.dumps(settings_of(reference.PLANS[rep])))


def test_one_of_them_can_be_chosen(pretended, tmp_path):
    said = printed(tmp_path, "--rep", "nerf", "--preset", "preview")
    assert "(--rep nerf --preset preview)" in said and "against" not in said


def test_the_first_picture_is_seen_before_the_end(pretended, tmp_path):
    one = lifting.lifted(tmp_path / "a", [])
    assert 0 < one.first < one.wall and one.spent["loading, pictures, checkpoints"] == 1


def test_a_lift_that_fails_ends_the_measurement(pretended, tmp_path):
    with pytest.raises(SdtoolError, match="code 3"):
        lifting.lifted(tmp_path / "a", ["--fail"])
