"""The rasteriser's kernels in Warp: those of `sdtool.rendering.kernels`, a thread a face, pixel or pair.

The z-buffer holds a number for each pixel: depth in the upper 31 bits, the face's in the lower 32; so one
atomic minimum decides what is nearer, and the first face on a tie. A depth is z/w from −1 to 1 in steps
of 2^−30. All reals are float64, and no product is fused with a sum: the edge functions, the barycentrics
and the walk give the same bits as numba's.

Images: image n shows the faces `start[n]` … with vertices from `base[n]` on; its threads are `first[n]` …
`first[n + 1]` − 1. A thread finds its image by bisection.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

from sdtool.rendering.face_ids import EXACT, OFFSET
from sdtool.runtime.warp_module import warp

MODULE = "sdtool.rendering"  # the name by which Warp knows them
LARGE = 256  # pixels of a face's box; beyond, its rows are divided among threads
NOTHING = 2**63 - 1  # in a pixel that shows no face


@cache
def kernels() -> SimpleNamespace:
    """cover_small, cover_large, resolve, screen and silhouettes."""
    wp = warp()
    module = wp.get_module(MODULE)
    wp.set_module_options({"enable_backward": False, "fuse_fp": False}, module)
    ids = _ids(wp, module)
    visibility = _visibility(wp, module, _edges(wp, module), ids)
    return SimpleNamespace(**visibility, **_silhouettes(wp, module, ids))


def _ids(wp: Any, module: Any) -> SimpleNamespace:
    """`stored` and `restored` of `sdtool.rendering.face_ids`."""
    func = wp.func(module=module)
    exact, offset = wp.constant(wp.int32(EXACT)), wp.constant(wp.int32(OFFSET))

    @func
    def stored(number: wp.int32) -> wp.float32:
        if number <= exact:
            return wp.float32(number)
        return wp.cast(number + offset, wp.float32)

    @func
    def restored(value: wp.float32) -> wp.int32:
        if value <= wp.float32(exact):
            return wp.int32(value)
        return wp.cast(value, wp.int32) - offset

    return SimpleNamespace(stored=stored, restored=restored)


def _edges(wp: Any, module: Any) -> SimpleNamespace:
    """Functions that the z-buffer and the reading of it share."""
    real, func = wp.float64, wp.func(module=module)
    real4, edges9 = wp.types.vector(4, real), wp.types.vector(9, real)
    box4 = wp.types.vector(4, wp.int32)
    reals2, whole2 = wp.array2d(dtype=real), wp.array2d(dtype=wp.int32)

    @func
    def corner(pos: reals2, faces: whole2, base: int, f: int, k: int) -> real4:
        i = base + faces[f, k]
        return real4(pos[i, 0], pos[i, 1], pos[i, 2], pos[i, 3])

    @func
    def on_screen(value: real, w: real, size: int) -> real:
        """Pixel coordinate; far off the screen it is limited, as it only rules pixels out."""
        limited = wp.min(wp.max(value / w, real(-2.0)), real(2.0))
        return (limited + real(1.0)) * real(0.5) * real(size) - real(0.5)

    @func
    def box(a: real4, b: real4, c: real4, height: int, width: int) -> box4:
        """The pixels to try: (left, right, top, bottom) of a face, empty if it is behind the eye."""
        little = real(1e-9)
        if a[3] <= real(0.0) and b[3] <= real(0.0) and c[3] <= real(0.0):
            return box4(0, -1, 0, -1)
        if a[3] <= real(0.0) or b[3] <= real(0.0) or c[3] <= real(0.0):
            return box4(0, width - 1, 0, height - 1)  # the projected box is unbounded
        x0 = on_screen(a[0], a[3], width)
        x1 = on_screen(b[0], b[3], width)
        x2 = on_screen(c[0], c[3], width)
        y0 = on_screen(a[1], a[3], height)
        y1 = on_screen(b[1], b[3], height)
        y2 = on_screen(c[1], c[3], height)
        left = wp.int32(wp.ceil(wp.min(x0, wp.min(x1, x2)) - little))
        right = wp.int32(wp.floor(wp.max(x0, wp.max(x1, x2)) + little))
        top = wp.int32(wp.ceil(wp.min(y0, wp.min(y1, y2)) - little))
        bottom = wp.int32(wp.floor(wp.max(y0, wp.max(y1, y2)) + little))
        return box4(
            wp.max(left, 0), wp.min(right, width - 1), wp.max(top, 0), wp.min(bottom, height - 1)
        )

    @func
    def determinant(a: real4, b: real4, c: real4) -> real:
        a0, b0, c0 = b[1] * c[3] - c[1] * b[3], b[3] * c[0] - c[3] * b[0], b[0] * c[1] - c[0] * b[1]
        return a0 * a[0] + b0 * a[1] + c0 * a[3]

    @func
    def edge_functions(a: real4, b: real4, c: real4, det: real) -> edges9:
        """a_k, b_k, c_k of the edge functions e_k = a_k x + b_k y + c_k (Olano and Greer 1997)."""
        found = edges9(
            b[1] * c[3] - c[1] * b[3], b[3] * c[0] - c[3] * b[0], b[0] * c[1] - c[0] * b[1],
            c[1] * a[3] - a[1] * c[3], c[3] * a[0] - a[3] * c[0], c[0] * a[1] - a[0] * c[1],
            a[1] * b[3] - b[1] * a[3], a[3] * b[0] - b[3] * a[0], a[0] * b[1] - b[0] * a[1],
        )  # fmt: skip
        if det < real(0.0):  # seen from behind: turn the signs, exactly
            found = -found
        return found

    @func
    def centre(number: int, size: int) -> real:
        return real(2 * number + 1) / real(size) - real(1.0)

    @func
    def image_of(first: wp.array(dtype=wp.int32), t: int) -> int:
        """The last image n with first[n] ≤ t."""
        low, high = wp.int32(0), wp.int32(first.shape[0] - 1)
        while high - low > 1:
            middle = (low + high) // 2
            if first[middle] <= t:
                low = middle
            else:
                high = middle
        return low

    return SimpleNamespace(
        corner=corner,
        box=box,
        determinant=determinant,
        edge_functions=edge_functions,
        centre=centre,
        image_of=image_of,
        box4=box4,
    )


def _visibility(
    wp: Any, module: Any, edges: SimpleNamespace, ids: SimpleNamespace
) -> dict[str, Any]:
    """The z-buffer's kernels."""
    stored = ids.stored
    real, kernel, func = wp.float64, wp.kernel(module=module), wp.func(module=module)
    reals2, whole, whole2 = (
        wp.array2d(dtype=real),
        wp.array(dtype=wp.int32),
        wp.array2d(dtype=wp.int32),
    )
    buffer = wp.array3d(dtype=wp.int64)
    corner, box, determinant = edges.corner, edges.box, edges.determinant
    edge_functions, centre, image_of = edges.edge_functions, edges.centre, edges.image_of
    box4 = edges.box4
    large, steps = wp.constant(LARGE), wp.constant(wp.float64(2**30))
    nothing, farthest = wp.constant(wp.int64(NOTHING)), wp.constant(wp.float64(2**31 - 1))

    @func
    def cover(
        pos: reals2, faces: whole2, base: int, f: int, image: int, part: box4, nearest: buffer
    ):
        """Put a face into the pixels of a box whose centres it covers."""
        height, width = nearest.shape[1], nearest.shape[2]
        a = corner(pos, faces, base, f, 0)
        b = corner(pos, faces, base, f, 1)
        c = corner(pos, faces, base, f, 2)
        det = determinant(a, b, c)
        if det == real(0.0):
            return
        e = edge_functions(a, b, c, det)
        inverse = real(1.0) / wp.abs(det)
        for row in range(part[2], part[3] + 1):
            y = centre(row, height)
            d0, d1, d2 = e[1] * y + e[2], e[4] * y + e[5], e[7] * y + e[8]
            for column in range(part[0], part[1] + 1):
                x = centre(column, width)
                e0, e1, e2 = e[0] * x + d0, e[3] * x + d1, e[6] * x + d2
                if e0 >= real(0.0) and e1 >= real(0.0) and e2 >= real(0.0):
                    total = e0 + e1 + e2  # |det| / w of the surface point
                    z = (a[2] * e0 + b[2] * e1 + c[2] * e2) * inverse
                    if total > real(0.0) and z >= real(-1.0) and z < real(1.0):
                        depth = wp.int64(wp.min((z + real(1.0)) * steps, farthest))
                        key = (depth << wp.int64(32)) | wp.int64(f)
                        if key < nearest[image, row, column]:
                            wp.atomic_min(nearest, image, row, column, key)

    @kernel
    def cover_small(
        pos: reals2, faces: whole2, first: whole, start: whole, base: whole,
        queue: whole2, count: whole, nearest: buffer,
    ):  # fmt: skip
        """A thread a face of an image: cover its pixels, or queue it if they are many."""
        t = wp.tid()
        image = image_of(first, t)
        f = start[image] + t - first[image]
        a = corner(pos, faces, base[image], f, 0)
        b = corner(pos, faces, base[image], f, 1)
        c = corner(pos, faces, base[image], f, 2)
        part = box(a, b, c, nearest.shape[1], nearest.shape[2])
        wide, high = part[1] - part[0] + 1, part[3] - part[2] + 1
        if wide <= 0 or high <= 0:
            return
        if wide * high <= large:
            cover(pos, faces, base[image], f, image, part, nearest)
        else:
            slot = wp.atomic_add(count, 0, 1)
            queue[slot, 0] = image
            queue[slot, 1] = f

    @kernel
    def cover_large(
        pos: reals2, faces: whole2, base: whole, queue: whole2, count: whole, threads: int,
        nearest: buffer,
    ):  # fmt: skip
        """Threads take turns over the rows of the queued faces."""
        height, width = nearest.shape[1], nearest.shape[2]
        t = wp.tid()
        job, jobs = wp.int64(t), wp.int64(count[0]) * wp.int64(height)
        while job < jobs:
            slot, row = wp.int32(job // wp.int64(height)), wp.int32(job % wp.int64(height))
            image = queue[slot, 0]
            f = queue[slot, 1]
            a = corner(pos, faces, base[image], f, 0)
            b = corner(pos, faces, base[image], f, 1)
            c = corner(pos, faces, base[image], f, 2)
            part = box(a, b, c, height, width)
            if row >= part[2] and row <= part[3]:
                line = box4(part[0], part[1], row, row)
                cover(pos, faces, base[image], f, image, line, nearest)
            job += wp.int64(threads)

    @kernel
    def resolve(
        pos: reals2, faces: whole2, base: whole, nearest: buffer, rast: wp.array4d(dtype=wp.float32)
    ):
        """A thread a pixel: (u, v, z/w, face + 1) of the face that is nearest there; else zeros."""
        image, row, column = wp.tid()
        key = nearest[image, row, column]
        if key == nothing:
            return
        f = wp.int32(key & wp.int64(0x7FFFFFFF))
        a = corner(pos, faces, base[image], f, 0)
        b = corner(pos, faces, base[image], f, 1)
        c = corner(pos, faces, base[image], f, 2)
        det = determinant(a, b, c)
        e = edge_functions(a, b, c, det)
        x, y = centre(column, nearest.shape[2]), centre(row, nearest.shape[1])
        d0, d1, d2 = e[1] * y + e[2], e[4] * y + e[5], e[7] * y + e[8]
        e0, e1, e2 = e[0] * x + d0, e[3] * x + d1, e[6] * x + d2
        total, inverse = e0 + e1 + e2, real(1.0) / wp.abs(det)
        rast[image, row, column, 0] = wp.float32(e0 / total)
        rast[image, row, column, 1] = wp.float32(e1 / total)
        rast[image, row, column, 2] = wp.float32((a[2] * e0 + b[2] * e1 + c[2] * e2) * inverse)
        rast[image, row, column, 3] = stored(f + 1)

    return {"cover_small": cover_small, "cover_large": cover_large, "resolve": resolve}


def _silhouettes(wp: Any, module: Any, ids: SimpleNamespace) -> dict[str, Any]:
    """The walk over the surface to its silhouette, for each pair of neighbouring pixels."""
    restored = ids.restored
    real, kernel, func = wp.float64, wp.kernel(module=module), wp.func(module=module)
    reals3, whole2 = wp.array3d(dtype=real), wp.array2d(dtype=wp.int32)
    pair2 = wp.types.vector(2, wp.int32)

    @kernel
    def screen(pos: reals3, size: wp.array(dtype=real), found: reals3):
        """A thread a vertex: pixel coordinates (N, V, 3) and whether it lies before the eye (1 or 0)."""
        n, i = wp.tid()
        valid, inverse = real(0.0), real(0.0)
        if pos[n, i, 3] > real(1e-8):
            valid, inverse = real(1.0), real(1.0) / pos[n, i, 3]
        for d in range(2):
            found[n, i, d] = (pos[n, i, d] * inverse + real(1.0)) * real(0.5) * size[d] - real(0.5)
        found[n, i, 2] = valid

    @func
    def area(points: reals3, n: int, faces: whole2, f: int) -> real:
        """Twice the signed screen area of a face."""
        a = faces[f, 0]
        b = faces[f, 1]
        c = faces[f, 2]
        return (points[n, b, 0] - points[n, a, 0]) * (points[n, c, 1] - points[n, a, 1]) - (
            points[n, b, 1] - points[n, a, 1]
        ) * (points[n, c, 0] - points[n, a, 0])

    @func
    def walk(
        points: reals3, n: int, faces: whole2, across: whole2, begin: int,
        start: real, level: real, axis: int, direction: real, max_steps: int,
    ) -> pair2:  # fmt: skip
        """As `sdtool.rendering.kernels._walk`: the silhouette edge's two vertices, or −1."""
        f, other, side = wp.int32(begin), 1 - axis, area(points, n, faces, begin)
        for _ in range(max_steps):
            best, edge = real(-1e30), wp.int32(-1)
            for k in range(3):
                a = faces[f, k]
                b = faces[f, (k + 1) % 3]
                if points[n, a, 2] == real(0.0) or points[n, b, 2] == real(0.0):
                    return pair2(-1, -1)
                da, db = points[n, a, other] - level, points[n, b, other] - level
                if (da < real(0.0)) != (db < real(0.0)):
                    pa = points[n, a, axis]
                    pb = points[n, b, axis]
                    reach = pa + (pb - pa) * da / (da - db)
                    ahead = (reach - start) * direction
                    if ahead > best:
                        best = ahead
                        edge = k
            if edge < 0 or best > real(1.0):  # beyond the next pixel centre
                return pair2(-1, -1)
            g = across[f, edge]
            stops = g < 0
            if not stops:
                stops = area(points, n, faces, g) * side <= real(0.0)
            if stops:  # a border, or the surface folds back
                i = faces[f, edge]
                j = faces[f, (edge + 1) % 3]
                rise = wp.abs(points[n, i, other] - points[n, j, other])
                run = wp.abs(points[n, i, axis] - points[n, j, axis])
                if best < real(0.0) or rise < run:
                    return pair2(-1, -1)
                return pair2(i, j)
            f = g
        return pair2(-1, -1)

    @kernel
    def silhouettes(
        points: reals3, faces: whole2, across: whole2, rast: wp.array4d(dtype=wp.float32),
        max_steps: int, found: whole2,
    ):  # fmt: skip
        """A thread a pair of pixels: (vertex, vertex, 1 if the first pixel is near), −1 without an edge."""
        n, row, column, axis = wp.tid()
        height, width = rast.shape[1], rast.shape[2]
        t = ((n * height + row) * width + column) * 2 + axis
        found[t, 0] = -1
        row2, column2 = row + axis, column + 1 - axis
        if row2 >= height or column2 >= width:
            return
        here, there = restored(rast[n, row, column, 3]), restored(rast[n, row2, column2, 3])
        if here == there:
            return
        nearer = rast[n, row, column, 2] <= rast[n, row2, column2, 2]
        is_first = there == 0 or (here != 0 and nearer)
        f = wp.where(is_first, here, there) - 1
        x, y = real(wp.where(is_first, column, column2)), real(wp.where(is_first, row, row2))
        direction = wp.where(is_first, real(1.0), real(-1.0))
        start, level = wp.where(axis == 0, x, y), wp.where(axis == 0, y, x)
        ends = walk(points, n, faces, across, f, start, level, axis, direction, max_steps)
        found[t, 0] = ends[0]
        found[t, 1] = ends[1]
        found[t, 2] = wp.where(is_first, 1, 0)

    return {"screen": screen, "silhouettes": silhouettes}
