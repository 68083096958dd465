"""The ray march's kernels in Warp: occupied samples counted and written, and rays ended; a thread a ray.

No product is fused with a sum, but for the points, whose sums are made in float64 as torch's fused ones
are rounded once: depths and cells are those of torch, bit by bit.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

from sdtool.rendering.randomness import FACTOR, MIXER, OFFSET
from sdtool.runtime.warp_module import warp

MODULE = "sdtool.march"  # the name by which Warp knows them


@cache
def kernels() -> SimpleNamespace:
    """count, write and stop."""
    wp = warp()
    module = wp.get_module(MODULE)
    wp.set_module_options({"enable_backward": False, "fuse_fp": False}, module)
    return SimpleNamespace(**_samples(wp, module), stop=_stop(wp, module))


def _samples(wp: Any, module: Any) -> dict[str, Any]:
    """The two passes over a ray's next steps."""
    real, whole, func = wp.float32, wp.uint32, wp.func(module=module)
    kernel = wp.kernel(module=module)
    reals, reals2, integers = (
        wp.array(dtype=real),
        wp.array2d(dtype=real),
        wp.array(dtype=wp.int32),
    )
    cells3, real2 = wp.array3d(dtype=wp.uint8), wp.types.vector(2, real)
    factor, offset, mixer = (wp.constant(whole(n)) for n in (FACTOR, OFFSET, MIXER))
    unit = wp.constant(real(2.0**-24))

    @func
    def hashed(number: whole) -> whole:
        """As `sdtool.rendering.randomness.hashed`."""
        state = number * factor + offset
        word = ((state >> ((state >> whole(28)) + whole(4))) ^ state) * mixer
        return (word >> whole(22)) ^ word

    @func
    def place(near: real, far: real, step: real, number: int, row: whole, begun: wp.int64) -> real2:
        """(depth, spacing) of a step of a ray."""
        start = near + real(number) * step
        spacing = wp.min(wp.max(far - start, real(0.0)), step)
        jitter = real(0.5)
        if begun >= wp.int64(0):
            jitter = real(hashed(row + whole(number)) >> whole(8)) * unit
        return real2(start + jitter * spacing, spacing)

    @func
    def cell(
        origins: reals2, directions: reals2, r: int, d: int, depth: real, half: real, inverse: real, n: int
    ) -> int:  # fmt: skip
        """The cell, along axis d, of the point at a depth of ray r."""
        exact = wp.float64(origins[r, d]) + wp.float64(directions[r, d]) * wp.float64(depth)
        at = (real(exact) + half) * inverse
        return wp.int32(wp.min(wp.max(at, real(0.0)), real(n - 1)))

    @func
    def occupied(
        origins: reals2, directions: reals2, r: int, depth: real, half: real, inverse: real, cells: cells3
    ) -> bool:  # fmt: skip
        n = cells.shape[0]
        x = cell(origins, directions, r, 0, depth, half, inverse, n)
        y = cell(origins, directions, r, 1, depth, half, inverse, n)
        z = cell(origins, directions, r, 2, depth, half, inverse, n)
        return cells[z, y, x] != wp.uint8(0)

    @kernel
    def count(
        origins: reals2, directions: reals2, near: reals, far: reals, steps: integers, cells: cells3,
        alive: integers, step: real, half: real, inverse: real, first: int, begun: wp.int64, window: int,
        following: integers, found: integers,
    ):  # fmt: skip
        """found[i]: how many of the next samples of ray alive[i] are occupied, at most `window`."""
        i = wp.tid()
        r = alive[i]
        row = hashed(whole(r + first) + whole(begun))
        number, taken = wp.int32(following[r]), wp.int32(0)
        while number < steps[r] and taken < window:
            at = place(near[r], far[r], step, number, row, begun)
            if occupied(origins, directions, r, at[0], half, inverse, cells):
                taken = taken + 1
            number = number + 1
        found[i] = taken

    @kernel
    def write(
        origins: reals2, directions: reals2, near: reals, far: reals, steps: integers, cells: cells3,
        alive: integers, step: real, half: real, inverse: real, first: int, begun: wp.int64, window: int,
        following: integers, begins: integers, ray: integers, depth: reals, spacing: reals,
    ):  # fmt: skip
        """The same samples, from begins[i] on; following[alive[i]] becomes the step after them."""
        i = wp.tid()
        r = alive[i]
        row = hashed(whole(r + first) + whole(begun))
        number, taken = wp.int32(following[r]), wp.int32(0)
        while number < steps[r] and taken < window:
            at = place(near[r], far[r], step, number, row, begun)
            if occupied(origins, directions, r, at[0], half, inverse, cells):
                k = begins[i] + taken
                ray[k] = r
                depth[k] = at[0]
                spacing[k] = at[1]
                taken = taken + 1
            number = number + 1
        following[r] = number

    return {"count": count, "write": write}


def _stop(wp: Any, module: Any) -> Any:
    """The walk along what a ray has met."""
    real, integers = wp.float64, wp.array(dtype=wp.int32)

    @wp.kernel(module=module)
    def stop(
        absorbed: wp.array(dtype=wp.float32), ray: integers, begins: integers,
        least: wp.array(dtype=wp.float32), limit: real, carried: wp.array(dtype=real),
        keep: wp.array(dtype=wp.uint8),
    ):  # fmt: skip
        """keep[k] = 1 of the samples from begins[i] on, of ray[i], that can be seen; adds to carried."""
        i = wp.tid()
        before = carried[ray[i]]
        for k in range(begins[i], begins[i + 1]):
            if before <= limit and absorbed[k] >= least[0]:
                keep[k] = wp.uint8(1)
            before = before + real(absorbed[k])
        carried[ray[i]] = before

    return stop
