"""What is evaluated: everything that the command line names, with its prompts."""

import sys
from pathlib import Path
from typing import Any

from sdtool.evaluating.assets import Asset, find_assets
from sdtool.evaluating.prompts import with_prompts
from sdtool.evaluating.table import joined, read_table
from sdtool.io.folders import Unread
from sdtool.io.names import escaped
from sdtool.io.objects import unread_beside
from sdtool.io.words import counted

NAMED = 24  # letters of a seed that a line shows


def gather(
    paths: list[Path],
    out: Path,
    table: Path | None = None,
    listed: tuple[str, ...] = (),
    by_path: bool = False,
    unread: Unread | None = None,
) -> list[Asset]:
    """The assets of a table (`read_table`) and of paths (`find_assets`), each once, the table's first.

    listed: prompts that file names may spell. unread: gets what the paths hold that is left out.
    """
    by_table = read_table(table) if table else []
    unread = Unread() if unread is None else unread
    found = find_assets(paths, out, by_path, unread.shut) if paths else []
    for path in paths:
        unread.kinds.update(unread_beside(path).kinds)
    odd: dict[Path, Any] = {}
    assets = with_prompts(joined(by_table, found), listed, odd)
    if odd:
        some = ", ".join(f"{path}: {str(seed)[:NAMED]}" for path, seed in [*odd.items()][:3])
        named = f"{counted(len(odd), 'model')} ({some}{', …' * (len(odd) > 3)})"
        said = f"seeds that are no whole number from 0 to 2^63 − 1 are ignored, of {named}"
        print(escaped(said), file=sys.stderr)
    return assets
