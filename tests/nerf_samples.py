"""Views of a radiance field, and priors that leave it alone."""

import numpy as np
import torch

from sdtool.geometry.cameras import ViewRange, orbit

LOOK = ViewRange(distance=1.8)
FRONT_AND_RIGHT = orbit(np.array([0.0, np.pi / 2]), np.zeros(2), np.full(2, 1.8))


class Nothing:
    """Priors that ask for nothing, so that a run is its scene alone."""

    takes_maps, sample_size, device = True, 8, torch.device("cpu")

    def base_weight(self, phase, progress):
        return 1.0

    def loss(self, maps, c2w, phase, progress, strength, generator):
        target = torch.randn(maps["ccm"].shape, generator=generator)
        return (maps["ccm"] - target).square().sum() + maps["rgb"].square().sum(), {
            "align": torch.ones(())
        }
