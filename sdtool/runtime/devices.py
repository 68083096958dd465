"""Which device a command runs on, and which number types its weights may have."""

import os
import sys

import torch

from sdtool.errors import UsageError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The torch device `name`; "auto" takes the accelerator, else the CPU, and says so."""
    if name == "auto":
        there = torch.accelerator.is_available()
        found = torch.accelerator.current_accelerator() if there else None
        device = torch.device("cpu") if found is None else found
        print(f"device: {device}", file=sys.stderr)
        return device
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # "meta" has no numbers to give
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise UsageError(
            f"--device {name} cannot be used here ({reason}); try cpu", "--device"
        ) from None
    return device


def visible_gpus(device: torch.device) -> tuple[str, ...]:
    """This machine's GPUs as CUDA_VISIBLE_DEVICES names them; () for one device or another kind."""
    if device.type == "cpu" or device.index is not None:
        return ()
    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(named[:count] if named else map(str, range(count)))
