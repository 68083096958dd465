"""Every command in a block of shell of README, docs/ and the other pages is one that exists.

Those of `sdtool` are parsed by the real command line and not run.
"""

import importlib
import os
import re
import shlex
import tomllib

import pytest
from command_lines import commands, joined, without_comment
from pages import ROOT, blocks, in_text, is_target, pages

from sdtool import cli
from sdtool.filtering.rules import read_rules

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINES = [
    (page, without_comment(line))
    for page, code in blocks("sh")
    for line in joined(code)
    if without_comment(line)
]


def test_the_pages_show_commands():
    assert sum(line.startswith("sdtool ") for page, line in LINES if page == "README.md") >= 8
    shown = " ".join(line for _, line in LINES) + " ".join(code for _, code in in_text())
    targets = set(re.findall(r"\bmake ([a-z-]+)", shown))
    assert targets >= {"setup", "demo", "test", "bench", "tiny-prior", "judge", "help"}


def parse(stage, arguments):
    """Let the command line take its arguments; of a lift, its settings too. Runs nothing."""
    assert stage in cli.STAGES, stage
    command = cli._load(stage)
    context = command.make_context(stage, list(arguments))
    if stage == "lift":
        importlib.import_module("sdtool.stages.lift").in_full(context.params)


def check_sdtool(line, variables):
    assert not variables
    for stage, arguments, _, _ in commands(line.replace(".venv/bin/", "")):
        parse(stage, arguments)


def check_make(line, variables):
    assert not variables
    for word in shlex.split(line)[1:]:
        name, assigned, _ = word.partition("=")
        known = f"\n{name} ?=" in MAKEFILE if assigned else is_target(word)
        assert known, word


def check_script(line, variables):
    (path,) = shlex.split(line)
    text = (ROOT / path).read_text(encoding="utf-8")
    assert os.access(ROOT / path, os.X_OK), path
    for name in variables:
        assert f"\n{name}=${{{name}:-" in text, f"{path} knows no {name}"


def check_python(line, variables):
    _, flag, module, *arguments = shlex.split(line)
    assert flag == "-m", line
    if module == "pytest":
        check_pytest(arguments)
        return
    main = ROOT.joinpath(*module.split("."))
    main = main / "__main__.py" if main.is_dir() else main.with_suffix(".py")
    text = main.read_text(encoding="utf-8")
    assert '__name__ == "__main__"' in text
    if module == "sdtool.bench":
        part, *arguments = arguments
        assert f'    "{part}": ' in text, f"there is no part {part}"
        alone = main.with_name(f"{part}.py")
        alone = alone if alone.is_file() else main.with_name(part) / "command.py"
        text = alone.read_text(encoding="utf-8")
        if part == "lifting":  # it takes the options of `sdtool lift`
            parse("lift", ["a corgi", *arguments])
            return
    for beside in re.findall(r"^from (\S+_options) import", text, re.MULTILINE):
        text += ROOT.joinpath(*beside.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    for name in [*variables, *(word for word in arguments if word.startswith("--"))]:
        assert f'"{name}"' in text, f"{module} knows no {name}"


def check_pytest(arguments):
    settings = PROJECT["tool"]["pytest"]["ini_options"]
    for before, word in zip(["", *arguments], arguments, strict=False):
        if before == "-m":
            assert any(mark.startswith(f"{word}: ") for mark in settings["markers"]), word
        elif not word.startswith("-"):
            assert (ROOT / word).is_file(), word


def check_pip(line, variables):
    from sdtool.doctor.optional import OPTIONAL

    for extra in re.findall(r"sdtool\[([\w,]+)\]", line):
        assert set(extra.split(",")) <= set(PROJECT["project"]["optional-dependencies"]), extra
    if "sdtool[" not in line:
        assert any(line in check.cure for check in OPTIONAL), "doctor has another cure"


def check_activation(line, variables):
    assert line == "source .venv/bin/activate"


CHECKS = {
    "sdtool": check_sdtool,
    ".venv/bin/sdtool": check_sdtool,
    "srun": check_sdtool,
    "accelerate": check_sdtool,
    "make": check_make,
    "python": check_python,
    "pip": check_pip,
    "source": check_activation,
}


@pytest.mark.parametrize(("page", "line"), LINES)
def test_command_exists(page, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in ("my.toml", "studio.hdr"):  # of --print-config, and a light of your own
        (tmp_path / given).touch()
    variables = {}
    while found := re.match(r"""([A-Z_]+)=("[^"]*"|\S*)\s+""", line):
        variables[found[1]], line = found[2], line[found.end() :]
    first = line.split()[0]
    check = check_script if first.startswith("examples/") else CHECKS[first]
    check(line, variables)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("sdtool lift 'a corgi' --sett coarse.steps=3", "No such option"),
        ("sdtool lift 'a corgi' --set coarse.step=3", "coarse.step=3"),
        ("sdtool lft 'a corgi'", "lft"),
        ("make demmo", "demmo"),
        ("examples/cluster.sh", "CLUSTER"),
        ("python -m sdtool.bench renderings", "renderings"),
        ("pip install 'sdtool[cuda13]'", "cuda13"),
    ],
)
def test_a_wrong_command_would_be_found(line, complaint):
    variables = {"CLUSTER": "1"} if complaint == "CLUSTER" else {}
    check = check_script if line.startswith("examples/") else CHECKS[line.split()[0]]
    with pytest.raises(Exception, match=re.escape(complaint)):
        check(line, variables)


def test_blocks_are_of_a_kind_that_is_checked():
    for page, text in pages().items():
        for language in re.findall(r"^ *```(\w*)\n", text, re.MULTILINE):
            assert language in ("sh", "toml", "python", ""), f"{page}: a block of {language}"
        fences = re.findall(r"^ *```\w*$", text, re.MULTILINE)
        assert all(not f.strip("` ") for f in fences[1::2]), f"{page}: a block without language"


@pytest.mark.parametrize(("page", "code"), blocks("toml"))
def test_toml_is_understood(page, code, tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(code)
    table = tomllib.loads(code)
    if "rule" in table:
        assert read_rules(path)
    for stage in table.keys() - {"rule"}:
        parse(stage, ["--config", str(path), "--print-config"])
