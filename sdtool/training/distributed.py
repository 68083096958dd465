"""The processes of one training: one alone, or those that `accelerate launch` started together.

The one file that knows Accelerate: device, mixed precision, and gradients averaged over processes.
"""

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import typer
from torch import nn

from sdtool.errors import SdtoolError, UsageError
from sdtool.runtime.devices import choose_device

Output = TypeVar("Output")

PATIENCE = timedelta(hours=12)  # while the main process encodes texts or measures, the others wait


class Team:
    """This process among those of its training. `index` 0 is the main one: it alone writes files.

    device: for a process alone, as `choose_device` takes it; processes of a team get one accelerator
    each with "auto". mixed_precision: "no" or "bf16"; it decides, whatever `accelerate config` says.
    """

    def __init__(self, device: str = "auto", mixed_precision: str = "no"):
        from accelerate import Accelerator, InitProcessGroupKwargs
        from accelerate.state import AcceleratorState

        if mixed_precision not in ("no", "bf16"):
            raise UsageError(f"--mixed-precision {mixed_precision} is unknown; use no or bf16")
        if is_alone():
            # A second training in one process may want another device or precision; Accelerate
            # keeps its first for ever, and learns of a device from the environment only.
            AcceleratorState._reset_state(reset_partial_state=True)
            os.environ["ACCELERATE_TORCH_DEVICE"] = str(choose_device(device))
        elif device not in ("auto", "cpu"):
            raise UsageError(f"--device {device}: many processes take auto or cpu")
        try:
            self.accelerator = Accelerator(
                cpu=device == "cpu" or not torch.accelerator.is_available(),
                mixed_precision=mixed_precision,
                kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
            )
        finally:
            if is_alone():
                del os.environ["ACCELERATE_TORCH_DEVICE"]
        kind = self.accelerator.distributed_type.value
        if kind != "NO" and not kind.startswith("MULTI_"):
            raise UsageError(
                f"accelerate is configured for {kind}; sdtool trains with plain data parallelism: "
                "pass --multi_gpu to accelerate launch"
            )

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.accelerator.device

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.accelerator.num_processes

    @property
    def index(self) -> int:
        """The number of this process, from 0."""
        return self.accelerator.process_index

    @property
    def is_main(self) -> bool:
        """True for the one process that writes files and speaks."""
        return self.index == 0

    def say(self, text: str) -> None:
        """Print a line on stderr, once for all processes."""
        if self.is_main:
            print(text, file=sys.stderr)

    def lead(self, function: Callable[[], Output]) -> Output:
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
        """The module with autocast around it and, in a team, gradients averaged over processes."""
        return self.accelerator.prepare(module)

    def alone(self, module: nn.Module):
        """A context in which gradients are only added up, not yet averaged over processes."""
        return self.accelerator.no_sync(module) if self.size > 1 else nullcontext()

    def autocast(self):
        """A context of the training's own precision, for a model that was not prepared."""
        return self.accelerator.autocast()

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over all processes."""
        return self.accelerator.reduce(value, "mean") if self.size > 1 else value

    def end(self) -> None:
        """Wait until all processes have come here; then part."""
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()


def is_alone() -> bool:
    """True unless this process was started with others, by `accelerate launch` or torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1


def require_alone(command: str) -> None:
    """UsageError unless this process is its training's only one."""
    if not is_alone():
        raise UsageError(f"{command} trains in one process; start it without accelerate launch")
