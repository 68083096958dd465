"""Known-good and known-bad models without end: toys, chimeras, compositions, blobs and real assets, sound or
spoiled, as made or varied."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sdtool.errors import InputError, ObjectError
from sdtool.evaluating.assets import find_assets
from sdtool.evaluating.blobs import blob
from sdtool.evaluating.chimeras import chimera, lump
from sdtool.evaluating.compositions import assemble, compose
from sdtool.evaluating.measures import alike_each
from sdtool.evaluating.mutants import mutant
from sdtool.evaluating.variation import varied
from sdtool.evaluating.views import normal_views
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.cleaning import clean
from sdtool.geometry.meshes import Mesh, merge
from sdtool.toyverse import janus, surgery
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.toys import make

ROUGH_SHARE = 0.6
VISIBLE = 0.07  # a flaw that changes less of what is seen is none that anybody sees
FRONTED = 0.12  # what looks more alike from in front and from where a piece is set on has no front
HELD_OUT = (
    "rabbit", "pig", "penguin", "king", "teddy", "sofa", "truck", "helicopter", "mug", "windmill",
    "cupcake", "palm",
)  # fmt: skip
"""Kinds of which a training learns nothing: the rates on them are those on kinds that it has not seen."""
NO_FRONT = (
    "table", "lamp", "rocket", "castle", "lighthouse", "apple", "cake", "burger", "cupcake", "tree",
    "palm", "cactus", "mushroom", "drum", "ball",
)  # fmt: skip
"""Kinds that look alike from all sides, or nearly."""
MAYBE = (
    "bed", "truck", "bus", "house", "windmill", "bookshelf", "hammer", "snowman", "flower", "bucket",
)  # fmt: skip
"""Kinds some of which have a front that shows."""
BOTH_WAYS = ("car", "train", "boat")
"""Kinds that may have two fronts and be sound."""
SHARES = {
    "toy": 0.16, "composition": 0.06, "asset": 0.35, "assembly": 0.09, "chimera": 0.27, "lump": 0.04,
    "blob": 0.03,
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A canonical mesh; category: "" but of a toy; flaw: a key of `janus.KINDS`, "" of a sound one.

    front: whether it has one, None if nobody knows; faces: whether that front is known to face +Z; twin: of
    a spoiled one the same without its flaw, varied alike and in the same place.
    """

    mesh: Mesh
    category: str
    flaw: str
    front: bool | None = None
    faces: bool = False
    twin: Mesh | None = None


def sample(
    rng: np.random.Generator, category: str, flaw: str = "", rough: float = ROUGH_SHARE
) -> Sample | None:
    """One toy of a category, with a flaw or none; None if the toy drawn has no part for that flaw, or
    if nobody could see it.

    rough: the chance that it is roughened.
    """
    mesh = make(rng, category)[0]
    spoiled = janus.spoil(rng, mesh, flaw) if flaw else None
    if flaw and (spoiled is None or difference(mesh, spoiled) < VISIBLE):
        return None
    front = None if category in MAYBE else category not in NO_FRONT
    return _varied(rng, mesh, spoiled, rough, Sample(mesh, category, flaw, front, not flaw))


def _varied(
    rng: np.random.Generator, mesh: Mesh, spoiled: Mesh | None, rough: float, facts: Sample
) -> Sample | None:
    """`facts` of the spoiled mesh, if there is one, else of the sound one, varied; None if nothing is left
    of it or of its flaw."""
    seed = int(rng.integers(1 << 32))
    found = varied(np.random.default_rng(seed), mesh, rough)
    if spoiled is None or found is None:
        return None if found is None else replace(facts, mesh=found)
    bad = varied(np.random.default_rng(seed), spoiled, rough)
    if bad is None or difference(found, bad) < VISIBLE:
        return None
    return replace(facts, mesh=bad, twin=found)


def spoiled_somehow(rng: np.random.Generator, mesh: Mesh, flaw: str) -> Mesh | None:
    """A mesh of which no part is known with a flaw, a key of `surgery.CUTS`; None if it has no front to
    double, or after five flaws that nobody would see."""
    if not has_front(mesh):
        return None
    for _ in range(5):
        spoiled = surgery.spoil(rng, mesh, flaw)
        if spoiled is not None and difference(mesh, spoiled) >= VISIBLE:
            return spoiled
    return None


def has_front(mesh: Mesh) -> bool:
    """Whether what faces +Z looks unlike what faces −Z and the sides."""
    views = normal_views(to_canonical(mesh), np.arange(4) * np.pi / 2, np.radians(10))
    return bool(1 - alike_each(views[:1], views[1:]).max() >= FRONTED)


def difference(a: Mesh, b: Mesh) -> float:
    """How differently two meshes in one place look from those three of eight sides where they differ
    most, in [0, 1]; 0 for the same."""
    low, high = merge([a, b]).bounds()
    azimuths, views = np.arange(8) * np.pi / 4, []
    for mesh in (a, b):
        placed = mesh.with_positions(
            (mesh.v_pos - (low + high) / 2) / (high - low).max(), mesh.v_normal
        )
        views.append(normal_views(placed, azimuths, np.radians(15)))
    own = np.maximum(*(alike_each(view, view) for view in views))
    return float(np.sort(1 - alike_each(*views) / np.maximum(own, 1e-6))[-3:].mean())


def read_assets(folder: Path) -> list[Mesh]:
    """The models of a folder, canonical; without what is flat, and what is the same again in other
    colours. InputError if none is left."""
    found: dict[tuple, Mesh] = {}
    for asset in find_assets([folder]):
        try:
            from sdtool.meshfiles import load_mesh

            mesh = to_canonical(clean(load_mesh(asset.path)))
        except (InputError, ObjectError):
            continue
        size = np.ptp(mesh.bounds(), axis=0)
        if size.min() < 0.06 and size[1] < 0.3:
            continue
        found.setdefault((len(mesh.t_pos_idx), *size.round(3).tolist()), mesh)
    if not found:
        raise InputError(f"{folder} holds no model that can be used; name a folder of them")
    return list(found.values())


def from_asset(
    rng: np.random.Generator, mesh: Mesh, flaw: str = "", rough: float = ROUGH_SHARE
) -> Sample | None:
    """A real asset, varied, with a flaw or none; None if it cannot have that flaw."""
    spoiled = spoiled_somehow(rng, mesh, flaw) if flaw else None
    if flaw and spoiled is None:
        return None
    if rng.random() < rough:
        coarse = varied(rng, mesh, 1.0)  # of what is open nothing is left, or too little
        rough = float(coarse is not None and difference(mesh, coarse) < 0.6)
    else:
        rough = 0.0
    return _varied(rng, mesh, spoiled, rough, Sample(mesh, "", flaw))


def samples(
    rng: np.random.Generator,
    assets: Sequence[Mesh] = (),
    flawed: float = 0.5,
    rough: float = ROUGH_SHARE,
    mutants: float = 0.0,
) -> Iterator[Sample]:
    """Yield samples for ever, a share `flawed` of them with a flaw, of all sources; lumps and blobs have
    none. Of toys no kind that is `HELD_OUT`.

    mutants: the share of real assets that get other proportions first (`mutants.mutant`).
    """
    known = [name for name in CATEGORIES if name not in HELD_OUT]
    spoilable = [name for name in known if janus.kinds_for(name)]
    fronted = [name for name in known if name not in (*NO_FRONT, *MAYBE, *BOTH_WAYS)]
    sources = [name for name in SHARES if assets or name not in ("asset", "assembly")]
    chances = np.array([SHARES[name] for name in sources])
    while True:
        source = sources[rng.choice(len(sources), p=chances / chances.sum())]
        wrong, found = rng.random() < flawed, None
        while found is None:
            if source == "toy":
                found = _toy(rng, known, spoilable, wrong, rough)
            elif source == "composition":
                found = _composition(rng, *compose(rng), wrong, rough)
            elif source == "chimera":
                found = _chimera(rng, fronted, wrong, rough)
            elif source == "lump":
                facts = Sample(lump(rng, fronted), "", "", False)
                found = _varied(rng, facts.mesh, None, 0.5 + rough / 2, facts)
            elif source == "blob":
                body = blob(rng)
                found = None if body is None else Sample(body, "", "", False)
            elif source == "assembly":
                found = _composition(rng, assemble(rng, assets), True, wrong, rough)
            else:
                mesh = assets[int(rng.integers(len(assets)))]
                if mutants and rng.random() < mutants:
                    mesh = mutant(rng, mesh)
                flaw = _any_flaw(rng) if wrong else ""
                found = from_asset(rng, _patched(rng, mesh, wrong), flaw, rough * 0.5)
        yield found


def _any_flaw(rng: np.random.Generator) -> str:
    return str(rng.choice(list(surgery.CUTS), p=[0.25, 0.4, 0.2, 0.15]))


def _patched(rng: np.random.Generator, mesh: Mesh, wrong: bool) -> Mesh:
    """Some of the sound ones are patched, so that a patch as such says nothing."""
    if wrong or rng.random() > 0.3:
        return mesh
    return surgery.patched(rng, mesh) or mesh


def _toy(rng, known: list[str], spoilable: list[str], wrong: bool, rough: float) -> Sample | None:
    if not wrong:
        names = known if rng.random() < 0.5 else spoilable
        return sample(rng, names[rng.integers(len(names))], "", rough)
    if rng.random() < 0.75:
        category = spoilable[rng.integers(len(spoilable))]
        kinds = janus.kinds_for(category)
        return sample(rng, category, kinds[rng.integers(len(kinds))], rough)
    category = known[rng.integers(len(known))]  # a cut that knows no part
    if category in (*BOTH_WAYS, *NO_FRONT):
        return None
    mesh, flaw = make(rng, category)[0], _any_flaw(rng)
    spoiled = spoiled_somehow(rng, mesh, flaw)
    if spoiled is None:
        return None
    return _varied(rng, mesh, spoiled, rough, Sample(mesh, category, flaw, True))


def _chimera(
    rng: np.random.Generator, kinds: list[str], wrong: bool, rough: float
) -> Sample | None:
    mesh = chimera(rng, kinds)
    if wrong and rng.random() < 0.4:
        return _composition(rng, mesh, True, True, rough)
    if not wrong:
        return _composition(rng, mesh, True, False, rough) if has_front(mesh) else None
    flaw = str(rng.choice(list(janus.KINDS)))
    spoiled = janus.spoil(rng, mesh, flaw) if has_front(mesh) else None
    if spoiled is None or difference(mesh, spoiled) < VISIBLE:
        return None
    return _varied(rng, mesh, spoiled, rough, Sample(mesh, "", flaw, True))


def _composition(
    rng: np.random.Generator, mesh: Mesh, front: bool, wrong: bool, rough: float
) -> Sample | None:
    flaw, spoiled = "", None
    if wrong:
        flaw = _any_flaw(rng)
        spoiled = spoiled_somehow(rng, mesh, flaw) if front else None
        if spoiled is None:
            return None
    facts = Sample(mesh, "", flaw, front, not wrong)
    return _varied(rng, _patched(rng, mesh, wrong), spoiled, rough, facts)
