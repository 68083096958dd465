"""What the README, docs/ and the other pages say exists: every command, option, file, link and name.

Commands in blocks of shell are parsed by the real command line and not run, but for the README's two:
`make demo` is run whole by test_lift.py, `make test` is what runs this.
"""

import ast
import importlib
import os
import re
import shlex
import tomllib
from functools import cache

import pytest
from command_lines import commands, joined, without_comment
from pages import ROOT, anchors, blocks, in_text, links, pages

from sdtool import __version__, cli
from sdtool.filtering.rules import read_rules

README = pages()["README.md"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
LINES = [
    (page, without_comment(line))
    for page, code in blocks("sh")
    for line in joined(code)
    if without_comment(line)
]
# Options of other programs, and of sdtool itself.
OTHER_OPTIONS = {"--multi_gpu", "--ntasks", "--help", "--version", "--install-completion"}


# Commands


@cache
def options(stage):
    """The long options of a stage."""
    return {
        name for param in cli._load(stage).params for name in (*param.opts, *param.secondary_opts)
    }


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


def is_target(name):
    """Whether the Makefile has a rule of this name."""
    return f"\n{name}:" in MAKEFILE


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
        text = main.with_name(f"{part}.py").read_text(encoding="utf-8")
        if part == "lifting":  # it takes the options of `sdtool lift`
            parse("lift", ["a corgi", *arguments])
            return
    for name in [*variables, *(word for word in arguments if word.startswith("--"))]:
        assert f'"{name}"' in text, f"{module} knows no {name}"


def check_pytest(arguments):
    settings = tomllib.loads(PYPROJECT)["tool"]["pytest"]["ini_options"]
    for before, word in zip(["", *arguments], arguments, strict=False):
        if before == "-m":
            assert any(mark.startswith(f"{word}: ") for mark in settings["markers"]), word
        elif not word.startswith("-"):
            assert (ROOT / word).is_file(), word


def check_pip(line, variables):
    from sdtool.doctor.optional import OPTIONAL

    for extra in re.findall(r"sdtool\[([\w,]+)\]", line):
        assert set(extra.split(",")) <= set(PROJECT["optional-dependencies"]), extra
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
    (tmp_path / "my.toml").touch()  # what --print-config writes for --config
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


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_what_python_imports_exists(page, code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sdtool"):
            for alias in node.names:
                assert is_known(f"{node.module}.{alias.name}"), f"{page}: {node.module}"


# Code in the text


def is_known(name):
    """Whether a dotted name is a module of ours, or something at a module's top level."""
    parts = name.split(".")
    base = ROOT if parts[:2] != ["sdtool", "stages"] else None
    for count in range(len(parts), 0, -1):
        folder = base.joinpath(*parts[:count]) if base else ROOT.joinpath(*parts[1:count])
        path = folder.with_suffix(".py")
        path = path if path.is_file() else folder / "__init__.py"
        if not path.is_file():
            continue
        rest = parts[count:]
        if not rest:
            return True
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return len(rest) == 1 and rest[0] in defined(tree)
    return False


def defined(tree):
    """The names that a module's top level gives."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)
            )
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def test_options_in_the_text_exist():
    known = OTHER_OPTIONS.union(*(options(stage) for stage in cli.STAGES))
    wrong = {
        (page, word)
        for page, code in in_text()
        for word in re.findall(r"(?<!\S)--[\w-]+", code)
        if page != "CHANGELOG.md" and word not in known
    }
    assert not wrong


def test_commands_in_the_text_name_stages_and_targets():
    wrong = []
    for page, code in in_text():
        program, _, rest = code.partition(" ")
        word = rest.split(" ")[0]
        if program == "sdtool" and word not in ("", "STAGE") and not word.startswith("--"):
            known = options(word) | OTHER_OPTIONS if word in cli.STAGES else set()
            named = re.findall(r"(?<!\S)--[\w-]+", rest)
            wrong += [(page, code)] * (word not in cli.STAGES or not known.issuperset(named))
        if program == "make" and rest:
            wrong += [(page, code)] * (not is_target(word))
    assert not wrong


def test_settings_in_the_text_exist():
    from sdtool.lifting.config import Phase

    for page, code in in_text():
        found = re.fullmatch(r"(?:--set )?(?:coarse|fine|geometry|color)\.(\w+)(=.*)?", code)
        assert not found or found[1] in Phase.__dataclass_fields__, f"{page}: {code}"


def test_files_and_names_in_the_text_exist():
    wrong = []
    for page, code in in_text():
        if re.fullmatch(r"(examples|sdtool|stages|tests|docs|\.ci)/[\w./*-]*", code):
            found = "NAME" in code or any(ROOT.glob(code.rstrip("/")))
            wrong += [(page, code)] * (not found)
        if re.fullmatch(r"sdtool(\.\w+)+", code):
            wrong += [(page, code)] * (not is_known(code))
    assert not wrong


def test_links_lead_somewhere():
    for page, target in links():
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        path = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        assert path.is_file() and path.is_relative_to(ROOT.resolve()), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), f"{page}: {target}"


def test_every_page_can_be_reached_from_the_readme():
    reached, todo = set(), ["README.md"]
    while todo:
        page = todo.pop()
        reached.add(page)
        for one, target in links():
            path = ((ROOT / page).parent / target.partition("#")[0]).resolve()
            if one == page and path.suffix == ".md":
                name = path.relative_to(ROOT.resolve()).as_posix()
                todo += [name] * (name not in reached)
    assert reached == set(pages())


# The README


def test_the_readme_is_short_and_begins_with_two_commands():
    assert len(README.splitlines()) <= 130
    first = next(code for page, code in blocks("sh") if page == "README.md")
    assert [without_comment(line) for line in first.splitlines()] == ["make demo", "make test"]
    assert "sdtool lift 'a corgi' --rep dmtet" in MAKEFILE and "sdtool export" in MAKEFILE
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_limits_stand_near_the_top():
    assert README.index("\n## Limits\n") < README.index("\n## With a laptop\n")
    assert README[: README.index("\n## Limits\n")].count("\n") < 40


def test_each_of_three_users_has_five_commands():
    for heading in ("With a laptop", "With GPUs and a collection", "On a cluster"):
        part = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        (block,) = re.findall(r"```sh\n(.*?)```", part, re.DOTALL)
        assert len(block.splitlines()) == 5, heading


def test_every_stage_is_in_the_table():
    for name in cli.STAGES:
        assert f"| `{name}` |" in README, name


def test_the_papers_are_linked():
    for paper in (
        "2310.02596",
        "2209.14988",
        "2303.13873",
        "2201.05989",
        "2111.04276",
        "2306.07279",
    ):
        assert f"https://arxiv.org/abs/{paper}" in README, paper


# Licence and changelog


def test_the_licence_is_named_and_there():
    assert PROJECT["license"] == "Apache-2.0"
    for name in PROJECT["license-files"]:
        assert (ROOT / name).is_file(), name
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0" in text
    assert "The sdtool authors" in text


def test_every_optional_package_has_its_licence_named():
    text = pages()["THIRD_PARTY.md"].lower()
    for extra in set(PROJECT["optional-dependencies"]) - {"dev"}:
        assert f"sdtool[{extra}]" in text, extra
    for requirement in PROJECT["dependencies"]:
        assert re.split(r"[>=]", requirement)[0] in text.replace("pytorch", "torch"), requirement


def test_the_changelog_names_every_stage_and_the_version():
    text = pages()["CHANGELOG.md"]
    assert f"## [{__version__}]" in text
    for name in cli.STAGES:
        assert f"`{name}`" in text, name
