"""The README's commands exist: every `sdtool …` in its shell blocks parses, every `make …` has a rule."""

import re
import shlex
from pathlib import Path

import pytest

from sdtool import __version__, cli

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = [
    re.sub(r"^srun [^|]*?(?=sdtool )", "", line.split("  #")[0].split(" > ")[0].strip())
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]
STAGES = [line for line in LINES if line.startswith("sdtool ")]
TARGETS = sorted({word for word in re.findall(r"`?\bmake ([a-z-]+)", TEXT)})


def test_the_readme_shows_commands():
    assert len(STAGES) >= 8 and {"demo", "test", "bench", "tiny-prior", "help"} <= set(TARGETS)


@pytest.mark.parametrize("line", STAGES)
def test_command_parses(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").touch()  # what --print-config writes for --config
    name, *arguments = shlex.split(line)[1:]
    assert name in cli.STAGES
    cli._load(name).make_context(name, arguments)  # parses and checks types; runs nothing


@pytest.mark.parametrize("target", TARGETS)
def test_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_pictures_and_files_exist():
    for name in re.findall(r"\]\(((?!http)[^)]+)\)", TEXT):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"`(examples/[^`]+)`", TEXT):
        assert (ROOT / name).is_file(), name


def test_every_stage_is_in_the_table():
    for name in cli.STAGES:
        assert f"| `{name}` |" in TEXT, name


def test_the_changelog_names_every_stage_and_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{__version__}]" in text
    for name in cli.STAGES:
        assert f"`{name}`" in text, name
