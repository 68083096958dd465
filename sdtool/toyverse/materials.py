"""What things are made of, as far as colours of vertices can say it without any shine."""

from dataclasses import replace

import numpy as np

from sdtool.geometry.meshes import Mesh, vertex_normals
from sdtool.toyverse.primitives import colors_of
from sdtool.toyverse.words import GOLD, METAL, PALE_GLASS, STONE, WOOD

# What a material looks like when nobody painted it: (the word for its colour, the colour).
OWN_COLOUR = {
    "wooden": ("brown", WOOD),
    "metal": ("grey", METAL),
    "stone": ("grey", STONE),
    "glass": ("blue", PALE_GLASS),
    "golden": ("golden", GOLD),
}
UNPAINTED = ("golden",)  # never said together with a colour


def finish(rng: np.random.Generator, mesh: Mesh, material: str) -> Mesh:
    """The mesh as if it were of that material; unchanged if the material shows by nothing.

    Wood has a grain, metal and gold the bright bands of a mirrored sky, glass grows paler toward
    its upper edge, stone is mottled and greyer, knitting has rows, plush has dark and light tufts.
    """
    change = _CHANGES.get(material)
    if change is None:
        return mesh
    low, high = mesh.bounds()
    place = (mesh.v_pos - low) / (high - low).max()  # (V, 3)
    colors = change(rng, colors_of(mesh).astype(np.float64), place, mesh)
    return replace(mesh, v_color=np.clip(colors, 0, 1).astype(np.float32))


def _wooden(rng, color, place, mesh):
    turn = rng.uniform(0, 2 * np.pi, 2)
    wave = place[:, 0] * 9 + place[:, 2] * 13 + 0.7 * np.sin(place[:, 1] * 6 + turn[0])
    grain = np.sin(2 * np.pi * wave + turn[1])[:, None]
    return (0.9 * color + 0.1 * WOOD) * (1 + 0.2 * grain)


def _mirror(mesh: Mesh) -> np.ndarray:
    """(V, 1) brightness that a mirror under a bright sky would have, without any viewer."""
    up = vertex_normals(mesh)[:, 1].astype(np.float64)
    return (0.84 + 0.24 * np.clip(up, 0, 1) + 0.28 * np.exp(-((up - 0.35) ** 2) / 0.02))[:, None]


def _metal(rng, color, place, mesh):
    grey = color.mean(axis=1, keepdims=True)
    return (0.8 * color + 0.2 * grey) * _mirror(mesh)


def _golden(rng, color, place, mesh):
    grey = color.mean(axis=1, keepdims=True)
    return (0.15 * color + 0.85 * GOLD * (0.55 + 0.65 * grey)) * _mirror(mesh)


def _glass(rng, color, place, mesh):
    share = 0.2 + 0.25 * place[:, 1:2] / max(place[:, 1].max(), 1e-6)
    return color * (1 - share) + PALE_GLASS * 1.12 * share


def _stone(rng, color, place, mesh):
    waves = rng.uniform(4, 17, (6, 3)) * rng.choice([-1, 1], (6, 3))
    spots = np.sin(place @ waves.T * 2 + rng.uniform(0, 6, 6)).sum(axis=1, keepdims=True) / 6
    grain = rng.normal(0, 0.05, (len(color), 1))
    grey = color.mean(axis=1, keepdims=True)
    return (0.6 * color + 0.4 * grey) * (0.93 + 0.3 * spots + grain)


def _knitted(rng, color, place, mesh):
    rows = np.sin(2 * np.pi * (place[:, 1] * 8 + 0.15 * np.sin(place[:, 0] * 40)))[:, None]
    return color * (0.9 + 0.24 * rows)


def _plush(rng, color, place, mesh):
    return (0.8 * color + 0.2) * (1 + rng.normal(0, 0.1, (len(color), 1)))


_CHANGES = {
    "wooden": _wooden,
    "metal": _metal,
    "golden": _golden,
    "glass": _glass,
    "stone": _stone,
    "knitted": _knitted,
    "plush": _plush,
}
