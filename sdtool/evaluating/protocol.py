"""The protocol by which Janus rates are measured: its lists, its views, its judge. docs/evaluation.md
describes it, and `janus_rates` counts by it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sdtool import __version__
from sdtool.errors import InputError
from sdtool.evaluating.prompts import spelled
from sdtool.io.pages import shipped
from sdtool.io.prompts import prompts_in
from sdtool.io.words import counted

Name = Literal["toyverse-80", "open-80", "own"]
OWN = "own"


@dataclass(frozen=True)
class Protocol:
    """name: of `Name`. prompts: each of them asks a method for one result of every seed. file: the name of
    the file that a list of one's own came from."""

    name: str
    prompts: tuple[str, ...]
    file: str = ""

    @property
    def digest(self) -> str:
        """By what the list is known again: of its prompts, in their order."""
        return hashlib.sha256("\n".join(self.prompts).encode(errors="replace")).hexdigest()[:8]

    @property
    def told(self) -> str:
        """Its name, of a list of one's own with its file and its digest."""
        if self.name != OWN:
            return self.name
        whose = f"{self.file}, " if self.file else ""
        return f"{self.name} ({whose}{counted(len(self.prompts), 'prompt')}, digest {self.digest})"

    def text(self) -> str:
        """The list as a file for `lift --prompts`, under what the protocol asks for."""
        count, around, elevations = len(self.prompts), *views().values()
        heights = " and ".join(f"{one:g}°" for one in elevations)
        return "\n".join(
            (
                f"# The protocol {self.name} of sdtool {__version__}: {count} prompts.",
                "# Make one result of each with the seed 0, and none again. Of more seeds: as many of each.",
                "# Name each file after its prompt, or write the prompt into its extras or into a table.",
                f"# Each is judged from {around} sides at each elevation of {heights}, untextured: it is",
                "# consistent, inconsistent (a Janus), or cannot be told.",
                f"# Then: sdtool evaluate METHOD OTHER --protocol {self.name} --out report",
                *self.prompts,
            )
        )


def views() -> dict[str, Any]:
    """From where a result is judged: how many sides, at each of which elevations in degrees."""
    from sdtool.evaluating.measuring import AROUND, ELEVATIONS

    return {"around": AROUND, "elevations": list(ELEVATIONS)}


def load(name: Name, own: Sequence[str] = (), file: str = "") -> Protocol:
    """A bundled protocol, or that of a list of one's own, from a file of this name; InputError if file names
    could not tell two of its prompts apart."""
    assert name in get_args(Name)
    if name == OWN:
        found: dict[str, str] = {"": ""}
        for prompt in own:
            if (other := found.setdefault(spelled(prompt), prompt)) != prompt:
                like = f"differs from {other!r}" if other else "has letters or digits"
                raise InputError(f"--prompts: {prompt!r} hardly {like}; change it, or leave it out")
        return Protocol(name, tuple(own), file)
    return Protocol(name, tuple(prompts_in(shipped("sdtool.evaluating", f"{name}.txt"))))


def judge_id(folder: Path, calibrate: int = 0, seed: int = 0) -> str:
    """Which judge it was: a digest of its weights, facts and lines, and how these were drawn anew."""
    sha = hashlib.sha256()
    for path in sorted(one for one in folder.iterdir() if one.suffix in (".json", ".safetensors")):
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()[:8] + f" (calibrated with {calibrate}, seed {seed})" * bool(calibrate)
