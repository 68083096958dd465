"""Finding what is to be evaluated: finished and unfinished lifts, and model files."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sdtool.errors import InputError, ObjectError
from sdtool.geometry.meshes import Mesh
from sdtool.io.files import read_json
from sdtool.io.folders import GLTF_SUFFIXES, MESH_SUFFIXES, model_stem
from sdtool.io.stage_record import DONE, PARTIAL
from sdtool.toyverse.catalogue import CATEGORIES

COMPOUNDS = {"palm tree": "palm", "teddy bear": "teddy"}


@dataclass(frozen=True)
class Asset:
    """A lift's directory or a model's file. method: the folder it counts for. unfinished: a lift that
    stopped or failed, so that there is nothing to look at."""

    path: Path
    method: str
    unfinished: bool = False

    @property
    def name(self) -> str:
        return absolute(self.path).name if self.path.is_dir() else model_stem(self.path)


def find_assets(paths: list[Path], out: Path | None = None) -> list[Asset]:
    """Every asset at or below the paths, once, in order of their names.

    A directory that a lift wrote is one asset, whatever files lie in it. What lies in `out` is left
    out. InputError if a path does not exist or holds no asset.
    """
    found: dict[Path, Asset] = {}
    hidden = out.resolve() if out else None
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist; name lifts, models or folders of them")
        below = _below(path, set())
        here = [
            one for one in below if not hidden or hidden not in Path(os.path.realpath(one)).parents
        ]
        if not here:
            kinds = ", ".join(MESH_SUFFIXES)
            raise InputError(f"{path} holds neither a lift nor a model ({kinds})")
        for one in here:
            unfinished = one.is_dir() and not (one / DONE).is_file()
            found.setdefault(
                Path(os.path.realpath(one)), Asset(one, _method(one, paths), unfinished)
            )
    return list(found.values())


def _below(path: Path, seen: set[Path]) -> list[Path]:
    """The assets at or below a path; of links that lead nowhere those with a model's name.

    seen: the real folders that were looked into, which is done once. Links to folders come last.
    """
    if not path.is_dir():
        is_model = path.suffix.lower() in MESH_SUFFIXES and (path.is_file() or path.is_symlink())
        return [path] if is_model else []
    if path.resolve() in seen:
        return []
    seen.add(path.resolve())
    if (stage := _stage(path)) is not None:
        return [path] if stage == "lift" else []
    shown = (one for one in path.iterdir() if not one.name.startswith("."))  # "._a.glb" of a Mac
    inner = sorted(shown, key=lambda one: (one.is_symlink() and one.is_dir(), one))
    return [one for place in inner for one in _below(place, seen)]


def absolute(path: Path) -> Path:
    """The path from the root, with its own name, whatever it may be a link to."""
    return Path(os.path.abspath(path))


def _stage(folder: Path) -> str | None:
    """The stage that wrote a folder; None if none did."""
    for mark in (folder / DONE, folder / PARTIAL):
        if mark.is_file():
            record = read_json(mark)
            return str(record.get("stage")) if isinstance(record, dict) else ""
    return None


def _method(path: Path, given: list[Path]) -> str:
    """The name of the folder it lies in, or that was given."""
    own = [folder for folder in given if absolute(folder) == absolute(path)]
    folder = absolute(path).parent
    return folder.name if not own or len(given) > 1 else path.stem


def read_asset(asset: Asset) -> Mesh:
    """The mesh as it stands, with its colours. InputError or ObjectError if it cannot be read."""
    if asset.path.is_dir():
        from sdtool.lifting.lift_files import read_lift

        return read_lift(asset.path).mesh
    from sdtool.meshfiles import load_mesh

    return load_mesh(asset.path, textures=True)


def prompt_of(asset: Asset) -> str:
    """The prompt of an asset, also of an unfinished lift; "" if nobody knows."""
    try:
        if not asset.path.is_dir():
            return _prompt_of(asset.path)
        record = read_json(asset.path / (PARTIAL if asset.unfinished else DONE))
    except (InputError, ObjectError):
        return ""
    params = record.get("params") if isinstance(record, dict) else None
    return str(params.get("prompt", "")) if isinstance(params, dict) else ""


def _prompt_of(path: Path) -> str:
    """What an exported model says of itself."""
    if path.suffix.lower() not in GLTF_SUFFIXES:
        return ""
    from sdtool.meshfiles.gltf_tree import GlbTree
    from sdtool.meshfiles.limits import Limits

    prompt = GlbTree(path, Limits()).extras.get("prompt")
    return prompt if isinstance(prompt, str) else ""


def category_of(prompt: str) -> str:
    """The Toyverse's category that a prompt names: its last such word before "with", "wearing" or
    "holding"; "" if there is none."""
    head = re.split(r"\b(?:with|wearing|holding|in|on)\b", prompt.lower())[0]
    for compound, category in COMPOUNDS.items():
        head = head.replace(compound, category)
    return next((w for w in reversed(re.findall(r"[a-z]+", head)) if w in CATEGORIES), "")
