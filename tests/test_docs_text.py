"""What the README, docs/ and the other pages name exists: options, settings, files, names, links."""

import ast
import re

import pytest
from command_lines import options
from pages import ROOT, anchors, blocks, in_text, is_target, links, pages

from sdtool import cli

# Options of other programs, and of sdtool itself.
OTHER_OPTIONS = {"--multi_gpu", "--ntasks", "--help", "--version", "--install-completion"}


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
        found = re.fullmatch(
            r"(?:--set )?(?:coarse|fine|geometry|color)\.(?!json)(\w+)(=.*)?", code
        )
        assert not found or found[1] in Phase.__dataclass_fields__, f"{page}: {code}"


def test_files_and_names_in_the_text_exist():
    wrong = []
    for page, code in in_text():
        if re.fullmatch(r"(examples|sdtool|stages|tests|docs|\.ci)/[\w./*-]*", code):
            found = "NAME" in code or any(ROOT.glob(code.rstrip("/")))
            wrong += [(page, code)] * (not found)
        if re.fullmatch(r"sdtool(\.\w+)+", code) and page != "CHANGELOG.md":  # it names old ones
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


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_what_python_imports_exists(page, code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sdtool"):
            for alias in node.names:
                assert is_known(f"{node.module}.{alias.name}"), f"{page}: {node.module}"
