"""The models of diffusers that priors are made of; the one file that imports its models.

Where peft is installed, diffusers imports it with its models, for two questions of the kind "is this layer
an adapter's?". That takes a third of a second, and only an AGP of adapters needs it (`sdtool.priors.lora`).
So peft is out of sight while the models are imported, and the question is answered by a class that knows:
what has not been imported has no instances.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sdtool.io.tensor_files import saved_model
from sdtool.priors.weights import refuse_no_numbers
from sdtool.runtime import collector

with collector.paused():
    from diffusers.utils import import_utils


class _Layers(type):
    """Knows peft's layers without importing them."""

    def __instancecheck__(cls, value: Any) -> bool:
        tuners: Any = sys.modules.get("peft.tuners.tuners_utils")
        return tuners is not None and isinstance(value, tuners.BaseTunerLayer)


class _AnyLayer(metaclass=_Layers):
    """Stands for peft's `BaseTunerLayer`."""


@contextmanager
def _peft_out_of_sight() -> Iterator[None]:
    """While it lasts, diffusers' modules believe that peft is not installed."""
    is_there = getattr(import_utils, "_peft_available", None)
    if not is_there or "peft" in sys.modules:
        yield
        return
    vars(import_utils)["_peft_available"] = False
    try:
        yield
    finally:
        vars(import_utils)["_peft_available"] = is_there
        for asking in ("diffusers.loaders.lora_base", "diffusers.hooks.layerwise_casting"):
            if module := sys.modules.get(asking):
                vars(module).setdefault("BaseTunerLayer", _AnyLayer)


with collector.paused(), _peft_out_of_sight():
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from diffusers.utils import logging

logging.set_verbosity_error()  # its warnings about configurations and casting do not concern the user

__all__ = [
    "AutoencoderKL",
    "AutoencoderTiny",
    "DDPMScheduler",
    "UNet2DConditionModel",
    "create_diffusers_clip_model_from_ldm",
    "save_model",
]


def save_model(model: Any, folder: Path, fp16: bool = False) -> None:
    """Write a UNet or a VAE as diffusers does, in float32 or float16, without the place that it came from."""
    dtype = torch.float16 if fp16 else torch.float32
    model.to(dtype)
    refuse_no_numbers(model.named_parameters(), folder, dtype)
    model.register_to_config(_name_or_path="")  # a place on this machine
    with saved_model(folder):
        model.save_pretrained(folder, safe_serialization=True)
