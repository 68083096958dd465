"""The hash grid's kernels in Warp, in float32 and in float64.

A cell has eight corners: bit 0 of a corner's number is x, bit 1 is y, bit 2 is z. `scales` (L,) and `sizes`
(L, 4), rows of (resolution, size, offset, hashed), describe the levels. With `along` (P, 3), a direction u
for each point, the derivative of the encoding along u takes the place of the encoding; with (0, 3) not.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

import torch

from sdtool.runtime.warp_module import warp
from sdtool.shapes.hashgrid_layout import PRIMES


def module_name(dtype: torch.dtype) -> str:
    """The name by which Warp knows the kernels of one precision."""
    return f"sdtool.hashgrid.{str(dtype).removeprefix('torch.')}"


@cache
def kernels(dtype: torch.dtype) -> SimpleNamespace:
    """gather, scatter and slope for torch.float32 or torch.float64."""
    wp = warp()
    module = wp.get_module(module_name(dtype))
    wp.set_module_options({"enable_backward": False}, module)
    real = {torch.float32: wp.float32, torch.float64: wp.float64}[dtype]
    cells = _cells(wp, module, real)
    return _kernels(wp, module, real, cells)


def _cells(wp: Any, module: Any, real: Any) -> SimpleNamespace:
    """The functions that the kernels share: where a point lies, and its corners' entries and weights."""
    real3, real8 = wp.types.vector(3, real), wp.types.vector(8, real)
    whole3, whole8 = wp.types.vector(3, wp.uint32), wp.types.vector(8, wp.int32)
    prime_y, prime_z = wp.constant(wp.uint32(PRIMES[1])), wp.constant(wp.uint32(PRIMES[2]))
    func = wp.func(module=module)

    @func
    def place(points: wp.array2d(dtype=real), i: int, scale: real) -> real3:
        """Where a point lies, in units of cells."""
        p = real3(points[i, 0], points[i, 1], points[i, 2])
        half = real(0.5)
        return real3(p[0] * scale + half, p[1] * scale + half, p[2] * scale + half)

    @func
    def fraction(p: real3) -> real3:
        return real3(p[0] - wp.floor(p[0]), p[1] - wp.floor(p[1]), p[2] - wp.floor(p[2]))

    @func
    def entries(p: real3, sizes: wp.array2d(dtype=wp.int32), level: int) -> whole8:
        """The rows of the table that the corners of the cell around p have."""
        cell = whole3()
        for d in range(3):
            if p[d] >= real(0.5):  # NaN is in cell 0, its fraction is NaN
                cell[d] = wp.uint32(p[d])
        resolution, size = wp.uint32(sizes[level, 0]), wp.uint32(sizes[level, 1])
        found = whole8()
        for k in range(8):
            x = cell[0] + wp.uint32(k & 1)
            y = cell[1] + wp.uint32((k >> 1) & 1)
            z = cell[2] + wp.uint32(k >> 2)
            if sizes[level, 3] != 0:  # `size` is a power of two
                index = (x ^ (y * prime_y) ^ (z * prime_z)) & (size - wp.uint32(1))
            else:
                index = (x + resolution * (y + resolution * z)) % size
            found[k] = sizes[level, 2] + wp.int32(index)
        return found

    @func
    def weights(f: real3) -> real8:
        """Trilinear weights of the corners at the fraction f."""
        x, y, z = f[0], f[1], f[2]
        u, v, w = real(1.0) - x, real(1.0) - y, real(1.0) - z
        a, b, c, d = v * w, y * w, v * z, y * z
        return real8(u * a, x * a, u * b, x * b, u * c, x * c, u * d, x * d)

    @func
    def weights_along(f: real3, dx: real, dy: real, dz: real) -> real8:
        """Derivative of the weights along (dx, dy, dz), in units of cells."""
        x, y, z = f[0], f[1], f[2]
        u, v, w = real(1.0) - x, real(1.0) - y, real(1.0) - z
        a, b, c, d = v * w, y * w, v * z, y * z
        da, db = -dy * w - v * dz, dy * w - y * dz
        dc, dd = v * dz - dy * z, dy * z + y * dz
        inner = real8(u * da, x * da, u * db, x * db, u * dc, x * dc, u * dd, x * dd)
        return inner + dx * real8(-a, a, -b, b, -c, c, -d, d)

    @func
    def weights_of(f: real3, along: wp.array2d(dtype=real), i: int, scale: real) -> real8:
        """The weights of point i, or their derivative along its direction."""
        if along.shape[0] == 0:
            return weights(f)
        return weights_along(f, scale * along[i, 0], scale * along[i, 1], scale * along[i, 2])

    return SimpleNamespace(
        place=place, fraction=fraction, entries=entries, weights_of=weights_of, real8=real8
    )


def _kernels(wp: Any, module: Any, real: Any, cells: SimpleNamespace) -> SimpleNamespace:
    """The kernels themselves: all take the points, the directions and the levels first."""
    reals, rows2, whole = wp.array(dtype=real), wp.array2d(dtype=real), wp.array2d(dtype=wp.int32)
    place, fraction, entries = cells.place, cells.fraction, cells.entries
    weights_of, real8 = cells.weights_of, cells.real8
    kernel = wp.kernel(module=module)

    @kernel
    def gather(points: rows2, along: rows2, scales: reals, sizes: whole, rows: rows2, out: rows2):
        """out[i, level · F:][:F] = Σ over corners of weight · row; a thread a level and point."""
        level, i = wp.tid()
        p = place(points, i, scales[level])
        e = entries(p, sizes, level)
        w = weights_of(fraction(p), along, i, scales[level])
        for f in range(rows.shape[1]):
            low = w[0] * rows[e[0], f] + w[1] * rows[e[1], f]
            low += w[2] * rows[e[2], f] + w[3] * rows[e[3], f]
            high = w[4] * rows[e[4], f] + w[5] * rows[e[5], f]
            high += w[6] * rows[e[6], f] + w[7] * rows[e[7], f]
            out[i, level * rows.shape[1] + f] = low + high

    @kernel
    def scatter(points: rows2, along: rows2, scales: reals, sizes: whole, grad: rows2, out: rows2):
        """Add weight · grad to the rows: the transpose of `gather`, with the same threads."""
        level, i = wp.tid()
        p = place(points, i, scales[level])
        e = entries(p, sizes, level)
        w = weights_of(fraction(p), along, i, scales[level])
        for f in range(out.shape[1]):
            g = grad[i, level * out.shape[1] + f]
            for k in range(8):
                wp.atomic_add(out, e[k], f, w[k] * g)

    @kernel
    def slope(
        points: rows2,
        along: rows2,
        scales: reals,
        sizes: whole,
        rows: rows2,
        grad: rows2,
        out: rows2,
    ):
        """out (P, 3): the gradient, in the points, of Σ grad · `gather`'s values; a thread a point."""
        i = wp.tid()
        ox, oy, oz = real(0.0), real(0.0), real(0.0)
        for level in range(scales.shape[0]):
            scale = scales[level]
            p = place(points, i, scale)
            e, part = entries(p, sizes, level), fraction(p)
            s = real8()  # what each corner weighs in the sum: its row times the incoming gradient
            for f in range(rows.shape[1]):
                g = grad[i, level * rows.shape[1] + f]
                s += g * real8(
                    rows[e[0], f], rows[e[1], f], rows[e[2], f], rows[e[3], f],
                    rows[e[4], f], rows[e[5], f], rows[e[6], f], rows[e[7], f],
                )  # fmt: skip
            x, y, z = part[0], part[1], part[2]
            u, v, w = real(1.0) - x, real(1.0) - y, real(1.0) - z
            if (
                along.shape[0] > 0
            ):  # of a trilinear function, only mixed second derivatives are not 0
                xy = w * (s[0] - s[1] - s[2] + s[3]) + z * (s[4] - s[5] - s[6] + s[7])
                xz = v * (s[0] - s[1] - s[4] + s[5]) + y * (s[2] - s[3] - s[6] + s[7])
                yz = u * (s[0] - s[2] - s[4] + s[6]) + x * (s[1] - s[3] - s[5] + s[7])
                ux, uy, uz = scale * along[i, 0], scale * along[i, 1], scale * along[i, 2]
                ox += scale * (uy * xy + uz * xz)
                oy += scale * (ux * xy + uz * yz)
                oz += scale * (ux * xz + uy * yz)
            else:  # ∂/∂x of a trilinear function: differences along x, blended in y and z; so y, z
                dx = w * (v * (s[1] - s[0]) + y * (s[3] - s[2]))
                dx += z * (v * (s[5] - s[4]) + y * (s[7] - s[6]))
                dy = w * (u * (s[2] - s[0]) + x * (s[3] - s[1]))
                dy += z * (u * (s[6] - s[4]) + x * (s[7] - s[5]))
                dz = v * (u * (s[4] - s[0]) + x * (s[5] - s[1]))
                dz += y * (u * (s[6] - s[2]) + x * (s[7] - s[3]))
                ox += scale * dx
                oy += scale * dy
                oz += scale * dz
        out[i, 0] = ox
        out[i, 1] = oy
        out[i, 2] = oz

    return SimpleNamespace(gather=gather, scatter=scatter, slope=slope)
