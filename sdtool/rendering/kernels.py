"""The CPU rasteriser's numba kernels: visibility, topology and the silhouette search.

Conventions are nvdiffrast's: clip positions (x, y, z, w), pixel centre i at −1 + (2i + 1)/size,
`rast` = (u, v, z/w, face id + 1) with u, v the perspective-correct weights of a face's first two
vertices and 0 in empty pixels. All loops release the GIL.
"""

import numpy as np

from sdtool.geometry.jit import njit
from sdtool.rendering.face_ids import restored, stored


@njit(nogil=True, error_model="numpy")
def _project(clip, screen, height, width):
    """Clip positions (V, 4) → `screen` (V, 4): pixel coordinates, whole at pixel centres, z/w and w.

    They only rule faces out. Far off the screen they are limited: near w = 0 they would overflow
    the integer of their pixel.
    """
    for i in range(clip.shape[0]):
        w = np.float64(clip[i, 3])
        x = min(max(clip[i, 0] / w, -2.0), 2.0)
        y = min(max(clip[i, 1] / w, -2.0), 2.0)
        screen[i, 0] = (x + 1) * 0.5 * width - 0.5
        screen[i, 1] = (y + 1) * 0.5 * height - 0.5
        screen[i, 2] = clip[i, 2] / w
        screen[i, 3] = w


@njit(nogil=True)
def _is_hidden(depth, near, left, right, top, bottom):
    """Whether all of a box of pixels shows something nearer."""
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            if near <= depth[row, column]:
                return False
    return True


@njit(nogil=True)
def _sieve(screen, faces, height, width, chosen):
    """Put the faces that may cover a pixel centre into `chosen` (F,); return how many they are.

    Most small faces lie between the centres, or beside the one in their box; without branches this
    costs little. A face with w ≤ 0 somewhere stays: its box means nothing. So do large faces.
    """
    if 2 * faces.shape[0] < height * width:
        chosen[:] = np.arange(len(chosen))
        return faces.shape[0]
    count = np.int64(0)
    for f in range(faces.shape[0]):
        i0, i1, i2 = np.uint64(faces[f, 0]), np.uint64(faces[f, 1]), np.uint64(faces[f, 2])
        x0, x1, x2 = screen[i0, 0], screen[i1, 0], screen[i2, 0]
        y0, y1, y2 = screen[i0, 1], screen[i1, 1], screen[i2, 1]
        left, right = np.ceil(min(x0, x1, x2) - 1e-9), np.floor(max(x0, x1, x2) + 1e-9)
        top, bottom = np.ceil(min(y0, y1, y2) - 1e-9), np.floor(max(y0, y1, y2) + 1e-9)
        # whole pixel centres in the face's box: none, or none on the screen
        outside = (left > right) | (top > bottom)
        outside |= (right < 0) | (bottom < 0) | (left >= width) | (top >= height)
        # one centre, and the edge functions there have both signs: it lies beside the face
        x0, x1, x2, y0, y1, y2 = x0 - left, x1 - left, x2 - left, y0 - top, y1 - top, y2 - top
        a, b, c = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
        beside = (left == right) & (top == bottom) & (min(a, b, c) < -1e-7) & (max(a, b, c) > 1e-7)
        unbounded = min(screen[i0, 3], screen[i1, 3], screen[i2, 3]) <= 0
        chosen[count] = f
        count += np.int64(unbounded | (not (outside | beside)))
    return count


@njit(nogil=True, error_model="numpy")
def _rasterize(pos, screen, faces, chosen, rast, depth):
    """Fill `rast` (H, W, 4) and `depth` (H, W) with the view of `pos` (V, 4): see `rasterize`."""
    height, width = depth.shape
    rast[:] = 0.0
    depth[:] = 1.0
    for k in range(_sieve(screen, faces, height, width, chosen)):
        f = chosen[k]
        i0, i1, i2 = np.uint64(faces[f, 0]), np.uint64(faces[f, 1]), np.uint64(faces[f, 2])
        # The pixels to try: the face's box on the screen
        w0, w1, w2 = screen[i0, 3], screen[i1, 3], screen[i2, 3]
        left, right, top, bottom = 0, width - 1, 0, height - 1
        if w0 > 0 and w1 > 0 and w2 > 0:  # else the projected box is unbounded: try every pixel
            a, b, c = screen[i0, 0], screen[i1, 0], screen[i2, 0]
            left = max(0, int(np.ceil(min(a, b, c) - 1e-9)))
            right = min(width - 1, int(np.floor(max(a, b, c) + 1e-9)))
            a, b, c = screen[i0, 1], screen[i1, 1], screen[i2, 1]
            top = max(0, int(np.ceil(min(a, b, c) - 1e-9)))
            bottom = min(height - 1, int(np.floor(max(a, b, c) + 1e-9)))
            # Hidden already (early z): its nearest vertex is behind all that its box shows
            if (right - left) * (bottom - top) <= 64:
                near = min(screen[i0, 2], screen[i1, 2], screen[i2, 2]) - 1e-9
                if _is_hidden(depth, near, left, right, top, bottom):
                    continue
        elif w0 <= 0 and w1 <= 0 and w2 <= 0:  # all behind the eye
            continue
        # Edge functions e_k = a_k x + b_k y + c_k in homogeneous coordinates (Olano and Greer 1997):
        # the cross products of the two opposite vertices' (x, y, w); det: the volume of all three.
        # In float64 whatever `pos` is: numba's float() would leave a float32 one
        x0, y0, z0 = np.float64(pos[i0, 0]), np.float64(pos[i0, 1]), np.float64(pos[i0, 2])
        x1, y1, z1 = np.float64(pos[i1, 0]), np.float64(pos[i1, 1]), np.float64(pos[i1, 2])
        x2, y2, z2 = np.float64(pos[i2, 0]), np.float64(pos[i2, 1]), np.float64(pos[i2, 2])
        a0, b0, c0 = y1 * w2 - y2 * w1, w1 * x2 - w2 * x1, x1 * y2 - x2 * y1
        a1, b1, c1 = y2 * w0 - y0 * w2, w2 * x0 - w0 * x2, x2 * y0 - x0 * y2
        a2, b2, c2 = y0 * w1 - y1 * w0, w0 * x1 - w1 * x0, x0 * y1 - x1 * y0
        det = a0 * x0 + b0 * y0 + c0 * w0
        if det == 0.0:
            continue
        if det < 0:  # seen from behind: turn the signs, exactly, so that neighbours stay watertight
            a0, b0, c0, a1, b1, c1, a2, b2, c2 = -a0, -b0, -c0, -a1, -b1, -c1, -a2, -b2, -c2
        inverse = 1.0 / abs(det)
        # Scan conversion: row by row, along each row the span that can be inside
        for row in range(top, bottom + 1):
            y = (2 * row + 1) / height - 1
            d0, d1, d2 = b0 * y + c0, b1 * y + c1, b2 * y + c2
            first, last = left, right
            if right - left > 4:  # a wide face: try only where no edge function is clearly negative
                low, high = -1.0, 1.0
                for a, d in ((a0, d0), (a1, d1), (a2, d2)):
                    if a > 0:
                        low = max(low, -d / a)
                    elif a < 0:
                        high = min(high, -d / a)
                if low > high + 1e-6:
                    continue
                first = max(left, int((low + 1) * 0.5 * width - 0.5 - 1e-3))
                last = min(right, int((high + 1) * 0.5 * width - 0.5 + 1e-3))
            for column in range(first, last + 1):
                # Inside test: no edge function is negative, and the point is before the eye
                x = (2 * column + 1) / width - 1
                e0, e1, e2 = a0 * x + d0, a1 * x + d1, a2 * x + d2
                if e0 < 0 or e1 < 0 or e2 < 0:
                    continue
                total = e0 + e1 + e2  # |det| / w of the surface point
                if total <= 0:
                    continue
                # Depth test on z/w, which is linear on the screen; then the perspective-correct
                # barycentrics u = e0 / Σe, v = e1 / Σe
                z = (z0 * e0 + z1 * e1 + z2 * e2) * inverse
                if z < -1 or z >= depth[row, column]:
                    continue
                depth[row, column] = z
                rast[row, column, 0] = e0 / total
                rast[row, column, 1] = e1 / total
                rast[row, column, 2] = z
                rast[row, column, 3] = stored(f + 1)


@njit(nogil=True)
def rasterize(pos, faces, height, width):
    """Z-buffer of one view with homogeneous edge functions (no clipping needed), two-sided.

    pos: (V, 4) float clip positions. faces: (F, 3) int. Returns (height, width, 4) float32.
    A pixel centre on an edge counts as inside; the nearer surface wins, the first face on a tie.
    """
    rast = np.empty((height, width, 4), np.float32)
    screen = np.empty((pos.shape[0], 4), np.float64)
    _project(pos, screen, height, width)
    chosen = np.empty(faces.shape[0] + 1, np.int32)
    _rasterize(pos, screen, faces, chosen, rast, np.empty((height, width), np.float64))
    return rast


@njit(nogil=True)
def _transform(v_pos, matrix, clip):
    """(V, 3) positions → (V, 4) float64 clip positions, by a (4, 4) matrix."""
    for i in range(v_pos.shape[0]):
        x, y, z = v_pos[i, 0], v_pos[i, 1], v_pos[i, 2]
        for k in range(4):
            clip[i, k] = matrix[k, 0] * x + matrix[k, 1] * y + matrix[k, 2] * z + matrix[k, 3]


@njit(nogil=True)
def rasterize_views(v_pos, faces, matrices, height, width):
    """Rasterise N views of one mesh: v_pos (V, 3), matrices (N, 4, 4) → (N, height, width, 4)."""
    rast = np.empty((matrices.shape[0], height, width, 4), np.float32)
    depth = np.empty((height, width), np.float64)
    clip = np.empty((v_pos.shape[0], 4), np.float64)
    screen = np.empty((v_pos.shape[0], 4), np.float64)
    chosen = np.empty(faces.shape[0] + 1, np.int32)
    for n in range(matrices.shape[0]):
        _transform(v_pos, matrices[n], clip)
        _project(clip, screen, height, width)
        _rasterize(clip, screen, faces, chosen, rast[n], depth)
    return rast


@njit(nogil=True)
def render_map(attributes, v_pos, faces, matrices, size, factor):
    """Vertex attributes as maps: rasterise, interpolate, encode and average, a view at a time.

    attributes: (V, 3) float32 in [0, 1]. v_pos: (V, 3). faces: (F, 3). matrices: (N, 4, 4). factor:
    samples a pixel, a side. Returns (N, size, size, 4) float32 in the form of `sdtool.geometry.ccm`.
    """
    side = size * factor
    rast = np.empty((side, side, 4), np.float32)
    depth = np.empty((side, side), np.float64)
    clip = np.empty((v_pos.shape[0], 4), np.float64)
    screen = np.empty((v_pos.shape[0], 4), np.float64)
    chosen = np.empty(faces.shape[0] + 1, np.int32)
    maps = np.zeros((matrices.shape[0], size, size, 4), np.float32)
    share = np.float32(1.0 / (factor * factor))
    for n in range(matrices.shape[0]):
        _transform(v_pos, matrices[n], clip)
        _project(clip, screen, side, side)
        _rasterize(clip, screen, faces, chosen, rast, depth)
        image = maps[n]
        # Every sample that shows a face adds its share of the premultiplied map 2 · value − 1
        for row in range(side):
            for column in range(side):
                f = restored(rast[row, column, 3]) - 1
                if f < 0:
                    continue
                u, v = rast[row, column, 0], rast[row, column, 1]
                pixel = image[row // factor, column // factor]
                i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
                for c in range(3):
                    value = (
                        u * attributes[i0, c]
                        + v * attributes[i1, c]
                        + (1 - u - v) * attributes[i2, c]
                    )
                    pixel[c] += (2 * value - 1) * share
                pixel[3] += share
        # The fourth channel: coverage in [0, 1] → [−1, 1]
        for row in range(size):
            for column in range(size):
                image[row, column, 3] = 2 * image[row, column, 3] - 1
    return maps


@njit(nogil=True)
def gather_maps(values, view, row, column, count, size, factor):
    """Values (P, 3) in [0, 1] of samples at (view, row, column), (P,) each, averaged into maps.

    factor: samples a pixel, a side. Returns (count, size, size, 4) float32, as `render_map`.
    """
    maps = np.zeros((count, size, size, 4), np.float32)
    maps[..., 3] = -1.0
    share = np.float32(1.0 / (factor * factor))
    for p in range(values.shape[0]):
        pixel = maps[view[p], row[p] // factor, column[p] // factor]
        for c in range(3):
            pixel[c] += (2 * values[p, c] - 1) * share
        pixel[3] += 2 * share
    return maps


@njit(nogil=True)
def interpolate(attributes, faces, rast):
    """Vertex attributes (V, C) at every pixel of `rast` (N, H, W, 4) → (N, H, W, C) float32."""
    n, h, w, _ = rast.shape
    channels = attributes.shape[1]
    image = np.zeros((n, h, w, channels), np.float32)
    for i in range(n):
        for row in range(h):
            for column in range(w):
                f = restored(rast[i, row, column, 3]) - 1
                if f < 0:
                    continue
                u, v = rast[i, row, column, 0], rast[i, row, column, 1]
                for c in range(channels):
                    image[i, row, column, c] = (
                        u * attributes[faces[f, 0], c]
                        + v * attributes[faces[f, 1], c]
                        + (1 - u - v) * attributes[faces[f, 2], c]
                    )
    return image


@njit(nogil=True)
def neighbours(faces, vertices):
    """(F, 3) int32: the face across edge k (from vertex k to k + 1), or −1 at a border.

    Edges are chained per lowest vertex. Where more than two faces meet, the first unpaired one wins.
    Faces that name a vertex twice have no neighbours.
    """
    count = faces.shape[0]
    across = np.full((count, 3), -1, np.int32)
    head = np.full(vertices, -1, np.int32)
    following = np.empty(3 * count, np.int32)
    for f in range(count):
        if faces[f, 0] == faces[f, 1] or faces[f, 1] == faces[f, 2] or faces[f, 2] == faces[f, 0]:
            continue
        for k in range(3):
            a, b = faces[f, k], faces[f, (k + 1) % 3]
            low, high = min(a, b), max(a, b)
            # Look for the same edge of an earlier face in the chain of its lower vertex
            previous, entry = -1, head[low]
            while entry >= 0:
                g, j = entry // 3, entry % 3
                if faces[g, j] == high or faces[g, (j + 1) % 3] == high:
                    break
                previous, entry = entry, following[entry]
            # Not there: hang half edge 3 · f + k into the chain, to be found by the face beyond
            if entry < 0:
                following[3 * f + k] = head[low]
                head[low] = 3 * f + k
                continue
            # Found: the two faces are neighbours, and the edge leaves the chain
            across[f, k], across[g, j] = g, f
            if previous < 0:
                head[low] = following[entry]
            else:
                following[previous] = following[entry]
    return across


@njit(nogil=True)
def _area(screen, faces, f):
    a, b, c = screen[faces[f, 0]], screen[faces[f, 1]], screen[faces[f, 2]]
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@njit(nogil=True)
def _walk(screen, valid, faces, across, f, x, y, axis, direction, max_steps):
    """Follow the surface from pixel centre (x, y) one pixel along `axis` until its silhouette.

    Returns the two vertices of the silhouette edge met within one pixel, or (−1, −1). The line is
    left through the edge that lies farthest ahead, so the walk cannot turn back.
    """
    other = 1 - axis
    level = y if axis == 0 else x
    start = x if axis == 0 else y
    side = _area(screen, faces, f)
    for _ in range(max_steps):
        # The edge through which the line leaves the face: of those that it crosses, the farthest ahead
        best, edge = -1e30, -1
        for k in range(3):
            a, b = faces[f, k], faces[f, (k + 1) % 3]
            if not (valid[a] and valid[b]):
                return -1, -1
            da, db = screen[a, other] - level, screen[b, other] - level
            if (da < 0) == (db < 0):
                continue
            reach = screen[a, axis] + (screen[b, axis] - screen[a, axis]) * da / (da - db)
            ahead = (reach - start) * direction
            if ahead > best:
                best, edge = ahead, k
        if edge < 0 or best > 1.0:  # beyond the next pixel centre
            return -1, -1
        # Is it a silhouette? Then it counts if the line meets it ahead and crosses it steeply
        a, b = faces[f, edge], faces[f, (edge + 1) % 3]
        g = across[f, edge]
        if g < 0 or _area(screen, faces, g) * side <= 0:  # a border, or the surface folds back
            if best < 0:
                return -1, -1
            steep = abs(screen[a, other] - screen[b, other]) >= abs(
                screen[a, axis] - screen[b, axis]
            )
            return (a, b) if steep else (-1, -1)
        f = g
    return -1, -1


@njit(nogil=True)
def silhouette_pairs(pos, faces, across, rast, max_steps):
    """Neighbouring pixels of one view between which the nearer surface ends.

    pos: (V, 4) clip. rast: (H, W, 4). Returns (P, 5) int32 rows: near pixel, far pixel (flat
    indices), the silhouette edge's two vertices, axis (0 = x, 1 = y).
    """
    h, w, _ = rast.shape
    # Perspective division: pixel coordinates of the vertices that lie before the eye
    screen = np.empty((pos.shape[0], 2), np.float64)
    valid = np.empty(pos.shape[0], np.bool_)
    for i in range(pos.shape[0]):
        valid[i] = pos[i, 3] > 1e-8
        inverse = 1.0 / pos[i, 3] if valid[i] else 0.0
        screen[i, 0] = (pos[i, 0] * inverse + 1) * 0.5 * w - 0.5
        screen[i, 1] = (pos[i, 1] * inverse + 1) * 0.5 * h - 0.5
    # Pairs of pixels, to the right and below, that show different faces
    pairs = np.empty((2 * h * w, 5), np.int32)
    count = 0
    for row in range(h):
        for column in range(w):
            for axis in range(2):
                row2, column2 = row + axis, column + 1 - axis
                if row2 >= h or column2 >= w:
                    continue
                here, there = restored(rast[row, column, 3]), restored(rast[row2, column2, 3])
                if here == there:
                    continue
                # The nearer surface is the one that may end between them
                first_is_near = there == 0 or (
                    here != 0 and rast[row, column, 2] <= rast[row2, column2, 2]
                )
                if first_is_near:
                    f, x, y, direction = here - 1, column, row, 1.0
                else:
                    f, x, y, direction = there - 1, column2, row2, -1.0
                # Its silhouette edge, if the walk toward the other pixel meets one
                a, b = _walk(
                    screen, valid, faces, across, f, float(x), float(y), axis, direction, max_steps
                )
                if a < 0:
                    continue
                near, far = row * w + column, row2 * w + column2
                if not first_is_near:
                    near, far = far, near
                pairs[count, 0], pairs[count, 1] = near, far
                pairs[count, 2], pairs[count, 3], pairs[count, 4] = a, b, axis
                count += 1
    return pairs[:count].copy()
