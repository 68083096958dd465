"""Command lines, as help texts and Markdown pages show them, taken apart."""

import re
import shlex
from collections.abc import Iterator
from functools import cache

from sdtool import cli


def without_comment(line: str) -> str:
    """A line of a shell without what stands behind a #."""
    return re.sub(r"\s+# .*", "", line).strip()


def joined(text: str) -> list[str]:
    """The lines of a text; lines that a backslash continues are one."""
    return re.sub(r"\\\n\s*", "", text).splitlines()


def commands(line: str) -> Iterator[tuple[str, list[str], str | None, str | None]]:
    """Each `sdtool …` of a line as (stage, its arguments, the tasks of its `srun`, file of its stdout).

    An inner "$(sdtool …)" comes first; its place in the outer arguments is held by "$()".
    """
    inner = re.search(r'"\$\((sdtool .*?)\)"', line)
    if inner:
        yield from commands(inner[1])
        line = line.replace(inner[0], "'$()'")
    for part in line.split(" && "):
        words = shlex.split(part)
        into = words.pop() if words[-2:-1] == [">"] else None
        if into:
            words.pop()
        start = words.index("sdtool.cli" if "sdtool.cli" in words else "sdtool")
        tasks = words[words.index("--ntasks") + 1] if "srun" in words[:start] else None
        stage, *arguments = words[start + 1 :]
        yield stage, arguments, tasks, into


@cache
def options(stage):
    """The long options of a stage."""
    return {
        name for param in cli._load(stage).params for name in (*param.opts, *param.secondary_opts)
    }
