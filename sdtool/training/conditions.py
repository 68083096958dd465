"""What a colour prior is told of each view in training: its canonical coordinate map, made rough.

Lifted shapes are lumpier than the objects that it learns from, their maps have other outlines and wrong
coordinates. So each map is spoiled at random, every time that it is drawn:

- its coordinates are moved by a smooth warp and by fine noise, of standard deviations drawn evenly from
  0 to `roughness` and to a half of it, in units of the object's box;
- its outline grows by a pixel, shrinks by a pixel or is blurred, or the map has half its resolution
  (each in one of eight cases; else it stays).
"""

import torch
import torch.nn.functional as F

from sdtool.training.data import Views
from sdtool.training.loop import to_device

COARSE, FINE = 5, 16
"""Nodes a side of the grids that the smooth warp and the fine noise are drawn on."""

CASES = 8
KEPT, GROWN, SHRUNK, BLURRED, COARSER = 0, 1, 2, 3, 4
"""Of the cases: what becomes of the outline; all above `COARSER` are kept too."""


class Conditions:
    """The maps of coordinates of all views, averaged to the prior's size and held in memory.

    views: of the map "ccm". size: pixels a side, which divides that of the maps. roughness: largest
    standard deviation of wrong coordinates; with 0 the maps stay as they are.
    """

    def __init__(self, views: Views, size: int, roughness: float, batch: int = 256):
        self.roughness, factor = roughness, views.size // size
        self.table = torch.empty(len(views), 4, size, size, dtype=torch.float16)
        for rows in torch.arange(len(views)).split(batch):
            self.table[rows] = F.avg_pool2d(views.maps(rows.numpy()), factor).half()

    def exact(self, index: torch.Tensor) -> torch.Tensor:
        """Rows (B,) → (B, 4, size, size) float32, as they were rendered."""
        return self.table[index].float()

    def draw(self, generator: torch.Generator, count: int) -> tuple[torch.Tensor, ...]:
        """What `maps` needs to spoil `count` maps; nothing where they stay as they are."""
        if not self.roughness:
            return ()
        sigma = torch.rand(count, 2, generator=generator) * self.roughness
        sigma[:, 1] *= 0.5
        smooth = torch.randn(count, 3, COARSE, COARSE, generator=generator)
        fine = torch.randn(count, 3, FINE, FINE, generator=generator)
        case = torch.randint(CASES, (count,), generator=generator)
        return smooth * sigma[:, 0].view(-1, 1, 1, 1), fine * sigma[:, 1].view(-1, 1, 1, 1), case

    def maps(self, index: torch.Tensor, *drawn: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Rows (B,) with what was drawn for them → (B, 4, size, size) float32 on `device`."""
        ccm = to_device(self.table[index], device).float()
        if not drawn:
            return ccm
        smooth, fine, case = (to_device(value, device) for value in drawn)
        return reshaped(moved(ccm, smooth, fine), case)


def moved(ccm: torch.Tensor, *errors: torch.Tensor) -> torch.Tensor:
    """Maps (B, 4, h, w) with errors added to their coordinates, each (B, 3, k, k), stretched over the map.

    Coordinates stand in a map as 2·xyz − 1, times coverage.
    """
    size, coverage = ccm.shape[-2:], (ccm[:, 3:] + 1) / 2
    error = sum(F.interpolate(e, size=size, mode="bicubic", align_corners=False) for e in errors)
    return torch.cat([ccm[:, :3] + 2 * coverage * error, ccm[:, 3:]], dim=1)


def reshaped(ccm: torch.Tensor, case: torch.Tensor) -> torch.Tensor:
    """Maps (B, 4, h, w) with other outlines, as `case` (B,) says: grown, shrunk, blurred, coarser."""
    coverage = (ccm[:, 3:] + 1) / 2
    straight = torch.cat([ccm[:, :3], coverage], dim=1)  # premultiplied, background 0
    blurred = F.avg_pool2d(straight, 3, 1, 1)
    near = blurred[:, :3] / blurred[:, 3:].clamp(min=1e-3)  # what stands beside the outline
    own = straight[:, :3] / coverage.clamp(min=1e-3)
    inside = torch.where(coverage > 0.5, own, near)
    grown, shrunk = F.max_pool2d(coverage, 3, 1, 1), -F.max_pool2d(-coverage, 3, 1, 1)
    coarse = F.interpolate(F.avg_pool2d(straight, 2), scale_factor=2, mode="nearest")
    which = case.view(-1, 1, 1, 1)
    for number, changed in (
        (GROWN, torch.cat([inside * grown, grown], dim=1)),
        (SHRUNK, torch.cat([own * shrunk, shrunk], dim=1)),
        (BLURRED, blurred),
        (COARSER, coarse),
    ):
        straight = torch.where(which == number, changed, straight)
    return torch.cat([straight[:, :3], 2 * straight[:, 3:] - 1], dim=1)
