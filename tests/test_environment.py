"""Environment light: .hdr files written by hand, closed forms of its sums, and which way it shines."""

import math

import numpy as np
import pytest
import torch

from sdtool.errors import InputError
from sdtool.rendering import hdr, prefilter
from sdtool.rendering.environment import (
    environment,
    neutral_environment,
    neutral_map,
    read_environment,
)
from sdtool.rendering.hdr import read_hdr

DIRECTIONS = torch.nn.functional.normalize(
    torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), dim=-1
)


def mapped(function, height=64, exposure=1.0):
    """The environment whose radiance at unit directions (..., 3) is function(direction): (..., 1 or 3)."""
    image = function(prefilter.texel_directions(height, 2 * height))
    return environment(image.expand(height, 2 * height, 3), exposure)


def roughness(value, count=200):
    return torch.full((count, 1), value)


# Radiance files

HEAD = b"#?RADIANCE\n# by hand\nFORMAT=32-bit_rle_rgbe\n"


def write(path, pixels, size=b"-Y 1 +X 2", head=HEAD):
    path.write_bytes(head + b"\n" + size + b"\n" + bytes(pixels))
    return path


def test_plain_pixels_are_mantissa_times_power(tmp_path):
    """128 · 2^(129 − 136) = 1, 64 · 2^(131 − 136) = 2; an exponent of 0 is black."""
    path = write(tmp_path / "a.hdr", [128, 64, 0, 129, 64, 32, 255, 131, 9, 9, 9, 0], b"-Y 1 +X 3")
    expected = [[[1.0, 0.5, 0.0], [2.0, 1.0, 255 / 32], [0.0, 0.0, 0.0]]]
    assert read_hdr(path).tolist() == expected
    assert read_hdr(path).dtype == np.float32


def test_exposures_of_the_header_are_divided_out(tmp_path):
    head = HEAD + b"EXPOSURE=2.0\nEXPOSURE= 4\n"
    image = read_hdr(write(tmp_path / "a.hdr", [128, 128, 128, 132] * 2, head=head))
    assert (image == 1.0).all()  # 8 / (2 · 4)


def test_old_runs_repeat_the_last_pixel(tmp_path):
    """(1, 1, 1, n) repeats n times; a second run in a row counts 256 n."""
    pixel, end = [128, 0, 0, 129], [0, 128, 0, 129]
    path = write(
        tmp_path / "a.hdr", [*pixel, 1, 1, 1, 3, 1, 1, 1, 1, *end], b"-Y 1 +X 261"
    )  # 1 + 3 + 256 + 1
    image = read_hdr(path)
    assert (image[0, :260] == [1, 0, 0]).all() and (image[0, 260] == [0, 1, 0]).all()


def coded(row):
    """A row (W, 4) in Radiance's plane-wise code: runs where a value repeats, else literal bytes."""
    data = [2, 2, len(row) >> 8, len(row) & 255]
    for plane in np.asarray(row).T:
        at = 0
        while at < len(plane):
            run = 1
            while at + run < len(plane) and run < 127 and plane[at + run] == plane[at]:
                run += 1
            data += [128 + run, int(plane[at])] if run > 1 else [1, int(plane[at])]
            at += run
    return data


def test_planes_of_runs_and_literals(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 3, (5, 300, 4)).astype(np.uint8) + np.uint8(127)
    rows[2] = 130  # runs longer than one code can say
    data = [byte for row in rows for byte in coded(row)]
    image = read_hdr(write(tmp_path / "a.hdr", data, b"-Y 5 +X 300"))
    expected = rows[..., :3] * 2.0 ** (rows[..., 3:].astype(float) - 136)
    assert np.array_equal(image, expected.astype(np.float32))


def test_a_literal_of_many_bytes(tmp_path):
    planes = [[9, *range(100, 109)] for _ in range(3)] + [[128 + 9, 136]]
    data = [2, 2, 0, 9, *sum(planes, [])]
    image = read_hdr(write(tmp_path / "a.hdr", data, b"-Y 1 +X 9"))
    assert image[0, :, 1].tolist() == list(range(100, 109))


@pytest.mark.parametrize(
    "size, turn",
    [
        (b"-Y 2 +X 2", (slice(None), slice(None))),
        (b"+Y 2 +X 2", (slice(None, None, -1), slice(None))),
        (b"-Y 2 -X 2", (slice(None), slice(None, None, -1))),
    ],
)
def test_rows_and_columns_in_other_orders_are_turned(tmp_path, size, turn):
    pixels = sum(([k, k, k, 136] for k in (10, 20, 30, 40)), [])
    image = read_hdr(write(tmp_path / "a.hdr", pixels, size))
    assert np.array_equal(image[..., 0], np.array([[10, 20], [30, 40]])[turn])


RUN = [2, 2, 0, 9]  # begins a row of nine


@pytest.mark.parametrize(
    "data, word",
    [
        (b"", "not a Radiance"),
        (b"\x89PNG\r\n\x1a\n", "not a Radiance"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "header"),
        (HEAD + b"\n-Y 1 +X 2", "header"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_xyze\n\n-Y 1 +X 1\n1234", "32-bit_rle_xyze"),
        (HEAD + b"EXPOSURE=0\n\n-Y 1 +X 1\n1234", "exposure"),
        (HEAD + b"EXPOSURE=nan\n\n-Y 1 +X 1\n1234", "exposure"),
        (HEAD + b"EXPOSURE=bright\n\n-Y 1 +X 1\n1234", "exposure"),
        (HEAD + b"\n+X 1 -Y 1\n1234", "size"),
        (HEAD + b"\n-Y one +X 1\n1234", "size"),
        (HEAD + b"\n-Y 0 +X 1\n1234", "no pixels"),
        (HEAD + b"\n-Y 10000 +X 20000\n1234", "larger"),
        (HEAD + b"\n-Y 99999999999999999999 +X 1\n1234", "larger"),
        (HEAD + b"\n-Y 1 +X 2\n1234123", "row 0"),
        (HEAD + b"\n-Y 2 +X 1\n1234", "row 1"),
        (HEAD + b"\n-Y 1 +X 2\n" + bytes([1, 1, 1, 1, 5, 5, 5, 5]), "row 0"),  # repeats nothing
        (HEAD + b"\n-Y 1 +X 2\n" + bytes([5, 5, 5, 5, 1, 1, 1, 200]), "row 0"),
        (HEAD + b"\n-Y 1 +X 8\n" + bytes(RUN + [128 + 9, 7] * 4), "row 0"),  # of another width
        (HEAD + b"\n-Y 1 +X 9\n" + bytes(RUN + [128 + 10, 7] * 4), "row 0"),  # too long a run
        (HEAD + b"\n-Y 1 +X 9\n" + bytes(RUN + [0, 7] * 99), "row 0"),  # an empty one
        (HEAD + b"\n-Y 1 +X 9\n" + bytes(RUN + [9, 1, 2, 3]), "row 0"),
        (HEAD + b"\n-Y 1 +X 9\n" + bytes(RUN + [128 + 9]), "row 0"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path, data, word):
    path = tmp_path / "bad.hdr"
    path.write_bytes(data)
    with pytest.raises(InputError, match=word) as error:
        read_hdr(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_any_cut_and_any_changed_byte_is_read_or_refused(tmp_path):
    """No cut and no flipped byte crashes, and what is read is finite."""
    rng = np.random.default_rng(1)
    rows = rng.integers(120, 140, (3, 12, 4)).astype(np.uint8)
    rows[1] = 128
    whole = write(
        tmp_path / "a.hdr", [byte for row in rows for byte in coded(row)], b"-Y 3 +X 12"
    ).read_bytes()
    damaged = [whole[:cut] for cut in range(len(whole))]
    for _ in range(400):
        copy = bytearray(whole)
        copy[rng.integers(len(copy))] = rng.integers(256)
        damaged.append(bytes(copy))
    path, refused = tmp_path / "b.hdr", 0
    for data in damaged:
        path.write_bytes(data)
        try:
            assert np.isfinite(read_hdr(path)).all()
        except InputError:
            refused += 1
    assert refused >= len(whole)  # every cut


def test_missing_files_and_wrong_shapes_are_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_environment(tmp_path / "none.hdr")
    with pytest.raises(InputError, match="2 × 2 pixels"):
        read_environment(write(tmp_path / "a.hdr", [128, 128, 128, 129] * 4, b"-Y 2 +X 2"))
    with pytest.raises(InputError, match="black"):
        read_environment(write(tmp_path / "b.hdr", [0, 0, 0, 0] * 2))


def test_absurdly_bright_pixels_are_cut_off(tmp_path):
    light = read_environment(write(tmp_path / "a.hdr", [255, 255, 255, 255] * 2), exposure=1.0)
    assert torch.allclose(light.irradiance(DIRECTIONS), torch.tensor(hdr.BRIGHTEST), rtol=1e-3)


# Closed forms


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_constant_light_is_the_same_from_everywhere(value):
    light = mapped(lambda d: torch.full_like(d, 0.7))
    assert torch.allclose(light.irradiance(DIRECTIONS), torch.tensor(0.7), rtol=1e-4)
    seen = light.radiance(DIRECTIONS, roughness(value))
    assert torch.allclose(seen, torch.tensor(0.7), rtol=1e-4)


def test_irradiance_of_a_linear_light_is_exact():
    """a + b·d lights a surface by a + ⅔ b·n: the cosine keeps 1 and ⅔ of the first two orders."""
    slope = torch.tensor([0.5, -0.3, 0.2])
    light = mapped(lambda d: 1 + (d @ slope)[..., None])
    expected = 1 + 2 / 3 * (DIRECTIONS @ slope)[:, None]
    assert torch.allclose(light.irradiance(DIRECTIONS), expected.expand(-1, 3), atol=1e-3)


@pytest.mark.parametrize("axis", [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.6, -0.48, 0.64]])
def test_irradiance_of_a_cosine_lobe(axis):
    """∫ max(0, l·a) max(0, l·n) dl = ⅔ ((π − θ) cos θ + sin θ), θ between a and n."""
    axis = torch.tensor(axis)
    light = mapped(lambda d: (d @ axis).clamp(min=0)[..., None])
    theta = (DIRECTIONS @ axis).clamp(-1, 1).acos()
    expected = 2 / 3 * ((math.pi - theta) * theta.cos() + theta.sin()) / math.pi
    error = (light.irradiance(DIRECTIONS)[:, 0] - expected).abs()
    assert error.max() < 0.006  # of 0.667 at the most: what the orders above 2 hold


def test_blurred_maps_are_the_plain_sums():
    """Each texel by Karis' first sum, texel by texel, without Fourier."""
    image = torch.rand(3, 8, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    levels = prefilter.specular_levels(image)
    direction = prefilter.texel_directions(8, 16, dtype=torch.float64).reshape(-1, 3)
    area = prefilter.row_areas(8, dtype=torch.float64).repeat_interleave(16)
    assert torch.equal(levels[0], image)
    for number in range(1, prefilter.ROUGHNESS_LEVELS):
        alpha = (number / (prefilter.ROUGHNESS_LEVELS - 1)) ** 2
        for texel in (0, 37, 100, 127):
            n = direction[texel]
            half = torch.nn.functional.normalize(direction + n, dim=-1)
            lobe = (1 + (half @ n) ** 2 * (alpha**2 - 1)) ** -2
            weight = lobe * (direction @ n).clamp(min=0) * area
            expected = (image.reshape(3, -1) * weight).sum(-1) / weight.sum()
            assert torch.allclose(levels[number].reshape(3, -1)[:, texel], expected)


def test_split_sum_table_against_brute_force():
    """A and B by summing D·V·F·(n·l) over a fine grid of lights, with glTF's formulas."""
    table = prefilter.split_sum_table(33)
    cosine = (torch.arange(400, dtype=torch.float64) + 0.5)[:, None] / 400
    phi = (torch.arange(800, dtype=torch.float64) + 0.5) * (2 * math.pi / 800)
    sine = (1 - cosine**2).sqrt()
    light = torch.stack([sine * phi.cos(), sine * phi.sin(), cosine.expand(-1, 800)], dim=-1)
    for row in (13, 16, 24, 32):
        for column in (8, 16, 24, 32):
            a2, n_v = (row / 32) ** 4, (column / 32) ** 2
            view = torch.tensor([math.sqrt(1 - n_v**2), 0.0, n_v], dtype=torch.float64)
            half = torch.nn.functional.normalize(light + view, dim=-1)
            d = a2 / (math.pi * (half[..., 2] ** 2 * (a2 - 1) + 1) ** 2)
            n_l, v_h = light[..., 2], half @ view
            v = 0.5 / (
                n_l * math.sqrt(n_v**2 * (1 - a2) + a2) + n_v * (n_l**2 * (1 - a2) + a2).sqrt()
            )
            value, fresnel = d * v * n_l * (2 * math.pi / light[..., 0].numel()), (1 - v_h) ** 5
            expected = torch.stack([(value * (1 - fresnel)).sum(), (value * fresnel).sum()])
            assert torch.allclose(table[:, row, column].double(), expected, atol=2e-3)


def test_smooth_surfaces_reflect_schlicks_fresnel():
    """At roughness 0: A = 1 − (1 − n·v)⁵ and B = (1 − n·v)⁵."""
    n_v = torch.linspace(0.02, 1, 50)[:, None]
    a, b = neutral_environment().lobe(n_v, torch.zeros_like(n_v))
    assert (b - (1 - n_v) ** 5).abs().max() < 0.01 and (a + b - 1).abs().max() < 2e-3


# Which way it shines


@pytest.mark.parametrize(
    "row, column, axis",
    [
        (0, 0, [0, 1, 0]),
        (15, 7, [0, -1, 0]),
        (8, 16, [0, 0, -1]),
        (8, 24, [1, 0, 0]),
        (8, 0, [0, 0, 1]),
        (8, 8, [-1, 0, 0]),
    ],
)
def test_a_texel_shines_from_its_direction(row, column, axis):
    """Within the 16 × 32 map's half texel the brightest mirror image lies where the texel is."""
    image = torch.zeros(16, 32, 3)
    image[row, column] = 100.0
    light = environment(image, 1.0, (16, 32))
    axis = torch.tensor(axis, dtype=torch.float32)
    direction = prefilter.texel_directions(64, 128).reshape(-1, 3)
    seen = light.radiance(direction, roughness(0.0, len(direction)))[:, 0]
    assert direction[seen.argmax()] @ axis > math.cos(0.2)
    assert light.irradiance(axis[None])[0, 0] > 4 * light.irradiance(-axis[None])[0, 0]


def test_a_light_in_front_lights_the_front(tmp_path):
    """A file whose left and right edges are bright lights what faces +Z."""
    row = [[200, 200, 200, 130]] + [[0, 0, 0, 0]] * 14 + [[200, 200, 200, 130]]
    pixels = sum(row * 8, [])
    light = read_environment(write(tmp_path / "a.hdr", pixels, b"-Y 8 +X 16"))
    front, others = torch.tensor([[0.0, 0, 1]]), torch.eye(3)[:2]
    assert (light.irradiance(others) < 0.6 * light.irradiance(front)).all()


def test_turning_moves_the_light_from_z_toward_x():
    light = mapped(lambda d: d[..., 2:].clamp(min=0))
    turned = light.turned(math.pi / 3).turned(math.pi / 6)
    x, z = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.0, 0, 1]])
    for rough in (0.0, 0.5):
        at_x = turned.radiance(x, roughness(rough, 1))
        assert torch.allclose(at_x, light.radiance(z, roughness(rough, 1)), atol=1e-3)
    assert torch.allclose(turned.irradiance(x), light.irradiance(z), atol=1e-5)


def test_lookups_are_continuous_across_the_seam_and_the_poles():
    light = mapped(lambda d: 1 + d[..., :1] * d[..., 1:2] + 0.3 * d[..., 2:])
    for point in ([0.0, 0, 1], [0.0, 1, 0], [0.0, -1, 0], [0.6, 0, 0.8]):
        near = torch.tensor(point) + 1e-3 * DIRECTIONS
        near = torch.nn.functional.normalize(near, dim=-1)
        expected = 1 + near[:, :1] * near[:, 1:2] + 0.3 * near[:, 2:]
        assert (light.radiance(near, roughness(0.0)) - expected).abs().max() < 5e-3


def test_gradients_are_finite_at_the_poles():
    direction = torch.tensor([[0.0, 1, 0], [0.0, -1, 0], [0.0, 0, 1]], requires_grad=True)
    neutral_environment().radiance(direction, roughness(0.3, 3)).sum().backward()
    assert direction.grad.isfinite().all()


# Exposure


def test_maps_are_scaled_to_one_mean_unless_told(tmp_path):
    image = neutral_map(32, 64)
    level = torch.tensor([0.282095, 0, 0, 0, 0, 0, 0, 0, 0]) @ environment(image).diffuse
    brighter = torch.tensor([0.282095, 0, 0, 0, 0, 0, 0, 0, 0]) @ environment(50 * image).diffuse
    assert torch.allclose(level, torch.tensor(0.81), rtol=1e-3)
    assert torch.allclose(level, brighter)
    assert torch.allclose(environment(image, 2.0).diffuse, 2 * environment(image, 1.0).diffuse)


def test_the_neutral_light_is_grey_and_leaves_no_side_dark():
    light = neutral_environment().irradiance(DIRECTIONS)
    assert (light - light[:, :1]).abs().max() < 1e-5
    assert light.min() > 0.25 and light.max() < 1.3
    sides = torch.tensor([[0.0, 0, 1], [0.0, 0, -1], [0.0, -1, 0]])
    front, back, below = neutral_environment().irradiance(sides)[:, 0]
    assert front > back > below
