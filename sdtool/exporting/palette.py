"""A few colours for many faces: what a printer with as many filaments can show."""

import numpy as np

SAMPLES = 1 << 16
ROUNDS = 8


def few_colors(color: np.ndarray, area: np.ndarray, count: int) -> np.ndarray:
    """Colours (F, 3) in [0, 1] → as many, (F, 3) float32, of which at most `count` differ.

    Chosen by median cut, by area (F,), and moved to the means of what they stand for (Lloyd 1982).
    """
    from PIL import Image

    shares = np.cumsum(area.astype(np.float64))
    even = (np.arange(SAMPLES) + 0.5) / SAMPLES * shares[-1]
    drawn = color[np.searchsorted(shares, even).clip(0, len(color) - 1)].astype(np.float32)
    pixels = np.rint(np.clip(drawn, 0, 1) * 255).astype(np.uint8).reshape(256, -1, 3)
    cut = Image.fromarray(pixels).quantize(count, Image.Quantize.MEDIANCUT)
    chosen = np.array(cut.getpalette(), np.float32).reshape(-1, 3)[:count] / 255
    for _ in range(ROUNDS):
        number = _nearest(drawn, chosen)
        sums = np.stack([np.bincount(number, drawn[:, k], len(chosen)) for k in range(3)], axis=1)
        used = np.bincount(number, minlength=len(chosen))[:, None]
        chosen = np.where(used > 0, sums / np.maximum(used, 1), chosen).astype(np.float32)
    return chosen[_nearest(color, chosen)]


def _nearest(color: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(F,) the number of the chosen colour that is nearest to each."""
    best, away = np.zeros(len(color), np.int64), np.full(len(color), np.inf)
    for number, one in enumerate(chosen):
        here = ((color - one) ** 2).sum(axis=1)
        closer = here < away
        best[closer], away[closer] = number, here[closer]
    return best
