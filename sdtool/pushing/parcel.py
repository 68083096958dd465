"""What of an AGP's folder goes to a model hub: weights and their cards, never a place of this machine."""

import json
from dataclasses import dataclass
from pathlib import Path

from sdtool.errors import InputError, UsageError
from sdtool.io.files import read_json
from sdtool.priors.bundled import TINY
from sdtool.priors.cards import AGP_CARD
from sdtool.priors.hub import is_hub_id
from sdtool.pushing.page import page

PAGE = "README.md"
ENDINGS = (".safetensors", ".json")
WATCHED = ("samples", "tensorboard", "wandb", "trackio")
OURS_ALONE = ("stage.json", "checkpoint-*", ".*", *WATCHED)
"""Names of what is of this machine: the record, checkpoints of a training that was stopped, its curves."""


@dataclass(frozen=True)
class Parcel:
    """Files by their names on the hub: paths, or bytes that are made for it. base: as others find it."""

    files: dict[str, Path | bytes]
    base: str
    license: str

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {
            name: len(held) if isinstance(held, bytes) else held.stat().st_size
            for name, held in self.files.items()
        }

    @property
    def text(self) -> str:
        """The page."""
        held = self.files[PAGE]
        assert isinstance(held, bytes)
        return held.decode("utf-8")


def check_agp(folder: Path) -> dict:
    """The content of agp.json; InputError if `folder` is no AGP with weights."""
    if not (folder / AGP_CARD).is_file():
        raise InputError(
            f"{folder} is not an AGP (it holds no {AGP_CARD}); make one with: sdtool finetune-agp"
        )
    card = read_json(folder / AGP_CARD)
    if not isinstance(card, dict) or not isinstance(card.get("base", TINY), str):
        raise InputError(f"{folder / AGP_CARD} is not the card of an AGP; train the AGP again")
    if not list(_found(folder, ".safetensors")):
        raise InputError(f"{folder} holds no weights (*.safetensors); train the AGP again")
    return card


def public_base(folder: Path, card: dict, base: str | None) -> str:
    """The base as others find it: tiny or a hub id. UsageError if it is a folder of this machine."""
    own = card.get("base", TINY)
    if base and base != own and (own == TINY or (is_hub_id(own) and not (folder / own).is_dir())):
        raise UsageError(
            f"{folder} was trained from the base {own}, not {base}; leave --base out", "--base"
        )
    named = base or own
    if named == TINY or (is_hub_id(named) and not (folder / named).is_dir()):
        return named
    raise UsageError(
        f"the base {named} is a place on this machine, which others have not; name where they find it with "
        "--base OWNER/NAME, or --base tiny if it is the bundled one",
        "--base",
    )


def parcel(folder: Path, card: dict, repository: str, base: str, license: str) -> Parcel:
    """All that is uploaded of the AGP in `folder`, with the page for `repository`.

    card: of `check_agp`. base: of `public_base`. license: of the base, by the hub's name for it.
    """
    files: dict[str, Path | bytes] = {}
    for ending in ENDINGS:
        for path in _found(folder, ending):
            files[path.relative_to(folder).as_posix()] = path
    if card.get("base") != base:
        text = json.dumps(card | {"base": base}, indent=2, ensure_ascii=False) + "\n"
        files[AGP_CARD] = text.encode()
    written = folder / PAGE
    before = written.read_text(encoding="utf-8") if written.is_file() else ""
    files[PAGE] = page(before, repository, base, license).encode()
    return Parcel(dict(sorted(files.items())), base, license)


def _found(folder: Path, ending: str) -> list[Path]:
    """Files of the folder and its subfolders with this ending that others need."""
    found = []
    for path in sorted(folder.rglob(f"*{ending}")):
        parts = path.relative_to(folder).parts
        ours = any(Path(part).match(pattern) for part in parts for pattern in OURS_ALONE)
        if path.is_file() and not ours:
            found.append(path)
    return found
