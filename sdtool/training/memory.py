"""What a training step holds in memory: a stated model, what lives in a rehearsal, and what was measured.

The model: at most there are, at once, all parameters (frozen ones too), the running averages, the
gradients and the optimiser's moments of those that are trained, for many processes the buckets in which
they exchange gradients, and the activations of the maps that are taken at a time. The first six follow
from shapes; the activations are measured.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sdtool.errors import SdtoolError
from sdtool.training.settings import TrainingSettings

ENOUGH = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


class Held(NamedTuple):
    """Bytes that a training holds all the time, by what they are."""

    parameters: int
    averages: int
    gradients: int
    moments: int
    buckets: int = 0

    @property
    def total(self) -> int:
        return sum(self)


def held(
    objective: nn.Module, values: list[nn.Parameter], settings: TrainingSettings, processes: int = 1
) -> Held:
    """What a training of `values`, which are among the parameters of `objective`, holds."""
    everything = size_of([*objective.parameters(), *objective.buffers()])
    trained = size_of(values)
    moments = optimizer_bytes(values, settings.optimizer)
    return Held(everything, trained, trained, moments, trained if processes > 1 else 0)


def size_of(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of tensors, each storage once."""
    found = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors if t.numel()}
    return sum(found.values())


def optimizer_bytes(values: Iterable[torch.Tensor], optimizer: str) -> int:
    """AdamW keeps two numbers for each trained one; Adafactor one for each row and column of a matrix."""
    if optimizer == "adamw":
        return sum(2 * value.numel() * value.element_size() for value in values)
    total = 0
    for value in values:
        *_, height, width = (1, 1, *value.shape)
        rest = value.numel() // max(1, height * width)
        numbers = rest * (height + width) if value.dim() > 1 else value.numel()
        total += numbers * value.element_size()
    return total


class LiveBytes(TorchDispatchMode):
    """While it lasts, follows the storages that operators make; `peak`: the most bytes at once.

    What was there before does not count, nor what an operator holds only while it runs.
    """

    def __init__(self):
        super().__init__()
        self.live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self._add((args, kwargs), False)
        out = function(*args, **(kwargs or {}))
        self._add(out, True)
        if self.now > self.peak:  # else the peak stands, whatever has gone meanwhile
            self.peak = max(self.peak, self.count())
        return out

    def count(self) -> int:
        """The bytes that live now."""
        self.live = {k: v for k, v in self.live.items() if not v[0].expired()}
        self.now = sum(size for _, size in self.live.values())
        return self.now

    def _add(self, tensors, is_new: bool) -> None:
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                if reference.cdata not in self.live:
                    size = storage.nbytes() if is_new else 0
                    self.live[reference.cdata] = (reference, size)
                    self.now += size


# Measured: an accelerator's allocator, or the resident memory of this process


class Peak:
    """The most memory since it was made: of an accelerator, or of the whole process on a CPU.

    Where the system does not tell, `bytes()` is 0.
    """

    def __init__(self, device: torch.device):
        self.device, self.is_cpu = device, device.type == "cpu"
        if self.is_cpu:
            try:
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            except OSError:
                pass  # then it is the most since the process began
        elif counts(device):
            torch.accelerator.reset_peak_memory_stats(device)

    def bytes(self) -> int:
        """The most so far."""
        if self.is_cpu:
            return process_bytes("VmHWM")
        return torch.accelerator.max_memory_allocated(self.device) if counts(self.device) else 0


def counts(device: torch.device) -> bool:
    """Whether torch counts the memory of this device."""
    return device.type != "cpu" and torch.accelerator.is_available() and device.type != "mps"


def now_held(device: torch.device) -> int:
    """Bytes that are held now: of an accelerator's memory, or the resident ones of this process."""
    if device.type == "cpu":
        return process_bytes("VmRSS")
    return torch.accelerator.memory_allocated(device) if counts(device) else 0


def process_bytes(name: str) -> int:
    """A line of /proc/self/status in bytes, 0 where there is none."""
    return _kilobytes(Path("/proc/self/status"), name)


def free_bytes(device: torch.device) -> int:
    """What can still be had: of an accelerator's memory, or of this machine's; 0 where nobody says."""
    if device.type == "cpu":
        return _kilobytes(Path("/proc/meminfo"), "MemAvailable")
    return torch.accelerator.get_memory_info(device)[0] if counts(device) else 0


def _kilobytes(path: Path, name: str) -> int:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


# Too little of it


@contextmanager
def out_of_memory_named(settings: TrainingSettings) -> Iterator[None]:
    """Turn what torch and Python say where memory ends into one SdtoolError with what needs less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is one of the latter
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        raise SdtoolError(
            f"the training needs more memory than there is; {advice(settings)}"
        ) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that memory has ended: of an accelerator, or a CPU's allocator."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error).lower() for words in ENOUGH)


def advice(settings: TrainingSettings) -> str:
    """What to do about it, of the options that the command has."""
    if not settings.can_save:
        return f"lower --batch (it is {settings.batch})"
    found = [f"take a batch in more parts with --accumulate {2 * settings.accumulate}"]
    if not settings.gradient_checkpointing:
        found.append("keep less with --gradient-checkpointing")
    return f"{', '.join(found)}, or train small adapters with --lora"
