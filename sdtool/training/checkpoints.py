"""Checkpoints of a training: whole or absent, the last few kept, and damaged ones recognised."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from sdtool.errors import InputError
from sdtool.io.tensor_files import save_tensors

NAME = re.compile(r"checkpoint-(\d+)\.safetensors")


@dataclass
class State:
    """All that a training needs to go on as if it had not stopped.

    parameters, average: name → the trained values and their running averages, of the same shapes.
    generator: draws everything random. sums: (2,) float32, loss and gradient norm summed up since
    the last line of the log. spent: seconds of the training so far, where its time is bounded.
    """

    parameters: dict[str, nn.Parameter]
    average: dict[str, torch.Tensor]
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    sums: torch.Tensor
    spent: float = 0.0

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything as named tensors on the CPU."""
        found = {"generator": self.generator.get_state(), "sums": self.sums}
        for name, value in self.parameters.items():
            found |= {f"value/{name}": value.detach(), f"average/{name}": self.average[name]}
            found |= {f"{k}/{name}": v for k, v in self.optimizer.state[value].items()}
        return {name: value.contiguous().cpu() for name, value in found.items()}

    @torch.no_grad()
    def restore(self, path: Path) -> int:
        """Take everything from a checkpoint; return the number of steps that were done."""
        with safe_open(path, framework="pt") as file:
            stored = set(file.keys())
            names = {name.removeprefix("value/") for name in stored if name.startswith("value/")}
            if names != self.parameters.keys():
                raise InputError(f"{path} is of another model; add --overwrite to begin anew")
            kinds = {name.partition("/")[0] for name in stored if "/" in name}
            state: dict[int, dict[str, torch.Tensor]] = {}
            for k, (name, value) in enumerate(self.parameters.items()):
                value.copy_(file.get_tensor(f"value/{name}"))
                self.average[name].copy_(file.get_tensor(f"average/{name}"))
                state[k] = {}
                for kind in sorted(kinds - {"value", "average"}):
                    if f"{kind}/{name}" in stored:
                        held = file.get_tensor(f"{kind}/{name}")
                        # the fused optimiser walks memory in the value's own layout
                        like = held.shape == value.shape and held.dim() > 0
                        state[k][kind] = torch.empty_like(value).copy_(held) if like else held
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": state, "param_groups": groups})
            self.generator.set_state(file.get_tensor("generator"))
            self.sums.copy_(file.get_tensor("sums"))
            facts = _facts(file)
            self.spent = float(facts.get("spent", 0.0))
            return facts["step"]


def save_checkpoint(out: Path, step: int, state: State, keep: int) -> None:
    """Write checkpoint-NNNNNN.safetensors, moved into place when whole; keep the last `keep`."""
    tensors = state.tensors()
    facts = {"step": step, "digest": _digest(sorted(tensors.items()))}
    facts |= {"spent": state.spent} if state.spent else {}
    path = out / f"checkpoint-{step:06d}.safetensors"
    save_tensors(path, tensors, {"sdtool": json.dumps(facts)})
    for old in _checkpoints(out)[:-keep]:
        old.unlink()


def last_checkpoint(out: Path, say: Callable[[str], None] = print) -> Path | None:
    """The newest checkpoint whose content fits its digest; damaged ones are named and removed. InputError
    for one that cannot be opened, which says nothing of what it holds."""
    for path in reversed(_checkpoints(out)):
        try:
            with open(path, "rb") as opened:
                opened.read(1)
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}), so that the training cannot go on from it; have "
                "it readable and writable for you, or add --overwrite to begin anew"
            ) from None
        try:
            with safe_open(path, framework="pt") as file:
                stored = ((name, file.get_tensor(name)) for name in sorted(file.keys()))
                if _facts(file)["digest"] == _digest(stored):
                    return path
                reason = "its digest differs"
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
        say(f"{path} is damaged ({reason}) and removed; using the one before it, if any")
        path.unlink()
    return None


def clear_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a finished training, and what a kill left half-written."""
    for path in (*_checkpoints(out), *out.glob(".checkpoint-*.tmp.safetensors")):
        path.unlink()


def _checkpoints(out: Path) -> list[Path]:
    """Those in a folder, by the steps that were done."""
    matches = (NAME.fullmatch(path.name) for path in out.glob("checkpoint-*.safetensors"))
    names = sorted((int(match[1]), match[0]) for match in matches if match)
    return [out / name for _, name in names]


def _facts(file) -> dict:
    return json.loads((file.metadata() or {})["sdtool"])


def _digest(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    sha = hashlib.sha256()
    for name, value in tensors:
        sha.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\n".encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
