"""The march that stores only what can be seen: against the march that lists all, in blocks, by Warp."""

import math

import numpy as np
import pytest
import torch
from live_bytes import LiveBytes
from other_device import DEVICE, Elsewheres

from sdtool.geometry.cameras import ViewRange, pixel_rays, random_views
from sdtool.rendering import marching
from sdtool.rendering.marching import march_visible
from sdtool.rendering.occupancy import OccupancyGrid
from sdtool.rendering.randomness import begin, drawn_seed, hashed, uniform
from sdtool.rendering.rays import accumulate, march, weights
from sdtool.rendering.steps import Steps, parts_within, placed
from sdtool.runtime import warp_module

HALF = 0.6
by_warp = pytest.mark.skipif(not warp_module.is_installed(), reason="warp is not installed")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rays(count=2, size=16, seed=0):
    """Origins and directions (R, 3) float32 of random views."""
    c2w = random_views(np.random.default_rng(seed), count, ViewRange())
    origins, directions = (torch.from_numpy(a) for a in pixel_rays(c2w, np.radians(45.0), size))
    return origins.repeat_interleave(size * size, dim=0), directions.reshape(-1, 3)


def ball(points):
    """Steep and dense within 0.3 of the origin."""
    return 8 * torch.nn.functional.softplus((60 * (0.3 - points.norm(dim=-1))).clamp(-9, 9))


def looked_at(density=ball, threshold=0.01):
    grid = OccupancyGrid(32, HALF, threshold)
    for look in range(4):
        grid.update(density, look)
    return grid


def equal(one: Steps, other: Steps) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# In blocks


@pytest.mark.parametrize("seed", [None, 3])
def test_a_march_in_blocks_gives_the_same_bits(seed):
    """Also of what the generator draws."""
    grid = looked_at()
    one, other = (
        march(*rays(), HALF, 48, grid.occupied, None if seed is None else generator(seed), at_once)
        for at_once in (1 << 20, 700)
    )
    assert len(one.ray) > 1000
    for whole, parts in zip(one, other, strict=True):
        assert torch.equal(whole, parts)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("backend", ["torch", pytest.param("warp", marks=by_warp)])
def test_blocks_and_rounds_change_nothing(backend, seed, monkeypatch):
    given = *rays(), HALF, 128, looked_at(), seed, ball
    whole = march_visible(*given, backend=backend)
    monkeypatch.setattr(marching, "WINDOW", 7)
    assert equal(whole, march_visible(*given, backend=backend, at_once=500))
    assert len(whole.ray) > 1000


def test_the_density_is_never_asked_at_more_points_than_said():
    asked = []

    def density(points):
        asked.append(len(points))
        return ball(points)

    march_visible(*rays(), HALF, 512, OccupancyGrid(4, HALF), 0, density, at_once=2048)
    assert 1000 < max(asked) <= 2048 and sum(asked) > 20_000


@pytest.mark.parametrize("backend", ["torch", pytest.param("warp", marks=by_warp)])
def test_steps_are_never_listed_whole(backend):
    """As many rays again cost their own few numbers and their samples, not their steps."""
    grid, peaks, kept, more = looked_at(), [], [], 32**2 - 16**2
    for size in (16, 32):
        given = *rays(1, size), HALF, 512, grid, 0, ball
        with LiveBytes() as live:
            kept.append(len(march_visible(*given, backend=backend, at_once=1 << 13).ray))
        peaks.append(live.peak)
    own = 300 * more + 24 * (kept[1] - kept[0])
    assert (
        peaks[1] - peaks[0] < own < 4 * 250 * more
    )  # one float in each of so many steps would be that


# What is kept


def test_with_no_limits_it_is_the_march_of_what_is_occupied():
    grid = looked_at()
    expected = march(*rays(), HALF, 64, grid.occupied)
    found = march_visible(*rays(), HALF, 64, grid, None, ball, transmittance=0.0, alpha=0.0)
    ours = placed(found, *rays())
    for mine, theirs in zip(ours, expected, strict=True):
        assert torch.equal(mine, theirs)
    assert found.ray.dtype == torch.int32


@pytest.mark.parametrize("backend", ["torch", pytest.param("warp", marks=by_warp)])
@pytest.mark.parametrize("transmittance, alpha", [(1e-4, 0.01), (0.3, 0.0), (1e-9, 0.05)])
def test_what_is_hidden_or_next_to_nothing_is_left_out(backend, transmittance, alpha):
    """Of all occupied samples those which so much light reaches, and that stop so much of it."""
    grid = looked_at()
    grid.density += 100  # its mean would not lower alpha
    everything = march(*rays(), HALF, 256, grid.occupied)
    absorbed = ball(everything.points) * everything.spacing
    passed = torch.exp(-absorbed.double())
    arriving = torch.ones_like(passed)
    for k in range(1, len(passed)):
        same = everything.ray[k] == everything.ray[k - 1]
        arriving[k] = arriving[k - 1] * passed[k - 1] if same else 1.0
    kept = (arriving >= transmittance) & (1 - passed >= alpha)
    limits = {"transmittance": transmittance, "alpha": alpha, "backend": backend}
    found = march_visible(*rays(), HALF, 256, grid, None, ball, **limits)
    assert torch.equal(found.ray.long(), everything.ray[kept])
    assert torch.equal(found.depth, everything.depth[kept])
    assert 100 < len(found.ray) < 0.8 * len(everything.ray)


@pytest.mark.parametrize("alpha, share, far", [(0.0, 0.9, 2e-4), (0.01, 0.5, 0.25)])
def test_the_image_stays(alpha, share, far):
    """What is hidden is not missed at all; what is next to nothing only by rays that graze a soft edge, and
    by less than a hundredth on average."""
    grid, count = looked_at(), len(rays()[0])
    everything = march(*rays(), HALF, 512, grid.occupied)
    seen = placed(march_visible(*rays(), HALF, 512, grid, None, ball, alpha=alpha), *rays())
    images = []
    for samples in (everything, seen):
        weight = weights(ball(samples.points), samples, count)
        values = torch.cat([samples.points, torch.ones(len(weight), 1)], dim=1)
        images.append(accumulate(weight, values, samples.ray, count))
    error = (images[0] - images[1]).abs()
    assert error.max() < far and error.mean() < 0.01 and images[0][:, 3].max() > 0.99
    assert len(seen.ray) < share * len(everything.ray)


def test_a_field_that_is_thin_everywhere_is_not_left_out():
    """As the mean over the cells says: 0.5 a unit stops 0.2% in a step, everywhere."""
    fog = lambda points: torch.full((len(points),), 0.5)  # noqa: E731
    grid = looked_at(fog)
    found = march_visible(*rays(), HALF, 512, grid, None, fog)
    assert len(found.ray) > 0.99 * len(
        march(*rays(), HALF, 512).ray
    )  # but where rays leave the cube
    grid.density += 100
    assert len(march_visible(*rays(), HALF, 512, grid, None, fog).ray) == 0


@pytest.mark.parametrize("backend", ["torch", pytest.param("warp", marks=by_warp)])
def test_a_ray_that_meets_nothing_has_no_sample(backend):
    origins = torch.tensor([[0, 0, 1.5], [0, 2, 1.5]])
    directions = torch.tensor([[0, 0, -1.0]] * 2)
    full, grid = OccupancyGrid(4, HALF), OccupancyGrid(4, HALF)
    found = march_visible(origins, directions, HALF, 32, full, 1, ball, backend=backend)
    assert found.ray.unique().tolist() == [0]
    grid.cells.zero_()
    for nothing in (
        march_visible(origins, directions, HALF, 32, grid, 1, ball, backend=backend),
        march_visible(origins[:0], directions[:0], HALF, 32, full, 1, ball, backend=backend),
    ):
        assert [len(part) for part in nothing] == [0, 0, 0]
        assert nothing.ray.dtype == torch.int32


# Randomness


def test_the_hash_is_pcg():
    """In plain integers."""

    def pcg(number):
        state = (number * 747796405 + 2891336453) % 2**32
        word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737 % 2**32
        return (word >> 22) ^ word

    numbers = [0, 1, 2, 12345, 2**31, 2**32 - 1]
    assert hashed(torch.tensor(numbers)).tolist() == [pcg(n) for n in numbers]
    row, column = torch.tensor([5, 2**32 - 1]), torch.tensor([7, 0])
    expected = [
        (pcg((pcg((r + pcg(9)) % 2**32) + c) % 2**32) >> 8) / 2**24
        for r, c in zip(row.tolist(), column.tolist(), strict=True)
    ]
    assert uniform(begin(9), row, column).tolist() == expected


def test_places_have_numbers_of_their_own():
    """Even, and without ties of neighbours; another seed gives others."""
    row, column = torch.arange(300)[:, None], torch.arange(400)
    one, other = (uniform(begin(seed), row, column) for seed in (0, 1))
    count = torch.histc(one, 20, 0, 1)
    assert (count / 6000 - 1).abs().max() < 5 * (20 / one.numel()) ** 0.5
    for shifted in (other, one.roll(1, 0), one.roll(1, 1)):
        correlation = torch.corrcoef(torch.stack([one.flatten(), shifted.flatten()]))[0, 1]
        assert abs(correlation) < 5 / one.numel() ** 0.5
    assert 0 <= drawn_seed(generator()) < 2**32 and one.max() < 1


def test_a_seed_moves_samples_within_their_steps():
    given = *rays(), HALF, 64, looked_at()
    one, two, other = (march_visible(*given, seed, ball) for seed in (4, 4, 5))
    assert equal(one, two) and not equal(one, other)
    origins, directions = rays()
    first = marching.course(origins, directions, HALF, 64)
    number = (one.depth - first.near[one.ray.long()]) / first.step
    share = number - number.floor()
    assert abs(share.mean() - 0.5) < 5 * 12**-0.5 / len(share) ** 0.5


def test_the_grid_is_looked_at_by_a_seed():
    points, grid = [], OccupancyGrid(6, HALF)
    for look in (1, 1, 2):
        grid.update(lambda p: points.append(p) or ball(p), look)
    assert torch.equal(points[0], points[1]) and not torch.equal(points[0], points[2])
    cell = ((points[0] + HALF) / grid.width).floor().long()
    assert torch.equal((cell[:, 2] * 6 + cell[:, 1]) * 6 + cell[:, 0], torch.arange(216))


def test_all_of_it_stays_on_its_device():
    grid = looked_at()
    here = march_visible(*rays(), HALF, 64, grid, 3, ball)
    with Elsewheres():
        there = [part.to(DEVICE) for part in rays()]
        grid.to(DEVICE).update(ball, 9)
        grid.load_state_dict({k: v.to(DEVICE) for k, v in looked_at().state_dict().items()})
        found = march_visible(*there, HALF, 64, grid, 3, ball)
        assert all(part.device == DEVICE for part in found)
        assert equal(here, Steps(*(part.cpu() for part in found)))


# Parts


def test_parts_hold_what_is_allowed():
    """Rays of 2, 0, 5, 1, 1, 0 and 3 samples, at most 4 at once: the third alone has more."""
    ray = torch.tensor([0, 0, 2, 2, 2, 2, 2, 3, 4, 6, 6, 6])
    assert parts_within(ray, 7, 4) == [0, 2, 3, 6, 7]
    assert parts_within(ray, 7, 12) == parts_within(ray[:0], 7, 1) == [0, 7]
    assert parts_within(ray, 7, 5) == [0, 2, 3, 7]


# Warp


@by_warp
@pytest.mark.parametrize("seed", [None, 0, 2**32 - 1])
@pytest.mark.parametrize("samples", [1, 33, 512])
def test_warp_marches_as_torch_does(seed, samples):
    """Bit by bit."""
    given = *rays(3, 12, seed=1), HALF, samples, looked_at(), seed, ball
    ours = march_visible(*given, backend="warp")
    assert equal(ours, march_visible(*given, backend="torch"))
    assert len(ours.ray) > 20 * math.log2(samples)


def test_an_accelerator_gets_warp_else_torch(monkeypatch):
    there, installed = torch.device("meta"), [True]
    monkeypatch.setattr(warp_module, "runs_on", lambda device: installed[0])
    assert marching.backend_for(there) == "warp"
    assert marching.backend_for(torch.device("cpu")) == "torch"
    installed[0] = False
    assert marching.backend_for(there) == "torch"
