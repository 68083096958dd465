"""The output of a stage that ran as many ranks: `out/rank-00000/`, `out/rank-00001/`, …, read as one."""

import re
from pathlib import Path

from sdtool.errors import InputError
from sdtool.io.files import read_json
from sdtool.io.stage_record import DONE


def rank_folder(out: Path, rank: int) -> Path:
    """Where a rank writes, of a stage whose output is `out`."""
    return out / f"rank-{rank:05d}"


def stage_folders(directory: str | Path) -> list[Path]:
    """The folders that hold a stage's output: `directory`, or all of its rank folders, in order.

    InputError if a rank is missing or unfinished, or if the ranks ran with different parameters.
    """
    directory = Path(directory)
    folders = sorted(p for p in directory.glob("rank-*") if re.fullmatch(r"rank-\d{5,}", p.name))
    if not folders or (directory / DONE).is_file():
        return [directory]
    heads = {}
    for folder in folders:
        head = read_json(folder / DONE) if (folder / DONE).is_file() else None
        if not isinstance(head, dict) or not isinstance(head.get("params"), dict):
            raise InputError(f"{folder} is not finished; run the command of that rank again")
        digests = {key: entry.get("digest") for key, entry in head.get("inputs", {}).items()}
        heads[folder] = (head.get("stage"), dict(head["params"]), digests)
    size = heads[folders[0]][1].get("world_size")
    present = [params.pop("rank", None) for _, params, _ in heads.values()]
    missing = sorted(set(range(size if isinstance(size, int) else 0)) - set(present))
    if missing:
        named = ", ".join(map(str, missing[:8])) + ", …" * (len(missing) > 8)
        raise InputError(f"{directory} lacks rank {named} of {size}; run them, too")
    for folder in folders:
        if heads[folder] != heads[folders[0]]:
            raise InputError(f"{folder} and {folders[0]} were made differently; make them alike")
    return folders
