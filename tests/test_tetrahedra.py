"""Marching tetrahedra and DMTet: shapes whose area, volume and topology are known."""

import numpy as np
import pytest
import torch

from sdtool.shapes.dmtet import DMTetShape, normals
from sdtool.shapes.grids import GridPyramid, grid_points
from sdtool.shapes.tetrahedra import TetGrid

HALF = 0.6


def sphere(points, radius=0.4, centre=(0.0, 0.0, 0.0)):
    return (points - torch.tensor(centre, dtype=points.dtype)).norm(dim=-1) - radius


def torus(points, ring=0.33, tube=0.13):
    return torch.hypot(torch.hypot(points[..., 0], points[..., 2]) - ring, points[..., 1]) - tube


def surface(resolution, sdf, half_extent=HALF):
    """March `sdf(points)` without offsets: v_pos float32, t_pos_idx as int64."""
    grid = TetGrid(resolution, half_extent)
    v_pos, faces = grid.march(sdf(grid.vertices), torch.zeros_like(grid.vertices))
    assert faces.dtype == torch.int32 and v_pos.dtype == torch.float32
    return v_pos, faces.long()


def area(v_pos, faces):
    a, b, c = v_pos[faces].unbind(1)
    return torch.linalg.cross(b - a, c - a).norm(dim=-1).sum() / 2


def volume(v_pos, faces):
    """Signed: positive if faces are counter-clockwise seen from outside."""
    a, b, c = v_pos[faces].unbind(1)
    return (a * torch.linalg.cross(b, c)).sum() / 6


def directed_edges(faces):
    """(3F, 2) edges in the direction in which their face runs round."""
    return torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def euler(faces):
    """V − E + F: 2 for each sphere, 0 for a torus."""
    edges = directed_edges(faces).sort(dim=1).values
    return len(faces.unique()) - len(edges.unique(dim=0)) + len(faces)


def assert_closed(faces):
    """Every edge is used once in each direction: watertight and consistently wound."""
    edges = directed_edges(faces)
    once = edges.unique(dim=0)
    assert len(once) == len(edges) and torch.equal(once, edges.flip(1).unique(dim=0))


# The grid


@pytest.mark.parametrize("resolution", [1, 3])
def test_the_tetrahedra_fill_the_cube_once(resolution):
    grid = TetGrid(resolution, HALF)
    assert torch.equal(grid.vertices, grid_points(resolution + 1, HALF).reshape(-1, 3))
    assert len(grid.tets) == 6 * resolution**3 == len(grid.odd)
    a, b, c, d = grid.vertices[grid.tets].double().unbind(1)
    signed = (torch.linalg.cross(b - a, c - a) * (d - a)).sum(-1) / 6
    assert torch.equal(signed < 0, grid.odd)
    each = (2 * HALF / resolution) ** 3 / 6
    assert torch.allclose(signed.abs(), torch.tensor(each, dtype=torch.float64))
    points = (
        torch.rand(200, 3, generator=torch.Generator().manual_seed(0)).double() * 2 * HALF - HALF
    )
    basis = torch.stack([b - a, c - a, d - a], dim=-1)  # (T, 3, 3)
    weights = torch.linalg.solve(basis[:, None], (points[None] - a[:, None])[..., None])[..., 0]
    inside = (weights >= 0).all(-1) & (weights.sum(-1) <= 1)
    assert (inside.sum(0) == 1).all()


def test_edge_numbers_are_shared_by_the_tetrahedra_that_meet_there():
    """Each of the 7 directions of an edge, from its lower vertex, is a different step."""
    grid = TetGrid(2, HALF)
    pairs = {}
    for tet, codes in zip(grid.tets.tolist(), grid._direction.tolist(), strict=True):
        for (i, j), code in zip(
            ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)), codes, strict=True
        ):
            number = tet[i] * 7 + code
            assert pairs.setdefault(number, (tet[i], tet[j])) == (tet[i], tet[j])
            assert tet[i] + int(grid._step[code]) == tet[j]
    assert len(pairs) == 3 * 18 + 3 * 12 + 8  # along axes, across faces, through cells


# Shapes


@pytest.mark.parametrize("resolution", [1, 3, 8])
def test_no_tetrahedron_that_is_cut_is_passed_over(resolution):
    """Only those of cells with corners on both sides are looked at: all others are whole."""
    grid = TetGrid(resolution, 0.5)
    for seed in range(4):
        drawn = torch.rand(len(grid.vertices), generator=torch.Generator().manual_seed(seed))
        inside = drawn < (0.5, 0.02, 0.98, 0.1)[seed]
        near = grid._near_surface(inside)
        assert torch.equal(near, near.unique()), "in order, each once"
        count = inside[grid.tets].sum(-1)
        cut = torch.nonzero((count > 0) & (count < 4))[:, 0]
        assert torch.isin(cut, near).all()
        assert len(near) < len(grid.tets) or resolution < 8 or seed == 0


@pytest.mark.parametrize("resolution, tolerance", [(12, 0.04), (24, 0.01), (48, 0.0025)])
def test_a_sphere_has_its_area_volume_and_topology(resolution, tolerance):
    v_pos, faces = surface(resolution, sphere)
    assert abs(area(v_pos, faces) / (4 * np.pi * 0.4**2) - 1) < tolerance
    assert abs(volume(v_pos, faces) / (4 / 3 * np.pi * 0.4**3) - 1) < 2 * tolerance
    assert euler(faces) == 2
    assert_closed(faces)
    assert len(faces.unique()) == len(v_pos)  # no vertex is left over


def test_every_face_of_a_sphere_looks_outward():
    v_pos, faces = surface(15, sphere)
    a, b, c = v_pos[faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    solid = (
        normal.norm(dim=-1) > 1e-9
    )  # where the sphere meets a grid vertex, slivers have no normal
    assert ((normal * (a + b + c)).sum(-1)[solid] > 0).all() and solid.float().mean() > 0.99


def test_a_torus_has_one_hole():
    v_pos, faces = surface(32, torus)
    assert euler(faces) == 0
    assert_closed(faces)
    assert abs(volume(v_pos, faces) / (2 * np.pi**2 * 0.33 * 0.13**2) - 1) < 0.03


def test_two_spheres_stay_two():
    one, two = (0.3, 0.28, 0.3), (-0.27, -0.3, -0.3)
    v_pos, faces = surface(24, lambda p: torch.minimum(sphere(p, 0.2, one), sphere(p, 0.25, two)))
    assert euler(faces) == 2 + 2
    assert_closed(faces)
    expected = 4 / 3 * np.pi * (0.2**3 + 0.25**3)
    assert abs(volume(v_pos, faces) / expected - 1) < 0.05
    near_one = (v_pos - torch.tensor(one)).norm(dim=-1) < 0.3
    assert torch.equal(near_one[faces].any(1), near_one[faces].all(1))  # no face joins them


@pytest.mark.parametrize("value", [1.0, -1.0, 0.0])
def test_empty_and_full_have_no_surface(value):
    grid = TetGrid(4, HALF)
    sdf = torch.full((len(grid.vertices),), value, requires_grad=True)
    v_pos, faces = grid.march(sdf, torch.zeros_like(grid.vertices))
    assert v_pos.shape == (0, 3) and faces.shape == (0, 3) and faces.dtype == torch.int32


def test_a_hollow_has_its_faces_turned_inward():
    v_pos, faces = surface(16, lambda p: -sphere(p, 0.3))
    assert abs(volume(v_pos, faces) / (-4 / 3 * np.pi * 0.3**3) - 1) < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_sdf_gives_its_plane_exactly(seed):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=3)
    direction = torch.from_numpy(direction / np.linalg.norm(direction)).float()
    level = float(rng.uniform(-0.2, 0.2))
    v_pos, faces = surface(9, lambda p: p @ direction - level)
    assert abs(v_pos @ direction - level).max() < 1e-6
    a, b, c = v_pos[faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    doubled = normal.norm(dim=-1)
    assert torch.allclose(normal[doubled > 1e-6] / doubled[doubled > 1e-6, None],
                          direction.expand_as(normal[doubled > 1e-6]), atol=1e-3)  # fmt: skip


def test_a_plane_through_the_grid_has_the_area_of_the_cut():
    v_pos, faces = surface(8, lambda p: p[:, 1] - 0.05)
    assert torch.allclose(area(v_pos, faces), torch.tensor((2 * HALF) ** 2))


def test_a_single_inside_vertex_is_wrapped():
    """In the Kuhn grid 14 edges and 24 tetrahedra meet at an inner vertex."""
    grid = TetGrid(2, HALF)
    sdf = torch.ones(27)
    sdf[13] = -1.0
    v_pos, faces = grid.march(sdf, torch.zeros(27, 3))
    assert v_pos.shape == (14, 3) and faces.shape == (24, 3)
    assert_closed(faces.long())
    assert volume(v_pos, faces.long()) > 0 and euler(faces.long()) == 2


# Gradients


def test_gradients_of_the_vertices():
    """float64 gradcheck in the signed distance and the offsets of a random field."""
    grid = TetGrid(2, HALF)
    generator = torch.Generator().manual_seed(0)
    sdf = torch.randn(27, generator=generator, dtype=torch.float64)
    sdf = (sdf + 0.2 * sdf.sign()).requires_grad_()  # no sign may change
    offset = 0.1 * torch.randn(27, 3, generator=generator, dtype=torch.float64)
    offset.requires_grad_()

    def vertices(sdf, offset):
        return grid.march(sdf, offset)[0]

    assert len(vertices(sdf, offset)) > 20
    assert torch.autograd.gradcheck(vertices, (sdf, offset), eps=1e-7, atol=1e-5)


def test_the_volume_of_a_sphere_shrinks_by_its_area():
    """d volume / d c for sdf + c is −4πr²: summed over all grid values by autograd."""
    grid = TetGrid(40, HALF)
    sdf = sphere(grid.vertices).requires_grad_()
    v_pos, faces = grid.march(sdf, torch.zeros_like(grid.vertices))
    volume(v_pos, faces.long()).backward()
    assert abs(float(sdf.grad.sum()) / (-4 * np.pi * 0.4**2) - 1) < 0.01


def test_moving_all_grid_vertices_moves_the_surface():
    grid = TetGrid(10, HALF)
    sdf = sphere(grid.vertices)
    shift = torch.tensor([0.01, -0.02, 0.03])
    still, faces = grid.march(sdf, torch.zeros_like(grid.vertices))
    moved, same = grid.march(sdf, shift.expand_as(grid.vertices))
    assert torch.equal(faces, same) and torch.allclose(moved, still + shift, atol=1e-6)


# The shape that is optimised


def sphere_shape(resolution=16):
    return DMTetShape(sphere(grid_points(resolution + 1, HALF)), HALF)


def test_a_fresh_shape_is_its_first_sdf():
    shape = sphere_shape()
    assert torch.equal(shape.sdf(), sphere(shape.grid.vertices))
    v_pos, faces = shape.surface()
    expected, same = surface(16, sphere)
    assert torch.equal(faces.long(), same) and torch.allclose(v_pos, expected)
    assert v_pos.requires_grad and shape.roughness() == 0


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [1, -1])
def test_offsets_end_at_half_a_cell(axis, sign):
    """Channels 1–3 are x, y, z; tanh of ±50 is ±1."""
    shape = sphere_shape(resolution=12)
    still = shape.surface()[0].detach()
    with torch.no_grad():
        shape.field.grids[-1][0, 1 + axis] = sign * 50.0
    expected = still.clone()
    expected[:, axis] += sign * 0.5 * (2 * HALF / 12)
    assert torch.allclose(shape.surface()[0], expected, atol=1e-6)


def test_the_sdf_channel_grows_and_shrinks_the_shape():
    shape = sphere_shape(resolution=24)
    with torch.no_grad():
        shape.field.grids[0][0, 0] = 0.1  # of the coarsest level: constant everywhere
    v_pos, faces = shape.surface()
    radius = v_pos.norm(dim=-1)
    assert abs(radius - 0.3).max() < 0.01 and euler(faces.long()) == 2


def test_every_parameter_of_the_shape_gets_a_gradient():
    shape = sphere_shape()
    v_pos, faces = shape.surface()
    volume(v_pos, faces.long()).backward()
    for grid in shape.field.grids:
        assert (grid.grad.abs().amax(dim=(0, 2, 3, 4)) > 0).all()


def test_roughness_is_0_for_a_linear_change_and_counts_bends_in_cells():
    """A single corner raised by one cell: the second difference is 1, −2, 1 along each axis."""
    n = 9
    shape = DMTetShape(sphere(grid_points(n, HALF)), HALF)
    cell = 2 * HALF / (n - 1)
    with torch.no_grad():
        shape.field.grids[-1][0, 0] = grid_points(n, HALF) @ torch.tensor([1.0, 2, 3])
    assert shape.roughness() < 1e-8
    with torch.no_grad():
        shape.field.grids[-1].zero_()[0, 0, 4, 4, 4] = cell / shape.field.gains[-1]
    expected = 3 * (1 + 4 + 1) / (7 * 9 * 9)
    assert torch.allclose(shape.roughness(), torch.tensor(expected))


def test_normals_of_a_sphere_are_its_directions():
    v_pos, faces = surface(32, sphere)
    normal = normals(v_pos, faces.int())
    assert torch.allclose(normal.norm(dim=-1), torch.ones(len(v_pos)), atol=1e-5)
    cosine = (normal * v_pos).sum(-1) / v_pos.norm(dim=-1)
    assert cosine.min() > 0.97 and cosine.mean() > 0.999


def test_gradients_of_normals():
    grid = TetGrid(3, HALF)
    v_pos, faces = grid.march(sphere(grid.vertices, 0.37).double(), torch.zeros(64, 3))
    assert len(faces) > 20
    assert torch.autograd.gradcheck(lambda v: normals(v, faces), v_pos.double().requires_grad_())


def test_gains_scale_the_levels_of_a_pyramid():
    pyramid = GridPyramid((2, 3), 1, HALF, gains=(1.0, 0.25))
    with torch.no_grad():
        pyramid.grids[0].fill_(5.0)
        pyramid.grids[1].fill_(8.0)
    assert torch.allclose(pyramid.composed(), torch.tensor(5.0 + 0.25 * 8.0))


def test_subdivision_keeps_the_surface():
    generator = torch.Generator().manual_seed(0)
    shape = DMTetShape(torus(grid_points(13, HALF)), HALF)
    for grid in shape.field.grids:
        grid.data += 0.01 * torch.randn(grid.shape, generator=generator)
        grid.data[:, 1:] *= 30  # offsets of a fair share of a cell
    fine = shape.subdivided()
    assert fine.resolution == 24
    for wanted, found in zip(measured(shape), measured(fine), strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)
    v_pos, faces = fine.surface()
    assert len(faces) > 3 * len(shape.surface()[1])
    again = fine.subdivided().subdivided()
    assert measured(again) == pytest.approx(measured(shape), rel=1e-4)


def measured(shape: DMTetShape) -> tuple[float, float]:
    """Area and volume of the surface."""
    v_pos, faces = shape.surface()
    return area(v_pos, faces.long()).item(), volume(v_pos, faces.long()).item()


def test_a_hash_grid_may_give_the_values():
    """It starts where direct values do, moves with its parameters, and subdivides exactly."""
    ball = sphere(grid_points(13, HALF))
    shape, direct = DMTetShape(ball, HALF, log2_table=10), DMTetShape(ball, HALF)
    assert measured(shape) == pytest.approx(measured(direct), rel=1e-3)
    assert (shape.sdf() - ball.reshape(-1)).abs().max() < 1e-3
    resolutions = [level.resolution for level in shape.field.field.grid.levels]
    assert (len(resolutions), resolutions[0], resolutions[-1]) == (16, 16, 4096)  # Fantasia3D's
    assert [w.shape for w in shape.field.field.mlp.weights] == [(32, 32), (32, 32), (4, 32)]
    v_pos, _ = shape.surface()
    v_pos.square().sum().backward()
    for name, parameter in shape.named_parameters():
        assert parameter.grad.abs().max() > 0, name
    with torch.no_grad():
        shape.field.field.grid.table.mul_(3000)
    assert measured(shape) != pytest.approx(measured(direct), rel=1e-3)
    fine = shape.subdivided()
    assert fine.log2_table == 10
    assert measured(fine) == pytest.approx(measured(shape), rel=1e-3)
