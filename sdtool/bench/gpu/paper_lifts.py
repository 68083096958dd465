"""Lifts by the preset `paper` with full-size priors: do they end, how long is a step, in how much memory?"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sdtool.bench.clocks import peak, reset_peak, synchronize
from sdtool.bench.gpu.figures import Sheet
from sdtool.bench.gpu.lifting import PROMPT, lift
from sdtool.bench.gpu.pipelines import pipelines
from sdtool.bench.gpu.setup import Setup
from sdtool.geometry.cameras import ViewRange
from sdtool.lifting import loop
from sdtool.lifting.config import LiftPlan, Phase, override
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.lift_files import read_lift
from sdtool.lifting.presets import PRESETS
from sdtool.lifting.radiance import RadianceScene
from sdtool.lifting.run import REPRESENTATIONS
from sdtool.lifting.scenes import Scene
from sdtool.priors.cards import camera_of
from sdtool.priors.pairs import load_pair, text_encoders
from sdtool.runtime.devices import PRECISIONS

GOAL_SHARE, GOAL_MEMORY = 15.0, 24.0  # % of the time outside the priors; GB
PROGRESS = 0.5
"""Where in a phase a step is measured: both priors pull."""

# Steps a phase of the lift; steps before the clock, in the first phase and in others, and on it.
# A radiance field knows nothing to be empty before step 32.
STEPS, WARM_FIRST, WARM, TIMED = 4, {"dmtet": 3, "nerf": 36}, 3, 8
SMALL = {
    "dmtet": {"tet_resolution": 10, "log2_table": 10, "sdf_table": 10},
    "nerf": {"tet_resolution": 10, "log2_table": 10, "samples": 16, "finest": 32},
}


@dataclass
class Spent:
    """Seconds: of steps that were cut in two, in the priors and outside of them; and of one whole step.
    samples: of the last step, if the shape is a radiance field."""

    priors: float = 0.0
    others: float = 0.0
    whole: float = 0.0
    samples: int = 0

    @property
    def share(self) -> float:
        """Of the time, outside the priors."""
        return self.others / (self.priors + self.others)


def lift_paper(setup: Setup, sheet: Sheet, rep: str) -> None:
    """The command itself, then steps of its phases taken apart."""
    base, agp = pipelines(setup)
    plan = override(PRESETS[rep]["paper"], _small(rep) if setup.small else [])
    device = torch.device(setup.device)
    precision = _whole(setup, sheet, rep, base, agp, device)
    reset_peak(device)
    total, others = 0.0, 0.0
    for phase, spent in measured(setup, rep, plan, base, agp, precision):
        sheet.note(f"{phase.name}: a step", spent.whole, "s")
        sheet.note(f"{phase.name}: outside the priors", 100 * spent.share, "%")
        if rep == "nerf":
            sheet.note(f"{phase.name}: samples a step", spent.samples)
        total += phase.steps * spent.whole
        others += phase.steps * spent.whole * spent.share
    sheet.at_most(
        "outside the priors, all phases", 100 * others / total, GOAL_SHARE, "%", goal=True
    )
    if not setup.small:
        sheet.note("all its steps would take", total / 60, "min")


def _small(rep: str) -> list[str]:
    """Settings for random pipelines of 8×8 latents on a CPU."""
    found = [f"{name}={value}" for name, value in SMALL[rep].items()]
    for phase in PRESETS[rep]["paper"].phases:
        found += [f"{phase.name}.views=1", f"{phase.name}.size=32"]
    return found


def _whole(
    setup: Setup, sheet: Sheet, rep: str, base: Path, agp: Path, device: torch.device
) -> str:
    """The command with a few steps a phase: whether it ends in a whole shape, time and peak memory.

    Returns the precision that its priors had.
    """
    out = setup.work / f"paper-{rep}"
    settings = _small(rep) if setup.small else []
    for phase in PRESETS[rep]["paper"].phases:
        settings.append(f"{phase.name}.steps={1 if setup.small else STEPS}")
    reset_peak(device)
    summary = lift(setup, rep, "paper", settings, out, agp=str(agp), base=str(base))
    sheet.note("a lift of a few steps took", summary["seconds"]["total"], "s")
    if not setup.is_cpu:
        most = peak(device) / 2**30
        held = torch.get_device_module(device).max_memory_reserved() / 2**30
        sheet.at_most("peak memory, last rehearsal and steps", most, GOAL_MEMORY, "GB", goal=True)
        sheet.note("most that torch held", held, "GB")
    lifted = read_lift(out)  # whole and finite, or it raises
    sheet.holds("it ends in a shape", len(lifted.mesh.t_pos_idx) > 0)
    sheet.note("faces", len(lifted.mesh.t_pos_idx))
    sheet.note("precision of the priors", lifted.record["precision"])
    return lifted.record["precision"]


def measured(
    setup: Setup, rep: str, plan: LiftPlan, base: Path, agp: Path, precision: str
) -> Iterator[tuple[Phase, Spent]]:
    """Each phase of a lift of its own, with what some of its steps took."""
    device = torch.device(setup.device)
    pair = load_pair(str(base), str(agp), setup.device, PRECISIONS[precision])
    with text_encoders(*pair):  # which are gone again afterwards
        guidance = Guidance(*pair, PROMPT, by_view=True, open_words=True)
    module, view_range = REPRESENTATIONS[rep], camera_of(agp)
    scene: Scene | None = None
    for number, phase in enumerate(plan.phases):
        if scene is None:
            scene, warm = module.first_scene(plan, device), WARM_FIRST[rep]
        else:
            scene, warm = module.next_scene(scene, phase, plan), WARM
        warm, timed = (1, 1) if setup.small else (warm, TIMED)
        optimiser, spent = loop.new_optimiser(scene, phase), Spent()
        given = scene, guidance, phase, view_range, optimiser, number
        for step in range(warm):
            whole_step(*given, step)
        for step in range(warm, warm + timed):
            cut_step(*given, step, spent)
        synchronize(device)
        began = time.perf_counter()
        for step in range(warm + timed, warm + 2 * timed):
            whole_step(*given, step)
        synchronize(device)
        spent.whole = (time.perf_counter() - began) / timed
        if isinstance(scene, RadianceScene):
            spent.samples, _ = scene.load
        yield phase, spent


def whole_step(
    scene: Scene,
    guidance: Guidance,
    phase: Phase,
    view_range: ViewRange,
    optimiser: torch.optim.Optimizer,
    number: int,
    step: int,
) -> None:
    """A step as `sdtool.lifting.loop.optimise` takes it."""
    maps, c2w, generator = _rendered(scene, phase, view_range, number, step)
    optimiser.zero_grad(set_to_none=True)
    loss, _ = guidance.loss(maps, c2w, phase, PROGRESS, 1.0, generator)
    (loss + phase.penalty(scene.penalties(), PROGRESS)).backward()
    optimiser.step()


def cut_step(
    scene: Scene,
    guidance: Guidance,
    phase: Phase,
    view_range: ViewRange,
    optimiser: torch.optim.Optimizer,
    number: int,
    step: int,
    spent: Spent,
) -> None:
    """The same, but cut where maps meet priors, and waited for there.

    The priors get the maps as leaves, so that the way back through the VAE counts as theirs; then the maps'
    gradients go on into the scene.
    """
    device, began = guidance.device, time.perf_counter()
    maps, c2w, generator = _rendered(scene, phase, view_range, number, step)
    optimiser.zero_grad(set_to_none=True)
    leaves = {k: v.detach().requires_grad_(v.requires_grad) for k, v in maps.items()}
    synchronize(device)
    rendered = time.perf_counter()
    loss, _ = guidance.loss(leaves, c2w, phase, PROGRESS, 1.0, generator)
    loss.backward()
    synchronize(device)
    judged = time.perf_counter()
    pulled = [name for name, leaf in leaves.items() if leaf.grad is not None]
    roots, slopes = [maps[name] for name in pulled], [leaves[name].grad for name in pulled]
    penalty = phase.penalty(scene.penalties(), PROGRESS)
    if penalty.requires_grad:
        roots, slopes = [*roots, penalty], [*slopes, None]
    torch.autograd.backward(roots, slopes)
    optimiser.step()
    synchronize(device)
    spent.priors += judged - rendered
    spent.others += time.perf_counter() - judged + rendered - began


def _rendered(
    scene: Scene, phase: Phase, view_range: ViewRange, number: int, step: int
) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Generator]:
    """A step's maps, its cameras, and what draws the rest of its chances."""
    c2w, generator = loop.step_views(view_range, phase.views, 0, number, step)
    c2w, fov = loop.strayed(c2w, float(np.radians(view_range.fov)), phase, generator)
    return scene.render(c2w, fov, phase.size, generator), torch.as_tensor(c2w), generator
