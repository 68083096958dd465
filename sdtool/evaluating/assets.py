"""Finding what is to be evaluated: finished and unfinished lifts, and model files."""

import re
from dataclasses import dataclass
from pathlib import Path

from sdtool.errors import InputError, ObjectError
from sdtool.geometry.meshes import Mesh
from sdtool.io.files import read_json
from sdtool.io.objects import MESH_SUFFIXES
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
        return self.path.resolve().name if self.path.is_dir() else self.path.stem


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
        here = [one for one in _below(path) if not hidden or hidden not in one.resolve().parents]
        if not here:
            kinds = ", ".join(MESH_SUFFIXES)
            raise InputError(f"{path} holds neither a lift nor a model ({kinds})")
        for one in here:
            unfinished = one.is_dir() and not (one / DONE).is_file()
            found.setdefault(one.resolve(), Asset(one, _method(one, paths), unfinished))
    return list(found.values())


def _below(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() in MESH_SUFFIXES else []
    if (stage := _stage(path)) is not None:
        return [path] if stage == "lift" else []
    return [one for inner in sorted(path.iterdir()) for one in _below(inner)]


def _stage(folder: Path) -> str | None:
    """The stage that wrote a folder; None if none did."""
    for mark in (folder / DONE, folder / PARTIAL):
        if mark.is_file():
            record = read_json(mark)
            return str(record.get("stage")) if isinstance(record, dict) else ""
    return None


def _method(path: Path, given: list[Path]) -> str:
    """The name of the folder it lies in, or that was given."""
    own = [folder for folder in given if folder.resolve() == path.resolve()]
    folder = path.resolve().parent
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
        if asset.path.is_file():
            return _prompt_of(asset.path)
        record = read_json(asset.path / (PARTIAL if asset.unfinished else DONE))
    except (InputError, ObjectError):
        return ""
    params = record.get("params") if isinstance(record, dict) else None
    return str(params.get("prompt", "")) if isinstance(params, dict) else ""


def _prompt_of(path: Path) -> str:
    """What an exported GLB says of itself."""
    if path.suffix.lower() != ".glb":
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
