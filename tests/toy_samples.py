"""Toys of the Toyverse with exactly the words that a test wants, and what of them is seen."""

import numpy as np

from sdtool.geometry.cameras import ViewRange, turntable, world_to_clip
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh
from sdtool.rendering.kernels import rasterize_views
from sdtool.toyverse.accessories import EXTRAS
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.designs import Design
from sdtool.toyverse.toys import build

PEOPLE = ["farmer", "wizard", "king", "astronaut"]  # a knight's shield is on one side only
GREY = np.full(3, 0.5)


def plain(category: str, k: int, **words) -> Mesh:
    """One toy of the category with exactly these words."""
    colour = words.pop("colour", CATEGORIES[category].colour)
    extra = words.get("extra")
    if extra and EXTRAS[extra].own is None:
        words["extra_colour"] = "pink" if colour != "pink" else "green"
    return build(np.random.default_rng([7, k]), Design(category, colour, **words))


def samples(category: str, count: int = 12) -> list[Mesh]:
    """Toys without extras; every third has a trait."""
    traits = ["", "", *CATEGORIES[category].traits]
    return [plain(category, k, trait=traits[k % len(traits)]) for k in range(count)]


VIEWS = turntable(4, ViewRange(), elevation=20.0)


def visible(mesh: Mesh) -> np.ndarray:
    """(F,) how many pixels of four views show each face."""
    mesh = to_canonical(mesh)
    matrices = world_to_clip(VIEWS, np.radians(45))
    rast = rasterize_views(mesh.v_pos, mesh.t_pos_idx, matrices, 64, 64)
    return np.bincount(rast[..., 3].astype(int).ravel(), minlength=len(mesh.t_pos_idx) + 1)[1:]


def share_near(mesh: Mesh, color: np.ndarray, within: float = 0.25) -> float:
    """The share of what is seen whose colour is near."""
    area = visible(mesh)
    tone = mesh.v_color[mesh.t_pos_idx].mean(axis=1)
    return float(area[np.linalg.norm(tone - color, axis=1) < within].sum() / area.sum())


def centred(mesh: Mesh) -> np.ndarray:
    return mesh.v_pos - mesh.bounds().mean(axis=0)
