"""Materials and their shading: white furnaces, mirrors, gradients, and what a fresh material looks like."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sdtool.geometry import meshes
from sdtool.geometry.cameras import ViewRange, pixel_rays, turntable
from sdtool.rendering.environment import environment, neutral_environment
from sdtool.rendering.pbr import (
    linear_to_srgb,
    perturbed_normal,
    shade_pbr,
    srgb_to_linear,
    tone,
)
from sdtool.rendering.prefilter import texel_directions
from sdtool.shapes.field import Field
from sdtool.shapes.grids import GridPyramid, sample_grid
from sdtool.shapes.hashgrid import HashGrid
from sdtool.shapes.material import CHANNELS, Material

HALF = 0.6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def directions(count, seed=0, **kind):
    return nn.functional.normalize(torch.randn(count, 3, generator=generator(seed), **kind), dim=-1)


def facing(count, seed=0, **kind):
    """Normals, and views at n·v of 0.05 to almost 1."""
    normal, view = directions(count, seed, **kind), directions(count, seed + 1, **kind)
    sideways = nn.functional.normalize(
        view - (view * normal).sum(-1, keepdim=True) * normal, dim=-1
    )
    cosine = torch.linspace(0.05, 0.999, count, **kind)[:, None]
    return normal, cosine * normal + (1 - cosine**2).sqrt() * sideways


def lit_by(function, height=64):
    """The environment of radiance function(direction)."""
    image = function(texel_directions(height, 2 * height))
    return environment(image.expand(height, 2 * height, 3), 1.0)


@pytest.fixture(scope="module")
def white():
    """Light of 1 from everywhere."""
    return lit_by(lambda d: torch.ones_like(d))


def sphere(c2w, size=48):
    """Normals and views (P, 3) of a sphere of diameter 1 from cameras (N, 4, 4), in one list."""
    origin, ray = (torch.from_numpy(a) for a in pixel_rays(c2w, np.radians(45), size))
    origin = origin[:, None, None].expand_as(ray)
    along = (origin * ray).sum(-1)
    inside = along**2 - (origin * origin).sum(-1) + 0.25
    hit = inside > 0
    point = origin[hit] + (-along - inside.clamp(min=0).sqrt())[hit][:, None] * ray[hit]
    return 2 * point, -ray[hit]


def plain(count, color, rough, metal):
    """A material that is the same at `count` points."""
    color = torch.as_tensor(color, dtype=torch.float32).expand(count, 3)
    return color, torch.full((count, 1), rough), torch.full((count, 1), metal)


# Energy


@pytest.mark.slow
@pytest.mark.parametrize("metal", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("rough", [0.08, 0.3, 0.55, 0.7, 0.9, 1.0])
def test_white_furnace(rough, metal, white):
    """White of any kind under light of 1 from everywhere sends out 1."""
    normal, view = facing(100)
    out = shade_pbr(*plain(100, 1.0, rough, metal), normal, view, white)
    assert (out - 1).abs().max() < 1e-3


@pytest.mark.parametrize("rough", [0.08, 0.5, 0.9])
@pytest.mark.parametrize("metal", [0.0, 0.5, 1.0])
def test_no_colour_sends_out_more_than_it_gets_nor_less_than_its_own(rough, metal, white):
    """Under light of 1: between a third of linear base colour and 1, and never dimmer for a brighter one."""
    normal, view = facing(100)
    outs = []
    for color in (0.0, 0.25, 0.5, 0.75, 1.0):
        out = shade_pbr(*plain(100, color, rough, metal), normal, view, white)
        linear = float(meshes.srgb_to_linear(np.array(color)))
        assert out.max() <= 1 + 1e-3 and out.min() >= linear / 3
        outs.append(out)
    assert all((b > a - 1e-6).all() for a, b in zip(outs, outs[1:], strict=False))


def test_a_black_dielectric_reflects_four_percent_straight_on(white):
    normal = directions(50)
    out = shade_pbr(*plain(50, 0.0, 0.08, 0.0), normal, normal, white)
    assert (out - 0.04).abs().max() < 1e-3


def test_a_rough_dielectric_is_lit_by_lamberts_law():
    """Light a + b·d: the colour keeps (1 − its surface's share) of a + ⅔ b·n."""
    slope = torch.tensor([0.3, 0.5, -0.4])
    light = lit_by(lambda d: 1 + (d @ slope)[..., None])
    normal = directions(200)
    dark, bright = (
        shade_pbr(*plain(200, color, 0.9, 0.0), normal, normal, light) for color in (0.0, 1.0)
    )
    expected = 1 + 2 / 3 * (normal @ slope)[:, None]
    share = (bright - dark) / expected
    assert (share - share.mean()).abs().max() < 0.005 and 0.97 < share.mean() < 0.99


# Mirrors and where the light is


def test_a_smooth_metal_is_a_mirror():
    """White metal of roughness 0 shows the light at 2 (n·v) n − v; the smoothest allowed, nearly."""
    slope = torch.tensor([0.5, -0.3, 0.4])
    light = lit_by(lambda d: 1 + (d @ slope)[..., None], 128)
    normal, view = facing(300)
    mirrored = 2 * (normal * view).sum(-1, keepdim=True) * normal - view
    expected = 1 + (mirrored @ slope)[:, None]
    for rough, tolerance in ((0.0, 0.005), (0.08, 0.02)):
        out = shade_pbr(*plain(300, 1.0, rough, 1.0), normal, view, light)
        assert (out - expected).abs().max() < tolerance


def test_the_highlight_widens_with_roughness():
    """A white metal ball under one lamp in front: the brightest point dims, more of it is lit."""
    light = lit_by(lambda d: 50.0 * (d[..., 2:] > 0.97))
    normal, view = sphere(turntable(1, ViewRange(), 0.0), 96)
    outs = [
        shade_pbr(*plain(len(normal), 1.0, rough, 1.0), normal, view, light)[:, 0]
        for rough in (0.08, 0.3, 0.6, 0.9)
    ]
    peaks, areas = [o.max() for o in outs], [(o > 0.1 * o.max()).sum() for o in outs]
    assert peaks == sorted(peaks, reverse=True) and areas == sorted(areas)
    brightest = normal[outs[1] > 0.9 * outs[1].max()].mean(0)
    assert brightest[2] > 0.98 * brightest.norm()


def test_a_metal_has_the_colour_of_its_base():
    light = neutral_environment()
    normal, view = facing(100)
    out = shade_pbr(*plain(100, [0.9, 0.5, 0.0], 0.5, 1.0), normal, view, light)
    straight = out[-20:].mean(0)  # n·v near 1
    assert torch.allclose(straight / straight[0], torch.tensor([1, 0.27, 0.0]), atol=0.05)


def test_mid_grey_comes_out_as_mid_grey_under_the_neutral_light():
    """A ball from around, at the heights from which cameras look: within 0.01 of its base colour."""
    cameras = np.concatenate([turntable(6, ViewRange(), e) for e in (-10.0, 5.0, 20.0, 35.0, 45.0)])
    normal, view = sphere(cameras)
    light, count = neutral_environment(), len(normal)
    grey = tone(shade_pbr(*plain(count, 0.5, 0.7, 0.0), normal, view, light))
    assert abs(grey.mean() - 0.5) < 0.01
    red = tone(shade_pbr(*plain(count, [0.8, 0.1, 0.1], 0.7, 0.0), normal, view, light)).mean(0)
    assert abs(red[0] - 0.8) < 0.06 and red[1] < 0.25  # still red
    white = shade_pbr(*plain(count, 0.97, 0.7, 0.0), normal, view, light)
    assert white.max() < 1.3 and tone(white).std() > 0.02  # its shape shows


# Gradients


def test_gradcheck_of_shading():
    """In float64, in base colour, roughness, metallic, normal and view."""
    kind = {"dtype": torch.float64}
    image = torch.rand(8, 16, 3, generator=generator(3), **kind)
    light = environment(image, 1.0, (8, 16))
    normal, view = facing(6, 4, **kind)
    color = 0.1 + 0.8 * torch.rand(6, 3, generator=generator(5), **kind)
    rough = torch.tensor([0.08, 0.23, 0.37, 0.55, 0.71, 0.9], **kind)[:, None]
    metal = torch.linspace(0.02, 0.97, 6, **kind)[:, None]
    inputs = [t.requires_grad_() for t in (color, rough, metal, normal, view)]
    assert torch.autograd.gradcheck(lambda *args: shade_pbr(*args, light), inputs)
    assert torch.autograd.gradcheck(lambda *args: tone(0.5 * shade_pbr(*args, light)), inputs)


def test_gradients_are_finite_for_every_material_and_view():
    """Black, white, mirrors, edges seen from behind, views along the normal and the poles."""
    normal = torch.cat([directions(40), torch.tensor([[0.0, 1, 0], [0, -1, 0], [0, 0, -1]])])
    for view in (directions(43, 7), normal.clone(), -normal):
        for color, rough, metal in ((0.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.04045, 0.5, 0.5)):
            inputs = [*plain(43, color, rough, metal), normal.clone(), view.clone()]
            inputs = [t.clone().requires_grad_() for t in inputs]
            out = tone(shade_pbr(*inputs, neutral_environment()))
            out.sum().backward()
            assert out.isfinite().all() and (0 <= out).all() and (out <= 1).all()
            assert all(t.grad.isfinite().all() for t in inputs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_shades_as_the_cpu_does():
    normal, view = facing(500)
    inputs = [*plain(500, [0.8, 0.4, 0.1], 0.4, 0.3), normal, view]
    light = neutral_environment()
    there = shade_pbr(*(t.to("cuda") for t in inputs), light.to("cuda")).cpu()
    assert torch.allclose(there, shade_pbr(*inputs, light), atol=1e-4)


# Colours and normals


def test_colours_are_coded_as_the_meshes_are():
    values = torch.linspace(0, 1, 1001, dtype=torch.float64)
    for ours, theirs in (
        (srgb_to_linear, meshes.srgb_to_linear),
        (linear_to_srgb, meshes.linear_to_srgb),
    ):
        assert np.allclose(ours(values).numpy(), theirs(values.numpy()), atol=1e-12)
    assert torch.allclose(srgb_to_linear(linear_to_srgb(values)), values)


def test_tone_keeps_colours_and_bends_what_is_too_bright():
    """Up to 0.8 nothing changes; beyond it 1 − 0.2 · exp((0.8 − x) / 0.2), whose slope starts at 1."""
    kept = torch.linspace(0, 0.8, 100, dtype=torch.float64)
    assert torch.allclose(tone(kept), linear_to_srgb(kept))
    bright = torch.tensor([0.8 + 1e-9, 1.0, 1.2, 2.0], dtype=torch.float64, requires_grad=True)
    out = srgb_to_linear(tone(bright))
    assert torch.allclose(out, 1 - 0.2 * torch.exp((0.8 - bright) / 0.2))
    (slope,) = torch.autograd.grad(out.sum(), bright)
    assert torch.allclose(slope[0], torch.ones_like(slope[0])) and (slope > 1e-3).all()
    assert tone(torch.tensor([-1.0, 0.0, 1e6])).tolist() == pytest.approx([0, 0, 1], abs=1e-6)


def test_detail_tilts_by_its_tangent_part():
    normal = directions(100)
    tangent = nn.functional.normalize(torch.linalg.cross(normal, directions(100, 9)), dim=-1)
    assert torch.allclose(perturbed_normal(normal, torch.zeros(100, 3)), normal, atol=1e-6)
    assert torch.allclose(perturbed_normal(normal, 0.4 * normal), normal, atol=1e-6)
    for angle in (0.1, 0.6):
        detail = math.tan(angle) * tangent + 0.3 * normal
        tilted = perturbed_normal(normal, detail)
        expected = math.cos(angle) * normal + math.sin(angle) * tangent
        assert torch.allclose(tilted, expected, atol=1e-5)


def test_relief_has_no_seam():
    """One detail vector, normals all around: near normals stay near, wherever they point."""
    normal = directions(2000)
    near = nn.functional.normalize(normal + 1e-3 * directions(2000, 1), dim=-1)
    detail = torch.tensor([[0.3, -0.4, 0.5]]).expand(2000, 3)
    jump = perturbed_normal(normal, detail) - perturbed_normal(near, detail)
    assert jump.norm(dim=-1).max() < 3e-3


# The material


class PyramidField(GridPyramid):
    """A `GridPyramid` as a field of positions: (P, 3) within ±half_extent → (P, channels)."""

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return sample_grid(self.composed(), points, self.half_extent)


def test_a_fresh_material_is_grey_rough_and_smooth():
    values = Material(PyramidField((4, 8), CHANNELS, HALF))(HALF * directions(50))
    assert torch.allclose(values.base_color, torch.tensor(0.5))
    assert torch.allclose(values.roughness, torch.tensor(0.7))
    assert torch.allclose(values.metallic, torch.tensor(0.02)) and not values.detail.any()
    assert [tuple(v.shape) for v in values] == [(50, 3), (50, 1), (50, 1), (50, 3)]


def test_a_hash_grid_makes_a_fresh_material_too():
    grid = HashGrid(4, 2, 10, 8, 1.6, backend="torch", generator=generator())
    material = Material(Field(grid, CHANNELS, HALF, 16, generator=generator()))
    values = material(HALF * directions(50))
    for value, first in zip(values, (0.5, 0.7, 0.02, 0.0), strict=True):
        assert torch.allclose(value, torch.tensor(first), atol=2e-3)
    sum(value.sum() for value in values).backward()
    assert all(p.grad is not None and p.grad.any() for p in material.parameters())


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_values_stay_in_their_ranges(extreme):
    def field(points):
        return torch.full((len(points), CHANNELS), extreme)

    values = Material(field, metallic=0.6, detail=0.25)(directions(3))
    top = extreme > 0
    assert torch.allclose(values.base_color, torch.tensor(0.97 if top else 0.03))
    assert torch.allclose(values.roughness, torch.tensor(0.9 if top else 0.08))
    assert torch.allclose(values.metallic, torch.tensor(0.6 if top else 0.0))
    assert torch.allclose(values.detail, torch.tensor(0.25 if top else -0.25))
    off = Material(field, metallic=0.0, detail=0.0)(directions(3))
    assert not off.metallic.any() and not off.detail.any()


def test_the_state_is_the_fields():
    material = Material(PyramidField((4, 8), CHANNELS, HALF))
    with torch.no_grad():
        for parameter in material.parameters():
            parameter.normal_(generator=generator())
    again = Material(PyramidField((4, 8), CHANNELS, HALF))
    again.load_state_dict(material.state_dict())
    points = HALF * directions(20)
    for a, b in zip(material(points), again(points), strict=True):
        assert torch.equal(a, b)
    assert all(name.startswith("field.") for name in material.state_dict())


@pytest.mark.slow
def test_a_material_is_found_from_pictures():
    """A ball, half red metal and half rough blue, lit: colours and metal come back by descent."""
    normal, view = sphere(turntable(8, ViewRange(), 20.0), 24)
    points, left, light = 0.5 * normal, normal[:, :1] < 0, neutral_environment()
    color = torch.where(left, torch.tensor([0.8, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.8]))
    rough, metal = torch.where(left, 0.25, 0.8), left.float()
    target = tone(shade_pbr(color, rough, metal, normal, view, light))
    material = Material(PyramidField((4, 8, 16), CHANNELS, HALF), detail=0.0)
    optimiser = torch.optim.Adam(material.parameters(), lr=0.03)
    clear = normal[:, 0].abs() > 0.3
    for _ in range(200):
        values = material(points)
        picture = tone(shade_pbr(*values[:3], normal, view, light))
        loss = (picture - target)[clear].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 1e-4
    assert (values.base_color - color)[clear].abs().mean() < 0.03
    for side, rough, metal in ((left, 0.25, 1.0), (~left, 0.8, 0.0)):
        found = values.roughness[clear & side[:, 0]], values.metallic[clear & side[:, 0]]
        assert abs(found[0].mean() - rough) < 0.1 and abs(found[1].mean() - metal) < 0.2
