"""One step of every phase before the first real one: what does not fit into memory fails at once."""

import re
import sys
from dataclasses import replace
from types import ModuleType

import torch

from sdtool.errors import SdtoolError
from sdtool.geometry.cameras import ViewRange
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.loop import nearest_view, step_views
from sdtool.lifting.scenes import Scene


def rehearse(
    rep: ModuleType, plan: LiftPlan, guidance: Guidance, view_range: ViewRange, smallest: LiftPlan
) -> str:
    """Compute one step of every phase on a heavy shape; nothing is kept.

    Returns the name of the first phase whose losses or gradients are not finite, or nothing.
    rep: the representation's module. smallest: a plan that needs little memory. What a scene foresees is
    told on stderr, and the peak of an accelerator's memory. SdtoolError names the phase that needs more
    memory than there is, and what needs less.
    """
    scene, overflow, device = None, "", guidance.device
    for number, phase in enumerate(plan.phases):
        phase = replace(phase, ori_every=1)
        try:
            _forget_peak(device)
            scene = rep.rehearsal_scene(scene, phase, plan, device)
            c2w, generator = step_views(view_range, phase.views, 0, number, 0)
            fov = nearest_view(phase, view_range.fov)
            said = scene.foresee(c2w, fov, phase.size, generator)
            maps = scene.render(c2w, fov, phase.size, generator)
            loss, _ = guidance.loss(maps, torch.from_numpy(c2w), phase, 0.9, 1.0, generator)
            (loss + phase.penalty(scene.penalties(), 0.9)).backward()
            overflow = overflow or ("" if _finite(scene, loss) else phase.name)
            if told := ", ".join(part for part in (said, _peak(device)) if part):
                print(f"rehearsed {phase.name}: {told}", file=sys.stderr)
        except (MemoryError, RuntimeError) as error:  # torch has both, and says it in words
            if isinstance(error, RuntimeError) and not re.search("out of memory|alloc", str(error)):
                raise
            raise SdtoolError(_advice(plan, phase, smallest)) from None
    return overflow


PAINTED = ("color", "material")
"""Scenes of phases whose shape is given."""
LIGHT = {"tet_resolution": 80, "samples": 64, "log2_table": 14, "sdf_table": 0, "splats": 8000}
LIGHT_PHASE = {"views": 4, "size": 128, "subdivide": 0}


def is_light(plan: LiftPlan) -> bool:
    """Whether a plan is at most as heavy as the presets for the bundled priors, which need 1 GB on a CPU:
    then a rehearsal would tell nothing, and take its seconds. Files that a later phase reads, such as the
    light on a material, are tried by a rehearsal."""
    return (
        plan.environment == "neutral"
        and all(getattr(plan, name) <= most for name, most in LIGHT.items())
        and all(
            getattr(phase, name) <= most
            for phase in plan.phases
            for name, most in LIGHT_PHASE.items()
        )
    )


def _finite(scene: Scene, loss: torch.Tensor) -> bool:
    """Whether a loss and the gradients that it has left in a scene are numbers."""
    found = [p.grad for p in scene.parameters() if p.grad is not None]
    return bool(torch.isfinite(torch.nn.utils.get_total_norm([loss.detach(), *found])))


def _forget_peak(device: torch.device) -> None:
    if device.type != "cpu" and torch.accelerator.is_available():
        torch.accelerator.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> str:
    """The most memory of an accelerator since `_forget_peak`, in words; of a CPU nothing is known."""
    if device.type == "cpu" or not torch.accelerator.is_available():
        return ""
    return f"peak memory {torch.accelerator.max_memory_allocated(device) / 1e9:.1f} GB"


def _advice(plan: LiftPlan, phase: Phase, smallest: LiftPlan) -> str:
    """What to do when a phase does not fit."""
    name = phase.name
    what = ["samples", f"{name}.views", f"{name}.size"]
    is_shaped = any(one.scene not in PAINTED for one in plan.phases)
    if phase.scene == "radiance":
        what[0] = f"{name}.samples_budget" if phase.samples_budget else "samples"
    elif not is_shaped:
        what = what[1:]
    elif phase.scene != "density":
        what[0] = "splats" if phase.scene == "gaussians" else "tet_resolution"
    cure = f"lower {', '.join(what[:-1])} or {what[-1]} with --set, or take --precision fp16"
    if is_shaped and plan.tet_resolution > smallest.tet_resolution:
        cure = f"try --preset preview ({smallest.tet_resolution} cells a side), or {cure}"
    return f"the {name} phase needs more memory than this machine has; {cure}"
