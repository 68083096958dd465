"""What is evaluated: everything that the command line names, with its prompts."""

from pathlib import Path

from sdtool.evaluating.assets import Asset, find_assets
from sdtool.evaluating.prompts import with_prompts
from sdtool.evaluating.table import joined, read_table


def gather(
    paths: list[Path],
    out: Path,
    table: Path | None = None,
    listed: tuple[str, ...] = (),
    by_path: bool = False,
) -> list[Asset]:
    """The assets of a table (`read_table`) and of paths (`find_assets`), each once, the table's first.

    listed: prompts that file names may spell.
    """
    by_table = read_table(table) if table else []
    found = find_assets(paths, out, by_path) if paths else []
    return with_prompts(joined(by_table, found), listed)
