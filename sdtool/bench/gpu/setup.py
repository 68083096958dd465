"""Where the checks run and at what size."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setup:
    """device: as torch names it. small: at reduced size, to try the checks themselves. work: a folder
    for what they make on the way: it goes when all is done."""

    device: str
    small: bool
    work: Path

    @property
    def is_cpu(self) -> bool:
        """Whether there is no accelerator to be checked."""
        return self.device.partition(":")[0] == "cpu"

    @property
    def judges_goals(self) -> bool:
        """Whether goals of speed and memory mean anything."""
        return not (self.is_cpu or self.small)
