"""The hash grid: closed forms, its layout by hand, and the backends against the reference."""

import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.autograd import gradcheck, gradgradcheck

from sdtool.bench.encoding import encoding
from sdtool.bench.gpu import hash_grids
from sdtool.errors import MissingDependencyError, UsageError
from sdtool.runtime import warp_module
from sdtool.runtime.apart import apart
from sdtool.shapes import hashgrid, hashgrid_numba, hashgrid_reference, hashgrid_warp
from sdtool.shapes.field import Field
from sdtool.shapes.hashgrid import HashGrid, backend_for
from sdtool.shapes.hashgrid_layout import layout
from sdtool.shapes.mlp import MLP

ENCODERS = {
    "torch": hashgrid_reference.encode,
    "numba": hashgrid_numba.encode,
    "warp": hashgrid_warp.encode,
}
NEEDS_WARP = pytest.mark.skipif(not warp_module.is_installed(), reason="warp is not installed")
WARP = pytest.param("warp", marks=NEEDS_WARP)


def encoders(*names):
    """`encode` of each backend in turn."""
    marks = {"warp": (NEEDS_WARP,)}
    params = [pytest.param(ENCODERS[n], id=n, marks=marks.get(n, ())) for n in names]
    return pytest.mark.parametrize("encode", params)


ALL = encoders("torch", "numba", "warp")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def uniform(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


def entries(levels):
    return levels[-1].offset + levels[-1].size


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


# The module


def grid(backend="numba", **options):
    numbers = {
        "levels": 4,
        "log2_table": 7,
        "base_resolution": 3,
        "per_level_scale": 1.7,
        **options,
    }
    return HashGrid(**numbers, backend=backend, generator=generator())


def test_a_saved_table_loads_in_another_backend(tmp_path):
    ours, theirs = grid("numba"), grid("torch")
    assert ours.table.abs().max() <= 1e-4 and ours.table.std() > 5e-5
    with torch.no_grad():
        ours.table.copy_(uniform(ours.table.numel(), dtype=torch.float32))
    save_file(ours.state_dict(), tmp_path / "grid.safetensors")
    saved = load_file(tmp_path / "grid.safetensors")
    assert list(saved) == ["table"] and saved["table"].shape == (2 * entries(ours.levels),)
    theirs.load_state_dict(saved)
    points = uniform(100, 3, dtype=torch.float32)
    assert ours(points).shape == (100, 8) == (100, ours.channels)
    assert torch.allclose(ours(points), theirs(points), atol=1e-6)


@pytest.mark.parametrize("backend", ["torch", "numba", WARP])
def test_points_outside_are_moved_to_the_surface(backend):
    encode = grid(backend)
    points = torch.tensor([[-3.0, 0.4, 1e30], [0.5, float("inf"), 0.1]], requires_grad=True)
    values = encode(points)
    assert torch.equal(values, encode(torch.tensor([[0, 0.4, 1], [0.5, 1, 0.1]])))
    values.sum().backward()
    assert (points.grad == 0).tolist() == [[True, False, True], [False, True, False]]


@pytest.mark.parametrize("backend", ["numba", WARP])
def test_what_is_not_a_number_stays_so_and_harms_nothing(backend):
    encode = grid(backend)
    points = torch.tensor([[0.2, float("nan"), 0.3], [0.2, 0.5, 0.3]], requires_grad=True)
    values = encode(points)
    assert values[0].isnan().all() and values[1].isfinite().all()
    values[1].sum().backward()
    assert encode.table.grad.shape == encode.table.shape


@pytest.mark.parametrize("backend", ["torch", "numba", WARP])
def test_no_points_give_no_values(backend):
    encode = grid(backend)
    points = torch.zeros(0, 3, requires_grad=True)
    values = encode(points)
    assert values.shape == (0, 8)
    values.sum().backward()
    assert points.grad.shape == (0, 3) and not encode.table.grad.any()


@pytest.mark.parametrize("backend", ["torch", "numba", WARP])
def test_the_pulled_gradient_is_autograd_s(backend):
    encode = grid(backend).double()
    points = (uniform(50, 3) * 1.2 - 0.1).requires_grad_()
    pull = uniform(50, 8, seed=5)
    (expected,) = torch.autograd.grad(encode(points), points, pull, create_graph=True)
    found = encode.gradient(points, pull)
    assert torch.allclose(found, expected, atol=1e-15) and found.abs().max() > 1e-5
    of_table = [torch.autograd.grad(g.square().sum(), encode.table)[0] for g in (found, expected)]
    assert torch.allclose(*of_table, atol=1e-15) and of_table[0].abs().max() > 1e-6
    with torch.no_grad():
        assert torch.equal(encode.gradient(points.detach(), pull), found)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"backend": "jax"}, "'jax' is not one of torch, numba, warp, tinycudann"),
        ({"levels": 0}, "1 to 32 levels, not 0"),
        ({"features": 3}, "1, 2, 4 or 8 features"),
        ({"log2_table": 40}, "2\\^26"),
        ({"base_resolution": 1}, "at least 2, not 1"),
        ({"per_level_scale": 0.5}, "1 to 16, not 0.5"),
        ({"per_level_scale": float("nan")}, "1 to 16, not nan"),
        ({"levels": 32, "per_level_scale": 2.0}, "use fewer levels"),
    ],
)
def test_wrong_numbers_are_named(options, said):
    with pytest.raises(UsageError, match=said):
        grid(**options)


def test_wrong_points_are_named():
    with pytest.raises(ValueError, match=r"\(P, 3\), not \(5, 2\)"):
        grid()(torch.zeros(5, 2))
    with pytest.raises(ValueError, match="float32, not torch.float16"):
        grid()(torch.zeros(5, 3, dtype=torch.float16))
    with pytest.raises(ValueError, match="torch.float64 and torch.float32"):
        grid()(torch.zeros(5, 3, dtype=torch.float64))
    with pytest.raises(UsageError, match="numba cannot work on meta; use"):
        grid()(torch.zeros(5, 3, device="meta"))


def test_a_missing_tinycudann_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinycudann", None)
    with pytest.raises(MissingDependencyError, match="NVlabs/tiny-cuda-nn"):
        grid("tinycudann")
    assert backend_for(torch.device("cpu")) == "numba"


def test_a_missing_warp_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "warp", None)
    warp_module.warp.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"pip install 'sdtool\[cuda\]'"):
        grid("warp")


def test_an_accelerator_gets_warp_else_torch(monkeypatch):
    """tinycudann is not taken unasked, wherever it is installed: nobody has seen it to be right."""
    there, installed = torch.device("meta"), {"tinycudann", "warp"}
    monkeypatch.delenv("SDTOOL_HASH_GRID", raising=False)
    monkeypatch.setattr(hashgrid.hashgrid_tinycudann, "is_installed", lambda: True)
    monkeypatch.setattr(warp_module, "runs_on", lambda device: "warp" in installed)
    assert backend_for(there) == "warp" and backend_for(torch.device("cpu")) == "numba"
    installed.remove("warp")
    assert backend_for(there) == "torch"


def test_the_environment_chooses_for_an_accelerator(monkeypatch):
    there = torch.device("meta")
    monkeypatch.setattr(warp_module, "runs_on", lambda device: True)
    for name in ("tinycudann", "torch", "warp"):
        monkeypatch.setenv("SDTOOL_HASH_GRID", name)
        assert backend_for(there) == name and backend_for(torch.device("cpu")) == "numba"
    monkeypatch.setenv("SDTOOL_HASH_GRID", "")
    assert backend_for(there) == "warp"
    monkeypatch.setenv("SDTOOL_HASH_GRID", "numba")
    with pytest.raises(UsageError, match="SDTOOL_HASH_GRID=numba is none .* torch, warp, tinycuda"):
        backend_for(there)


def test_a_tinycudann_without_metadata_is_there_and_broken(tmp_path, monkeypatch):
    (tmp_path / "tinycudann.py").write_text(
        "from importlib.metadata import version\nversion('tinycudann')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
    with pytest.raises(UsageError, match="is installed but cannot run here .*metadata"):
        grid("tinycudann")


@NEEDS_WARP
def test_warp_says_where_it_cannot_work():
    with pytest.raises(UsageError, match="Warp cannot work on meta"):
        grid("warp").to("meta")(torch.zeros(5, 3, device="meta"))
    assert not warp_module.runs_on(torch.device("meta"))


@pytest.mark.gpu
@NEEDS_WARP
def test_warp_on_cuda_agrees_with_the_reference():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    agrees_on_cuda("warp")


@pytest.mark.gpu
def test_tinycudann_agrees_with_the_reference():
    pytest.importorskip("tinycudann")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    apart(hash_grids.tried, "tinycudann", "cuda")  # its crash is this test's failure, not the end
    agrees_on_cuda("tinycudann")


def agrees_on_cuda(name):
    """Values and both gradients."""
    points = uniform(1000, 3, dtype=torch.float32)
    found = []
    for backend, device in (("torch", "cpu"), (name, "cuda")):
        encode = grid(backend).to(device)
        with torch.no_grad():
            encode.table.mul_(1e4)
        p = points.to(device).requires_grad_()
        values = encode(p)
        values.square().sum().backward()
        found.append([t.detach().cpu() for t in (values, encode.table.grad, p.grad)])
    for expected, theirs in zip(*found, strict=True):
        assert torch.allclose(theirs, expected, rtol=1e-3, atol=1e-3 * expected.abs().max())


# The perceptron and the field


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


@pytest.mark.slow
def test_the_bench_compares_equal_values(tmp_path):
    table = encoding(tmp_path, points=300, rounds=1)
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells["gradient in"] == ["table", "table, points"] * 2
    assert all(float(cell.split()[0]) < 1e-6 for cell in cells["values differ"])
