"""What this machine has: versions, devices, caches, memory and disk. Nothing here can fail."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sdtool import __version__

# As pyproject.toml has them; a test compares.
PACKAGES = (
    "typer", "rich", "numpy", "msgspec", "numba", "jinja2", "markupsafe", "pillow", "safetensors", "torch",
    "accelerate", "diffusers", "transformers", "tokenizers", "huggingface_hub", "scipy", "trimesh", "xatlas",
    "fast-simplification",
)  # fmt: skip
EXTRAS = (
    "ray", "DracoPy", "meshopt", "objaverse", "tensorboard", "wandb", "trackio", "libigl",
    "warp-lang", "pyarrow", "open3d", "open3d-cpu", "libusb-package", "lib3mf", "manifold3d", "usd-core",
    "peft",
)  # fmt: skip
FROM_SOURCE = ("nvdiffrast", "tinycudann")


def versions() -> dict[str, str | None]:
    """sdtool's, Python's, and of each package that sdtool can use; None if it is not installed."""
    found: dict[str, str | None] = {"sdtool": __version__, "python": platform.python_version()}
    for name in (*PACKAGES, *EXTRAS, *FROM_SOURCE):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def devices() -> list[dict[str, Any]]:
    """The CPU, then each accelerator: name, compute capability, memory in bytes, as far as known."""
    free, total = memory()
    cpu = {"device": "cpu", "name": _cpu_name(), "cores": cores(), "free": free, "total": total}
    return [cpu, *_accelerators()]


def _accelerators() -> list[dict[str, Any]]:
    try:
        import torch

        accelerator = torch.accelerator.current_accelerator()
        if accelerator is None or not torch.accelerator.is_available():
            return []
        found: list[dict[str, Any]] = []
        for index in range(torch.accelerator.device_count()):
            one: dict[str, Any] = {"device": f"{accelerator.type}:{index}"}
            found.append(one)
            if torch.cuda.is_available():
                one["name"] = torch.cuda.get_device_name(index)
                one["capability"] = "{}.{}".format(*torch.cuda.get_device_capability(index))
                one["free"], one["total"] = torch.cuda.mem_get_info(index)
        return found
    except Exception as error:  # a broken torch or driver is a row of the checks, not the end
        return [{"device": "accelerator", "name": f"unknown: {error}".splitlines()[0]}]


def surroundings() -> dict[str, Any]:
    """Disk, threads, limits, offline switches and caches; sizes in bytes, None where unknown."""
    disk = shutil.disk_usage(Path.cwd())
    threads = os.environ.get("OMP_NUM_THREADS")
    hub = _hub_cache()
    kernels = _kernel_cache()
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "folder": str(Path.cwd()),
        "disk_free": disk.free,
        "disk_total": disk.total,
        "open_files": _open_files(),
        "omp_num_threads": threads,
        "offline": {
            name: os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
            for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
        },
        "hub_cache": {"path": str(hub), "bytes": folder_size(hub)},
        "numba_cache": None
        if kernels is None
        else {"path": str(kernels), "bytes": folder_size(kernels, ("*.nbi", "*.nbc"))},
    }


def cores() -> int:
    """Cores this process may use."""
    from sdtool.runtime.engine import available_cores

    return available_cores()


def memory() -> tuple[int | None, int | None]:
    """Bytes of memory that are free and that there are: of the machine, or of this container's bound."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        table = {key: int(rest.split()[0]) << 10 for key, rest in (x.split(":") for x in lines)}
        free, total = table["MemAvailable"], table["MemTotal"]
    except (OSError, LookupError, ValueError):
        return None, None
    group = Path("/sys/fs/cgroup")
    try:
        bound = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no control group, or one without a bound ("max")
        return free, total
    return min(free, max(0, bound - used)), min(total, bound)


def folder_size(folder: Path, patterns: tuple[str, ...] = ("*",)) -> int:
    """Bytes of the files below a folder whose names match; links count as nothing."""
    total = 0
    for pattern in patterns:
        for path in folder.rglob(pattern):
            try:
                total += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
            except OSError:  # removed meanwhile
                continue
    return total


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _open_files() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _hub_cache() -> Path:
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return Path(os.path.expanduser("~/.cache/huggingface/hub"))
    return Path(HF_HUB_CACHE)


def _kernel_cache() -> Path | None:
    try:
        from sdtool.rendering import kernels
    except Exception:  # without numba; the checks say it
        return None
    path = kernels.rasterize.stats.cache_path
    return None if path is None else Path(path)
