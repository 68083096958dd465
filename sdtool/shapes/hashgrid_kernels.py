"""The hash grid's numba kernels, each for one level and some of the points. All release the GIL.

A cell has eight corners: bit 0 of a corner's number is x, bit 1 is y, bit 2 is z. A level is a tuple
(scale, ½, resolution, size, hashed), its reals in the points' precision, which all else has too.

Points are taken a few at a time: first their entries of the table, then what stands there. So many
reads are under way at once, and large tables answer twice as fast.

Most kernels take `along` (P, 3): a direction u for each point. Then they treat the derivative of
the encoding along u, Σ_d u_d ∂/∂p_d, in place of the encoding; with `along` (0, 3) the encoding
itself.
"""

import numpy as np

from sdtool.geometry.jit import njit
from sdtool.shapes.hashgrid_layout import PRIMES

CHUNK = 64
_Y, _Z = np.uint64(PRIMES[1]), np.uint64(PRIMES[2])


@njit(nogil=True)
def touch(rows):
    """Read a level in order, so that it is in the cache when points ask for it in any order."""
    total = rows[0, 0]
    step = max(1, 64 // (rows.itemsize * rows.shape[1]))  # one row of each cache line
    for i in range(0, rows.shape[0], step):
        total += rows[i, 0]
    return total


@njit(nogil=True)
def _place(points, first, count, level, entry, fraction):
    """Entries (count, 8) and place in the cell (count, 3) of points from `first` on."""
    scale, half, resolution, size, hashed = level
    for j in range(count):
        x = points[first + j, 0] * scale + half
        y = points[first + j, 1] * scale + half
        z = points[first + j, 2] * scale + half
        fraction[j, 0] = x - np.floor(x)
        fraction[j, 1] = y - np.floor(y)
        fraction[j, 2] = z - np.floor(z)
        cx = np.uint64(x) if x >= half else np.uint64(0)  # NaN is in cell 0, its fraction is NaN
        cy = np.uint64(y) if y >= half else np.uint64(0)
        cz = np.uint64(z) if z >= half else np.uint64(0)
        e = _entries(cx, cy, cz, resolution, size, hashed)
        for k in range(8):
            entry[j, k] = e[k]


@njit(nogil=True)
def _wrapped(index, size):
    """index mod size; the division is slow and seldom needed."""
    return index if index < size else index % size


@njit(nogil=True)
def _entries(x, y, z, resolution, size, hashed):
    """The entries of the eight corners of cell (x, y, z), within the level."""
    one = np.uint64(1)
    if hashed:  # `size` is a power of two; the low bits are those of 32-bit arithmetic
        mask = size - one
        y0, z0 = y * _Y, z * _Z
        y1, z1, x1 = y0 + _Y, z0 + _Z, x + one
        a, b, c, d = y0 ^ z0, y1 ^ z0, y0 ^ z1, y1 ^ z1
        return (
            (x ^ a) & mask,
            (x1 ^ a) & mask,
            (x ^ b) & mask,
            (x1 ^ b) & mask,
            (x ^ c) & mask,
            (x1 ^ c) & mask,
            (x ^ d) & mask,
            (x1 ^ d) & mask,
        )
    # all corners have an entry of their own
    first = x + resolution * (y + resolution * z)
    layer = first + resolution * resolution
    return (
        _wrapped(first, size),
        _wrapped(first + one, size),
        _wrapped(first + resolution, size),
        _wrapped(first + resolution + one, size),
        _wrapped(layer, size),
        _wrapped(layer + one, size),
        _wrapped(layer + resolution, size),
        _wrapped(layer + resolution + one, size),
    )


@njit(nogil=True)
def _weights(x, y, z, one):
    """Trilinear weights of the eight corners at the fraction (x, y, z)."""
    u, v, w = one - x, one - y, one - z
    a, b, c, d = v * w, y * w, v * z, y * z
    return u * a, x * a, u * b, x * b, u * c, x * c, u * d, x * d


@njit(nogil=True)
def _weights_along(x, y, z, one, dx, dy, dz):
    """Derivative of the weights along (dx, dy, dz)."""
    u, v, w = one - x, one - y, one - z
    a, b, c, d = v * w, y * w, v * z, y * z
    da, db, dc, dd = -dy * w - v * dz, dy * w - y * dz, v * dz - dy * z, dy * z + y * dz
    return (
        u * da - dx * a,
        x * da + dx * a,
        u * db - dx * b,
        x * db + dx * b,
        u * dc - dx * c,
        x * dc + dx * c,
        u * dd - dx * d,
        x * dd + dx * d,
    )


@njit(nogil=True)
def _weights_of(fraction, along, j, i, level):
    """The weights of point i, the j-th of its chunk, or their derivative along its direction."""
    one = level[1] + level[1]
    x, y, z = fraction[j, 0], fraction[j, 1], fraction[j, 2]
    if along.shape[0] == 0:
        return _weights(x, y, z, one)
    scale = level[0]
    dx, dy, dz = scale * along[i, 0], scale * along[i, 1], scale * along[i, 2]
    return _weights_along(x, y, z, one, dx, dy, dz)


@njit(nogil=True)
def gather(points, along, rows, level, out, column):
    """out[:, column:][:, :F] = Σ over corners of weight · row. rows: (size, F) of the level."""
    entry, fraction = np.empty((CHUNK, 8), np.uint32), np.empty((CHUNK, 3), points.dtype)
    features = rows.shape[1]
    for first in range(0, points.shape[0], CHUNK):
        count = min(CHUNK, points.shape[0] - first)
        _place(points, first, count, level, entry, fraction)
        for j in range(count):
            w = _weights_of(fraction, along, j, first + j, level)
            for f in range(features):
                low = w[0] * rows[entry[j, 0], f] + w[1] * rows[entry[j, 1], f]
                low += w[2] * rows[entry[j, 2], f] + w[3] * rows[entry[j, 3], f]
                high = w[4] * rows[entry[j, 4], f] + w[5] * rows[entry[j, 5], f]
                high += w[6] * rows[entry[j, 6], f] + w[7] * rows[entry[j, 7], f]
                out[first + j, column + f] = low + high


@njit(nogil=True)
def scatter(points, along, grad, level, rows, column):
    """rows = Σ over points of weight · grad[:, column:][:, :F]: the transpose of `gather`."""
    entry, fraction = np.empty((CHUNK, 8), np.uint32), np.empty((CHUNK, 3), points.dtype)
    features = rows.shape[1]
    rows[:] = 0  # here, so that the level is in the cache
    for first in range(0, points.shape[0], CHUNK):
        count = min(CHUNK, points.shape[0] - first)
        _place(points, first, count, level, entry, fraction)
        for j in range(count):
            w = _weights_of(fraction, along, j, first + j, level)
            for f in range(features):
                g = grad[first + j, column + f]
                rows[entry[j, 0], f] += w[0] * g
                rows[entry[j, 1], f] += w[1] * g
                rows[entry[j, 2], f] += w[2] * g
                rows[entry[j, 3], f] += w[3] * g
                rows[entry[j, 4], f] += w[4] * g
                rows[entry[j, 5], f] += w[5] * g
                rows[entry[j, 6], f] += w[6] * g
                rows[entry[j, 7], f] += w[7] * g


@njit(nogil=True)
def slope(points, along, rows, grad, level, out, column):
    """Add to out (P, 3) the gradient, in the points, of Σ grad[:, column:][:, :F] · `gather`'s values."""
    entry, fraction = np.empty((CHUNK, 8), np.uint32), np.empty((CHUNK, 3), points.dtype)
    scale, half = level[:2]
    one, zero = half + half, half - half
    features = rows.shape[1]
    for first in range(0, points.shape[0], CHUNK):
        count = min(CHUNK, points.shape[0] - first)
        _place(points, first, count, level, entry, fraction)
        for j in range(count):
            i = first + j
            # What each corner of the cell weighs in the sum: its row times the incoming gradient
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero
            for f in range(features):
                g = grad[i, column + f]
                s0 += g * rows[entry[j, 0], f]
                s1 += g * rows[entry[j, 1], f]
                s2 += g * rows[entry[j, 2], f]
                s3 += g * rows[entry[j, 3], f]
                s4 += g * rows[entry[j, 4], f]
                s5 += g * rows[entry[j, 5], f]
                s6 += g * rows[entry[j, 6], f]
                s7 += g * rows[entry[j, 7], f]
            x, y, z = fraction[j, 0], fraction[j, 1], fraction[j, 2]
            u, v, w = one - x, one - y, one - z
            if along.shape[0]:  # of a trilinear function, only mixed second derivatives are not 0
                xy = w * (s0 - s1 - s2 + s3) + z * (s4 - s5 - s6 + s7)
                xz = v * (s0 - s1 - s4 + s5) + y * (s2 - s3 - s6 + s7)
                yz = u * (s0 - s2 - s4 + s6) + x * (s1 - s3 - s5 + s7)
                dx, dy, dz = scale * along[i, 0], scale * along[i, 1], scale * along[i, 2]
                out[i, 0] += scale * (dy * xy + dz * xz)
                out[i, 1] += scale * (dx * xy + dz * yz)
                out[i, 2] += scale * (dx * xz + dy * yz)
            else:  # ∂/∂x of a trilinear function: differences along x, blended in y and z; so y, z
                dx = w * (v * (s1 - s0) + y * (s3 - s2)) + z * (v * (s5 - s4) + y * (s7 - s6))
                dy = w * (u * (s2 - s0) + x * (s3 - s1)) + z * (u * (s6 - s4) + x * (s7 - s5))
                dz = v * (u * (s4 - s0) + x * (s5 - s1)) + y * (u * (s6 - s2) + x * (s7 - s3))
                out[i, 0] += scale * dx
                out[i, 1] += scale * dy
                out[i, 2] += scale * dz
