"""Volume rendering and the density shape: closed forms of transmittance, and boxes that are known."""

import numpy as np
import pytest
import torch

from sdtool.geometry.cameras import ViewRange, pixel_rays, random_views
from sdtool.rendering.volume import composite, render_grid, sample_depths
from sdtool.shapes.density import SHARPNESS, DensityShape
from sdtool.shapes.grids import GridPyramid, grid_points, sample_grid

FOV = np.radians(45.0)
HALF = 0.6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rays(count=2, size=12, seed=0):
    c2w = random_views(np.random.default_rng(seed), count, ViewRange())
    return tuple(torch.from_numpy(a) for a in pixel_rays(c2w, FOV, size))


# Samples and weights


def test_samples_lie_in_their_strata():
    """Eyes at 1.5 and 2.0, radius 0.8: depths 0.7–2.3 and 1.2–2.8 in 16 strata of 0.1."""
    distance = torch.tensor([1.5, 2.0])
    edges = torch.tensor([[0.7], [1.2]]) + 0.1 * torch.arange(17)
    centred = sample_depths(distance, 0.8, 16, None)
    assert torch.allclose(centred, edges[:, :-1] + 0.05)
    draws = torch.stack([sample_depths(distance, 0.8, 16, generator(s)) for s in range(200)])
    assert (draws >= edges[:, :-1] - 1e-6).all() and (draws <= edges[:, 1:] + 1e-6).all()
    place = (draws - edges[:, :-1]) / 0.1
    assert (place.mean(0) - 0.5).abs().max() < 5 * 12**-0.5 / 200**0.5  # uniform in each: 5 σ
    assert torch.equal(draws[0], sample_depths(distance, 0.8, 16, generator(0)))


def test_samples_begin_before_an_eye_inside_the_sphere():
    depth = sample_depths(torch.tensor([0.5]), 0.8, 10, None)
    step = (0.5 + 0.8 - 0.05) / 10
    assert torch.allclose(depth[0], 0.05 + (torch.arange(10) + 0.5) * step)


def test_constant_density_gives_the_analytic_transmittance():
    """S samples δ apart: the light that passes is exp(−σ S δ), whatever S."""
    for samples in (1, 2, 7, 64):
        depth = torch.linspace(1, 2, samples + 1, dtype=torch.float64)[:-1]
        if samples == 1:
            depth = torch.tensor([1.0, 2.0], dtype=torch.float64)
        passed = 1 - composite(torch.full_like(depth, 1.7), depth).sum()
        length = len(depth) * (depth[1] - depth[0])
        assert torch.allclose(passed, torch.exp(-1.7 * length))


def test_weights_are_what_is_left_times_what_is_taken():
    """σδ = ln 2 takes half: ½, then ½ of ½, then all of the last quarter."""
    depth = torch.tensor([0.0, 1.0, 2.0, 3.0])
    density = torch.tensor([np.log(2), np.log(2), 1e4, 5.0], dtype=torch.float32)
    assert torch.allclose(composite(density, depth), torch.tensor([0.5, 0.25, 0.25, 0.0]))


def test_uneven_samples_count_by_their_spacing():
    depth = torch.tensor([0.0, 0.1, 0.5, 0.6])  # δ = 0.1, 0.4, 0.1 and their mean 0.2
    passed = 1 - composite(torch.full((4,), 3.0), depth).sum()
    assert torch.allclose(passed, torch.exp(torch.tensor(-3.0 * (0.1 + 0.4 + 0.1 + 0.2))))


def test_gradients_of_the_weights():
    depth = torch.sort(torch.rand(3, 6, generator=generator(), dtype=torch.float64)).values
    density = 5 * torch.rand(3, 6, generator=generator(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(composite, (density.requires_grad_(), depth))


# Rendering grids


def test_an_empty_grid_is_empty():
    origins, directions = rays()
    for part in render_grid(torch.zeros(1, 4, 9, 9, 9), HALF, origins, directions, 16):
        assert not part.any()


def test_a_ray_through_a_uniform_cube():
    """Along z it meets 2·half_extent of density, and a fade of one cell (½ of its area) at either end."""
    n, sigma = 13, 0.8
    grid = torch.full((1, 1, n, n, n), sigma)
    origin, direction = torch.tensor([[0.0, 0, 1.5]]), torch.tensor([[[[0.0, 0, -1]]]])
    coverage, position, _ = render_grid(grid, HALF, origin, direction, 400)
    cell = 2 * HALF / (n - 1)
    expected = 1 - np.exp(-sigma * (2 * HALF + 2 * 0.5 * cell))
    assert abs(float(coverage) - expected) < 1e-3
    # the mean depth of absorption in such a slab, from its front, is 1/σ − L·T/(1 − T)
    length = 2 * HALF + cell
    mean = 1 / sigma - length * np.exp(-sigma * length) / expected
    z = float(position[..., 2] / coverage[..., 0])
    assert abs(z - (length / 2 - mean)) < 3e-3 and not position[..., :2].any()


def sphere_grid(radius, channels=0, n=49, density=400.0):
    points = grid_points(n, HALF)
    inside = (points.norm(dim=-1) < radius).float()
    return torch.cat([density * inside[None], points.movedim(-1, 0)[:channels]])[None]


@pytest.mark.parametrize("seed", [None, 3])
def test_an_opaque_sphere_is_seen_where_rays_meet_it(seed):
    """The expected position lies on the sphere to within a cell and a sample."""
    radius, samples = 0.4, 200
    origins, directions = rays(size=16)
    random = None if seed is None else generator(seed)
    grid = sphere_grid(radius)
    coverage, position, _ = render_grid(grid, HALF, origins, directions, samples, random)
    along = (directions * origins[:, None, None]).sum(-1)  # |o + s d|² = s² + 2 s (o·d) + |o|²
    rest = along**2 - (origins**2).sum(-1)[:, None, None] + radius**2
    inner = rest > 0.06  # away from the rim, where a ray passes no full cell
    outer = rest < -0.06
    assert inner.float().mean() > 0.1 and outer.float().mean() > 0.1
    assert coverage[..., 0][inner].min() > 0.999 and coverage[..., 0][outer].max() == 0
    expected = origins[:, None, None] + (-along - rest.clamp(min=0).sqrt())[..., None] * directions
    cell, step = 2 * HALF / 48, 2 * 0.9 * 3**0.5 * HALF / samples
    error = (position / coverage.clamp(min=1e-6) - expected)[inner].norm(dim=-1)
    assert error.max() < 1.5 * cell + step


def test_weights_sum_to_the_coverage_and_carry_attributes():
    """Attributes equal to x, y, z come back as the expected position, and a constant as itself."""
    origins, directions = rays(seed=1)
    grid = torch.cat([sphere_grid(0.4, 3, density=6.0), torch.full((1, 1, 49, 49, 49), 0.7)], dim=1)
    coverage, position, value = render_grid(grid, HALF, origins, directions, 64, generator())
    assert coverage.shape == (2, 12, 12, 1) and value.shape == (2, 12, 12, 4)
    assert 0 <= coverage.min() and 0.9 < coverage.max() <= 1
    assert torch.allclose(value[..., 3:], 0.7 * coverage, atol=1e-5)
    assert torch.allclose(value[..., :3], position, atol=1e-5)


def test_density_pulled_by_the_image_grows_where_the_ray_runs():
    grid = torch.full((1, 1, 9, 9, 9), 0.5, requires_grad=True)
    origin, direction = torch.tensor([[0.0, 0, 1.5]]), torch.tensor([[[[0.0, 0, -1]]]])
    render_grid(grid, HALF, origin, direction, 64)[0].sum().backward()
    assert (grid.grad[0, 0, :, 4, 4] > 0).all()  # indexed (z, y, x): the line x = y = 0
    assert grid.grad.count_nonzero() == 9


# Grids


def test_grid_values_are_exact_at_corners_and_between_them_linear():
    n, half_extent = 6, 0.8
    grid = torch.randn(1, 2, n, n, n, generator=generator())
    points = grid_points(n, half_extent)
    assert points[0, 0, 0].tolist() == pytest.approx([-half_extent] * 3)
    assert points[1, 0, 5].tolist() == pytest.approx(
        [half_extent, -half_extent, -half_extent + 2 * half_extent / 5]
    )
    values = sample_grid(grid, points.reshape(-1, 3), half_extent)
    assert torch.allclose(values, grid.reshape(2, -1).T, atol=1e-5)
    linear = (points @ torch.tensor([1.0, -2.0, 3.0]) + 0.5)[None, None]
    inner = (torch.rand(100, 3, generator=generator(1)) * 2 - 1) * half_extent
    expected = inner @ torch.tensor([1.0, -2.0, 3.0]) + 0.5
    assert torch.allclose(sample_grid(linear, inner, half_extent)[:, 0], expected, atol=1e-5)


def test_grid_values_fade_to_zero_over_one_cell_outside():
    n, half_extent = 5, 1.0
    x = torch.tensor([1.0, 1.125, 1.25, 1.5, 1.75, 100])  # a cell is ½
    points = torch.stack([x, 0 * x, 0 * x], dim=-1)
    values = sample_grid(torch.ones(1, 1, n, n, n), points, half_extent)[:, 0]
    assert torch.allclose(values, torch.tensor([1.0, 0.75, 0.5, 0.0, 0.0, 0.0]))


def test_a_pyramid_is_the_sum_of_its_levels():
    pyramid = GridPyramid((2, 3, 5), 1, 1.0)
    assert not pyramid.composed().any() and pyramid.composed().shape == (1, 1, 5, 5, 5)
    linear = [grid_points(n, 1.0)[..., axis] for axis, n in enumerate((2, 3, 5))]  # x, y, z
    with torch.no_grad():
        for grid, values in zip(pyramid.grids, linear, strict=True):
            grid.copy_(values)
    expected = grid_points(5, 1.0).sum(-1)  # linear fields are enlarged without error
    assert torch.allclose(pyramid.composed()[0, 0], expected, atol=1e-6)


# The density shape


def shape_with(inside, levels=(8, 25)):
    """A DensityShape that is solid where `inside` (n, n, n) holds, and empty elsewhere."""
    shape = DensityShape(levels, HALF)
    with torch.no_grad():
        shape.field.grids[-1].copy_(torch.where(inside, 8.0, -30.0) - shape.blob)
    return shape


def test_a_fresh_density_is_a_soft_blob_in_the_middle():
    shape = DensityShape()
    density = shape.maps_grid()[0, 0]
    points = grid_points(48, HALF)
    radius = points.norm(dim=-1)
    assert density.min() >= 0 and density[radius < 0.1].min() > SHARPNESS
    assert density[radius > 0.45].max() < 0.1
    assert shape.total_variation() == 0
    low, high = shape.bounds()
    assert torch.allclose(low, -high, atol=2 * HALF / 47 + 1e-6) and (high > 0.1).all()
    assert (high < 0.35).all()


def test_bounds_are_those_of_a_solid_box():
    points = grid_points(25, HALF)  # corners every 0.05
    low, high = torch.tensor([-0.3, -0.1, -0.5]), torch.tensor([0.2, 0.4, 0.1])
    inside = ((points >= low - 1e-4) & (points <= high + 1e-4)).all(-1)
    bounds = shape_with(inside).bounds()
    assert bounds.shape == (2, 3)
    assert torch.allclose(bounds, torch.stack([low, high]), atol=1e-5)


def test_bounds_leave_out_a_stray_speck():
    points = grid_points(25, HALF)
    inside = (points.abs() <= 0.3 + 1e-4).all(-1)  # 13³ = 2197 corners
    inside[1, 2, 3] = True  # one more is 0.05% of them, less than the tail of 0.2%
    bounds = shape_with(inside).bounds()
    assert torch.allclose(bounds, torch.tensor([[-0.3] * 3, [0.3] * 3]), atol=1e-5)


def test_bounds_of_nothing_have_no_extent():
    low, high = shape_with(torch.zeros(25, 25, 25, dtype=torch.bool)).bounds()
    assert torch.isfinite(low).all() and torch.equal(low, high)


def test_the_slope_of_the_density_points_outward():
    points = grid_points(25, HALF)
    shape = DensityShape((8, 25), HALF)
    with torch.no_grad():  # raw = 6 − 20 r: falls off in every direction
        shape.field.grids[-1].copy_(6 - 20 * points.norm(dim=-1) - shape.blob)
    density, *slope = shape.maps_grid()[0]
    slope = torch.stack(slope, dim=-1)
    radius = points.norm(dim=-1, keepdim=True)
    shell = ((radius > 0.2) & (radius < 0.4))[..., 0]
    cosine = (torch.nn.functional.normalize(slope, dim=-1) * points / radius).sum(-1)[shell]
    assert cosine.min() > 0.98 and density[shell].min() > 0
