"""All measures of one model: what the judge sees in it, what its mesh is like, what it resembles."""

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sdtool.errors import InputError, ObjectError
from sdtool.evaluating import measures
from sdtool.evaluating.assets import Asset, category_of, read_asset
from sdtool.evaluating.repeated import repeated_parts
from sdtool.evaluating.roughening import skin
from sdtool.evaluating.specks import without_specks
from sdtool.evaluating.viewnet import AROUND, ViewNet, judge_views, load_judge
from sdtool.evaluating.views import cameras, normal_views, within_views
from sdtool.geometry.ccm import to_canonical, turned_y_up
from sdtool.geometry.cleaning import clean
from sdtool.geometry.meshes import Mesh
from sdtool.io.folders import GLTF_SUFFIXES
from sdtool.toyverse.toys import make

JUDGE = Path(__file__).parents[1] / "tiny" / "judge"
ELEVATIONS = (5.0, 25.0)
"""The views: AROUND at each elevation in degrees; those of the second stand between."""
FLAT = 0.01  # of the longest side: of what is thinner the judge says nothing
TOYS, POINTS, WITHIN = 24, 2048, 0.05
"""Generated shapes that an asset is compared with, points on each, and F-score's distance."""


@dataclass(frozen=True)
class Measured:
    """What the measures found of one model; all angles in degrees.

    agreement, repetition, repeated: see `measures` and `repeated`. sound: how sure the judge is, in
    [0, 1], that the views do not contradict each other. told: how sure that there is something to tell
    them apart by, 0 of what is flat. turn: by which its front is off +Z.
    kind: what the judge takes it for, of the Toyverse's kinds; kind_share: how sure, in [0, 1]; rank:
    the place of its own category among all kinds, 1 for the first; 0 if it names none that the judge has
    learnt. chamfer,
    f_score: to the nearest generated shape of its category, in units of the longest side; NaN if it
    names none. truth, predicted: azimuths of the views, and what they were taken for; sure: how surely,
    in [0, 1]. clip_score, clip_rank, clip_sides: see `clip.ClipEyes`; NaN without a CLIP.
    """

    category: str
    agreement: float
    sound: float
    told: float
    repetition: float
    repeated: float
    turn: float
    kind: str
    kind_share: float
    rank: int
    chamfer: float
    f_score: float
    sanity: dict
    truth: list[float]
    predicted: list[float]
    sure: list[float]
    clip_score: float = math.nan
    clip_rank: int = 0
    clip_sides: float = math.nan
    clip_twice: float = math.nan
    clip_spread: float = math.nan
    orient_once: float = math.nan
    orient_turns: float = math.nan
    orient_sharp: float = math.nan
    orient_front: float = math.nan
    """clip_twice, clip_spread: see `clip.ClipEyes`; orient_…: see `orientation`; NaN where nobody looked."""


@dataclass(frozen=True)
class Eyes:
    """Who looks: the folder of a judge, a CLIP and an orientation model ("" for none) with their device. up:
    the axis that points up in files of models: y; or z, and what is in front faces −Y."""

    judge: Path = JUDGE
    clip: str = ""
    device: str = "cpu"
    orient: str = ""
    up: str = "y"


@lru_cache(1)
def _judge(folder: Path) -> ViewNet:
    return load_judge(folder)[0]


@lru_cache(1)
def _clip(eyes: Eyes):
    import torch

    from sdtool.evaluating.clip import ClipEyes

    return ClipEyes(eyes.clip, torch.device(eyes.device))


@lru_cache(1)
def _orientation(eyes: Eyes):
    import torch

    from sdtool.evaluating.orientation import OrientationEyes

    return OrientationEyes(eyes.orient, torch.device(eyes.device))


def check(eyes: Eyes) -> None:
    """An error if what they name cannot be read; what can is kept for `measure`."""
    _judge(eyes.judge)
    if eyes.clip:
        _clip(eyes)
    if eyes.orient:
        _orientation(eyes)


def measure(
    mesh: Mesh, category: str, eyes: Eyes, prompt: str = "", prompts: tuple[str, ...] = ()
) -> Measured:
    """All measures of a model. category: of the Toyverse, or "". prompts: of all assets, for CLIP.

    ObjectError if nothing can be seen.
    """
    net = _judge(eyes.judge)
    facts = measures.sanity(mesh)
    bare, facts["specks"] = without_specks(mesh)
    whole = clean(bare)
    if len(whole.t_pos_idx) == 0:
        raise ObjectError("no-triangles", "it holds no triangle that has an area")
    whole = to_canonical(whole)
    views, truth, sides, kinds, logits = _looks(whole, net)
    belief = np.exp(np.mean(kinds, axis=0))
    belief /= belief.sum()
    order = np.argsort(-belief)
    contradicts, _, alike = _softmax(np.mean(logits, axis=0))
    known = category in net.categories
    chamfer, f_score = resemblance(whole, category) if category else (np.nan, np.nan)
    return Measured(
        category=category,
        agreement=measures.view_agreement(truth, sides),
        sound=float(1 - contradicts),
        told=0.0 if _is_flat(whole) else float(1 - alike),
        repetition=float(np.mean([measures.repetition(some) for some in views])),
        repeated=float(repeated_parts(views[0])),
        turn=float(np.degrees(measures.turn(truth, sides))),
        kind=net.categories[order[0]],
        kind_share=float(belief[order[0]]),
        rank=int(np.nonzero(order == net.categories.index(category))[0][0]) + 1 if known else 0,
        chamfer=chamfer,
        f_score=f_score,
        sanity=facts,
        truth=np.degrees(truth).round(1).tolist(),
        predicted=np.degrees(measures.recognised(sides)).round(1).tolist(),
        sure=measures.sureness(sides).round(3).tolist(),
        **(_clip(eyes).scores(whole, prompt, prompts) if eyes.clip and prompt else {}),
        **(_orientation(eyes).scores(whole) if eyes.orient else {}),
    )


def _looks(whole: Mesh, net: ViewNet) -> tuple:
    """Of a canonical mesh: its views at each of ELEVATIONS, their azimuths (N,) in radians, and what the
    judge says of them: of the sides (N, BINS), and lists of log-probabilities of the kinds and of logits."""
    seen, looks, kinds, logits = [], [], [], []
    steps = np.arange(AROUND) + np.arange(len(ELEVATIONS))[:, None] / len(ELEVATIONS)
    angles = steps * (2 * np.pi / AROUND)
    elevations = np.radians(ELEVATIONS)
    ways = zip(angles, elevations, strict=True)
    whole = within_views(whole, np.concatenate([cameras(*way) for way in ways]))
    for azimuths, elevation in zip(angles, elevations, strict=True):
        views = normal_views(whole, azimuths, elevation)
        side, kind, logit = judge_views(net, views)
        seen.append(views)
        looks.append(side)
        kinds += list(np.log(kind + 1e-6))
        logits.append(logit)
    return seen, angles.ravel(), np.concatenate(looks), kinds, logits


def consistency(mesh: Mesh) -> dict[str, float]:
    """ "soundness" and "agreement" of a mesh as `Measured` has them, and nothing else; empty if there is
    nothing to tell its sides apart by, or nothing to be seen."""
    whole = clean(without_specks(mesh)[0])
    if len(whole.t_pos_idx) == 0:
        return {}
    _, truth, sides, _, logits = _looks(to_canonical(whole), _judge(JUDGE))
    contradicts, _, alike = _softmax(np.mean(logits, axis=0))
    if alike > 0.5 or _is_flat(whole):
        return {}
    agreement = measures.view_agreement(truth, sides)
    return {"soundness": float(1 - contradicts), "agreement": agreement}


def _is_flat(mesh: Mesh) -> bool:
    """Whether it has no third dimension to speak of, as a card or a single triangle."""
    size = np.ptp(mesh.bounds(), axis=0)
    return bool(size.min() < FLAT * size.max())


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def resemblance(mesh: Mesh, category: str) -> tuple[float, float]:
    """Chamfer distance and F-score of a canonical mesh to the nearest of TOYS shapes of a category."""
    points = measures.surface_points(np.random.default_rng(0), mesh, POINTS)
    found = [measures.chamfer_and_f_score(points, toy, WITHIN) for toy in _toys(category)]
    return min(chamfer for chamfer, _ in found), max(f_score for _, f_score in found)


@lru_cache(64)
def _toys(category: str) -> list[np.ndarray]:
    """Points on the skins of TOYS generated shapes of a category."""
    rng = np.random.default_rng([ord(letter) for letter in category])
    found: list[np.ndarray] = []
    while len(found) < TOYS:
        shape = skin(to_canonical(make(rng, category)[0]))
        if shape is not None:
            found.append(measures.surface_points(rng, shape, POINTS))
    return found


def _may_be_z_up(path: Path) -> bool:
    """Whether a file's format leaves open which axis is up. glTF does not, and lifts know theirs."""
    return path.is_file() and path.suffix.lower() not in GLTF_SUFFIXES


def measure_asset(job: tuple[str, Asset], eyes: Eyes, out: Path, prompts: tuple[str, ...]) -> dict:
    """Measure one asset and draw its contact sheet below `out`; `job`: its key, and what it is.

    Returns the fields of `Measured`, and `prompt` and `picture`. ObjectError if it cannot be used.
    """
    from sdtool.geometry.cameras import ViewRange
    from sdtool.lifting.pictures import contact_sheet

    key, asset = job
    prompt = asset.prompt
    if asset.unfinished:
        raise ObjectError("unfinished", f"{asset.path} is an unfinished lift")
    try:
        mesh = read_asset(asset)
    except InputError as error:
        raise ObjectError("unreadable", str(error)) from None
    if eyes.up == "z" and _may_be_z_up(asset.path):
        normal = None if mesh.v_normal is None else turned_y_up(mesh.v_normal)
        mesh = mesh.with_positions(turned_y_up(mesh.v_pos), normal)
    found = measure(mesh, category_of(prompt), eyes, prompt, prompts)
    picture = f"pictures/{key}.png"
    shown = without_specks(mesh)[0] if found.sanity["specks"] else mesh
    contact_sheet(shown, ViewRange(distance=1.8), out / picture, prompt or asset.name)
    return {**asdict(found), "prompt": prompt, "picture": picture}
