"""The output of a stage that ran as many ranks: `out/rank-00000/`, `out/rank-00001/`, …, read as one."""

from pathlib import Path
from typing import Any

from sdtool.errors import InputError
from sdtool.io.files import read_json
from sdtool.io.record_differences import NAMED, differing_inputs, differing_params, some_of
from sdtool.io.stage_record import DONE, RANK

LISTED = "listed"
"""What a rank's record counts: the objects that it shares with the others."""


def rank_folder(out: Path, rank: int) -> Path:
    """Where a rank writes, of a stage whose output is `out`."""
    return out / f"rank-{rank:05d}"


def stage_folders(directory: str | Path) -> list[Path]:
    """The folders that hold a stage's output: `directory`, or all of its rank folders, in order.

    InputError if a rank is missing or unfinished, or if the ranks ran with different parameters.
    """
    directory = Path(directory)
    folders = sorted(p for p in directory.glob("rank-*") if RANK.fullmatch(p.name))
    if not folders or (directory / DONE).is_file():
        return [directory]
    records: dict[Path, dict[str, Any]] = {}
    for folder in folders:
        head = read_json(folder / DONE) if (folder / DONE).is_file() else None
        if not isinstance(head, dict) or not isinstance(head.get("params"), dict):
            raise InputError(f"{folder} is not finished; run the command of that rank again")
        records[folder] = head
    size = records[folders[0]]["params"].get("world_size")
    present = [record["params"].pop("rank", None) for record in records.values()]
    missing = sorted(set(range(size if isinstance(size, int) else 0)) - set(present))
    if missing:
        named = ", ".join(map(str, missing[:8])) + ", …" * (len(missing) > 8)
        raise InputError(f"{directory} lacks rank {named} of {size}; run them, too")
    groups: list[list[Path]] = []
    for folder in folders:
        alike = [one for one in groups if not _difference(records[folder], records[one[0]])]
        if alike:
            alike[0].append(folder)
        else:
            groups.append([folder])
    usual = max(groups, key=lambda group: (len(group), -_shut(records[group[0]])))
    if odd := [folder for folder in folders if folder not in usual]:
        said = _difference(records[odd[0]], records[usual[0]])
        names = ", ".join(folder.name for folder in odd[:NAMED]) + ", …" * (len(odd) > NAMED)
        if len(odd) == len(usual):
            names += f" (or of {usual[0].name}, if that is the wrong one)"
        raise InputError(
            f"{odd[0]} and {usual[0]} were made differently ({said}); "
            f"make them alike: run the commands of {names} again with --overwrite"
        )
    return folders


def _shut(record: dict[str, Any]) -> int:
    """How many folders it could not read."""
    number = record.get("counts", {}).get("folders not read", 0)
    return number if isinstance(number, int) else 0


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What differs between the records of two ranks, in words; "" if nothing does."""
    found = []
    if one.get("stage") != other.get("stage"):
        found.append(f"stage: {one.get('stage')} and {other.get('stage')}")
    found += [f"{key}: {here} and {there}" for key, here, there in differing_params(one, other)]
    for key in differing_inputs(one, other):
        found.append(f"their input differs: {key}")
        numbers = [record.get("counts", {}).get(LISTED) for record in (one, other)]
        if key in ("objects", "renders") and all(isinstance(number, int) for number in numbers):
            here, there = numbers
            saw = f"they saw {here:,} and {there:,}, {abs(here - there):,} apart"
            found[-1] += f", of which {saw if here != there else f'both saw {here:,}'}"
    return some_of(found)
