"""Finding what is to be evaluated: finished and unfinished lifts, and model files."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from sdtool.errors import InputError, UsageError
from sdtool.geometry.meshes import Mesh
from sdtool.io.files import read_json
from sdtool.io.folders import MESH_SUFFIXES, model_stem, say_shut
from sdtool.io.names import escaped
from sdtool.io.stage_record import DONE, PARTIAL
from sdtool.toyverse.catalogue import CATEGORIES

COMPOUNDS = {"palm tree": "palm", "teddy bear": "teddy"}


@dataclass(frozen=True)
class Asset:
    """A lift's directory or a model's file. method: the folder it counts for. unfinished: a lift that
    stopped or failed, so that there is nothing to look at. prompt, prompt_from, seed: see
    `prompts.with_prompts`; "" and None if nobody knows."""

    path: Path
    method: str
    unfinished: bool = False
    prompt: str = ""
    prompt_from: str = ""
    seed: int | None = None

    @property
    def name(self) -> str:
        return absolute(self.path).name if self.path.is_dir() else model_stem(self.path)


def find_assets(
    paths: list[Path],
    out: Path | None = None,
    by_path: bool = False,
    shut: dict[Path, str] | None = None,
) -> list[Asset]:
    """Every asset at or below the paths, once, in order of their names.

    A directory that a lift wrote is one asset, whatever files lie in it. What lies in `out` is left
    out. by_path: its method is the folder among `paths` that it lies below, not the one that it lies in.
    Folders that cannot be read are named on stderr, and passed over; shut: gets them, and why. InputError if
    a path does not exist or holds no asset.
    """
    found: dict[Path, tuple[Asset, Path]] = {}
    shut = {} if shut is None else shut
    hidden = out.resolve() if out else None
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist; name lifts, models or folders of them")
        closed: dict[Path, str] = {}
        below = _below(path, set(), closed)
        shut.update(closed)
        here = [
            one for one in below if not hidden or hidden not in Path(os.path.realpath(one)).parents
        ]
        if below and not here:
            said = f"all that {path} holds lies in --out {out}, which is left out; choose another --out"
            raise InputError(said)
        if not here:
            kinds, shy = ", ".join(MESH_SUFFIXES), " that can be read" if closed else ""
            first = "".join(f"; {name}: {why}" for name, why in [*closed.items()][:1])
            raise InputError(f"{path} holds neither a lift nor a model{shy} ({kinds}){first}")
        for one in here:
            unfinished = one.is_dir() and not (one / DONE).is_file()
            whole = by_path and path.is_dir() and one != path
            folder = absolute(path) if whole else _method(one, paths)
            same, its = found.setdefault(
                Path(os.path.realpath(one)), (Asset(one, "", unfinished), folder)
            )
            if by_path and its != folder:
                both = f"{same.path} and {one}" if same.path != one else f"{one}"
                raise UsageError(
                    f"{both} would be a result of two methods, {its} and {folder}; with --protocol each "
                    "PATH is a method, so name folders of which none holds what another one holds",
                    "PATH",
                )
    for line in say_shut(shut):
        print(escaped(line), file=sys.stderr)
    names = told_apart(folder for _, folder in found.values())
    return [replace(asset, method=names[folder]) for asset, folder in found.values()]


def told_apart(paths: Iterable[Path]) -> dict[Path, str]:
    """Of each absolute path its name, with as many of its parents' as no other one shares."""
    named: dict[Path, str] = {}
    left, count = list(dict.fromkeys(paths)), 1
    while left:
        shared = Counter(path.parts[-count:] for path in left)
        for path in left:
            if shared[path.parts[-count:]] == 1 or count >= len(path.parts):
                name = model_stem(path) if path.is_file() else path.name
                named[path] = "/".join((*path.parts[-count:-1], name))
        left, count = [path for path in left if path not in named], count + 1
    return named


def _below(path: Path, seen: set[Path], shut: dict[Path, str]) -> list[Path]:
    """The assets at or below a path; of links that lead nowhere those with a model's name.

    seen: the real folders that were looked into, which is done once. Links to folders come last. shut:
    gets the folders, and links to where nobody may look, that cannot be read, and why.
    """
    try:
        if not path.is_dir():
            is_model = path.suffix.lower() in MESH_SUFFIXES
            return [path] if is_model and (path.is_file() or path.is_symlink()) else []
        if path.resolve() in seen:
            return []
        seen.add(path.resolve())
        if stage_of(path) == "lift":
            return [path]
        shown = [
            one for one in path.iterdir() if not one.name.startswith(".")
        ]  # "._a.glb" of a Mac
        inner = sorted(shown, key=lambda one: (one.is_symlink() and os.path.isdir(one), one))
    except OSError as error:
        shut[path] = error.strerror or str(error)
        return []
    return [one for place in inner for one in _below(place, seen, shut)]


def absolute(path: Path) -> Path:
    """The path from the root, with its own name, whatever it may be a link to."""
    return Path(os.path.abspath(path))


def stage_of(folder: Path) -> str | None:
    """The stage that wrote a folder; None if none did. InputError if its record cannot be read."""
    for mark in (folder / DONE, folder / PARTIAL):
        if mark.is_file():
            record = read_json(mark)
            return record.get("stage") if isinstance(record, dict) else None
    return None


def _method(path: Path, given: list[Path]) -> Path:
    """The folder by which an asset's method is called: the one that it lies in; the asset itself if nothing
    else was given."""
    alone = len(given) == 1 and absolute(given[0]) == absolute(path)
    return absolute(path) if alone else absolute(path).parent


def read_asset(asset: Asset) -> Mesh:
    """The mesh as it stands, with its colours. InputError or ObjectError if it cannot be read."""
    if asset.path.is_dir():
        from sdtool.lifting.lift_files import read_lift

        return read_lift(asset.path).mesh
    from sdtool.meshfiles import load_mesh

    return load_mesh(asset.path, textures=True)


def category_of(prompt: str) -> str:
    """The Toyverse's category that a prompt names: its last such word before "with", "wearing" or
    "holding"; "" if there is none."""
    head = re.split(r"\b(?:with|wearing|holding|in|on)\b", prompt.lower())[0]
    for compound, category in COMPOUNDS.items():
        head = head.replace(compound, category)
    return next((w for w in reversed(re.findall(r"[a-z]+", head)) if w in CATEGORIES), "")
