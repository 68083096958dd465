"""numba's part of splatting: 3D Gaussians' footprints, composited front to back, and the gradients of that.

All numbers are float64. A splat has on the screen a centre (x, y), in pixels that are whole numbers at pixel
centres; a conic (a, b, c), the inverse of its covariance there; and an opacity o. At a pixel that lies
(dx, dy) from its centre it stops α = o · exp(−q/2) of the light, q = a·dx² + 2b·dx·dy + c·dy², at most
`MOST`; less than `LEAST` is nothing (Kerbl et al. 2023, appendix C). All loops release the GIL.
"""

import numpy as np

from sdtool.geometry.jit import njit

LEAST, MOST = 1 / 255, 0.99
DARK = 1e-4
"""Where less than this share of the light arrives, nothing more is added."""


@njit(nogil=True, error_model="numpy")
def _box(center, conic, opacity, height, width):
    """Of one splat: the bound of q at which it ends, and its first and last columns and rows."""
    bound = 2 * np.log(opacity / LEAST)
    det = conic[0] * conic[2] - conic[1] * conic[1]
    across, along = np.sqrt(bound * conic[2] / det), np.sqrt(bound * conic[0] / det)
    x, y = center[0], center[1]
    if not (abs(x) + across < 1e6 and abs(y) + along < 1e6):  # no numbers, too
        return -1.0, 0, -1, 0, -1
    left, right = max(0, int(np.ceil(x - across))), min(width - 1, int(np.floor(x + across)))
    top, bottom = max(0, int(np.ceil(y - along))), min(height - 1, int(np.floor(y + along)))
    return bound, left, right, top, bottom


@njit(nogil=True, error_model="numpy")
def composite(order, center, conic, opacity, feature, image, clear):
    """Add a view's splats to `image` (H, W, C), zero at first; `clear` (H, W), one at first, becomes the
    share of the light that passes all of them.

    order: (G,) int64, nearest first. center (G, 2), conic (G, 3), opacity (G,), feature (G, C).
    """
    height, width, channels = image.shape
    for k in range(len(order)):
        g = order[k]
        if not opacity[g] > LEAST:
            continue
        a, b, c = conic[g, 0], conic[g, 1], conic[g, 2]
        bound, left, right, top, bottom = _box(center[g], conic[g], opacity[g], height, width)
        for row in range(top, bottom + 1):
            dy = row - center[g, 1]
            for column in range(left, right + 1):
                dx = column - center[g, 0]
                q = a * dx * dx + 2 * b * dx * dy + c * dy * dy
                light = clear[row, column]
                if q >= bound or light < DARK:
                    continue
                alpha = min(MOST, opacity[g] * np.exp(-0.5 * q))
                for i in range(channels):
                    image[row, column, i] += light * alpha * feature[g, i]
                clear[row, column] = light * (1 - alpha)


@njit(nogil=True, error_model="numpy")
def pull_back(
    order, center, conic, opacity, feature, pull, behind, clear, d_center, d_conic, d_opacity, d_feature
):  # fmt: skip
    """The gradients of Σ pull · image in what `composite` was given, added to zeros of the same shapes.

    pull: (H, W, C). behind: (H, W), at first Σ_C pull · image: what is left of it is what lies behind a
    splat, so that one pass from front to back is enough. clear: (H, W) ones.
    """
    height, width, channels = pull.shape
    for k in range(len(order)):
        g = order[k]
        if not opacity[g] > LEAST:
            continue
        a, b, c = conic[g, 0], conic[g, 1], conic[g, 2]
        bound, left, right, top, bottom = _box(center[g], conic[g], opacity[g], height, width)
        for row in range(top, bottom + 1):
            dy = row - center[g, 1]
            for column in range(left, right + 1):
                dx = column - center[g, 0]
                q = a * dx * dx + 2 * b * dx * dy + c * dy * dy
                light = clear[row, column]
                if q >= bound or light < DARK:
                    continue
                fall = np.exp(-0.5 * q)
                alpha = min(MOST, opacity[g] * fall)
                own = 0.0
                for i in range(channels):
                    own += pull[row, column, i] * feature[g, i]
                    d_feature[g, i] += light * alpha * pull[row, column, i]
                behind[row, column] -= light * alpha * own
                clear[row, column] = light * (1 - alpha)
                if alpha == MOST:
                    continue
                d_alpha = light * own - behind[row, column] / (1 - alpha)
                d_opacity[g] += d_alpha * fall
                d_q = -0.5 * alpha * d_alpha
                d_conic[g, 0] += d_q * dx * dx
                d_conic[g, 1] += 2 * d_q * dx * dy
                d_conic[g, 2] += d_q * dy * dy
                d_center[g, 0] -= 2 * d_q * (a * dx + b * dy)
                d_center[g, 1] -= 2 * d_q * (b * dx + c * dy)


@njit(nogil=True, error_model="numpy")
def fill(points, precision, reach, opacity, half, grid):
    """Add every splat's opacity · exp(−½ (x − p)ᵀ P (x − p)) to `grid` (n, n, n), over ±half, in (z, y, x)
    order. points: (G, 3). precision: (G, 3, 3). reach: (G, 3), beyond which a splat adds nothing."""
    n = len(grid)
    cell = 2 * half / (n - 1)
    first, last, d = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3)
    for g in range(len(points)):
        for i in range(3):
            first[i] = max(0, int(np.ceil((points[g, i] - reach[g, i] + half) / cell)))
            last[i] = min(n - 1, int(np.floor((points[g, i] + reach[g, i] + half) / cell)))
        for z in range(first[2], last[2] + 1):
            d[2] = z * cell - half - points[g, 2]
            for y in range(first[1], last[1] + 1):
                d[1] = y * cell - half - points[g, 1]
                for x in range(first[0], last[0] + 1):
                    d[0] = x * cell - half - points[g, 0]
                    q = 0.0
                    for i in range(3):
                        for j in range(3):
                            q += d[i] * precision[g, i, j] * d[j]
                    grid[z, y, x] += opacity[g] * np.exp(-0.5 * q)
