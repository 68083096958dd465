"""Time and memory of work on a device that works on while Python is already elsewhere."""

import gc
import time
from collections.abc import Callable

import torch

WARM = 2  # steps before the clock starts


def timed(
    step: Callable[[], object], count: int, device: torch.device, warm: int = WARM
) -> tuple[float, int]:
    """Seconds of a step, after some to warm up, and the peak memory on an accelerator."""
    reset_peak(device)
    for _ in range(warm):
        step()
    synchronize(device)
    start = clock(device)
    for _ in range(count):
        step()
    synchronize(device)
    return (clock(device) - start) / count, peak(device)


def clock(device: torch.device) -> float:
    """Seconds; on a CPU of its own work only, since others may share it."""
    return time.process_time() if device.type == "cpu" else time.perf_counter()


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has done all that it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def reset_peak(device: torch.device) -> None:
    """Count an accelerator's peak memory from now on; what nobody holds any more is given back."""
    if device.type != "cpu":
        gc.collect()
        torch.get_device_module(device).empty_cache()
        torch.get_device_module(device).reset_peak_memory_stats()


def peak(device: torch.device) -> int:
    """Bytes of the largest allocation since then; 0 on a CPU."""
    return 0 if device.type == "cpu" else torch.get_device_module(device).max_memory_allocated()
