"""The processes of one training: one alone, or those that `accelerate launch` started together.

The one file that knows Accelerate, which shares out the devices and averages gradients over processes.
"""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
import typer
from torch import nn

from sdtool.errors import MissingDependencyError, SdtoolError, UsageError
from sdtool.runtime.devices import choose_device

Output = TypeVar("Output")

PATIENCE = timedelta(hours=12)  # while the main process encodes texts or measures, the others wait


class Processes:
    """This process among those of its training. `index` 0 is the main one: it alone writes files.

    device: for a process alone, as `choose_device` takes it; of many, each gets one accelerator with
    "auto". mixed_precision: "no" or "bf16"; it decides, whatever `accelerate config` says.
    A process alone does without Accelerate, whose device and precision cannot be changed once chosen:
    another training in the same process may want others.
    """

    def __init__(self, device: str = "auto", mixed_precision: Literal["no", "bf16"] = "no"):
        self.mixed_precision = mixed_precision
        self._accelerator = None if is_alone() else _accelerator(device)
        self.device: torch.device = (
            self._accelerator.device if self._accelerator else choose_device(device)
        )

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self._accelerator.num_processes if self._accelerator else 1

    @property
    def index(self) -> int:
        """The number of this process, from 0."""
        return self._accelerator.process_index if self._accelerator else 0

    @property
    def is_main(self) -> bool:
        """True for the one process that writes files and speaks."""
        return self.index == 0

    def say(self, text: str) -> None:
        """Print a line on stderr, once for all processes."""
        if self.is_main:
            print(text, file=sys.stderr)

    def on_main(self, function: Callable[[], Output]) -> Output:
        """Let the main process call `function`; every process gets what it returned.

        Its error ends them all, and the main process alone reports it.
        """
        if self.size == 1:
            return function()
        from accelerate.utils import broadcast_object_list

        outcome: list[Any] = [None, 0]
        error: BaseException = typer.Exit()
        if self.is_main:
            try:
                outcome[0] = function()
            except BaseException as raised:
                error = raised
                outcome[1] = raised.exit_code if isinstance(raised, SdtoolError) else 1
        broadcast_object_list(outcome)
        if outcome[1]:
            self.end()
            raise error if self.is_main else typer.Exit(outcome[1])
        return outcome[0]

    def prepare(self, module: nn.Module) -> nn.Module:
        """The module on its device and, of many processes, with gradients averaged over them."""
        return self._accelerator.prepare(module) if self._accelerator else module.to(self.device)

    def no_sync(self, module: nn.Module) -> AbstractContextManager:
        """A context in which gradients are only added up, not yet averaged over processes."""
        return self._accelerator.no_sync(module) if self._accelerator else nullcontext()

    def autocast(self) -> AbstractContextManager:
        """A context that computes in the training's own precision."""
        is_bf16 = self.mixed_precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if is_bf16 else nullcontext()

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over all processes."""
        return self._accelerator.reduce(value, "mean") if self._accelerator else value

    def end(self) -> None:
        """Wait until all processes have come here; then part."""
        if self._accelerator:
            self._accelerator.wait_for_everyone()
            self._accelerator.end_training()


def _accelerator(device: str):
    """What Accelerate knows of this process and of those that were started with it."""
    from accelerate import Accelerator, InitProcessGroupKwargs

    if device not in ("auto", "cpu"):
        raise UsageError(f"--device {device}: many processes take auto or cpu", "--device")
    accelerator = Accelerator(
        cpu=device == "cpu" or not torch.accelerator.is_available(),
        mixed_precision="no",  # `Processes.autocast` says where another one holds
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    kind = accelerator.distributed_type.value
    if kind != "NO" and not kind.startswith("MULTI_"):
        raise UsageError(
            f"accelerate is configured for {kind}; sdtool trains with plain data parallelism: "
            "pass --multi_gpu to accelerate launch"
        )
    return accelerator


def accelerate_tracker(name: str, options: dict[str, Any], on_cpu: bool):
    """Accelerate's tracker of this name, started; `options` go to the package's own `init`."""
    from accelerate import PartialState, tracking

    PartialState(cpu=on_cpu)  # its logging asks for it; a state that is there stays
    kind = {"wandb": "WandBTracker", "trackio": "TrackioTracker"}[name]
    if not hasattr(tracking, kind):
        raise MissingDependencyError(
            f"--tracker {name} needs a newer package: pip install --upgrade accelerate"
        )
    tracker = getattr(tracking, kind)("sdtool", **options)
    tracker.start()
    return tracker


def is_alone() -> bool:
    """True unless this process was started with others, by `accelerate launch` or torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1


def require_alone(command: str) -> None:
    """UsageError unless this process is its training's only one."""
    if not is_alone():
        raise UsageError(f"{command} trains in one process; start it without accelerate launch")
