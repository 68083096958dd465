"""An AGP as low-rank adapters of its base, and the camera's perceptron (LoRA, Hu et al. 2022).

The base stays as it is: a layer's weight W becomes W + (α/r)·B·A with trained A (r rows) and B (r columns),
zero at first. The one file that imports peft.

Adapters stand in all layers that the camera or the text pass through, and in all convolutions: an AGP draws
maps of coordinates, which look like no picture that its base has seen. In attention alone they would leave
most of a UNet as it was, and the camera would be heard only as far as the base listens to times: it comes in
through the layers `time_emb_proj`, together with the time (docs/training.md has what that is worth).
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from sdtool.errors import InputError, MissingDependencyError, UsageError
from sdtool.io.files import read_json, write_json
from sdtool.io.tensor_files import save_tensors
from sdtool.priors.adapters import (
    CAMERA,
    NAME,
    adapted_layers,
    adapter_parts,
)
from sdtool.priors.agp import camera_hook, check_base, start_camera
from sdtool.priors.cards import ADAPTER, ADAPTER_WEIGHTS
from sdtool.priors.guided import plain_unet, unguided, with_unet
from sdtool.priors.models import UNet2DConditionModel
from sdtool.priors.prior import Prior
from sdtool.priors.weights import AGAIN, refuse_no_numbers

TARGETS = [
    *("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("time_emb_proj", "conv1", "conv2", "conv_shortcut", "conv", "conv_in", "conv_out"),
]
"""The ends of names of layers that get adapters."""

PREFIX = "base_model.model."
"""What peft begins its tensors' names with."""

USUAL = {"bias": "none", "use_dora": False, "use_rslora": False, "lora_bias": False}
"""Settings of peft under which a layer is what is said above."""


def library(what: str = "an AGP of adapters") -> Any:
    """peft, or the sentence that says that `what` needs it, and how to get it."""
    try:
        import peft
    except ImportError as error:
        raise MissingDependencyError(
            f"{what} needs the package peft: pip install 'sdtool[lora]'"
        ) from error
    return peft


def fresh_adapter(base: Prior, rank: int, generator: torch.Generator) -> Prior:
    """An AGP that still equals its base, as `sdtool.priors.agp.fresh_agp`, but whose UNet shares the base's
    tensors and has adapters of this rank. generator: CPU, draws the camera's first layer and then all A.
    """
    check_base(base)
    unet = _with_camera(base)
    if rank > (most := _highest_rank(unet)):
        raise UsageError(
            f"--lora {rank} is more than any layer of {base.name} has rows or columns; take {most} or less, "
            "or leave --lora out to train the whole UNet",
            "--lora",
        )
    start_camera(unet, generator)
    _start_adapters(unet, rank, generator)
    return _as_agp(base, unet, f"an AGP of {base.name}")


def fresh_phi(prior: Prior, rank: int, generator: torch.Generator) -> Prior:
    """A prior that predicts what this one does with the text in one pass, for `sdtool.lifting.vsd`: its UNet
    shares the prior's tensors, of which none is trained, and has adapters of this rank and a camera's
    perceptron, float32, which are. The perceptron is a copy of an AGP's; to others it says nothing at first.

    prior: may have adapters of its own, which are merged, and its UNet may be split or recorded. generator:
    CPU, draws the camera's first layer and then all A.
    """
    bare = prior.unet
    while (inner := getattr(bare, "unet", None)) is not None:
        bare = inner
    config, state = plain_unet(with_unet(prior, bare, prior.name, prior.is_guided))
    config |= {} if config["class_embed_type"] else camera_hook(prior)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    unet.load_state_dict(state, strict=False, assign=True)
    if f"{CAMERA}.linear_1.weight" in state:
        unet.class_embedding = deepcopy(unet.class_embedding)
    elif config["class_embed_type"] == "projection":
        unet.class_embedding.to_empty(device=prior.device)
        start_camera(unet, generator)
    _start_adapters(unet, rank, generator)
    phi = with_unet(prior, unet, f"{prior.name} with φ")
    for part in adapter_parts(unet).values():
        part.float().requires_grad_(True)
    return phi


def read_adapter(base: Prior, folder: Path, name: str) -> Prior:
    """The AGP whose adapters lie in a folder, on its base, whose tensors it shares.

    Moving either to another device or precision by `.to` moves what they share for both.
    """
    config = read_config(folder)
    unet = _with_camera(base)
    _add_adapters(unet, config["r"], config["lora_alpha"], config["target_modules"])
    stored, wanted = _stored(folder / ADAPTER_WEIGHTS), _tensors(unet)
    if lacking := sorted(set(wanted) - set(stored)):
        raise InputError(
            f"{folder / ADAPTER_WEIGHTS} is not whole: it lacks {len(lacking)} of {len(wanted)} tensors "
            f"({lacking[0]}, …); {AGAIN}"
        )
    with torch.no_grad():
        for key, value in wanted.items():
            if stored[key].shape != value.shape:
                raise InputError(
                    f"{folder / ADAPTER_WEIGHTS} is of another base: its tensor {key} is of the shape "
                    f"{tuple(stored[key].shape)}, not {tuple(value.shape)}"
                )
            if not torch.isfinite(stored[key]).all():
                raise InputError(
                    f"{folder / ADAPTER_WEIGHTS} is damaged: its tensor {key} holds what is no number "
                    f"(NaN or infinity); {AGAIN}"
                )
            value.copy_(stored[key])
    return _as_agp(base, unet, name)


def save_adapter(prior: Prior, folder: Path, base: str, dtype: torch.dtype) -> list[str]:
    """Write the adapters and the camera's perceptron of an AGP in peft's layout; the files' names.

    base: as its card names it. peft takes the perceptron for a module that was trained whole.
    """
    tensors = {name: value.detach() for name, value in _tensors(prior.unet).items()}
    tensors = {name: value.to("cpu", dtype).contiguous() for name, value in tensors.items()}
    refuse_no_numbers(tensors.items(), folder / ADAPTER_WEIGHTS, dtype)
    save_tensors(folder / ADAPTER_WEIGHTS, tensors, {"format": "pt"})
    told = prior.unet.peft_config[NAME].to_dict()
    told |= {"modules_to_save": [CAMERA], "inference_mode": True, "base_model_name_or_path": base}
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in told.items()}
    write_json(folder / ADAPTER, plain)
    return [ADAPTER_WEIGHTS, ADAPTER]


def read_config(folder: Path) -> dict[str, Any]:
    """What of an adapter's configuration is followed; InputError if it asks for more."""
    found = read_json(folder / ADAPTER)
    found = found if isinstance(found, dict) else {}
    targets = found.get("target_modules")
    if isinstance(targets, str) or not all(isinstance(one, str) for one in targets or [None]):
        targets = None
    numbers = all(isinstance(found.get(key), int | float) for key in ("r", "lora_alpha"))
    if found.get("peft_type") != "LORA" or not targets or not numbers or found["r"] < 1:
        raise InputError(
            f"{folder / ADAPTER} is not the configuration of a low-rank adapter; {AGAIN}"
        )
    odd = [key for key, usual in USUAL.items() if found.get(key, usual) != usual]
    odd += [key for key in ("rank_pattern", "alpha_pattern") if found.get(key)]
    if odd:
        raise InputError(
            f"{folder} is an adapter of a kind that sdtool does not know ({odd[0]}: {found[odd[0]]}); it "
            "reads those of finetune-agp --lora"
        )
    return found


def hold_base_in(prior: Prior, dtype: torch.dtype) -> None:
    """Keep what is frozen of an AGP of adapters in another precision; what is trained stays as it is."""
    trained = {id(p) for part in adapter_parts(prior.unet).values() for p in part.parameters()}
    for parameter in prior.unet.parameters():
        if id(parameter) not in trained:
            parameter.data = parameter.data.to(dtype)


def _stored(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of an adapter; InputError if they cannot be read."""
    if not path.is_file():
        raise InputError(f"{path.parent} lacks {path.name}; {AGAIN}")
    try:
        return load_file(path)
    except SafetensorError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is damaged ({reason}); {AGAIN}") from error


def _with_camera(base: Prior) -> UNet2DConditionModel:
    """A UNet with the hook for the camera whose other parameters are the base's own, not copies."""
    config, state = unguided(base, base.unet.state_dict(keep_vars=True))
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config | camera_hook(base))
    unet.load_state_dict(state, strict=False, assign=True)
    unet.class_embedding.to_empty(device=base.device).to(base.unet.dtype)
    return unet


def _start_adapters(unet: nn.Module, rank: int, generator: torch.Generator) -> None:
    """Adapters that change nothing yet. generator: CPU, draws all A."""
    _add_adapters(unet, rank, rank, TARGETS)
    with torch.no_grad():
        for _, layer in adapted_layers(unet):
            first, last = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
            drawn = nn.init.kaiming_uniform_(
                torch.empty(first.shape), a=5**0.5, generator=generator
            )
            first.copy_(drawn)
            nn.init.zeros_(last)


def _highest_rank(unet: nn.Module) -> int:
    """The highest rank that the weight of a layer with an adapter can have, as a matrix."""
    ends = tuple(f".{name}" for name in TARGETS)
    return max(
        min(layer.weight.flatten(1).shape)
        for name, layer in unet.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and f".{name}".endswith(ends)
    )


def _add_adapters(unet: nn.Module, rank: int, alpha: float, targets: list[str]) -> None:
    out = [f"{CAMERA}.linear_1", f"{CAMERA}.linear_2"]  # trained whole
    config = library().LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=targets, exclude_modules=out
    )
    library().inject_adapter_in_model(config, unet, adapter_name=NAME)


def _tensors(unet: nn.Module) -> dict[str, nn.Parameter]:
    """What is trained, by the names that peft gives it in a file."""
    return {
        f"{PREFIX}{part}.{name}".replace(f".{NAME}.", "."): value
        for part, module in adapter_parts(unet).items()
        for name, value in module.named_parameters()
    }


def _as_agp(base: Prior, unet: UNet2DConditionModel, name: str) -> Prior:
    agp = with_unet(base, unet, name)
    agp.vae = None
    return agp
