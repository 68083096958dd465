"""The one optimisation loop of every phase, with its checkpoints and its guard.

An accelerator is never waited for in a step: losses and norms stay on it, to be read together every tenth
step. What was not finite is found then, and the shape goes back to the last state that had been looked at.
All randomness of a step comes from (seed, phase, step), so a continued run needs no generator state
and ends with the same bits as an uninterrupted one.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from sdtool.errors import SdtoolError
from sdtool.geometry.cameras import ViewRange, orbit
from sdtool.io.files import append_jsonl, trim_jsonl, write_tensors
from sdtool.lifting import schedules, vsd
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.scenes import Scene, VanishedError

SIZES = ("align", "ori", "color", "phi_agp", "phi_base", "phi_color")
"""Of the losses, and of what learns beside the shape: names in log.jsonl."""

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_EVERY, GOOD_EVERY, LOOK_EVERY = 50, 20, 10
SETTLE = schedules.linear(1.0, 0.1, begin=0.6)
"""Factor on the learning rate over a phase: the last steps average out the noise of the score."""


@dataclass
class Clock:
    """Seconds spent so far, by what they were spent on."""

    spent: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, since: float) -> float:
        """Charge the time since `since` to `name`; return the present."""
        now = time.perf_counter()
        self.spent[name] = self.spent.get(name, 0.0) + now - since
        return now


class Unread:
    """Numbers of the last steps that lie on the device still, and their lines for log.jsonl."""

    def __init__(self, path: Path):
        self.path, self.lines = path, list[dict[str, Any]]()
        self.numbers: list[dict[str, torch.Tensor]] = []

    def add(self, line: dict[str, Any], numbers: dict[str, torch.Tensor]) -> None:
        """A step: its line, and scalars; those in `SIZES` go into the line."""
        self.lines.append(line)
        self.numbers.append(numbers)

    def read(self) -> tuple[float | None, int, str]:
        """Write the lines, waiting once for all numbers: (last loss, steps that were in order, what then).

        The last is empty if all were in order.
        """
        values = [value.double() for numbers in self.numbers for value in numbers.values()]
        found = iter(torch.stack(values).cpu().tolist() if values else [])
        lines, read = self.lines, [{name: next(found) for name in n} for n in self.numbers]
        self.lines, self.numbers, loss, wrong = [], [], None, ""
        for done, (line, numbers) in enumerate(zip(lines, read, strict=True)):
            if not math.isfinite(numbers["norm"]):
                wrong = f"the gradient became {numbers['norm']}"
            elif not math.isfinite(numbers.get("extent", 0.0)):
                wrong = "nothing is seen of the shape any more"
            if wrong:
                return loss, done, wrong
            line |= {name: numbers[name] for name in SIZES if name in numbers}
            append_jsonl(self.path, line)
            loss = numbers["loss"]
        return loss, len(lines), ""


def step_views(
    view_range: ViewRange, views: int, seed: int, phase: int, step: int
) -> tuple[np.ndarray, torch.Generator]:
    """The cameras (views, 4, 4) of one step, evenly spread in azimuth, and its noise generator."""
    rng = np.random.default_rng([seed, phase, step])
    azimuth = rng.uniform(-np.pi, np.pi) + np.arange(views) * (2 * np.pi / views)
    elevation = np.radians(rng.uniform(*view_range.elevation, views))
    c2w = orbit(azimuth, elevation, view_range.distance * rng.uniform(*view_range.factor, views))
    return c2w, torch.Generator().manual_seed(int(rng.integers(2**62)))


def strayed(
    c2w: np.ndarray, fov: float, phase: Phase, generator: torch.Generator
) -> tuple[np.ndarray, float | np.ndarray]:
    """Cameras (N, 4, 4), moved, and their field of view in radians, drawn for each (N,), as the phase says.

    A camera is moved along its own x and y axes without being turned, so that the object stands
    elsewhere in the picture (Fantasia3D's camera_random_jitter).
    """
    if phase.shift:
        share = (2 * torch.rand((len(c2w), 2), generator=generator) - 1).numpy() * phase.shift
        distance = np.linalg.norm(c2w[:, :3, 3], axis=1, keepdims=True)
        c2w = c2w.copy()
        c2w[:, :3, 3] += np.einsum("nij,nj->ni", c2w[:, :3, :2], share * distance)
    if phase.fov != (0.0, 0.0):
        low, high = phase.fov
        drawn = torch.rand(len(c2w), generator=generator, dtype=torch.float64).numpy()
        return c2w, np.radians(low + (high - low) * drawn)
    return c2w, fov


def nearest_view(phase: Phase, own: float) -> float:
    """The field of view in radians, of those that a phase draws, in which a shape is largest; own: the
    AGP's, in degrees."""
    return float(np.radians(own if phase.fov == (0.0, 0.0) else min(phase.fov)))


def optimise(
    scene: Scene,
    guidance: Guidance,
    phase: Phase,
    view_range: ViewRange,
    *,
    number: int,
    seed: int,
    start: int,
    adam: dict | None = None,
    strength: float = 1.0,
    out: Path,
    on_step: Callable[[int, float | None], None],
    until: int | None = None,
) -> Clock:
    """Run a phase from step `start`; the scene is changed in place. Returns where the time went.

    until: the step to stop at, with a checkpoint, to be continued from there later; None for the end.

    A non-finite loss or gradient, or a vanished shape, rolls back to the last good state and
    halves the guidance, once; SdtoolError the second time. adam, strength: the optimiser's state and
    the factor on the guidance to continue with; what learns beside the phase (`vsd`) continues as the
    checkpoint in `out` has it. on_step(step, loss) is called after each step, with the last loss that was
    read.
    """
    optimiser = new_optimiser(scene, phase)
    rates = [group["lr"] for group in optimiser.param_groups]
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    if adam:
        optimiser.load_state_dict(
            {"state": adam, "param_groups": optimiser.state_dict()["param_groups"]}
        )
    own_fov, clock, every = float(np.radians(view_range.fov)), Clock(), look_every(guidance.device)
    phis = guidance.phis if phase.distill == vsd.NAME else vsd.Phis()
    phis.begin(load_phis(out) if start else {})
    good, step, shown = (start, _copy(scene, optimiser, phis)), start, None
    unread, wrong = Unread(out / "log.jsonl"), ""
    end = phase.steps if until is None else until
    while step < end:
        if step % GOOD_EVERY == 0:
            good = (step, _copy(scene, optimiser, phis))
        if step % CHECKPOINT_EVERY == 0:
            save(out, scene, optimiser, number, step, strength, phis)
        began = time.perf_counter()
        views = step_views(view_range, phase.views, seed, number, step)
        optimiser.zero_grad(set_to_none=True)
        try:
            losses = gradients(scene, guidance, phase, views, own_fov, step, strength, clock)
        except VanishedError as error:
            wrong = str(error)
        else:
            now = time.perf_counter()
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            numbers = {"norm": norm, **losses}
            if (extent := scene.extent()) is not None:
                numbers["extent"] = extent
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * SETTLE(step / phase.steps)
            if every > 1:  # else a number that is none would reach indices before the next look
                for gradient in (p.grad for p in parameters if p.grad is not None):
                    gradient.nan_to_num_(0.0, 0.0, 0.0)
            optimiser.step()
            clock.add("backward", now)
            step += 1
            seconds = round(time.perf_counter() - began, 4)
            unread.add({"phase": phase.name, "step": step, "seconds": seconds}, numbers)
        due = (every, GOOD_EVERY, CHECKPOINT_EVERY)
        if wrong or step == end or any(step % often == 0 for often in due):
            first = step - len(unread.lines)
            loss_read, done, found = unread.read()
            shown = shown if loss_read is None else loss_read
            if wrong := found or wrong:
                if strength < 1:
                    raise SdtoolError(
                        f"the {phase.name} phase failed twice at step {first + done} ({wrong}); nothing "
                        "was written as a result; try another --seed or a lower --scale, with "
                        "--overwrite"
                    )
                append_jsonl(out / "log.jsonl", {"phase": phase.name, "rollback": wrong})
                step, state = good
                _restore(scene, optimiser, phis, state)
                strength, wrong = 0.5, ""
                continue
        on_step(step, shown)
    if until is not None:
        save(out, scene, optimiser, number, step, strength, phis)
    return clock


def gradients(
    scene: Scene,
    guidance: Guidance,
    phase: Phase,
    views: tuple[np.ndarray, torch.Generator],
    own_fov: float,
    step: int,
    strength: float,
    clock: Clock,
) -> dict[str, torch.Tensor]:
    """Give the scene the gradients of one step: of the priors' pull on its views, and of its penalties.

    views: of `step_views`. own_fov: of the AGP's cameras, in radians. Returns the loss and the size of each
    term, scalars.
    """
    now, progress, (c2w, generator) = time.perf_counter(), step / phase.steps, views
    c2w, fov = strayed(c2w, own_fov, phase, generator)
    scene.base_looks = guidance.base_weight(phase, progress) > 0
    maps = scene.render(c2w, fov, phase.size, generator)
    now = clock.add("render", now)
    loss, sizes = guidance.loss(maps, torch.from_numpy(c2w), phase, progress, strength, generator)
    now = clock.add("priors", now)
    (loss + phase.penalty(scene.penalties(), progress)).backward()
    clock.add("backward", now)
    return {"loss": loss.detach(), **sizes}


def look_every(device: torch.device) -> int:
    """Steps between two looks at the numbers of steps on `device`: where nothing is waited for, one."""
    return 1 if device.type == "cpu" else LOOK_EVERY


def new_optimiser(scene: Scene, phase: Phase) -> torch.optim.Optimizer:
    """Adam over what a scene optimises, AdamW with a weight decay; perceptrons may have their own rate."""
    named = [(name, p) for name, p in scene.named_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": [p for _, p in named], "lr": phase.lr}]
    if phase.lr_network:
        networks = [p for name, p in named if ".mlp." in f".{name}"]
        others = [p for name, p in named if ".mlp." not in f".{name}"]
        groups = [{"params": others, "lr": phase.lr}, {"params": networks, "lr": phase.lr_network}]
        groups = [group for group in groups if group["params"]]
    options: dict[str, Any] = {"betas": (0.9, 0.99), "eps": 1e-15, "fused": True}
    if phase.decay:
        return torch.optim.AdamW(groups, weight_decay=phase.decay, **options)
    return torch.optim.Adam(groups, **options)


def _copy(scene: Scene, optimiser: torch.optim.Optimizer, phis: vsd.Phis) -> tuple[dict, ...]:
    state = {k: v.clone() for k, v in scene.state_dict().items()}
    inner = {
        i: {k: v.clone() for k, v in s.items()} for i, s in optimiser.state_dict()["state"].items()
    }
    return state, inner, {k: v.clone() for k, v in phis.state().items()}


def _restore(
    scene: Scene, optimiser: torch.optim.Optimizer, phis: vsd.Phis, copy: tuple[dict, ...]
) -> None:
    scene.load_state_dict(copy[0])
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": copy[1], "param_groups": groups})
    phis.begin(copy[2])


# Checkpoints


def save(
    out: Path, scene: Scene, optimiser, number: int, step: int, strength: float, phis: vsd.Phis
) -> None:
    """Write `checkpoint.safetensors`: the scene's tensors, Adam's, `vsd`'s, and the place in the plan."""
    tensors = {f"scene/{k}": v.cpu().numpy() for k, v in scene.state_dict().items()}
    for i, inner in optimiser.state_dict()["state"].items():
        tensors |= {f"adam/{i}/{k}": v.cpu().numpy() for k, v in inner.items()}
    tensors |= {f"phi/{k}": v.cpu().numpy() for k, v in phis.state().items()}
    record = json.dumps({"phase": number, "step": step, "strength": strength})
    write_tensors(out / CHECKPOINT, tensors, {"sdtool": record})


def load(out: Path) -> tuple[dict, dict, dict] | None:
    """Of the checkpoint in `out`: its place (phase, step, strength), the scene's tensors, Adam's state.

    None if there is no checkpoint.
    """
    path = out / CHECKPOINT
    if not path.is_file():
        return None
    scene: dict[str, torch.Tensor] = {}
    adam: dict[int, dict[str, torch.Tensor]] = {}
    with safe_open(path, "pt") as file:
        place = json.loads(file.metadata()["sdtool"])
        for name in file.keys():  # noqa: SIM118
            kind, rest = name.split("/", 1)
            if kind == "scene":
                scene[rest] = file.get_tensor(name)
            elif kind == "adam":
                index, key = rest.split("/")
                adam.setdefault(int(index), {})[key] = file.get_tensor(name)
    return place, scene, adam


def load_phis(out: Path) -> dict[str, torch.Tensor]:
    """The state of `vsd.Phis` in the checkpoint in `out`; empty if there is none."""
    if not (out / CHECKPOINT).is_file():
        return {}
    with safe_open(out / CHECKPOINT, "pt") as file:
        names = [name for name in file.keys() if name.startswith("phi/")]  # noqa: SIM118
        return {name.removeprefix("phi/"): file.get_tensor(name) for name in names}


def trim_log(path: Path, plan: LiftPlan, number: int, step: int) -> None:
    """Drop the log lines of steps that a continued run does again."""
    order = {phase.name: k for k, phase in enumerate(plan.phases)}
    trim_jsonl(
        path, lambda line: (order.get(line["phase"], -1), line.get("step", 0)) <= (number, step)
    )
