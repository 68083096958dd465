"""Many machines without a scheduler's help: each runs the same command and takes its share.

A stage that is told of `world_size` > 1 ranks writes to `out/rank-00003/` instead of `out/`. The
next stage is given `out/` and reads all ranks as one (`sdtool.io.rank_folders.stage_folders`).
"""

from dataclasses import dataclass
from pathlib import Path

from sdtool.errors import UsageError
from sdtool.io.rank_folders import LISTED, rank_folder


@dataclass(frozen=True)
class Ranks:
    """Share number `rank` of `world_size` shares. UsageError if there is no such share."""

    rank: int = 0
    world_size: int = 1

    def __post_init__(self):
        if not 0 <= self.rank < self.world_size:
            raise UsageError(
                f"--rank {self.rank} of --world-size {self.world_size}: ranks count from 0",
                "--rank",
                "--world-size",
            )

    def folder(self, out: str | Path) -> Path:
        """Where this rank writes: `out` if it is alone, else a folder of its own in it."""
        return Path(out) if self.world_size == 1 else rank_folder(Path(out), self.rank)

    def owns(self, index: int) -> bool:
        """Whether piece number `index` of the work is this rank's."""
        return index % self.world_size == self.rank

    def params(self) -> dict[str, int]:
        """What the stage's record keeps; nothing if there is one rank."""
        return {} if self.world_size == 1 else {"rank": self.rank, "world_size": self.world_size}

    def share(self, count: int) -> int:
        """How many of `count` pieces are this rank's."""
        return len(range(self.rank, count, self.world_size))

    def counts(self, count: int) -> dict[str, int]:
        """What the record counts besides, so that ranks that saw other objects can be told apart: how many
        all ranks share; nothing if there is one."""
        return {} if self.world_size == 1 else {LISTED: count}
