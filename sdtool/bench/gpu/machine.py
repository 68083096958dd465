"""What the checks run on, found in the process that runs them."""

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sdtool import __version__
from sdtool.bench.gpu.setup import Setup
from sdtool.errors import UsageError

PACKAGES = ("torch", "warp-lang", "nvdiffrast", "tinycudann", "diffusers", "transformers", "numba")


def describe(setup: Setup) -> dict[str, Any]:
    """The device's name, driver, memory in bytes and capability as far as known, and versions.

    UsageError if there is no accelerator, or not the one that is asked for. Makes this process ready for
    checks: the device is torch's current one, and libraries are silent.
    """
    import torch
    from diffusers.utils import logging

    from sdtool.runtime.devices import choose_device

    logging.set_verbosity_error()
    place = choose_device(setup.device)
    found: dict[str, Any] = {"device": str(place), "small": setup.small}
    if place.type == "cpu":
        found["name"] = _cpu_name()
    else:
        module = torch.get_device_module(place)
        if place.index is not None:
            module.set_device(place)
        found["name"] = module.get_device_name(place)
        if hasattr(module, "get_device_capability"):
            found["capability"] = "{}.{}".format(*module.get_device_capability(place))
        if hasattr(module, "mem_get_info"):
            found["memory"] = module.mem_get_info(place)[1]
        found["driver"] = _driver()
        found["torch_cuda"] = torch.version.cuda
    found["python"], found["sdtool"] = platform.python_version(), __version__
    return found | {"versions": {name: _version(name) for name in PACKAGES}}


def device_for(name: str) -> str:
    """The device that `--device NAME` means: "auto" is an accelerator. UsageError without one."""
    if name != "auto":
        return name
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if found is None:
        raise UsageError(
            "there is no GPU that torch can use (sdtool doctor gpu says why); "
            "--device cpu --small tries the same checks at reduced size on the CPU",
            "--device",
        )
    return str(found)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _driver() -> str | None:
    """NVIDIA's driver, by its own tool; None where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = done.stdout.split()
    return found[0] if found else None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
