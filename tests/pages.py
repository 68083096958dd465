"""The project's Markdown pages, taken apart: blocks of code, code in the text, links, headings."""

import re
import textwrap
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PATHS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "sdtool" / "tiny" / "README.md"]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@cache
def pages() -> dict[str, str]:
    """{path from the root: text} of all pages that people write."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(PATHS)
    }


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, code) of every fenced block in a language."""
    return [
        (page, textwrap.dedent(code))
        for page, text in pages().items()
        for _, named, code in BLOCK.findall(text)
        if named == language
    ]


def in_text() -> list[tuple[str, str]]:
    """(page, code) of all code between single backticks, without repetitions."""
    found = [
        (page, " ".join(code.split()))
        for page, text in pages().items()
        for code in re.findall(r"`([^`]+)`", BLOCK.sub("", text))
    ]
    return list(dict.fromkeys(found))


def links() -> list[tuple[str, str]]:
    """(page, target) of every link and picture."""
    return [
        (page, target)
        for page, text in pages().items()
        for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text))
    ]


def anchors(text: str) -> set[str]:
    """What links to the headings of a page end in, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings}


def is_target(name):
    """Whether the Makefile has a rule of this name."""
    return f"\n{name}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
