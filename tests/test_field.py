"""The perceptron and the field on a hash grid: values and gradients by hand and by finite differences."""

import pytest
import torch
from hashgrid_samples import WARP, generator, uniform

from sdtool.shapes.field import Field
from sdtool.shapes.hashgrid import HashGrid
from sdtool.shapes.mlp import MLP


def test_the_perceptron_is_matrices_and_relu():
    mlp = MLP(2, 1, hidden=3, layers=2, generator=generator())
    assert [tuple(w.shape) for w in mlp.parameters()] == [(3, 2), (3, 3), (1, 3)]
    assert all(w.abs().max() <= (6 / sum(w.shape)) ** 0.5 for w in mlp.parameters())
    with torch.no_grad():
        mlp.weights[0].copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
        mlp.weights[1].copy_(torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 2]]))
        mlp.weights[2].copy_(torch.tensor([[1.0, 10, 100]]))
    # (3, −1) → relu (3, 0, 2) → relu (3, −3, 4) → 3 + 0 + 400
    assert mlp(torch.tensor([[3.0, -1.0]])).item() == 403
    with pytest.raises(ValueError, match="hidden layer"):
        MLP(2, 1, layers=0, generator=generator())


def field(backend, outputs=1):
    numbers = generator(7)
    encode = HashGrid(6, 2, 12, 4, 1.5, backend=backend, generator=numbers)
    return Field(encode, outputs, half_extent=0.8, hidden=32, generator=numbers)


@pytest.mark.parametrize("backend", ["torch", "numba", WARP])
def test_a_field_s_gradient_is_that_of_finite_differences(backend):
    shape = field(backend, outputs=2).double()
    with torch.no_grad():
        shape.grid.table.mul_(1e4)
    positions = (uniform(20, 3) * 2 - 1) * 0.7
    values, gradient = shape.with_gradient(positions, output=1)
    assert values.shape == (20, 2) and torch.allclose(values, shape(positions))
    step = 1e-7 * torch.eye(3, dtype=torch.float64)
    for axis in range(3):
        difference = shape(positions + step[axis]) - shape(positions - step[axis])
        assert torch.allclose(gradient[:, axis], difference[:, 1] / 2e-7, atol=1e-5)
    with torch.no_grad():
        plain, same = shape.with_gradient(positions, output=1)
    assert torch.equal(same, gradient) and not plain.requires_grad and not same.requires_grad


@pytest.mark.parametrize("backend", ["numba", WARP])
def test_a_loss_on_normals_trains_every_parameter(backend):
    found = []
    for name in (backend, "torch"):
        shape = field(name).double()
        with torch.no_grad():
            shape.grid.table.mul_(1e4)
        _, gradient = shape.with_gradient(uniform(200, 3) - 0.5)
        (gradient.norm(dim=-1) - 1).square().mean().backward()
        found.append([parameter.grad for parameter in shape.parameters()])
    for ours, expected in zip(*found, strict=True):
        assert expected.abs().max() > 0 and torch.allclose(ours, expected, atol=1e-12)


def test_a_field_learns_a_sphere_and_its_normals():
    shape, numbers = field("numba"), generator(3)
    optimizer = torch.optim.Adam(shape.parameters(), lr=1e-2, betas=(0.9, 0.99), eps=1e-15)
    for _ in range(150):
        points = torch.rand(2048, 3, generator=numbers) * 1.4 - 0.7
        radius = points.norm(dim=-1, keepdim=True)
        values, gradient = shape.with_gradient(points)
        loss = (values[:, 0] - (radius[:, 0] - 0.4)).square().mean()
        loss = loss + 0.01 * (gradient - points / radius).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    points = torch.nn.functional.normalize(torch.randn(500, 3, generator=numbers), dim=-1)
    values, gradient = shape.with_gradient(0.4 * points)
    assert values.abs().max() < 0.02
    assert torch.cosine_similarity(gradient, points).mean() > 0.99
