"""Load priors: from a local folder or file, else the bundled one, else a model hub (`sdtool.priors.cards`).

Only safetensors are read, and nothing that is read can run code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sdtool.errors import InputError, SdtoolError
from sdtool.io.files import read_json
from sdtool.priors.adapters import fingerprint
from sdtool.priors.cards import (
    AGP_CARD,
    CARD,
    FINGERPRINT,
    agp_folder,
    base_folder,
    base_of,
    card_of,
    color_base_of,
    color_folder,
    is_adapter,
    is_guided,
)
from sdtool.priors.checkpoint import Checkpoint, check_checkpoint
from sdtool.priors.checkpoint_parts import checkpoint_scheduler, checkpoint_unet, checkpoint_vae
from sdtool.priors.folder_check import check_kind, check_parts, check_unet
from sdtool.priors.models import AutoencoderKL, AutoencoderTiny, DDPMScheduler, UNet2DConditionModel
from sdtool.priors.prior import Prior
from sdtool.priors.sizes import takes_sizes
from sdtool.priors.two_encoders import load_encoders
from sdtool.priors.weights import DIFFUSERS, load_whole

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
    """A base prior from a diffusers folder, a `.safetensors` file, "tiny", or a hub id such as `SD21_BASE`.

    dtype: of the weights; `Prior` takes and gives float32 all the same. SDXL's VAE overflows in float16 and
    is then of float32, unless its configuration says that it need not be (`force_upcast`). with_text: load
    its text encoder (else `sdtool.priors.pairs.text_encoders` can).
    """
    folder, name = base_folder(path_or_id), f"the base {path_or_id}"
    with _naming(folder):
        if folder.is_file():
            found = check_checkpoint(folder)
            vae: AutoencoderKL | AutoencoderTiny | None = checkpoint_vae(
                found, _vae_dtype(dtype, found.is_xl)
            )
        else:
            check_kind(folder, str(path_or_id))
            check_parts(folder, str(path_or_id))
            vae = _vae_of(folder, dtype)
        prior = _assemble(folder / "unet", folder, dtype, with_text, vae=vae, name=name)
        prior.is_guided = is_guided(folder / CARD)
    if prior.has_camera:
        raise InputError(f"{path_or_id} is an AGP, not a base prior; name its base instead")
    return prior.to(device)


def load_vae(folder: Path, dtype: torch.dtype = torch.float32) -> AutoencoderKL | AutoencoderTiny:
    """The VAE in a diffusers folder, frozen; InputError if there is none."""
    path = folder / "config.json"
    card = read_json(path) if path.is_file() else None
    name = card.get("_class_name") if isinstance(card, dict) else None
    if name not in VAES:
        raise InputError(
            f"{folder} holds no VAE of the kinds {', '.join(VAES)}; name a folder that train-vae wrote, or "
            "vae/ of a diffusers folder"
        )
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
    relative path counts from the AGP's folder). So is the UNet below the adapters of one with `--lora`.
    """
    folder = agp_folder(path)
    if is_adapter(path):
        return adapter_on(_bare_base(path, dtype, with_text), path).to(device)
    source = base_folder(base_of(path))
    with _naming(folder):
        card = read_json(folder / "unet" / "config.json")
        card = card if isinstance(card, dict) else {}
        check_unet(card, str(path))
        _check_told(source, base_of(path), card)
        prior = _assemble(folder / "unet", source, dtype, with_text, name=f"the AGP {path}")
        prior.is_guided = is_guided(folder / AGP_CARD)
    if not prior.has_camera:
        raise InputError(f"{folder} is not an AGP: its UNet takes no camera")
    return prior.to(device)


def adapter_on(base: Prior, path: str | Path) -> Prior:
    """The AGP of adapters in a folder, on a base that was loaded and whose tensors it shares: one that
    `fits_adapter`, or the AGP's own."""
    from sdtool.priors.lora import read_adapter

    folder = agp_folder(path)
    with _naming(folder):
        return read_adapter(base, folder, f"the AGP {path}")


def adapter_rank_of(path: str | Path) -> int:
    """The rank of the adapters that an AGP is made of, 0 for one that is whole."""
    if not is_adapter(path):
        return 0
    from sdtool.priors.lora import read_config

    return read_config(agp_folder(path))["r"]


def fits_adapter(base: str | Path, path: str | Path) -> bool:
    """Whether an AGP is one of adapters of this very base, wherever that lies."""
    if not is_adapter(path):
        return False
    return fingerprint(base_folder(base)) == card_of(agp_folder(path)).get(FINGERPRINT)


def _bare_base(path: str | Path, dtype: torch.dtype, with_text: bool) -> Prior:
    """The base of an AGP of adapters, without VAE; InputError if it is not here, or another one is."""
    folder, named = agp_folder(path), base_of(path)
    try:
        source = base_folder(named)
    except InputError as error:
        raise InputError(
            f"the AGP {path} is adapters of the base {named}, which is not to be had ({error}); put it "
            f'there, or name where it is as "base" in {folder / AGP_CARD}'
        ) from None
    with _naming(source):
        if source.is_file():
            check_checkpoint(source)
        else:
            check_kind(source, named)
            check_parts(source, named)
        if not fits_adapter(source, path):
            raise InputError(
                f"the AGP {path} is adapters of another base than the one in {source}: the weights differ "
                f'from those it was trained on; name the right one as "base" in {folder / AGP_CARD}'
            )
        base = _assemble(source / "unet", source, dtype, with_text, name=f"the base {named}")
    base.is_guided = is_guided(source / CARD)
    return base


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
        card = card if isinstance(card, dict) else {}
        check_unet(card, str(path))
        _check_told(source, named, card)
        vae = load_vae(source / "vae", dtype) if (source / "vae").is_dir() else None
        name = f"the colour prior {path}"
        prior = _assemble(folder / "unet", source, dtype, with_text, vae=vae, name=name)
    if not prior.has_ccm:
        raise InputError(f"{folder} is not a colour prior: its UNet takes no map of coordinates")
    return prior.to(device)


def _check_told(base: Path, name: str, unet: dict) -> None:
    """InputError if a base lacks what an AGP or a colour prior of it takes from it: text and schedule.

    unet: the configuration of that prior's own UNet.
    """
    if base.is_file():
        is_xl = check_checkpoint(base).is_xl
    else:
        check_parts(base, name, ("text_encoder", "tokenizer", "scheduler"))
        is_xl = (base / "text_encoder_2").is_dir()
    if is_xl != takes_sizes(unet):
        kinds = ("of SDXL's kind", "of another kind than SDXL's")
        raise InputError(
            f"{name} is not the base of what was trained from it: it is {kinds[not is_xl]}, and that UNet "
            f"{kinds[is_xl]}"
        )


def _vae_of(folder: Path, dtype: torch.dtype) -> AutoencoderKL | AutoencoderTiny | None:
    """The VAE of a base's folder, if it has one."""
    place = folder / "vae"
    if not place.is_dir():
        return None
    is_xl = takes_sizes(read_json(folder / "unet" / "config.json"))
    overflows = is_xl and read_json(place / "config.json").get("force_upcast", True)
    return load_vae(place, _vae_dtype(dtype, overflows))


def _vae_dtype(dtype: torch.dtype, overflows: bool) -> torch.dtype:
    """float32 in the place of float16 for a VAE that overflows in it."""
    return torch.float32 if overflows and dtype == torch.float16 else dtype


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
    if base.is_file():
        found = Checkpoint(base)
        if unet.is_dir():
            model = load_whole(UNet2DConditionModel, unet, DIFFUSERS, torch_dtype=dtype)
        else:
            model = checkpoint_unet(found, dtype)
        scheduler = checkpoint_scheduler(found, model)
    else:
        model = load_whole(UNet2DConditionModel, unet, DIFFUSERS, torch_dtype=dtype)
        scheduler = DDPMScheduler.from_pretrained(base / "scheduler")
    card = read_json(base / CARD) if (base / CARD).is_file() else {}
    return Prior(
        model.to(memory_format=torch.channels_last),
        load_encoders(base, dtype) if with_text else None,
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
