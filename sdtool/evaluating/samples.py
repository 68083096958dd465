"""Known-good and known-bad models without end: toys, sound or spoiled, as made or roughened."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sdtool.evaluating.measures import alike
from sdtool.evaluating.roughening import roughened
from sdtool.evaluating.views import normal_views
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh, merge
from sdtool.toyverse import janus
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.toys import make

ROUGH_SHARE = 0.6
VISIBLE = 0.04  # a flaw that changes less of what is seen is none that anybody sees


@dataclass(frozen=True)
class Sample:
    """A canonical mesh (roughened: without colours); flaw: a key of `janus.KINDS`, "" of a sound one."""

    mesh: Mesh
    category: str
    flaw: str


def sample(
    rng: np.random.Generator, category: str, flaw: str = "", rough: float = ROUGH_SHARE
) -> Sample | None:
    """One toy of a category, with a flaw or none; None if the toy drawn has no part for that flaw, or
    if nobody could see it.

    rough: the chance that it is roughened.
    """
    mesh = make(rng, category)[0]
    if flaw:
        spoiled = janus.spoil(rng, mesh, flaw)
        if spoiled is None or difference(mesh, spoiled) < VISIBLE:
            return None
        mesh = spoiled
    mesh = to_canonical(mesh)
    if rng.random() < rough:
        blurred = roughened(rng, mesh)
        if blurred is None:
            return None
        mesh = blurred
    return Sample(mesh, category, flaw)


def difference(a: Mesh, b: Mesh) -> float:
    """How differently two meshes in one place look from eight sides, in [0, 1]; 0 for the same."""
    low, high = merge([a, b]).bounds()
    azimuths, views = np.arange(8) * np.pi / 4, []
    for mesh in (a, b):
        placed = mesh.with_positions((mesh.v_pos - (low + high) / 2) / (high - low).max())
        views.append(normal_views(placed, azimuths, np.radians(15)))
    own = max(alike(view, view) for view in views)
    return 1 - alike(*views) / own


def samples(
    rng: np.random.Generator, flawed: float = 0.5, rough: float = ROUGH_SHARE
) -> Iterator[Sample]:
    """Yield samples for ever, a share `flawed` of them with a flaw, all kinds and flaws alike often."""
    spoilable = [name for name in CATEGORIES if janus.kinds_for(name)]
    while True:
        if rng.random() < flawed:
            category = spoilable[rng.integers(len(spoilable))]
            kinds = janus.kinds_for(category)
            found = sample(rng, category, kinds[rng.integers(len(kinds))], rough)
        else:
            names = list(CATEGORIES) if rng.random() < 0.5 else spoilable
            found = sample(rng, names[rng.integers(len(names))], "", rough)
        if found is not None:
            yield found
