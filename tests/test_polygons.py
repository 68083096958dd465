"""Polygons into triangles: inside the polygon, in its turn, all of its area."""

import numpy as np
import pytest

from sdtool.geometry.meshes import triangle_areas
from sdtool.geometry.polygons import triangulate


def signed_area(point):
    x, y = np.asarray(point, float).T
    return (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2


def letter_c():
    return [(0, 0), (4, 0), (4, 1), (1, 1), (1, 3), (4, 3), (4, 4), (0, 4)]  # area 10


def comb(teeth):
    top = [(2 * k + d, h) for k in range(teeth) for d, h in ((0, 3), (1, 3), (1, 1), (2, 1))]
    return [(0, 0), *[(x, y) for x, y in [(2 * teeth, 0)]], *top[::-1]]


def spiral():
    angle = np.linspace(0, 6 * np.pi, 200)
    outer = np.stack([np.cos(angle), np.sin(angle)], 1) * (1 + angle[:, None])
    inner = np.stack([np.cos(angle), np.sin(angle)], 1) * (0.5 + angle[:, None])
    return np.concatenate([outer, inner[::-1]])


SHAPES = {
    "triangle": [(0, 0), (1, 0), (0, 1)],
    "arrow": [(0, 0), (2, 1), (0, 2), (0.5, 1)],  # a concave quadrilateral
    "dart": [(0.5, 1), (0, 0), (2, 1), (0, 2)],
    "letter C": letter_c(),
    "comb": comb(40),
    "spiral": spiral(),
    "frame": [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1), (1, 1)],
    "points on edges": [(0, 0), (1, 0), (2, 0), (4, 0), (4, 4), (2, 1), (2, 1), (0, 4), (0, 1)],
    "octagon": [(2, 0), (3, 1), (3, 3), (2, 4), (0, 4), (-1, 3), (-1, 1), (0, 0)],
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("normal", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (1, 2, -3)])
def test_triangles_fill_the_polygon_once_and_turn_as_it_does(name, normal):
    flat = np.asarray(SHAPES[name], float)
    if signed_area(flat) < 0:
        flat = flat[::-1]
    z = np.array(normal) / np.linalg.norm(normal)
    x = np.cross([0.3, 0.5, 0.8], z)
    x /= np.linalg.norm(x)
    axes = np.stack([x, np.cross(z, x)])  # right-handed with z
    v_pos = (flat @ axes + 7).astype(np.float32)
    faces, owner = triangulate(v_pos, np.arange(len(flat)), np.array([len(flat)]))
    assert faces.shape == (len(flat) - 2, 3) and not owner.any()
    a, b, c = (v_pos[faces[:, k]].astype(float) for k in range(3))
    areas = np.cross(b - a, c - a) @ z / 2
    assert areas.min() > -1e-4  # none is turned over, so that their sum says that none overlap
    assert areas.sum() == pytest.approx(signed_area(flat), rel=1e-5)
    assert triangle_areas(v_pos.astype(float), faces).sum() == pytest.approx(areas.sum(), rel=1e-4)


def test_many_polygons_keep_their_order_and_convex_ones_are_fans():
    v_pos = np.array([(x, y, 0) for x, y in [*letter_c(), *SHAPES["octagon"]]], np.float32)
    corner = np.concatenate([np.arange(8, 16), [0, 1, 2], np.arange(8), [5, 6], [0, 1, 2, 3]])
    faces, owner = triangulate(v_pos, corner, np.array([8, 3, 8, 2, 4]))
    assert owner.tolist() == [0] * 6 + [1] + [2] * 6 + [4] * 2
    assert faces[:6].tolist() == [[0, k, k + 1] for k in range(1, 7)]
    assert faces[6].tolist() == [8, 9, 10] and faces[-2:].tolist() == [[21, 22, 23], [21, 23, 24]]


def test_what_no_ear_fits_still_gives_its_triangles():
    crossed = np.array([(0, 0, 0), (2, 2, 0), (2, 0, 0), (0, 2, 0), (1, 3, 0)], np.float32)
    point = np.zeros((6, 3), np.float32)
    line = np.array([(k, 0, 0) for k in range(7)], np.float32)
    for v_pos in (crossed, point, line, np.full((5, 3), np.nan, np.float32)):
        faces, _ = triangulate(v_pos, np.arange(len(v_pos)), np.array([len(v_pos)]))
        assert faces.shape == (len(v_pos) - 2, 3) and faces.max() < len(v_pos)
    star = np.exp(1j * np.arange(0, 10, 2) * 2 * np.pi / 5)  # a pentagram never turns back
    v_pos = np.stack([star.real, star.imag, 0 * star.real], 1).astype(np.float32)
    assert len(triangulate(v_pos, np.arange(5), np.array([5]))[0]) == 3
    assert triangulate(v_pos, np.arange(0), np.array([], int))[0].shape == (0, 3)
