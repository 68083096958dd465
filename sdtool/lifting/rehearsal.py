"""One step of every phase before the first real one: what does not fit into memory fails at once."""

import re
from types import ModuleType

import torch

from sdtool.errors import SdtoolError
from sdtool.geometry.cameras import ViewRange
from sdtool.lifting.config import LiftPlan
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.loop import nearest_view, step_views
from sdtool.lifting.scenes import Scene


def rehearse(
    rep: ModuleType, plan: LiftPlan, guidance: Guidance, view_range: ViewRange, smallest: LiftPlan
) -> str:
    """Compute one step of every phase on a heavy shape; nothing is kept.

    Returns the name of the first phase whose losses or gradients are not finite, or nothing.
    rep: the representation's module. smallest: a plan that needs little memory. SdtoolError names the
    phase that needs more memory than there is, and what needs less.
    """
    scene, overflow = None, ""
    for number, phase in enumerate(plan.phases):
        try:
            scene = rep.rehearsal_scene(scene, phase, plan, guidance.device)
            c2w, generator = step_views(view_range, phase.views, 0, number, 0)
            fov = nearest_view(phase, view_range.fov)
            maps = scene.render(c2w, fov, phase.size, generator)
            loss, _ = guidance.loss(maps, torch.from_numpy(c2w), phase, 0.9, 1.0, generator)
            (loss + phase.penalty(scene.penalties(), 0.9)).backward()
            overflow = overflow or ("" if _finite(scene, loss) else phase.name)
        except (MemoryError, RuntimeError) as error:  # torch has both, and says it in words
            if isinstance(error, RuntimeError) and not re.search("out of memory|alloc", str(error)):
                raise
            raise SdtoolError(_advice(plan, phase.name, smallest)) from None
    return overflow


def _finite(scene: Scene, loss: torch.Tensor) -> bool:
    """Whether a loss and the gradients that it has left in a scene are numbers."""
    found = [p.grad for p in scene.parameters() if p.grad is not None]
    return bool(torch.isfinite(torch.nn.utils.get_total_norm([loss.detach(), *found])))


def _advice(plan: LiftPlan, name: str, smallest: LiftPlan) -> str:
    """What to do when the phase `name` does not fit."""
    cure = f"lower tet_resolution, samples, {name}.size or {name}.views with --set"
    if plan.tet_resolution > smallest.tet_resolution:
        cure = f"try --preset preview ({smallest.tet_resolution} cells a side), or {cure}"
    return f"the {name} phase needs more memory than this machine has; {cure}"
