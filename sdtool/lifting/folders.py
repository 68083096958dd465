"""Where lifts go: a directory named after the prompt, in any script, whatever other prompts there are."""

import hashlib
import unicodedata
from collections import Counter
from pathlib import Path

from sdtool.errors import InputError
from sdtool.io.files import read_json
from sdtool.io.stage_record import DONE, PARTIAL

CANDIDATES = "candidates"
"""Of a lift's directory, where `--best-of` lets its seeds begin: each in seed-N, until one is chosen."""
LONGEST = 80, 160  # letters, and bytes in UTF-8, of which file systems take 255


def folders_of(prompts: list[str], out: Path) -> list[Path]:
    """A directory below `out` for each of the prompts, which differ.

    It is named after the prompt's words. Prompts whose words are the same ("a corgi!", "a corgi?") have a
    digest behind them, but for the one that has the plain name already. So a prompt keeps its directory
    whatever lines are added to a file, taken from it or moved.
    """
    names = Counter(slug(prompt) for prompt in prompts)
    return [folder_of(prompt, out, names[slug(prompt)] > 1) for prompt in prompts]


def folder_of(prompt: str, out: Path, is_shared: bool = False) -> Path:
    """The directory of one prompt. is_shared: another one to be lifted has the same words."""
    name = slug(prompt)
    plain = out / (name or "prompt")
    apart = out / f"{plain.name}--{_digest(prompt)}"
    for folder in (plain, apart):
        if _prompt_in(folder) == prompt:
            return folder
    is_plain = prompt == name.replace("-", " ")
    if not name or _prompt_in(plain) is not None or (is_shared and not is_plain):
        return apart
    return plain


def slug(prompt: str) -> str:
    """The letters, marks and digits of a prompt, lower-cased, with dashes between: "" if it has none."""
    text = unicodedata.normalize("NFC", prompt).lower()
    signs = (sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in text)
    name = "-".join("".join(signs).split())[: LONGEST[0]]
    name = name.encode("utf-8", "ignore")[: LONGEST[1]].decode("utf-8", "ignore")
    return name.strip("-")


def _digest(prompt: str) -> str:
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _prompt_in(folder: Path) -> str | None:
    """The prompt of the lift in a folder, of what sdtool began there; None if there is none."""
    for mark in (folder / DONE, folder / PARTIAL):
        if mark.is_file():
            try:
                params = read_json(mark)["params"]
                return str(params["prompt"])
            except (InputError, OSError, KeyError, TypeError):
                return None
    return None
