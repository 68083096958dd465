"""Low-rank adapters in a UNet, seen without the library that makes them (`sdtool.priors.lora`)."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from sdtool.priors.checkpoint import UNET
from sdtool.priors.weights import DIFFUSERS, variant_of

CAMERA = "class_embedding"
"""The camera's perceptron in a UNet of diffusers."""

NAME = "default"
"""What peft calls the one adapter of a layer."""

LOOKED_AT = 64
"""Numbers of each tensor that a fingerprint sees."""


def adapted_layers(unet: nn.Module) -> Iterator[tuple[str, Any]]:
    """The layers of a UNet that have a low-rank adapter, with their names."""
    for name, layer in unet.named_modules():
        if hasattr(layer, "lora_A") and hasattr(layer, "get_delta_weight"):
            yield name, layer


def has_adapter(unet: nn.Module) -> bool:
    """Whether low-rank adapters are in a UNet."""
    return next(adapted_layers(unet), None) is not None


def adapter_rank(unet: nn.Module) -> int:
    """The rank of a UNet's adapters; 0 if it has none."""
    return next((layer.r[NAME] for _, layer in adapted_layers(unet)), 0)


def adapter_parts(unet: nn.Module) -> dict[str, nn.Module]:
    """What of a UNet with adapters is trained: the adapters' matrices and the camera's perceptron."""
    parts: dict[str, nn.Module] = {CAMERA: unet.get_submodule(CAMERA)}
    for name, layer in adapted_layers(unet):
        parts |= {f"{name}.lora_A": layer.lora_A, f"{name}.lora_B": layer.lora_B}
    return parts


@torch.no_grad()
def whole_state(unet: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a UNet as if it had no adapters: W + (α/r)·B·A in the place of W. Nothing is copied of a
    UNet without."""
    layers, state = dict(adapted_layers(unet)), dict[str, torch.Tensor]()
    for name, value in unet.state_dict().items():
        owner, _, last = name.rpartition(".base_layer.")
        if owner in layers:
            if last == "weight":
                value = value + layers[owner].get_delta_weight(NAME).to(value.dtype)
            state[f"{owner}.{last}"] = value
        elif not any(part in name for part in (".lora_A.", ".lora_B.")):
            state[name] = value
    return state


def fingerprint(base: Path) -> str:
    """By what a base is known again: SHA-256 of the names of its UNet's tensors, and of the first numbers of
    each as float16, so that copies in half precision and in several files are the same base.

    base: a diffusers folder, or a checkpoint's file, whose names are others: a folder that was made of it
    is another base. It finds mistakes, not forgeries.
    """
    found = dict[str, torch.Tensor]()
    for path in [base] if base.is_file() else _files(base / "unet"):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                if base.is_file() and not name.startswith(UNET):
                    continue
                part = file.get_slice(name)
                first = part[:LOOKED_AT] if len(part.get_shape()) == 1 else part[:1]
                found[name] = first.flatten()[:LOOKED_AT]
    sha = hashlib.sha256()
    for name in sorted(found):
        sha.update(f"{name}\n".encode() + found[name].half().numpy().tobytes())
    return sha.hexdigest()


def _files(unet: Path) -> list[Path]:
    """The files of weights in a UNet's folder that are read."""
    variant = variant_of(unet, DIFFUSERS, str(unet))
    ending = rf"\.{re.escape(variant)}" if variant else ""
    numbered = r"(-\d+-of-\d+)?"
    kind = re.compile(rf"{DIFFUSERS}({ending}{numbered}|{numbered}{ending})\.safetensors")
    return [path for path in sorted(unet.iterdir()) if kind.fullmatch(path.name)]
