"""The second core: half the rows of a frozen UNet's batch are computed by a process beside this one.

A small UNet's operators are too short for several threads of one process, and two Python threads wait for
each other; two processes do not. The helper loads the same priors itself, and the rows go to and fro
in memory that both see. It ends with this process, whose end it sees on their socket.

Rows are split in the same way at all times, also while the helper is still starting or after it has died:
then both halves are computed here. So the bits of a lift do not depend on when it was ready.
"""

import json
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, cast

import torch
from torch import nn

from sdtool.priors.added import flat, nested
from sdtool.priors.prior import Prior
from sdtool.priors.traced import Answer, TracedUNet

ROOM = 1 << 26
"""Bytes of shared memory; only what is written to takes any."""

SMALL = 30_000_000
"""Parameters of a UNet up to which a process of its own is worth its memory: larger ones keep the threads
of one process busy."""

PATIENCE = 300.0
"""Seconds after which a helper that does not answer is given up."""

Place = tuple[str, list[int], int]
"""Where a tensor lies in shared memory: the name of its dtype, its shape, its first byte."""


class Helper:
    """A process that imports what priors need, and then holds those that `load` names.

    Whatever goes wrong with it is said once on stderr; from then on it has no answers.
    """

    def __init__(self) -> None:
        self.file = os.memfd_create("sdtool")
        os.ftruncate(self.file, ROOM)
        self.memory = mmap.mmap(self.file, ROOM)
        self.ours, theirs = socket.socketpair()
        self.process: subprocess.Popen | None = None
        self.is_ready, self.loaded = False, list[Any]()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sdtool.priors.split", str(theirs.fileno()), str(self.file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self.file),
            )
        except OSError as error:
            self._give_up(str(error))
        theirs.close()
        self.lines: IO[str] = self.ours.makefile("r", encoding="utf-8")

    def load(
        self,
        base: str,
        agp: str,
        color: str,
        dtype: torch.dtype,
        threads: int,
        traced: bool = False,
    ) -> None:
        """Have it load the priors, named as `sdtool.priors.pairs` has them (color: "" for none), and compute
        with so many threads. Others that it holds are gone. It is ready some time later. traced: as they are
        here (`sdtool.priors.traced`)."""
        wanted = [base, agp, color, _name(dtype), threads, traced]
        if self.process is None or wanted == self.loaded:
            return
        if self.loaded and not self.wait_until_ready():
            return
        self.is_ready, self.loaded = False, wanted
        self._say(wanted)

    @property
    def is_alive(self) -> bool:
        """Whether it has not failed so far."""
        return self.process is not None

    def ask(self, which: int, inputs: Mapping[str, torch.Tensor], shape: list[int]) -> Place | None:
        """Have the UNet of prior `which` (0: base, 1: AGP, 2: colour prior) called with these inputs, for an
        answer of this shape. Returns where that will be, or nothing: then it must be computed here."""
        if self.process is None or not self._ready():
            return None
        placed, at = place(inputs)
        answer: Place = ("float32", shape, at)
        if at + 4 * torch.Size(shape).numel() > ROOM:
            return None
        for name, tensor in inputs.items():
            view(self.memory, placed[name]).copy_(tensor)
        return answer if self._say([which, placed, answer]) else None

    def answer(self, where: Place) -> torch.Tensor | None:
        """What `ask` asked for, waiting for it; nothing if the helper has failed meanwhile."""
        if not select.select([self.ours], [], [], PATIENCE)[0]:
            self._give_up(f"no answer in {PATIENCE:g} s")
            return None
        if (line := self._line()) != "done":
            self._give_up(line or self._last_words())
            return None
        return view(self.memory, where).clone()

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __del__(self) -> None:
        self.close()
        self.ours.close()
        os.close(self.file)

    def wait_until_ready(self, seconds: float = PATIENCE) -> bool:
        """Whether it has loaded its priors by then. A lift does not wait; tests and measurements may."""
        until = time.monotonic() + seconds
        while self.process is not None and not self._ready() and time.monotonic() < until:
            select.select([self.ours], [], [], 0.1)
        return self.is_ready

    def _ready(self) -> bool:
        """Whether it has loaded its priors."""
        if not self.is_ready and select.select([self.ours], [], [], 0)[0]:
            line = self._line()
            self.is_ready = line == "ready"
            if not self.is_ready:
                self._give_up(line or self._last_words())
        return self.is_ready

    def _say(self, what: list) -> bool:
        """Send a message; whether that went well."""
        try:
            self.ours.sendall((json.dumps(what) + "\n").encode())
        except OSError:
            self._give_up(self._line() or self._last_words())
            return False
        return True

    def _line(self) -> str:
        """The next line that it says; "" if it has ended."""
        try:
            return self.lines.readline().strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def _last_words(self) -> str:
        """How its process ended."""
        assert self.process is not None
        try:
            return f"it ended with code {self.process.wait(5)}"
        except subprocess.TimeoutExpired:
            return "it closed its socket"

    def _give_up(self, why: str) -> None:
        print(
            f"the helper process on the second core is gone ({why}); going on without",
            file=sys.stderr,
        )
        self.close()


@dataclass
class Halves:
    """Splits calls in two, and may have a helper for the second half."""

    helper: Helper | None = None
    asked: int = field(default=0)  # calls of which the helper had its half


class SplitUNet(nn.Module):
    """A UNet that computes batches of 2 rows and more in two calls, the second by the helper if it is there.

    which: 0 for the base, 1 for the AGP, 2 for a colour prior. Looks like the UNet itself to `Prior`.
    """

    def __init__(self, unet: nn.Module, halves: Halves, which: int):
        super().__init__()
        self.unet, self.halves, self.which = unet, halves, which

    @property
    def config(self) -> Any:
        return self.unet.config

    @property
    def dtype(self) -> torch.dtype:
        return cast(torch.dtype, self.unet.dtype)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, **conditions: Any) -> Any:
        """Like the UNet's; sample (N, C, h, w), and every tensor has N rows."""
        count = len(sample)
        if count < 2 or torch.is_grad_enabled():
            return self.unet(sample, timestep, **conditions)
        given = {"sample": sample, "timestep": timestep, **flat(conditions)}
        middle = (count + 1) // 2
        first = {name: one[:middle] for name, one in given.items()}
        second = {name: one[middle:] for name, one in given.items()}
        helper = self.halves.helper
        shape = [count - middle, self.config["out_channels"], *sample.shape[2:]]
        where = None if helper is None else helper.ask(self.which, second, shape)
        here = called(self.unet, first)
        there = None if helper is None or where is None else helper.answer(where)
        self.halves.asked += there is not None
        return Answer(torch.cat([here, called(self.unet, second) if there is None else there]))


def called(unet: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The UNet's answer (N, C, h, w) to inputs by name, in the memory layout that both processes use."""
    inputs = dict(inputs)
    sample = inputs.pop("sample").contiguous(memory_format=torch.channels_last)
    time = inputs.pop("timestep")
    return unet(sample, time, **nested(inputs)).sample.float().contiguous()


@contextmanager
def split(priors: Sequence[Prior], helper: Helper | None, threads: int) -> Iterator[Halves]:
    """While it lasts, priors (base, AGP, maybe a colour prior) compute their batches in two halves, with this
    many threads here."""
    halves, before = Halves(helper), torch.get_num_threads()
    whole = [prior.unet for prior in priors]
    torch.set_num_threads(threads)
    try:
        for which, prior in enumerate(priors):
            prior.unet = cast(Any, SplitUNet(prior.unet, halves, which))
        yield halves
    finally:
        for prior, unet in zip(priors, whole, strict=True):
            prior.unet = unet
        torch.set_num_threads(before)


def is_small(prior: Prior) -> bool:
    """Whether a second process with this prior is worth its memory."""
    return sum(p.numel() for p in prior.unet.parameters()) <= SMALL


# Shared memory


def place(tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, Place], int]:
    """Where each of the tensors would lie, one behind the other, and the first byte behind them."""
    found, at = dict[str, Place](), 0
    for name, tensor in tensors.items():
        found[name] = (_name(tensor.dtype), list(tensor.shape), at)
        at += -(-tensor.numel() * tensor.element_size() // 64) * 64
    return found, at


def view(memory: mmap.mmap, where: Place) -> torch.Tensor:
    """The tensor that lies there, not a copy."""
    name, shape, at = where
    count = torch.Size(shape).numel()
    return torch.frombuffer(memory, dtype=getattr(torch, name), count=count, offset=at).view(shape)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# The helper's side


def serve(far: int, file: int) -> None:
    """Answer until the socket `far` is closed: load priors, or call the UNet of one of them."""
    end, memory = socket.socket(fileno=far), mmap.mmap(file, ROOM)
    unets: list[nn.Module] = []
    try:
        from sdtool.priors.pairs import load_painter, load_pair

        for line in end.makefile("r", encoding="utf-8"):
            message = json.loads(line)
            if len(message) == 6:
                base, agp, color, name, threads, traced = message
                torch.set_num_threads(threads)
                dtype = getattr(torch, name)
                priors = *load_pair(base, agp, "cpu", dtype), load_painter(color, "cpu", dtype)
                unets = [prior.unet for prior in priors if prior is not None]
                unets = [TracedUNet(unet) if traced else unet for unet in unets]
                end.sendall(b"ready\n")
                continue
            which, placed, answer = message
            with torch.no_grad():
                inputs = {name: view(memory, where).clone() for name, where in placed.items()}
                view(memory, answer).copy_(called(unets[which], inputs))
            end.sendall(b"done\n")
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        end.sendall(f"{said}\n".encode())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is its parent's to handle
    serve(*map(int, sys.argv[1:]))
