"""Many machines without a scheduler's help: each runs the same command and takes its share.

A stage that is told of `world_size` > 1 ranks writes to `out/rank-00003/` instead of `out/`. The
next stage is given `out/` and reads all ranks as one.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import InputError, UsageError
from sdtool.io.files import read_json
from sdtool.io.stage_record import DONE

Rank = Annotated[
    int,
    typer.Option(
        min=0, envvar=["SLURM_PROCID"], show_default="0", help="Which of the ranks this is."
    ),
]
WorldSize = Annotated[
    int,
    typer.Option(
        min=1, envvar=["SLURM_NTASKS"], show_default="1", help="Commands that share the work."
    ),
]


@dataclass(frozen=True)
class Ranks:
    """Share number `rank` of `world_size` shares. UsageError if there is no such share."""

    rank: int = 0
    world_size: int = 1

    def __post_init__(self):
        if not 0 <= self.rank < self.world_size:
            raise UsageError(
                f"--rank {self.rank} of --world-size {self.world_size}: ranks count from 0"
            )

    def folder(self, out: str | Path) -> Path:
        """Where this rank writes: `out` if it is alone, else a folder of its own in it."""
        return Path(out) if self.world_size == 1 else Path(out) / f"rank-{self.rank:05d}"

    def owns(self, index: int) -> bool:
        """Whether piece number `index` of the work is this rank's."""
        return index % self.world_size == self.rank

    def params(self) -> dict[str, int]:
        """What the stage's record keeps; nothing if there is one rank."""
        return {} if self.world_size == 1 else {"rank": self.rank, "world_size": self.world_size}


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
