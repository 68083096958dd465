"""Known-good and known-bad models without end: toys, sound or spoiled, as made or roughened."""

from dataclasses import dataclass

import numpy as np

from sdtool.ccm import to_canonical
from sdtool.evaluating.rough import roughened
from sdtool.meshes import Mesh
from sdtool.toyverse import janus
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.toys import make

ROUGH_SHARE = 0.6


@dataclass(frozen=True)
class Sample:
    """A canonical mesh (roughened: without colours); flaw: a key of `janus.KINDS`, "" of a sound one."""

    mesh: Mesh
    category: str
    flaw: str


def sample(rng: np.random.Generator, category: str, flaw: str = "", rough: float = ROUGH_SHARE):
    """One toy of a category, with a flaw or none; None if the toy drawn has no part for that flaw.

    rough: the chance that it is roughened.
    """
    mesh = make(rng, category)[0]
    if flaw:
        mesh = janus.spoil(rng, mesh, flaw)
        if mesh is None:
            return None
    mesh = to_canonical(mesh)
    if rng.random() < rough:
        mesh = roughened(rng, mesh)
        if mesh is None:
            return None
    return Sample(mesh, category, flaw)


def samples(rng: np.random.Generator, flawed: float = 0.5, rough: float = ROUGH_SHARE):
    """Yield samples for ever, one in `flawed` of them with a flaw, all kinds and flaws alike often."""
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
