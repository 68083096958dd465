"""What a radiance field may cost: a finished object's samples, and as many as its budget allows at once."""

import torch
import torch.nn.functional as F

from sdtool.lifting.radiance import RadianceScene
from sdtool.rendering.occupancy import OccupancyGrid
from sdtool.rendering.randomness import begin, uniform
from sdtool.rendering.rays import course
from sdtool.rendering.steps import Steps
from sdtool.shapes.density import SHARPNESS

RADIUS, STEEP = 0.35, 200.0
"""A ball stands for a finished object: its radius, and how fast its raw density falls per unit. As with a
corgi that was lifted, three rays in ten meet it, in some 40 of 512 steps each (docs/gpu.md)."""

SPARE = 1.2
"""So many times the budget is aimed at: where cells are is a matter of chance; the rest is cut off."""

LOOKS = 4
"""Times that the ball is looked at before it is rendered."""


class RehearsedScene(RadianceScene):
    """A field whose occupancy is made up. `foresee` has that of a finished object, `render` the worst:
    without a budget nothing is known to be empty; with one, as many samples as it allows, none hidden.
    """

    def foresee(self, c2w, fov, size, generator) -> str:
        budget = self.phase.samples_budget
        if not budget:
            return ""
        empty = OccupancyGrid(len(self.empty.cells), self.field.half_extent).to(self.device)
        for look in range(LOOKS):
            empty.update(ball, look)
        rays = self._rays(c2w, fov, size)
        samples = len(self._visible(*rays, 0, empty, ball).ray)
        most = min(budget, int(self._steps(*rays).sum()))
        said = f"{samples / 1e6:.2f} million samples a step of a finished object"
        said += f", in {-(-samples // budget)} parts" if samples > budget else ""
        return f"{said}, at most {most / 1e6:.2f} million at once"

    def render(self, c2w, fov, size, generator=None) -> dict[str, torch.Tensor]:
        if self.phase.samples_budget:
            steps = self._steps(*self._rays(c2w, fov, size)).sum()
            share = (SPARE * self.phase.samples_budget / steps).clamp(max=1)
            place = torch.arange(self.empty.cells.numel(), device=self.device)
            chance = uniform(begin(0), place, torch.zeros_like(place))
            self.empty.cells.copy_((chance <= share).view_as(self.empty.cells))
        return super().render(c2w, fov, size, generator)

    def _look_again(self, generator) -> None:
        """The occupancy stays as it was made."""

    def _visible(self, eyes, towards, seed, empty=None, density=None) -> Steps:
        if density is not None:
            return super()._visible(eyes, towards, seed, empty, density)
        found = super()._visible(eyes, towards, seed, empty, nothing)
        return Steps(*(column[: self.phase.samples_budget] for column in found))

    def _steps(self, eyes, towards) -> torch.Tensor:
        """(R,) steps of each ray in the cube."""
        return course(eyes, towards, self.field.half_extent, self.samples).steps


def ball(points: torch.Tensor) -> torch.Tensor:
    """(M,) density of a finished object's stand-in at points (M, 3)."""
    return SHARPNESS * F.softplus((STEEP * (RADIUS - points.norm(dim=-1))).clamp(max=9))


def nothing(points: torch.Tensor) -> torch.Tensor:
    """(M,) zeros: nothing hides anything."""
    return points.new_zeros(len(points))
