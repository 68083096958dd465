"""Packed rays: analytic boxes and transmittance, gradients, and dense volume rendering as the oracle."""

import numpy as np
import pytest
import torch

from sdtool.geometry.cameras import ViewRange, pixel_rays, random_views
from sdtool.rendering.rays import (
    NEAR,
    Samples,
    accumulate,
    box_interval,
    march,
    surface_density,
    weights,
)
from sdtool.rendering.volume import composite

HALF = 0.6
DIAGONAL = 2 * 3**0.5 * HALF


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rays(count=2, size=12, seed=0):
    """Origins and directions (R, 3) of random views."""
    c2w = random_views(np.random.default_rng(seed), count, ViewRange())
    origins, directions = (torch.from_numpy(a) for a in pixel_rays(c2w, np.radians(60.0), size))
    origins = origins[:, None, None].expand_as(directions)
    return origins.reshape(-1, 3).double(), directions.reshape(-1, 3).double()


def along_z(*heights):
    """Rays down −z at z = 1.5, each at x = y = its height."""
    h = torch.tensor(heights, dtype=torch.float64)
    origins = torch.stack([h, h, torch.full_like(h, 1.5)], dim=-1)
    return origins, torch.tensor([[0, 0, -1.0]], dtype=torch.float64).expand(len(h), 3)


def coverage(density, samples, count):
    return accumulate(weights(density, samples, count), None, samples.ray, count)[:, 0]


# The cube


def test_a_ray_meets_the_cube_where_geometry_says():
    """Straight through: 1.5 − 0.6 to 1.5 + 0.6. Along a diagonal from (2, 2, 2): |(1.4, 1.4, 1.4)|."""
    origins = torch.tensor([[0.2, -0.1, 1.5], [2, 2, 2], [0, 0, 0], [0, 0.7, 1.5], [0, 0, 1.5]])
    diagonal = -torch.ones(3) / 3**0.5
    back, forth = torch.tensor([0.0, 0, -1]), torch.tensor([0.0, 0, 1])
    directions = torch.stack([back, diagonal, back, back, forth])
    near, far = box_interval(origins, directions, HALF)
    assert near[:3].tolist() == pytest.approx([0.9, 1.4 * 3**0.5, NEAR])
    assert far[:3].tolist() == pytest.approx([2.1, 2.6 * 3**0.5, 0.6])
    assert (far[3:] <= near[3:]).all()  # beside the cube, and away from it


def test_a_ray_within_a_face_is_finite():
    origins, directions = torch.tensor([[0.6, 0.0, 1.5]]), torch.tensor([[0.0, 0, -1]])
    near, far = box_interval(origins, directions, 0.6)
    assert torch.isfinite(near).all() and torch.isfinite(far).all()


def test_entry_and_exit_lie_on_the_cube():
    origins, directions = rays()
    near, far = box_interval(origins, directions, HALF)
    met = far > near
    assert 0.3 < met.double().mean() < 1
    for depth in (near, far):
        at = origins + depth[:, None] * directions
        assert torch.allclose(at[met].abs().amax(-1), torch.tensor(HALF, dtype=torch.float64))


# Samples


@pytest.mark.parametrize("seed", [None, 3])
def test_steps_fill_the_interval(seed):
    """One sample in each step; steps of diagonal / 32, and the last ends where the ray leaves."""
    origins, directions = rays()
    near, far = box_interval(origins, directions, HALF)
    samples = march(origins, directions, HALF, 32, None, generator(seed) if seed else None)
    step = DIAGONAL / 32
    lengths = torch.zeros(len(near), dtype=torch.float64).index_add(0, samples.ray, samples.spacing)
    assert torch.allclose(lengths, (far - near).clamp(min=0), atol=1e-12)
    assert (samples.ray.diff() >= 0).all() and samples.spacing.max() <= step + 1e-12
    first = torch.searchsorted(samples.ray, samples.ray)
    number = torch.arange(len(first)) - first
    begin = near[samples.ray] + number * step
    place = (samples.depth - begin) / samples.spacing
    assert place.min() > -1e-6 and place.max() < 1 + 1e-6
    if seed is None:
        assert torch.allclose(place, torch.tensor(0.5, dtype=torch.float64))
    else:
        assert abs(place.mean() - 0.5) < 5 * 12**-0.5 / len(place) ** 0.5  # uniform: 5 σ
    at = origins[samples.ray] + samples.depth[:, None] * directions[samples.ray]
    assert torch.allclose(samples.points, at) and at.abs().max() <= HALF + 1e-12


def test_the_same_generator_draws_the_same_samples():
    origins, directions = rays()
    one, two, other = (march(origins, directions, HALF, 16, None, generator(s)) for s in (0, 0, 1))
    assert torch.equal(one.depth, two.depth) and not torch.equal(one.depth, other.depth)


def test_only_occupied_samples_are_kept():
    origins, directions = rays()
    everything = march(origins, directions, HALF, 32, None, generator())
    upper = march(origins, directions, HALF, 32, lambda p: p[:, 1] > 0.1, generator())
    kept = everything.points[:, 1] > 0.1
    assert 0.1 < kept.double().mean() < 0.9
    for part, whole in zip(upper, everything, strict=True):
        assert torch.equal(part, whole[kept])


def test_no_sample_at_all_is_an_empty_image():
    origins, directions = rays()
    samples = march(origins, directions, HALF, 8, lambda p: torch.zeros(len(p), dtype=torch.bool))
    assert len(samples.ray) == 0 and samples.points.shape == (0, 3)
    weight = weights(samples.depth, samples, len(origins))
    image = accumulate(weight, samples.points, samples.ray, len(origins))
    assert image.shape == (len(origins), 3) and not image.any()


# Transmittance


@pytest.mark.parametrize("count", [1, 5, 64])
def test_a_slab_lets_through_the_analytic_part(count):
    """Constant density σ over the cube: 1 − exp(−σ L) of each ray, however many samples."""
    origins, directions = rays()
    near, far = box_interval(origins, directions, HALF)
    samples = march(origins, directions, HALF, count, None, generator())
    found = coverage(torch.full_like(samples.depth, 1.7), samples, len(origins))
    expected = 1 - torch.exp(-1.7 * (far - near).clamp(min=0))
    assert torch.allclose(found, expected, atol=1e-12)


def test_two_slabs():
    """The first takes 1 − exp(−σ₁ L₁), the second exp(−σ₁ L₁)(1 − exp(−σ₂ L₂)), the gap nothing."""
    origins, directions = along_z(0.0, 0.1, -0.2)
    samples = march(origins, directions, HALF, int(round(DIAGONAL / 0.02)))
    step = samples.spacing[0]
    front = samples.points[:, 2] > 0.2
    back = samples.points[:, 2] < -0.2
    density = 2.0 * front + 5.0 * back
    weight = weights(density, samples, 3)
    color = torch.stack([front, back], dim=-1).double()
    first, second = accumulate(weight, color, samples.ray, 3).unbind(-1)
    lengths = [
        torch.zeros(3).double().index_add(0, samples.ray, samples.spacing * m)
        for m in (front, back)
    ]
    assert all(abs(length - 0.4) <= step for part in lengths for length in part)
    passed = torch.exp(-2 * lengths[0])
    assert torch.allclose(first, 1 - passed)
    assert torch.allclose(second, passed * (1 - torch.exp(-5 * lengths[1])))
    kept = front | back
    packed = Samples(*(part[kept] for part in samples))
    assert torch.allclose(weights(density[kept], packed, 3), weight[kept])


def test_the_expected_depth_of_a_slab():
    """Σ w·t / Σ w = near + 1/σ − L·T/(1 − T) with T = exp(−σ L), as steps become short."""
    origins, directions = along_z(0.0)
    samples = march(origins, directions, HALF, 2000)
    weight = weights(torch.full_like(samples.depth, 4.0), samples, 1)
    mean = (weight * samples.depth).sum() / weight.sum()
    passed = np.exp(-4.0 * 1.2)
    assert mean.item() == pytest.approx(0.9 + 1 / 4.0 - 1.2 * passed / (1 - passed), abs=1e-6)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_packed_equals_dense(dtype, tolerance):
    """R rays of S samples each, as a list and as a matrix."""
    density = 30 * torch.rand(40, 24, generator=generator(), dtype=dtype) ** 4
    depth = (torch.arange(24, dtype=dtype) * 0.05).expand(40, 24)
    expected = composite(density, depth)
    ray = torch.arange(40).repeat_interleave(24)
    spacing = torch.full((960,), 0.05, dtype=dtype)
    packed = Samples(ray, depth.reshape(-1), spacing, torch.zeros(960, 3, dtype=dtype))
    assert torch.allclose(
        weights(density.reshape(-1), packed, 40).view(40, 24), expected, atol=tolerance
    )


def test_skipping_what_is_empty_changes_nothing():
    """The density is 0 outside a ball; a looser ball is occupied."""
    origins, directions = rays(size=16)
    images, sizes = [], []
    for occupied in (None, lambda p: p.norm(dim=-1) < 0.4):
        samples = march(origins, directions, HALF, 64, occupied, generator())
        density = 20.0 * (samples.points.norm(dim=-1) < 0.35)
        weight = weights(density, samples, len(origins))
        images.append(accumulate(weight, samples.points, samples.ray, len(origins)))
        sizes.append(len(samples.ray))
    assert torch.allclose(*images, atol=1e-12) and images[0].abs().max() > 0.1
    assert sizes[1] < 0.25 * sizes[0]  # (4/3)π 0.4³ of 1.2³ is 0.155, seen from outside a bit more


def test_rays_behind_a_million_samples_keep_their_precision():
    """The running sum has passed 10⁵ rays of 10 opaque samples: the last rays' error stays 1e-6."""
    generator_ = generator()
    ray = torch.arange(100_001).repeat_interleave(10)
    density = torch.full((len(ray),), 1e6)
    density[-10:] = torch.rand(10, generator=generator_)
    packed = Samples(
        ray, torch.zeros(len(ray)), torch.full((len(ray),), 0.1), torch.zeros(len(ray), 3)
    )
    found = weights(density, packed, 100_001)
    absorbed = 0.1 * density[-10:].double()
    before = absorbed.cumsum(0) - absorbed
    expected = (1 - torch.exp(-absorbed)) * torch.exp(-before)
    assert torch.allclose(found[-10:].double(), expected, rtol=1e-6)
    assert torch.allclose(found[:10], torch.eye(10)[0], atol=1e-20)


def test_a_ray_ignores_the_others():
    """Also in its gradient, and also when the others are endless walls."""
    one = Samples(torch.zeros(5, dtype=torch.long), torch.zeros(5), torch.full((5,), 0.1), None)
    both = Samples(
        torch.arange(2).repeat_interleave(5), torch.zeros(10), torch.full((10,), 0.1), None
    )
    own = torch.tensor([1.0, 5, 0, 2, 8])
    alone = own.clone().requires_grad_()
    behind = torch.cat([torch.full((5,), 1e30), own]).requires_grad_()
    pull = torch.tensor([0.3, -1.0, 2.0, 0.5, 1.0])
    (weights(alone, one, 1) * pull).sum().backward()
    (weights(behind, both, 2)[5:] * pull).sum().backward()
    assert torch.allclose(behind.grad[5:], alone.grad, atol=1e-7) and not behind.grad[:5].any()


def test_gradients_of_weights_and_image():
    origins, directions = rays(1, 4)
    samples = march(origins, directions, HALF, 6, lambda p: p[:, 0] < 0.2, generator())
    density = 5 * torch.rand(len(samples.ray), generator=generator(1), dtype=torch.float64)
    color = torch.rand(len(samples.ray), 2, generator=generator(2), dtype=torch.float64)

    def image(density, color):
        return accumulate(weights(density, samples, 16), color, samples.ray, 16)

    assert torch.autograd.gradcheck(image, (density.requires_grad_(), color.requires_grad_()))


def test_sums_go_to_their_rays():
    ray = torch.tensor([0, 0, 2])
    values = torch.tensor([[1.0, 10], [2, 20], [3, 30]])
    found = accumulate(torch.tensor([0.5, 0.25, 1.0]), values, ray, 4)
    assert found.tolist() == [[1.0, 10.0], [0, 0], [3.0, 30.0], [0, 0]]
    assert accumulate(torch.tensor([0.5, 0.25, 1.0]), None, ray, 4)[:, 0].tolist() == [
        0.75,
        0,
        1,
        0,
    ]


# Surfaces


def test_the_surface_is_a_share_into_what_is_seen():
    """Weights 1, 2, 3, 4 in order of density: 0.1 of all ends with the first, 0.3 with the second."""
    density, weight = torch.tensor([7.0, 2, 9, 5]), torch.tensor([3.0, 1, 4, 2])
    found = [surface_density(density, weight, share) for share in (0.05, 0.15, 0.29, 0.31, 0.61)]
    assert found == [2, 5, 5, 7, 9]
    assert surface_density(density, 0 * weight) == surface_density(density[:0], weight[:0]) == 0


@pytest.mark.parametrize("slope", [100.0, 1000.0])
def test_the_surface_of_a_soft_edge(slope):
    """σ = a·x behind an edge: 1 − exp(−a x² / 2) is stopped up to x, so 15% at σ = √(−2 a ln 0.85)."""
    origins, directions = along_z(0.0, 0.3)
    samples = march(origins, directions, HALF, 4000)
    density = slope * (0.3 - samples.points[:, 2]).clamp(min=0)
    found = surface_density(density, weights(density, samples, 2))
    assert found == pytest.approx((-2 * slope * np.log(0.85)) ** 0.5, rel=0.02)
