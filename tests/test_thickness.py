"""The thickness of walls: closed forms, and a ray tracer that tries every triangle."""

from dataclasses import replace

import numpy as np
import pytest
from shape_samples import box, icosphere, trace

from sdtool.exporting.soundness import soundness
from sdtool.geometry.closest import ClosestPoint
from sdtool.geometry.meshes import Mesh, face_normals, merge
from sdtool.geometry.thickness import thickness, wall


def inside_out(mesh):
    return replace(mesh, t_pos_idx=mesh.t_pos_idx[:, ::-1].copy())


def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("sides", [(3, 1, 0.25), (0.1, 5, 2), (1, 1, 1)])
def test_a_box_is_as_thick_as_its_shortest_side(sides):
    found = thickness(box([-1, 2, 0], np.add([-1, 2, 0], sides)), rng(), 4000)
    assert found.thinnest == pytest.approx(min(sides), rel=1e-6) and found.open == 0


def test_a_hollow_sphere_is_as_thick_as_its_wall():
    """Radii 0.5 and 0.45; facets of 1,280 faces are flat by less than 0.0025 of a radius."""
    hollow = merge([icosphere(3, 0.5), inside_out(icosphere(3, 0.45))])
    found = thickness(hollow, rng(), 4000)
    assert found.thinnest == pytest.approx(0.05, abs=0.0025)
    assert found.usual == pytest.approx(0.05, abs=0.0025) and found.open == 0


def test_a_solid_sphere_is_as_thick_as_its_diameter():
    assert thickness(icosphere(3, 0.5), rng(), 2000).thinnest == pytest.approx(1, abs=0.02)


def test_what_is_thin_at_one_place_is_found():
    """A rod of 0.1 × 0.1 × 1 on a cube of side 1: 0.4 of 6.4 of the surface."""
    found = thickness(
        merge([box([0, 0, 0], [1, 1, 1]), box([0, 1, 0], [0.1, 2, 0.1])]), rng(), 4000
    )
    assert found.thinnest == pytest.approx(0.1) and found.usual == pytest.approx(1)


def test_the_walk_through_the_grid_finds_what_trying_every_triangle_finds():
    rough = icosphere(3, 0.5)
    rough = rough.with_positions(rough.v_pos * (1 + 0.3 * np.sin(9 * rough.v_pos[:, :1])))
    both = merge([rough, box([0.2, 0.2, -2], [0.3, 0.3, 2])])
    direction = rng().normal(size=(200, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    point = np.array([0.05, 0.02, -0.01])
    backs = (face_normals(both)[:, None] * direction).sum(-1) > 0  # (F, rays)
    expected = [
        trace(Mesh(both.v_pos, both.t_pos_idx[seen]), point, one)[0]
        for one, seen in zip(direction, backs.T, strict=True)
    ]
    found = wall(ClosestPoint(both), np.tile(point, (200, 1)), direction)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_sheet_has_no_inside_and_two_sheets_back_to_back_no_thickness():
    top = Mesh(box([0, 0, 0], [1, 1, 1]).v_pos, np.array([[0, 1, 3], [0, 3, 2]], np.int32))
    alone = thickness(top, rng(), 100)
    assert alone.open == 1 and np.isnan(alone.thinnest)
    assert thickness(merge([top, inside_out(top)]), rng(), 100).thinnest == 0


# The report


def test_the_report_of_a_closed_body_in_millimetres():
    found = soundness(box([0, 0, 0], [2, 4, 0.1]), 5.0)
    said = found.facts()
    assert said["size"] == pytest.approx([10, 20, 0.5]) and said["unit"] == "mm"
    assert said["volume"] == pytest.approx(100) and said["thinnest"] == pytest.approx(0.5)
    assert (said["watertight"], said["open_edges"], said["crowded_edges"]) == (True, 0, 0)
    assert found.lines() == [
        "size: 10 × 20 × 0.5 mm (width, height, depth), one part",
        "watertight: yes",
        "thinnest part: 0.5 mm (1% of the surface is thinner); a nozzle of 0.4 mm wants 0.8 mm",
    ]


def test_the_report_of_an_open_one_without_a_size():
    whole = box([0, 0, 0], [1, 1, 1])
    found = soundness(Mesh(whole.v_pos, whole.t_pos_idx[2:]), None)
    assert not found.watertight and found.holes == 4 and found.facts()["unit"] == ""
    said = "\n".join(found.lines())
    assert "watertight: no, 4 edges lie open; --repair" in said and "mm" not in said
    assert "20% of the surface has nothing behind it" in said
    sheet = soundness(Mesh(whole.v_pos, whole.t_pos_idx[:2]), None)
    assert "thinnest part: unknown" in sheet.lines()[2] and sheet.facts()["thinnest"] is None


def test_parts_and_crowded_edges_are_counted():
    boxes = merge([box([0, 0, 0], [1, 1, 1]), box([3, 0, 0], [4, 1, 1])])
    found = soundness(boxes, 1.0)
    assert (found.parts, found.watertight) == (2, True) and "2 parts" in found.lines()[0]
    corners = {tuple(p): k for k, p in enumerate(np.unique(box([0] * 3, [2, 2, 1]).v_pos, axis=0))}
    assert len(corners) == 8
