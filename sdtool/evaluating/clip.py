"""What a CLIP checkpoint says of a model: whether it fits its prompt, and which sides look like fronts."""

import numpy as np
import torch

from sdtool.captioning.vision_models import Scorer
from sdtool.evaluating.measures import first_harmonic
from sdtool.evaluating.results import CONSISTENT, INCONSISTENT, UNTOLD
from sdtool.evaluating.views import DISTANCE, FOV, within_views
from sdtool.geometry.cameras import ViewRange, turntable
from sdtool.geometry.meshes import Mesh
from sdtool.io.images import map_to_rgb, to_bytes
from sdtool.rendering.maps import render_maps

AROUND, SIZE, ELEVATION = 8, 224, 15.0
LOOK = ViewRange(fov=FOV, distance=DISTANCE)
SIDES = (", front view", ", side view", ", back view")
SHARPNESS = 100.0  # CLIP's own scale of cosines before a softmax
MOST = 0.5  # of the variance over the sides
LEAST = 0.05  # standard deviation of p(front view) − p(back view) over the sides


class ClipEyes:
    """A CLIP checkpoint (a local folder or a hub id) that looks at models."""

    def __init__(self, name: str, device: torch.device):
        self.scorer = Scorer(name, device)

    def scores(self, mesh: Mesh, prompt: str, prompts: tuple[str, ...]) -> dict[str, float]:
        """What CLIP sees of a canonical mesh.

        clip_score: 100 times the mean cosine of AROUND views and the prompt (Hessel et al. 2021,
        without its factor 2.5). clip_rank: R-precision's rank (Park et al. 2021): the place of the
        prompt among all `prompts`, by that score, 1 for the first. clip_sides: `measures.first_harmonic`
        of how much more a view looks like a front than like a back; clip_twice: `two_waves`
        of the same; clip_spread: its standard deviation over the views.
        """
        views = pictures(mesh)
        others = list(dict.fromkeys([prompt, *prompts]))
        sides = [self.scorer.fitted(prompt, side) for side in SIDES]
        fits, of_side = self.scorer.fit(views, [others, sides])
        means = fits.mean(axis=1)
        chance = np.exp(SHARPNESS * (of_side - of_side.max(axis=0)))
        chance /= chance.sum(axis=0)
        truth = np.arange(AROUND) * (2 * np.pi / AROUND)
        return {
            "clip_score": 100 * float(means[0]),
            "clip_rank": int((means > means[0]).sum()) + 1,
            "clip_sides": first_harmonic(truth, chance[0] - chance[2]),
            "clip_twice": two_waves(truth, chance[0] - chance[2]),
            "clip_spread": float(np.std(chance[0] - chance[2])),
        }


def two_waves(truth: np.ndarray, frontness: np.ndarray) -> float:
    """The share of the variance of `frontness` (N,) over azimuths `truth` (N,), evenly around, that two
    waves a turn explain, in [0, 1]: near 1 of two fronts, one on the back of the other."""
    return first_harmonic(2 * truth, frontness)


def opinion(sides: float, twice: float, spread: float) -> str:
    """One wave a turn that explains more than all else is one front; two waves, two fronts. Anything
    else, and what hardly differs from side to side, cannot be told. Both lines were chosen on nothing."""
    if not spread > LEAST:
        return UNTOLD
    if sides > MOST:
        return CONSISTENT
    return INCONSISTENT if twice > MOST else UNTOLD


def pictures(mesh: Mesh, around: int = AROUND) -> np.ndarray:
    """(around, SIZE, SIZE, 3) uint8 shaded pictures of a canonical mesh on white, the first in front."""
    c2w = turntable(around, LOOK, ELEVATION)
    maps = render_maps(within_views(mesh, c2w), c2w, np.radians(FOV), SIZE, ("rgb",), 2)["rgb"]
    return to_bytes(map_to_rgb(maps))
