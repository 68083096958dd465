"""What an orientation model says of a model's views: does its front go round once with the camera?

One adapter for all of them: `sdtool.orienting.orient_anything`, which has the published interface of
Orient-Anything (Wang et al. 2024): of a picture, the probabilities of 360 azimuths, and whether what it
shows has a front at all.
"""

import numpy as np
import torch

from sdtool.evaluating.clip import pictures
from sdtool.evaluating.results import CONSISTENT, INCONSISTENT, UNTOLD
from sdtool.geometry.meshes import Mesh
from sdtool.orienting.orient_anything import load_orient_anything

AROUND = 12
LEAST = 0.5
"""Of there being a front, of how sharp the azimuths are, and of the share that goes round once: more than
half. It was chosen on nothing."""


class OrientationEyes:
    """An orientation model (a local folder or a hub id) that looks at models."""

    def __init__(self, name: str, device: torch.device):
        self.model = load_orient_anything(name, device)

    def scores(self, mesh: Mesh) -> dict[str, float]:
        """What the model sees of a canonical mesh in AROUND views from evenly around; see `turns`.

        orient_front: its mean probability of there being a front.
        """
        azimuths, has_front = self.model(pictures(mesh, AROUND))
        front = float(has_front.double().mean().nan_to_num())
        return {**turns(azimuths.double().exp().numpy()), "orient_front": front}


def turns(chances: np.ndarray) -> dict[str, float]:
    """How often what is recognised goes round while the camera goes round once.

    chances: (N, B) probabilities that a view is taken from azimuth 2πb/B off the front; view k is taken
    from 2πk/N. With z_k = Σ_b p_kb e^{2πib/B} and c_m = mean_k z_k e^{−2πikm/N}, |c_m|² is how much of
    it goes round m times, and their sum is the mean of |z_k|² (Parseval):

        orient_once = max(|c_1|², |c_−1|²) / Σ_m |c_m|², in [0, 1]: 1 of one front, whichever way it
            faces, and whichever way round the model counts its azimuths: published weights have not been
            tried. A second face at the back gives both of these a quarter.
        orient_turns = the m of the largest |c_m|: 2 of two fronts, 0 of none that any camera passes
        orient_sharp = √Σ_m |c_m|², in [0, 1]: 0 where every side is as probable, or front and back

    All NaN if a probability is no number.
    """
    count, bins = chances.shape
    if not np.isfinite(chances).all():
        return dict.fromkeys(("orient_once", "orient_turns", "orient_sharp"), float("nan"))
    z = chances @ np.exp(2j * np.pi * np.arange(bins) / bins)
    power = np.abs(np.fft.fft(z) / count) ** 2
    order = np.fft.fftfreq(count, 1 / count)
    return {
        "orient_once": float(max(power[1], power[-1]) / max(power.sum(), 1e-30)),
        "orient_turns": float(order[power.argmax()]),
        "orient_sharp": float(np.sqrt(power.sum())),
    }


def opinion(once: float, sharp: float, front: float) -> str:
    """One front that goes round once is consistent; two fronts, or a front that no camera passes,
    contradict it. What has no front at all, or none that the model is sure of, cannot be told."""
    if not (front > LEAST and sharp > LEAST):  # NaN, too
        return UNTOLD
    return CONSISTENT if once > LEAST else INCONSISTENT
