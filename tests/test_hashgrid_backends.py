"""The hash grid as a module: the same from any backend, which one is taken, and what is refused."""

import sys

import pytest
import torch
from hashgrid_samples import NEEDS_WARP, WARP, entries, generator, uniform
from safetensors.torch import load_file, save_file

from sdtool.bench.encoding import encoding
from sdtool.bench.gpu import hash_grids
from sdtool.errors import MissingDependencyError, UsageError
from sdtool.runtime import warp_module
from sdtool.runtime.apart import apart
from sdtool.shapes import hashgrid
from sdtool.shapes.hashgrid import HashGrid, backend_for


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


@pytest.mark.slow
def test_the_bench_compares_equal_values(tmp_path):
    table = encoding(tmp_path, points=300, rounds=1)
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells["gradient in"] == ["table", "table, points"] * 2
    assert all(float(cell.split()[0]) < 1e-6 for cell in cells["values differ"])
