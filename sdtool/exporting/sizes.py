"""How large an exported object is, where it stands, and which way is up: what each format wants.

| | unit | up | where |
|---|---|---|---|
| .glb, .obj, .ply | metre | +Y | as it is |
| .usdz | metre | +Y | on the ground, above the origin |
| .stl, .3mf | millimetre | +Z | its lowest corner at the origin, its front toward −Y |
"""

import re

import numpy as np

from sdtool.errors import UsageError
from sdtool.geometry.ccm import turned_z_up

METRES = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254}
PRINTED = (".stl", ".3mf")  # what slicers read
MILLIMETRES = 1000.0  # in a metre, which is glTF's unit
LEAST, LARGEST = 1e-4, 1e4  # metres


def metres(text: str, option: str) -> float:
    """The length in metres of "80mm", "8cm", "0.08m" or "3in". UsageError if it is none."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    known = found is not None and (not found[2] or found[2].lower() in METRES)
    if found is None or not known:
        said = f"{option} {text}: give a length with its unit, such as 80mm, 8cm, 0.08m or 3in"
        raise UsageError(said, option)
    if not found[2]:
        said = f"{option} {text} has no unit; write {text.strip()}mm, or cm, m or in"
        raise UsageError(said, option)
    length = float(found[1]) * METRES[found[2].lower()]
    if not LEAST <= length <= LARGEST:
        said = f"{option} {text} is beyond what can be made; give between 0.1mm and 10000m"
        raise UsageError(said, option)
    return length


def scale_to(v_pos: np.ndarray, height: float) -> float:
    """The factor that makes positions (V, 3) so high along +Y. UsageError if they have no height."""
    extent = np.ptp(v_pos.astype(np.float64), axis=0)
    if not extent[1] > 1e-6 * extent.max():
        raise UsageError("--height cannot be given to what is flat: it has no height", "--height")
    return height / float(extent[1])


def placed(v_pos: np.ndarray, suffix: str, scale: float = 1.0) -> np.ndarray:
    """Positions (V, 3) of a model as a file of this ending (in lower case) has them, float32.

    scale: metres in a unit of the model. An STL knows no unit: with a thousandth it has the model's own
    numbers.
    """
    points = v_pos.astype(np.float64) * scale
    if suffix in PRINTED:
        points = turned_z_up(points * MILLIMETRES)
        points = points - points.min(axis=0)
    elif suffix == ".usdz":
        low, high = points.min(axis=0), points.max(axis=0)
        points = points - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]
    return points.astype(np.float32)
