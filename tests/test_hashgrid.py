"""The hash grid: closed forms, its layout by hand, and its encoders against the reference."""

import pytest
import torch
from hashgrid_samples import NEEDS_WARP, entries, generator, uniform
from torch.autograd import gradcheck, gradgradcheck

from sdtool.shapes import hashgrid_numba, hashgrid_reference, hashgrid_warp
from sdtool.shapes.hashgrid_layout import layout

ENCODERS = {
    "torch": hashgrid_reference.encode,
    "numba": hashgrid_numba.encode,
    "warp": hashgrid_warp.encode,
}


def encoders(*names):
    """`encode` of each backend in turn."""
    marks = {"warp": (NEEDS_WARP,)}
    params = [pytest.param(ENCODERS[n], id=n, marks=marks.get(n, ())) for n in names]
    return pytest.mark.parametrize("encode", params)


ALL = encoders("torch", "numba", "warp")


def small(dtype=torch.float64, features=2, points=7):
    """Two dense levels and two hashed ones, with random rows and points."""
    levels = layout(4, 8, 3, 1.7)
    assert [level.hashed for level in levels] == [False, False, True, True]
    rows = uniform(entries(levels), features, seed=1, dtype=dtype) - 0.5
    return uniform(points, 3, dtype=dtype), rows, levels


# The layout


def test_levels_double():
    """Scale 16 · 2^l − 1, so 16, 32, 64 corners a side; 2^14 entries hold only the first level's."""
    levels = layout(3, 14, 16, 2.0)
    assert [level.scale for level in levels] == [15, 31, 63]
    assert [level.resolution for level in levels] == [16, 32, 64]
    assert [level.size for level in levels] == [16**3, 2**14, 2**14]
    assert [level.offset for level in levels] == [0, 16**3, 16**3 + 2**14]
    assert [level.hashed for level in levels] == [False, True, True]


def test_a_level_has_a_multiple_of_eight_entries():
    levels = layout(2, 19, 3, 1.5)  # 3·1.5 − 1 = 3.5: 5 corners a side
    assert [level.resolution for level in levels] == [3, 5]
    assert [level.size for level in levels] == [32, 128]  # 27 and 125


@pytest.mark.parametrize("finest, numbers", [(2048, 12_196_240), (4096, 12_599_920)])
def test_tables_are_as_long_as_those_of_published_checkpoints(finest, numbers):
    """tiny-cuda-nn's own lengths (L16 F2 2^19 from 16): in nerfstudio's and threestudio's files."""
    assert 2 * entries(layout(16, 19, 16, (finest / 16) ** (1 / 15))) == numbers


def test_resolutions_are_those_of_float32():
    """64^(1/15) and 256^(1/15) are a little more and a little less as float32."""
    up, down = layout(16, 19, 16, 64 ** (1 / 15)), layout(16, 19, 16, 256 ** (1 / 15))
    assert [up[k].resolution for k in (5, 10, 15)] == [64 + 1, 256 + 1, 1024 + 1]
    assert down[15].resolution == 4096 and 16 * (256 ** (1 / 15)) ** 15 > 4096


def test_entries_are_the_published_hash():
    """By hand: eq. 4 of the paper in Python's whole numbers, 32 bits wide."""
    level = layout(3, 14, 16, 2.0)[2]
    corner = torch.randint(0, 64, (500, 3), generator=generator())
    for (x, y, z), found in zip(
        corner.tolist(), hashgrid_reference.entries(corner, level), strict=True
    ):
        hashed = x ^ (y * 2654435761 % 2**32) ^ (z * 805459861 % 2**32)
        assert found == 16**3 + 2**14 + hashed % 2**14


def test_entries_of_a_dense_level_count_along_x_first():
    level = layout(1, 14, 16, 2.0)[0]
    corner = torch.tensor([[3, 0, 0], [0, 3, 0], [0, 0, 3], [15, 15, 15], [16, 15, 15]])
    found = hashgrid_reference.entries(corner, level)
    assert found.tolist() == [3, 48, 768, 4095, 0]  # beyond the last corner it begins again


# Closed forms


@ALL
@pytest.mark.parametrize("number", range(4))
def test_corners_give_rows(encode, number):
    """Point p is at p · scale + ½: corner c is the point (c − ½) / scale."""
    _, rows, levels = small()
    level = levels[number]
    corner = torch.randint(1, level.resolution, (50, 3), generator=generator())
    points = (corner.double() - 0.5) / level.scale
    found = encode(points, rows, levels)[:, 2 * number : 2 * number + 2]
    expected = rows[hashgrid_reference.entries(corner, level)]
    assert torch.allclose(found, expected, atol=1e-12)


@ALL
def test_a_linear_table_gives_a_linear_function(encode):
    level = layout(1, 14, 16, 2.0)
    index = torch.arange(16**3)
    corner = torch.stack([index % 16, index // 16 % 16, index // 256], dim=-1).double()
    place = (corner - 0.5) / 15
    matrix = uniform(3, 4, seed=2) - 0.5
    points = uniform(200, 3) * 14 / 15 + 0.5 / 15  # where no corner beyond the last is needed
    points.requires_grad_()
    found = encode(points, place @ matrix, level)
    assert torch.allclose(found, points @ matrix, atol=1e-12)
    (gradient,) = torch.autograd.grad(found[:, 2].sum(), points)
    assert torch.allclose(gradient, matrix[:, 2].expand(200, 3), atol=1e-10)


@ALL
def test_one_hashed_cell_by_hand(encode):
    levels = layout(1, 4, 8, 2.0)  # scale 7, 16 entries: hashed
    rows = torch.arange(16, dtype=torch.float64)[:, None]
    point = torch.tensor([[2.0, 3.25, 4.75]], dtype=torch.float64)
    expected = 0.0
    for dy, dz in ((0, 0), (1, 0), (0, 1), (1, 1)):  # x lies on a corner
        weight = (0.75, 0.25)[dy] * (0.25, 0.75)[dz]
        y, z = (3 + dy) * 2654435761 % 2**32, (4 + dz) * 805459861 % 2**32
        expected += weight * ((2 ^ y ^ z) % 16)
    assert encode((point - 0.5) / 7, rows, levels).item() == pytest.approx(expected)


@ALL
def test_the_gradient_in_the_table_is_the_weights(encode):
    """Weights of a point sum to 1 at each level, so the gradient of a level's sum is 1 a point."""
    points, rows, levels = small(points=40)
    rows.requires_grad_()
    encode(points, rows, levels).sum().backward()
    for level in levels:
        total = rows.grad[level.offset : level.offset + level.size].sum(0)
        assert torch.allclose(total, torch.full((2,), 40.0, dtype=torch.float64))


# Gradients


@ALL
def test_first_and_second_derivatives_are_those_of_finite_differences(encode):
    points, rows, levels = small(points=3)
    points = (points * 0.9 + 0.05).requires_grad_()
    position = torch.stack([points * level.scale + 0.5 for level in levels])
    assert (position - position.round()).abs().min() > 1e-4  # no kink within the differences

    def of_some(points, some):
        return encode(points, torch.cat([some, rows[20:-20], some.flip(0)]), levels)

    some = rows[:20].clone().requires_grad_()
    assert gradcheck(of_some, (points, some), eps=1e-6, atol=1e-6)
    assert gradgradcheck(of_some, (points, some), eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("features", [1, 2, 4, 8])
@pytest.mark.parametrize("dtype, close", [(torch.float32, 5e-6), (torch.float64, 1e-12)])
@encoders("numba", "warp")
def test_the_fast_ones_agree_with_the_reference(encode, features, dtype, close):
    """Values, both gradients, and the gradients of a loss on the gradient in the points."""
    points, rows, levels = small(dtype, features, points=2000)
    pull = uniform(2000, 4 * features, seed=3, dtype=dtype) - 0.5
    found = []
    for function in (encode, hashgrid_reference.encode):
        p, r, g = (t.clone().requires_grad_() for t in (points, rows, pull))
        values = function(p, r, levels)
        of_points, of_rows = torch.autograd.grad(values, (p, r), g, create_graph=True)
        loss = of_points.square().sum() + of_rows.square().sum()
        found.append([values, of_points, of_rows, *torch.autograd.grad(loss, (p, r, g))])
    for ours, expected in zip(*found, strict=True):
        assert ours.dtype == dtype
        assert (ours - expected).abs().max() <= close * expected.abs().max()


@encoders("numba", "warp")
def test_the_fast_ones_take_grids_of_real_size(encode):
    """L16 with tables of 2^14 entries and resolutions up to 4096, as lifting uses it."""
    levels = layout(16, 14, 16, 1.4472692)
    rows = uniform(entries(levels), 2, seed=1, dtype=torch.float32)
    points = uniform(3001, 3, dtype=torch.float32)
    values = encode(points, rows, levels)
    assert torch.allclose(values, hashgrid_reference.encode(points, rows, levels), atol=1e-6)


@encoders("numba", "warp")
def test_a_third_derivative_is_refused(encode):
    points, rows, levels = small()
    points.requires_grad_()
    (first,) = torch.autograd.grad(
        encode(points, rows, levels).square().sum(), points, create_graph=True
    )
    (second,) = torch.autograd.grad(first.square().sum(), points, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        second.sum().backward()


def test_the_bits_depend_neither_on_the_run_nor_on_the_threads():
    points, rows, levels = small(torch.float32, points=9001)

    def once():
        p, r = points.clone().requires_grad_(), rows.clone().requires_grad_()
        values = hashgrid_numba.encode(p, r, levels)
        (slope,) = torch.autograd.grad(values.square().sum(), p, create_graph=True)
        (slope.square().sum() + values.sum()).backward()
        return values.detach(), slope.detach(), p.grad, r.grad

    threads = torch.get_num_threads()
    try:
        runs = []
        for count in (1, 1, 2, 4):
            torch.set_num_threads(count)
            runs.append(once())
    finally:
        torch.set_num_threads(threads)
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))
