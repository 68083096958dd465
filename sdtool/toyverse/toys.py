"""One toy: its shape, its words and its annotation, from a seed and a number."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdtool.meshes import Mesh, merge
from sdtool.toyverse.annotation import annotate
from sdtool.toyverse.catalogue import CATEGORIES, choose
from sdtool.toyverse.spoiled import spoil
from sdtool.toyverse.words import COLOURS, METAL, WOOD, Look, vary

NATURAL_SHARE = 0.55  # toys in their natural colour
SILENT_SHARE = 0.65  # of those, the ones whose name does not say the colour
TRAIT_SHARE, MATERIAL_SHARE = 0.35, 0.4
OWN_COLOUR = {"wooden": WOOD, "metal": METAL}  # what a material looks like unpainted
LAST_WORDS = ("pine", "sailing")  # traits that belong to the noun: "a red sailing boat"


@dataclass(frozen=True)
class ToyObject:
    """One object. spoiled: "" for a good one, else the kind of flaw (a key of `spoiled.KINDS`).

    mesh: None if the object is empty; without triangles if it is a point cloud. Good ones stand on
    y = 0, face +Z and are about one unit tall.
    """

    uid: str
    category: str
    mesh: Mesh | None
    annotation: dict[str, Any]
    spoiled: str = ""


def toy_uid(seed: int, index: int) -> str:
    """32 hexadecimal digits, the same for the same seed and index."""
    return hashlib.sha256(f"toyverse {seed} {index}".encode()).hexdigest()[:32]


def generate(
    seed: int, index: int, *, bad_share: float = 0.0, categories: Sequence[str] | None = None
) -> ToyObject:
    """Toy number `index` of the collection `seed`; it depends on these arguments only.

    bad_share: the chance in [0, 1] of a spoiled object. categories: names to draw from (default:
    all); UsageError for an unknown one.
    """
    rng = np.random.default_rng([seed, index])
    names = choose(list(categories) if categories else None)
    is_bad = rng.random() < bad_share
    category = names[rng.integers(len(names))]
    mesh, words = make(rng, category)
    uid = toy_uid(seed, index)
    if not is_bad:
        return ToyObject(uid, category, mesh, annotate(uid, category, words, mesh))
    others = [make(rng, names[rng.integers(len(names))])[0] for _ in range(3)]
    kind, mesh, flaw = spoil(rng, mesh, others)
    annotation = annotate(uid, category, words, mesh, flaw)
    return ToyObject(uid, category, mesh, annotation, kind)


@dataclass(frozen=True)
class Words:
    """What the name says, in its order; each may be ""."""

    trait: str
    colour: str
    material: str
    kind: str

    def phrase(self, noun: str) -> str:
        """The words before the noun: "tall red wooden chair"."""
        return " ".join(w for w in (self.trait, self.colour, self.material, self.kind, noun) if w)


def make(rng: np.random.Generator, category: str) -> tuple[Mesh, Words]:
    """A good mesh of the category, and the words that are true of it."""
    entry = CATEGORIES[category]
    natural = rng.random() < NATURAL_SHARE
    colour = entry.colour if natural else str(rng.choice(list(COLOURS)))
    trait = str(rng.choice(entry.traits)) if rng.random() < TRAIT_SHARE else ""
    material = ""
    if entry.materials and rng.random() < MATERIAL_SHARE:
        material = str(rng.choice(entry.materials))
    said = "" if natural and rng.random() < SILENT_SHARE else colour
    color = entry.shade(colour)
    if not said and material in OWN_COLOUR:
        color = OWN_COLOUR[material]
        colour = {"wooden": "brown", "metal": "grey"}[material]
    look = Look(vary(rng, color), colour, material, trait)
    mesh = merge(entry.build(rng, look))
    low, high = mesh.bounds()
    mesh = mesh.with_positions(
        mesh.v_pos - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]
    )
    words = Words(trait, said, material, "")
    if trait in LAST_WORDS:
        words = replace(words, trait="", kind=trait)
    return mesh, words
