"""One step of every phase before the first real one: what does not fit into memory fails at once."""

import re

import numpy as np
import torch

from sdtool.cameras import ViewRange
from sdtool.errors import SdtoolError
from sdtool.lifting.config import PRESETS, Plan
from sdtool.lifting.dmtet import next_scene
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.loop import step_views
from sdtool.lifting.scenes import DensityScene, SurfaceScene
from sdtool.shapes.dmtet import DMTetShape
from sdtool.shapes.grids import grid_points


def rehearse(plan: Plan, guidance: Guidance, look: ViewRange) -> None:
    """Compute one step of every phase on a ball that fills the view; nothing is kept.

    SdtoolError names the phase that needs more memory than there is, and what needs less.
    """
    scene = None
    for number, phase in enumerate(plan.phases):
        try:
            if phase.scene == "density":
                scene = DensityScene(plan.half, plan.samples).to(guidance.device)
            elif isinstance(scene, SurfaceScene):
                scene = next_scene(scene, phase, plan)
            else:
                points = grid_points(plan.tet_resolution + 1, plan.half)
                shape = DMTetShape(points.norm(dim=-1) - 0.8 * plan.half, plan.half)
                scene = SurfaceScene(shape).to(guidance.device)
            c2w, generator = step_views(look, phase.views, 0, number, 0)
            maps = scene.render(c2w, float(np.radians(look.fov)), phase.size, generator)
            loss, _ = guidance.loss(maps, torch.from_numpy(c2w), phase, 0.9, 1.0, generator)
            (loss + phase.smooth * scene.regulariser()).backward()
        except (MemoryError, RuntimeError) as error:  # torch has both, and says it in words
            if isinstance(error, RuntimeError) and not re.search("out of memory|alloc", str(error)):
                raise
            raise SdtoolError(_advice(plan, phase.name)) from None


def _advice(plan: Plan, name: str) -> str:
    """What to do when the phase `name` does not fit."""
    cure = f"lower tet_resolution, samples, {name}.size or {name}.views with --set"
    if plan.tet_resolution > (smallest := PRESETS["preview"]).tet_resolution:
        cure = f"try --preset preview ({smallest.tet_resolution} cells a side), or {cure}"
    return f"the {name} phase needs more memory than this machine has; {cure}"
