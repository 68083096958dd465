"""Splats: against a dense reference in torch, finite differences and closed forms."""

import numpy as np
import pytest
import torch

from sdtool.geometry.cameras import orbit, world_to_clip
from sdtool.rendering import splatting
from sdtool.rendering.splatting import density_grid, project, rotations, splat

FRONT = orbit(np.zeros(1), np.zeros(1), np.full(1, 1.5))
TWO_SIDES = orbit(np.array([0.4, 2.0]), np.array([0.3, -0.1]), np.array([1.5, 1.4]))
FOV = np.array([0.7, 0.9])


def some(count: int, seed: int = 0) -> list[torch.Tensor]:
    """Points, M of covariances M Mᵀ, opacities and features (2, G, 5), float64."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    points, size = drawn(count, 3) - 0.5, 0.04 + 0.1 * drawn(count, 1, 3)
    axes = rotations(drawn(count, 4) - 0.5) * size
    return [points, axes, 0.2 + 0.7 * drawn(count), drawn(2, count, 5)]


def splatted(points, axes, opacity, features, c2w=TWO_SIDES, fov=FOV, size=12) -> torch.Tensor:
    return splat(project(points, axes, opacity, c2w, fov, size), features, size)


def dense(points, axes, opacity, features, c2w=TWO_SIDES, fov=FOV, size=12) -> torch.Tensor:
    """The same image, every splat at every pixel; the perspective's Jacobian is autograd's."""
    grid = torch.arange(size, dtype=points.dtype)
    pixels = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), dim=-1)  # (S, S, 2): x, y
    images = []
    for n, matrix in enumerate(torch.from_numpy(world_to_clip(c2w, fov)).to(points)):

        def on_screen(point, matrix=matrix):
            clip = matrix @ torch.cat([point, torch.ones(1, dtype=point.dtype)])
            return (clip[:2] / clip[3] + 1) * (0.5 * size) - 0.5

        clear = torch.ones(size, size, dtype=points.dtype)
        image = torch.zeros(size, size, features.shape[-1], dtype=points.dtype)
        nearest = sorted(
            range(len(points)), key=lambda g: (points.detach() @ matrix[3, :3])[g].item()
        )
        for g in nearest:
            place = points[g].clone()
            middle = on_screen(place)
            rows = [torch.autograd.grad(one, place, create_graph=True)[0] for one in middle]
            slope = torch.stack(rows)
            spread = slope @ axes[g] @ axes[g].T @ slope.T
            away = pixels - middle
            q = (away @ torch.linalg.inv(spread + 0.1 * torch.eye(2)) * away).sum(-1)
            alpha = (opacity[g] * torch.exp(-0.5 * q)).clamp(max=0.99)
            alpha = torch.where(alpha < 1 / 255, 0.0, alpha)
            image = image + (clear * alpha)[..., None] * features[n, g]
            clear = clear * (1 - alpha)
        images.append(image)
    return torch.stack(images)


def test_images_and_gradients_are_those_of_the_dense_reference():
    ours, theirs = ([one.requires_grad_() for one in given] for given in (some(12), some(12)))
    image, wanted = splatted(*ours), dense(*theirs)
    assert wanted.max() > 0.5 and (wanted == 0).any()
    torch.testing.assert_close(image, wanted, atol=1e-5, rtol=1e-4)  # cameras are float32
    weight = torch.rand(wanted.shape, generator=torch.Generator().manual_seed(1))
    (image * weight).sum().backward()
    (wanted * weight).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=2e-4, rtol=1e-3)


def test_gradients_are_those_of_finite_differences():
    given = [one.requires_grad_() for one in some(4, seed=2)]
    assert torch.autograd.gradcheck(lambda *of: splatted(*of, size=6), given, fast_mode=True)


def facing(depths: list[float], opacities: list[float], size: int = 5) -> torch.Tensor:
    """(size, size) coverage and the red of each splat's own channel, of round splats on the view's axis."""
    count = len(depths)
    points = torch.tensor([[0.0, 0.0, z] for z in depths], dtype=torch.float64)
    axes = 0.05 * torch.eye(3, dtype=torch.float64).expand(count, 3, 3)
    features = torch.eye(count, dtype=torch.float64)[None]
    opacity = torch.tensor(opacities, dtype=torch.float64)
    return splat(project(points, axes, opacity, FRONT, 0.8, size), features, size)[0]


def test_what_is_nearer_hides_what_is_behind():
    # listed far to near: the eye is at z = 1.5
    found = facing([-0.2, 0.1, 0.3], [0.5, 0.25, 0.8])[2, 2]
    np.testing.assert_allclose(found, [0.5 * 0.75 * 0.2, 0.25 * 0.2, 0.8], atol=1e-12)


def test_what_is_behind_the_eye_or_no_number_is_not_drawn():
    assert facing([1.6, 1.5], [0.9, 0.9]).abs().max() == 0
    assert facing([float("nan"), 0.0], [0.9, 0.9])[2, 2, 1] == pytest.approx(0.9)
    assert facing([0.0], [float("nan")]).abs().max() == 0


def test_a_footprint_is_as_wide_as_perspective_makes_it():
    # pixels per unit at distance 1.5: 0.5 · 41 / tan(0.4) / 1.5; beside the blur of 0.1 pixels²
    spread = (0.05 * 0.5 * 41 / np.tan(0.4) / 1.5) ** 2 + 0.1
    found = facing([0.0], [0.9], size=41)[20, :, 0]
    wanted = 0.9 * np.exp(-0.5 * (np.arange(41) - 20) ** 2 / spread)
    np.testing.assert_allclose(found, np.where(wanted < 1 / 255, 0, wanted), atol=1e-9)


def test_rotations_are_those_of_their_quaternions():
    half = np.sqrt(0.5)
    quarter_about_z = torch.tensor([[2 * half, 0.0, 0.0, 2 * half]])  # of any length
    np.testing.assert_allclose(
        rotations(quarter_about_z)[0], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-6
    )


def test_bits_do_not_depend_on_threads(monkeypatch):
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(splatting.torch, "get_num_threads", lambda threads=threads: threads)
        given = [one.requires_grad_() for one in some(30)]
        image = splatted(*given)
        image.square().sum().backward()
        found.append([image, *(one.grad for one in given)])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_grid_of_density_has_the_gaussian_at_its_corners():
    points = torch.tensor([[0.1, 0.0, -0.2]])
    axes = torch.diag(torch.tensor([0.3, 0.1, 0.2]))[None]
    grid = density_grid(points, axes, torch.tensor([0.5]), 0.4, 5, wider=0.1)
    spread = np.array([0.3, 0.1, 0.2]) ** 2 + 0.1**2
    line = np.linspace(-0.4, 0.4, 5)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    away = np.stack([x, y, z], axis=-1) - points.numpy()
    inside = (np.abs(away) <= 3 * np.sqrt(spread)).all(-1)
    wanted = 0.5 * np.exp(-0.5 * (away**2 / spread).sum(-1)) * inside
    np.testing.assert_allclose(grid, wanted, atol=1e-6)
