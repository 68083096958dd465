"""The occupancy grid: what it skips, what it must never skip, and what that saves."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtool.geometry.cameras import ViewRange, pixel_rays, random_views
from sdtool.rendering.occupancy import OccupancyGrid, dilated
from sdtool.rendering.rays import accumulate, march, weights
from sdtool.shapes.hashgrid import HashGrid
from sdtool.shapes.nerf import RadianceField, raw_level

HALF = 0.6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def ball(centre, radius, density=40.0):
    """A field that is solid in a ball."""
    centre = torch.tensor(centre)
    return lambda points: density * ((points - centre).norm(dim=-1) < radius)


def points_in(centre, radius, count=20_000, seed=5):
    """(count, 3) points of a ball, many of them near its surface."""
    direction = torch.nn.functional.normalize(
        torch.randn(count, 3, generator=generator(seed)), dim=-1
    )
    share = torch.rand(count, 1, generator=generator(seed + 1)) ** 0.1
    return torch.tensor(centre) + 0.9999 * radius * share * direction


def rays(count=2, size=24, seed=0):
    c2w = random_views(np.random.default_rng(seed), count, ViewRange())
    origins, directions = (torch.from_numpy(a) for a in pixel_rays(c2w, np.radians(45.0), size))
    origins = origins[:, None, None].expand_as(directions)
    return origins.reshape(-1, 3), directions.reshape(-1, 3)


# Cells


def test_everything_is_occupied_before_the_first_update():
    grid = OccupancyGrid(8, HALF)
    points = (torch.rand(500, 3, generator=generator()) * 2 - 1) * HALF
    assert grid.fraction == 1 and grid.occupied(points).all()


def test_a_point_is_in_its_cell():
    """Six cells of 0.2: x = −0.5 is in the first, y = 0.1 in the fourth, z = 0.59 in the last."""
    grid = OccupancyGrid(6, HALF)
    grid.cells.zero_()
    grid.cells[5, 3, 0] = True  # (z, y, x)
    at = [
        [-0.5, 0.1, 0.59],
        [-0.6, 0.0, 0.4],
        [-0.39, 0.1, 0.59],
        [-0.5, 0.21, 0.59],
        [-0.5, 0.1, 0.39],
    ]
    assert grid.occupied(torch.tensor(at)).tolist() == [True, True, False, False, False]
    outside = torch.tensor([[-0.7, 0.1, 0.61], [0.7, 0.1, 0.61]])
    assert grid.occupied(outside).tolist() == [True, False]


def test_every_cell_is_looked_at_once_inside_itself():
    grid, seen = OccupancyGrid(5, HALF), []

    def density(points):
        seen.append(points)
        return points[:, 0] * 0

    for turn in range(3):
        grid.update(density, generator(turn))
    line = -HALF + grid.width * (torch.arange(5) + 0.5)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    middle = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    for points in seen:
        assert (points - middle).abs().max() <= grid.width / 2 + 1e-6
    assert not torch.equal(seen[0], seen[1]) and grid.fraction == 0


def test_the_threshold_is_the_absorption_in_a_cell():
    """Ten cells of 0.12: density 0.1 takes 0.012 in each."""
    for threshold, expected in ((0.011, 1.0), (0.013, 0.0)):
        grid = OccupancyGrid(10, HALF, threshold)
        grid.update(lambda points: torch.full((len(points),), 0.1), generator())
        assert grid.fraction == expected


def test_a_cell_brings_its_neighbours():
    cells = torch.zeros(6, 6, 6, dtype=torch.bool)
    cells[0, 2, 3] = True
    wider = dilated(cells)
    expected = torch.zeros_like(cells)
    expected[0:2, 1:4, 2:5] = True
    assert torch.equal(wider, expected)


def test_what_has_gone_is_forgotten():
    """0.95^k · density · width falls below the threshold after ln(40 · 0.075 / 0.01) / 0.0513 updates."""
    grid, numbers = OccupancyGrid(16, HALF), generator()
    grid.update(ball((0.0, 0, 0), 0.3), numbers)
    before = grid.fraction
    lasts = int(np.log(40 * 0.075 / 0.01) / -np.log(0.95))
    for _ in range(lasts):
        grid.update(lambda points: 0 * points[:, 0], numbers)
    assert grid.fraction == before > 0
    grid.update(lambda points: 0 * points[:, 0], numbers)
    assert grid.fraction == 0


def test_no_number_changes_nothing():
    grid = OccupancyGrid(8, HALF)
    grid.update(ball((0.0, 0, 0), 0.3), generator())
    before = grid.cells.clone()
    grid.update(lambda points: torch.full((len(points),), torch.nan), generator(), decay=1.0)
    assert torch.equal(grid.cells, before) and torch.isfinite(grid.density).all()


def test_a_file_holds_the_state(tmp_path):
    grid, other = OccupancyGrid(8, HALF), OccupancyGrid(8, HALF)
    grid.update(ball((0.1, 0.2, 0.0), 0.2), generator())
    save_file(grid.state_dict(), tmp_path / "grid.safetensors")
    other.load_state_dict(load_file(tmp_path / "grid.safetensors"))
    for one in (grid, other):
        one.update(ball((0.1, 0.1, 0.0), 0.2), generator(1))
    assert torch.equal(grid.cells, other.cells) and torch.equal(grid.density, other.density)
    assert 0 < grid.fraction < 1


# What must not be skipped


@pytest.mark.parametrize("seed", range(6))
def test_a_ball_that_moves_is_never_skipped(seed):
    """Anywhere, of any size from a cell's diagonal up, and after a walk of half a cell an update."""
    rng = np.random.default_rng(seed)
    grid, numbers = OccupancyGrid(32, HALF), generator(seed)
    radius = rng.uniform(3**0.5 * grid.width, 0.2)
    centre, way = rng.uniform(-0.3, 0.3, 3), rng.normal(size=3)
    way *= grid.width / 2 / np.linalg.norm(way)
    for _ in range(12):
        place = tuple(centre.astype(np.float32).tolist())
        grid.update(ball(place, radius), numbers)
        assert grid.occupied(points_in(place, radius)).all()
        centre = centre + way if np.abs(centre + way).max() < HALF - radius else centre
    assert grid.fraction < 0.5


def test_without_the_neighbours_a_surface_is_clipped():
    """Why cells are dilated: one look at each cell misses some that the surface only cuts into."""
    grid, place, radius = OccupancyGrid(32, HALF), (0.03, -0.05, 0.01), 0.25
    grid.update(ball(place, radius), generator())
    points = points_in(place, radius)
    assert grid.occupied(points).all()
    grid.cells.copy_(grid.density * grid.width > grid.threshold)
    missed = (~grid.occupied(points)).float().mean()
    assert missed > 0.01


def test_a_thin_plate_is_found():
    """A tenth of a cell thick: one look finds it in every tenth cell, and their neighbours cover it."""
    grid, numbers = OccupancyGrid(32, HALF), generator()
    z = 0.011
    plate = lambda p: 200.0 * ((p[:, 2] - z).abs() < grid.width / 20)  # noqa: E731
    flat = (torch.rand(5000, 3, generator=generator(1)) * 2 - 1) * torch.tensor([HALF, HALF, 0])
    points = flat + torch.tensor([0, 0, z])
    shares = []
    for _ in range(8):
        grid.update(plate, numbers)
        shares.append(grid.occupied(points).float().mean().item())
    assert shares[0] > 0.5 and shares[-1] == 1.0 and grid.fraction < 0.12


# What it saves


def fitted(radius=0.3):
    """A radiance field that has learned a ball with a steep edge."""
    grid = HashGrid(8, 2, 12, 8, 1.5, backend="numba", generator=generator())
    field = RadianceField(grid, HALF, generator=generator(1))
    optimizer = torch.optim.Adam(field.parameters(), lr=1e-2, betas=(0.9, 0.99), eps=1e-15)
    for step in range(150):
        points = (torch.rand(4096, 3, generator=generator(step)) * 2 - 1) * HALF
        wanted = (60 * (radius - points.norm(dim=-1))).clamp(-9, 9)
        loss = (field.raw(points) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return field


def test_skipping_saves_samples_and_keeps_the_image():
    """Coverage, expected position and albedo to 2%, with less than a quarter of the samples."""
    field, grid, numbers = fitted(), OccupancyGrid(32, HALF), generator(2)
    for _ in range(4):
        grid.update(field.density, numbers)
    origins, directions = rays()
    images, counts = [], []
    with torch.no_grad():
        for occupied in (None, grid.occupied):
            samples = march(origins, directions, HALF, 64, occupied, generator(3))
            density, albedo = field(samples.points)
            weight = weights(density, samples, len(origins))
            values = torch.cat([albedo, samples.points, torch.ones(len(weight), 1)], dim=-1)
            images.append(accumulate(weight, values, samples.ray, len(origins)))
            counts.append(len(samples.ray))
    assert images[0][:, -1].max() > 0.99 and images[0][:, -1].min() < 0.1
    assert (images[0] - images[1]).abs().max() < 0.02
    assert counts[1] < 0.25 * counts[0]
    # The raw density is 60 (0.3 − r), so it falls below the threshold at r = 0.3 − level / 60. From
    # there it is at most two cells' diagonals to the end of what is occupied.
    edge = 0.3 - raw_level(grid.threshold / grid.width) / 60
    least, most = (4 / 3 * np.pi * (edge + k * 3**0.5 * grid.width) ** 3 for k in (0, 2))
    assert least / 1.2**3 < grid.fraction < most / 1.2**3
