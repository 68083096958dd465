"""The README is short, begins with its two commands and says its limits; licence and changelog are kept.

That its commands, options, files and links exist is tested with the other pages in test_docs_*.py. Of
its first two commands, what `make demo` runs is run whole by test_lift.py, and `make test` runs this.
"""

import re
import tomllib

from command_lines import without_comment
from pages import ROOT, blocks, pages

from sdtool import __version__, cli

README = pages()["README.md"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


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


def test_the_citation_names_this_version_and_the_paper():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in text and text.startswith("cff-version: 1.2.0\n")
    assert "SweetDreamer: Aligning Geometric Priors in 2D Diffusion for Consistent" in text
    assert "https://arxiv.org/abs/2310.02596" in text
