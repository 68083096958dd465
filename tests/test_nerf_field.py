"""The radiance field: closed forms, normals against differences, and the backends against each other."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtool.bench.nerf import nerf
from sdtool.geometry.harmonics import ORTHONORMAL, spherical_harmonics
from sdtool.runtime import warp_module
from sdtool.shapes.density import SHARPNESS
from sdtool.shapes.hashgrid import HashGrid
from sdtool.shapes.nerf import (
    BLOB_CENTRE,
    BLOB_FLOOR,
    BLOB_WIDTH,
    HARMONICS,
    Background,
    RadianceField,
    blob,
    raw_level,
)

HALF = 0.6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def radiance(backend="torch", rows=0.0, **options):
    """A small field; with `rows` its table is uniform in ±rows, so that it is far from a blob."""
    sizes = {"levels": 4, "log2_table": 8, "base_resolution": 3, "per_level_scale": 1.7} | options
    grid = HashGrid(**sizes, backend=backend, generator=generator())
    field = RadianceField(grid, HALF, generator=generator(1))
    if rows:
        with torch.no_grad():
            grid.table.mul_(rows * 1e4)
    return field


def inside(count, seed=0, dtype=torch.float64):
    return (torch.rand(count, 3, generator=generator(seed), dtype=dtype) * 2 - 1) * HALF


# Closed forms


def test_a_new_field_is_a_grey_blob():
    """8 softplus(4) = 32.1 in the middle, 8 ln 2 where the raw density is 0, and 0.003 far off."""
    field = radiance()
    edge = BLOB_WIDTH * np.sqrt(2 * np.log((BLOB_CENTRE - BLOB_FLOOR) / -BLOB_FLOOR))
    points = torch.tensor([[0, 0, 0], [0, edge, 0], [HALF, HALF, HALF]], dtype=torch.float32)
    density, albedo = field(points)
    expected = [SHARPNESS * np.log1p(np.exp(raw)) for raw in (BLOB_CENTRE, 0, BLOB_FLOOR)]
    assert density.tolist() == pytest.approx(expected, rel=2e-2)
    assert torch.allclose(albedo, torch.tensor(0.5), atol=1e-3)


def test_density_and_raw_agree():
    field, points = radiance(rows=3.0).double(), inside(50)
    density, albedo = field(points)
    assert torch.equal(field.density(points), density) and (density >= 0).all()
    assert (albedo > 0).all() and (albedo < 1).all()
    assert torch.allclose(SHARPNESS * torch.nn.functional.softplus(field.raw(points)), density)
    for value, raw in zip(density.tolist(), field.raw(points).tolist(), strict=True):
        assert raw_level(value) == pytest.approx(raw, abs=1e-6)


def test_the_blob_alone_has_radial_normals():
    field, points = radiance().double(), inside(200)
    with torch.no_grad():
        field.field.grid.table.zero_()
        density, albedo, normal = field.with_normal(points)
    radial = points / points.norm(dim=-1, keepdim=True)
    assert torch.allclose(normal, radial, atol=1e-12)
    assert torch.allclose(density, SHARPNESS * torch.nn.functional.softplus(blob(points)))
    assert torch.equal(albedo, torch.full_like(albedo, 0.5))


def test_normals_run_down_the_density():
    """Against central differences of the density itself, blob included."""
    field, points = radiance(rows=3.0).double(), inside(60)
    density, albedo, normal = field.with_normal(points)
    plain, same = field(points)
    assert torch.allclose(density, plain) and torch.allclose(albedo, same)
    step = 1e-7 * torch.eye(3, dtype=torch.float64)
    slope = torch.stack(
        [(field.density(points + s) - field.density(points - s)) / 2e-7 for s in step], dim=-1
    )
    expected = -slope / slope.norm(dim=-1, keepdim=True)
    off = (normal - expected).norm(dim=-1)
    # A difference across a face of the grid is none; float64 allows 1e-9 / slope elsewhere.
    assert off.median() < 1e-6 and (off < 1e-4).float().mean() > 0.95
    assert torch.allclose(normal.norm(dim=-1), torch.ones(60, dtype=torch.float64))


def test_where_nothing_is_recorded_nothing_is():
    field, points = radiance(rows=3.0), inside(20, dtype=torch.float32)
    expected = field.with_normal(points)
    with torch.no_grad():
        found = field.with_normal(points)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs) and theirs.requires_grad and not ours.requires_grad


# Gradients


def table_function(field, points, of_normal):
    """The field's values as a function of its table, for gradcheck."""
    name = "field.grid.table"

    def values(table):
        def call(method):
            return torch.func.functional_call(
                Bound(field, method), {f"inner.{name}": table}, points
            )

        return call("with_normal") if of_normal else call("forward")

    return values


class Bound(torch.nn.Module):
    """A module whose forward is a method of another."""

    def __init__(self, inner, method):
        super().__init__()
        self.inner, self.method = inner, method

    def forward(self, points):
        return getattr(self.inner, self.method)(points)


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("of_normal", [False, True])
def test_gradients_of_the_table(backend, of_normal):
    sizes = {"levels": 2, "log2_table": 4, "base_resolution": 2}
    field, points = radiance(backend, rows=3.0, **sizes).double(), inside(5)
    table = field.field.grid.table.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(table_function(field, points, of_normal), (table,), atol=1e-6)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_gradients_of_the_points(backend):
    """Through the normals too: a second derivative, of the blob as well."""
    field, points = radiance(backend, rows=3.0).double(), inside(6, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(field.with_normal, (points,), eps=1e-7, atol=1e-4, rtol=1e-3)


def test_a_loss_on_normals_trains_table_and_perceptron():
    field = radiance("numba", rows=1.0)
    normal = field.with_normal(inside(100, dtype=torch.float32))[2]
    (1 - normal[:, 1]).mean().backward()
    for parameter in field.parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0


# Backends and files


def test_backends_agree_to_rounding():
    """Full size, one table: values to 1e-5 of float32, the table's gradient to 1e-4 of its largest."""
    slow, fast = (radiance(b, 0.5, levels=16, log2_table=14) for b in ("torch", "numba"))
    fast.load_state_dict(slow.state_dict())
    points, gradients = inside(4000, dtype=torch.float32), []
    for field in (slow, fast):
        density, albedo, normal = field.with_normal(points)
        (density.mean() + albedo.square().mean() + normal[:, 0].mean()).backward()
        gradients.append([p.grad for p in field.parameters()])
    values = zip(slow.with_normal(points), fast.with_normal(points), strict=True)
    density, albedo, normal = ((ours - theirs).abs().max() for ours, theirs in values)
    assert density < 1e-5 * slow.density(points).max() and albedo < 1e-5 and normal < 1e-3
    for ours, theirs in zip(*gradients, strict=True):
        assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()


def test_what_one_backend_saves_another_loads(tmp_path):
    slow, fast = radiance("torch", rows=2.0), radiance("numba")
    save_file(slow.state_dict(), tmp_path / "field.safetensors")
    names = {"field.grid.table", "field.mlp.weights.0", "field.mlp.weights.1"}
    assert set(slow.state_dict()) == names
    fast.load_state_dict(load_file(tmp_path / "field.safetensors"))
    points = inside(100, dtype=torch.float32)
    for ours, theirs in zip(fast(points), slow(points), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


# The background


def test_harmonics_are_orthonormal():
    """Means of products over the sphere, by a quadrature that is exact for these polynomials."""
    z, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(8))
    angle = torch.arange(16, dtype=torch.float64) * (2 * torch.pi / 16)
    radius = (1 - z**2).sqrt()[:, None]
    parts = radius * angle.cos(), radius * angle.sin(), z[:, None].expand(8, 16)
    values = spherical_harmonics(torch.stack(parts, dim=-1))
    assert values.shape == (8, 16, 9)
    share = (weight / 2)[:, None, None, None] / 16
    products = (share * values[..., :, None] * values[..., None, :]).sum((0, 1))
    assert torch.allclose(products, torch.eye(9, dtype=torch.float64), atol=1e-12)
    scaled = spherical_harmonics(torch.stack(parts, dim=-1), ORTHONORMAL)
    assert torch.allclose(4 * torch.pi * scaled**2, values**2, atol=1e-12)


def test_a_background_takes_harmonics_in_the_order_of_saved_weights():
    direction = torch.tensor([2.0, -1.0, 2.0]) / 3
    x, y, z = direction.tolist()
    second = [x * y, y * z, x * z, (x * x - y * y) / 2, (3 * z * z - 1) / 12**0.5]
    expected = [1, 3**0.5 * x, 3**0.5 * y, 3**0.5 * z, *(15**0.5 * v for v in second)]
    found = spherical_harmonics(direction)[HARMONICS]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-6)


def test_a_background_learns_a_sky():
    """Blue above, green below: smooth enough for degree 2."""
    sky = Background(generator=generator())
    directions = torch.nn.functional.normalize(
        torch.randn(2, 500, 3, generator=generator(1)), dim=-1
    )
    up = (directions[..., 1:2] + 1) / 2
    wanted = up * torch.tensor([0.5, 0.7, 0.9]) + (1 - up) * torch.tensor([0.3, 0.5, 0.2])
    optimizer = torch.optim.Adam(sky.parameters(), lr=2e-2)
    for _ in range(150):
        loss = (sky(directions) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = sky(directions)
    assert found.shape == (2, 500, 3) and (found > 0).all() and (found < 1).all()
    assert (found - wanted).abs().max() < 0.03


# The bench


def test_the_bench_skips_and_compares(tmp_path):
    table = nerf(tmp_path, size=8, samples=16, points=300, rounds=1)
    work, points, *_ = (list(column.cells) for column in table.columns)
    marches = ["torch", "warp"] if warp_module.is_installed() else ["torch"]
    assert [name.split()[-1] for name in work[6:]] == marches and len(set(points[6:])) == 1
    assert points[0] == points[1] == "300"
    dense, occupied = (int(points[k]) for k in (2, 4))
    assert points[2] == points[3] and points[4] == points[5] and 0 < occupied < dense / 2
