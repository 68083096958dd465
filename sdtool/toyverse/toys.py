"""One toy: its shape, its words and its annotation, from a seed and a number."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sdtool.geometry.meshes import Mesh, merge
from sdtool.toyverse.accessories import EXTRAS
from sdtool.toyverse.annotation import annotate
from sdtool.toyverse.catalogue import CATEGORIES, choose
from sdtool.toyverse.designs import EXTRA_SHARE, Design, draw
from sdtool.toyverse.materials import OWN_COLOUR, finish
from sdtool.toyverse.spoiled import spoil
from sdtool.toyverse.words import COLOURS, WHITE, Look, vary


@dataclass(frozen=True)
class ToyObject:
    """One object. spoiled: "" for a good one, else the kind of flaw (a key of `spoiled.KINDS`).

    design: what was true of it before it was spoiled, said or not.

    mesh: None if the object is empty; without triangles if it is a point cloud. Good ones stand on
    y = 0, face +Z and are about one unit tall.
    """

    uid: str
    category: str
    mesh: Mesh | None
    annotation: dict[str, Any]
    design: Design
    spoiled: str = ""


def toy_uid(seed: int, index: int) -> str:
    """32 hexadecimal digits, the same for the same seed and index."""
    return hashlib.sha256(f"toyverse {seed} {index}".encode()).hexdigest()[:32]


def generate(
    seed: int,
    index: int,
    *,
    bad_share: float = 0.0,
    categories: Sequence[str] | None = None,
    only: Sequence[Design] = (),
    leave_out: Sequence[Design] = (),
    extra_share: float = EXTRA_SHARE,
) -> ToyObject:
    """Toy number `index` of the collection `seed`; it depends on these arguments only.

    bad_share: the chance in [0, 1] of a spoiled object. categories: names to draw from (default:
    all); UsageError for an unknown one. only, leave_out, extra_share: see `designs.draw`; a toy that is not
    left out is the same as without `leave_out`.
    """
    rng = np.random.default_rng([seed, index])
    names = choose(list(categories) if categories else None)
    is_bad = rng.random() < bad_share
    drawn = partial(draw, only=only, leave_out=leave_out, extra_share=extra_share)
    design = drawn(rng, names)
    mesh = build(rng, design)
    uid = toy_uid(seed, index)
    if not is_bad:
        return ToyObject(uid, design.category, mesh, annotate(uid, design, mesh), design)
    others = [build(rng, drawn(rng, names)) for _ in range(3)]
    kind, flawed, flaw = spoil(rng, mesh, others)
    annotation = annotate(uid, design, flawed, flaw)
    return ToyObject(uid, design.category, flawed, annotation, design, kind)


def make(rng: np.random.Generator, category: str) -> tuple[Mesh, Design]:
    """A good mesh of the category, and what is true of it."""
    design = draw(rng, [category])
    return build(rng, design), design


def build(rng: np.random.Generator, design: Design) -> Mesh:
    """A mesh of which the design is true; it stands on y = 0, centred in x and z."""
    entry = CATEGORIES[design.category]
    own = OWN_COLOUR.get(design.material)
    if own is not None and own[0] == design.colour and not design.says_colour:  # unpainted
        color = vary(rng, own[1])
    else:
        color = vary(rng, entry.shade(design.colour))
    extra_color = WHITE
    if design.extra:
        own_color = EXTRAS[design.extra].own
        extra_color = np.array(COLOURS[design.extra_colour]) if own_color is None else own_color
        extra_color = vary(rng, extra_color, 0.6)
    look = Look(color, design.colour, design.material, design.trait, design.extra, extra_color)
    mesh = finish(rng, merge(entry.build(rng, look)), design.material)
    low, high = mesh.bounds()
    return mesh.with_positions(
        mesh.v_pos - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]
    )
