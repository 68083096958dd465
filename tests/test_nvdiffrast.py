"""What nvdiffrast is asked for, with a fake in its place that counts as it allocates; its snapping of
vertices, emulated on the CPU; and ids of faces beyond what float32 counts."""

import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from shape_samples import icosphere

from sdtool.errors import ObjectError, UsageError
from sdtool.geometry.cameras import orbit, world_to_clip
from sdtool.rendering import face_ids, kernels, nvdiffrast_backend, raster
from sdtool.rendering.nvdiffrast_backend import BUDGET, MOST_TRIANGLES, allocated, calls
from sdtool.rendering.silhouettes import silhouette_pairs
from sdtool.rendering.visible import Visible

LIMIT = 2**31 - 1


@pytest.fixture
def fake(monkeypatch):
    """A module in nvdiffrast's place; `.contexts` lists the images and triangles of each context's calls."""
    found = SimpleNamespace(contexts=[])

    class Context:
        def __init__(self, device):
            self.calls, self.largest = [], 0
            found.contexts.append(self)

    def rasterize(context, pos, faces, size, ranges=None, grad_db=True):
        counts = [len(faces)] * len(pos) if ranges is None else ranges[:, 1].tolist()
        context.largest = max([context.largest, *counts])
        # the allocation of `RasterImpl::drawTriangles`, which it works out in 32 bits
        assert len(counts) * (context.largest + 4096) * 33 <= LIMIT
        assert allocated(len(counts), context.largest, size) <= BUDGET
        context.calls.append(counts)
        first = pos[:, :1, :1] if ranges is None else ranges[:, :1, None].float()
        return first[..., None].expand(-1, *size, 4), None

    package, module = ModuleType("nvdiffrast"), ModuleType("nvdiffrast.torch")
    module.RasterizeCudaContext, module.rasterize = Context, rasterize
    package.torch = module
    monkeypatch.setitem(sys.modules, "nvdiffrast", package)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", module)
    monkeypatch.setattr(nvdiffrast_backend, "_CONTEXTS", {})
    return found


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("from importlib.metadata import version\nversion('nvdiffrast')", "metadata"),
        ("raise ImportError('lib.so: undefined symbol: _ZN3c10')", "undefined symbol"),
        ("raise OSError('libcudart.so.13 is absent')", "libcudart"),
    ],
)
def test_what_is_there_but_broken_says_so_and_is_not_taken(lines, why, tmp_path, monkeypatch):
    if version_of("nvdiffrast"):
        pytest.skip("nvdiffrast is installed")
    (tmp_path / "nvdiffrast").mkdir()
    (tmp_path / "nvdiffrast" / "__init__.py").write_text(lines)
    (tmp_path / "nvdiffrast" / "torch.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(nvdiffrast_backend, "_CONTEXTS", {})
    monkeypatch.setattr(raster.warp_module, "runs_on", lambda device: True)
    nvdiffrast_backend.can_be_loaded.cache_clear()
    with pytest.raises(UsageError, match=f"installed but cannot be loaded .*{why}"):
        nvdiffrast_backend.check("cuda")
    assert nvdiffrast_backend.is_installed() and not nvdiffrast_backend.can_be_loaded()
    assert raster.backend_for(torch.device("meta")) == "warp"
    nvdiffrast_backend.can_be_loaded.cache_clear()


def version_of(name):
    """The version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def test_what_can_be_loaded_is_taken(fake):
    nvdiffrast_backend.can_be_loaded.cache_clear()
    assert raster.backend_for(torch.device("meta")) == "nvdiffrast"
    nvdiffrast_backend.can_be_loaded.cache_clear()


def ranges_of(counts):
    """(N, 2) int32: where each image's faces begin, and how many they are."""
    rows = [[k, count] for k, count in enumerate(counts)]
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 2)


def draw(counts, side=8):
    pos, faces = torch.zeros(3, 4), torch.zeros(1, 3, dtype=torch.int32)
    return nvdiffrast_backend.rasterize_ranges(pos, faces, ranges_of(counts), side)


def test_one_image_of_the_most_triangles_fits_and_the_budget_is_below_what_32_bits_count():
    assert BUDGET < LIMIT and allocated(1, MOST_TRIANGLES, (2048, 2048)) < BUDGET
    grown = allocated(2, 1_000_000, (64, 64)) - allocated(2, 0, (64, 64))
    assert grown >= 2 * 33 * 1_000_000


def test_images_are_split_into_calls_within_the_budget():
    size = (64, 64)
    most = BUDGET // allocated(1, 1000, size)
    assert calls([1000] * most, size) == [slice(0, most)]
    assert calls([1000] * (most + 1), size) == [slice(0, most), slice(most, most + 1)]
    assert calls([], size) == []
    large = [1000] * 3 + [12_000_000] + [1000] * 300
    parts = calls(large, size)
    assert [k for part in parts for k in range(len(large))[part]] == list(range(len(large)))
    for part in parts:
        assert allocated(part.stop - part.start, max(large[part]), size) <= BUDGET
    assert len(parts) == 2  # the large one shares its call with a few, the rest is one call


def test_images_come_back_in_order_and_no_call_allocates_beyond_the_budget(fake):
    counts = [500_000] * 70 + [9_000_000] * 4 + [20] * 512
    image = draw(counts)
    assert image.shape == (586, 8, 8, 4)
    assert image[:, 0, 0, 0].tolist() == list(range(586))  # what the fake draws: its first face
    assert [n for c in fake.contexts for call in c.calls for n in call] == counts


def test_the_size_of_a_large_object_does_not_stick(fake):
    draw([100] * 256)
    draw([4_190_000] * 2)  # from here on, 512 images would be 71 GB, and negative in 32 bits
    draw([100] * 8)
    assert len(fake.contexts) == 1  # which that context can still hold
    draw([100] * 512)
    assert [context.largest for context in fake.contexts] == [4_190_000, 100]
    assert [len(call) for call in fake.contexts[1].calls] == [512]


def test_views_of_one_mesh_are_split_too(fake):
    pos = torch.arange(9.0)[:, None, None].expand(9, 3, 4)
    faces = torch.zeros(8_000_000, 3, dtype=torch.int32)
    image = nvdiffrast_backend.rasterize(pos, faces, (8, 8))
    assert image[:, 0, 0, 0].tolist() == list(range(9))
    assert sum(len(call) for call in fake.contexts[0].calls) == 9
    assert max(len(call) for call in fake.contexts[0].calls) < 9


def test_nothing_to_draw_and_too_much_in_an_image(fake):
    assert draw([]).shape == (0, 8, 8, 4) and not fake.contexts
    assert draw([0, 0]).shape == (2, 8, 8, 4)
    with pytest.raises(ObjectError, match="--backend numba") as caught:
        draw([MOST_TRIANGLES + 1])
    assert caught.value.reason == "too-large"


# Snapped vertices


def snapped(pos, faces, size):
    """nvdiffrast's visibility: what is seen of the vertices moved to 1/16 pixel, with u, v clamped."""
    half = torch.tensor([size[1], size[0]]) / 2
    screen = pos[..., :2] / pos[..., 3:] * half
    moved = torch.cat([(screen * 16).round() / 16 / half * pos[..., 3:], pos[..., 2:]], dim=-1)
    views = [kernels.rasterize(view.numpy(), faces.numpy(), *size) for view in moved]
    return torch.from_numpy(np.stack(views))


def fine_sphere():
    """A sphere with faces of about half a pixel at 64×64, as clip positions (1, V, 4) with its faces."""
    mesh = icosphere(6)
    c2w = orbit([0.3], [0.2], [3.0])
    matrix = torch.from_numpy(world_to_clip(c2w, np.radians(45)))
    v_pos = torch.from_numpy(mesh.v_pos)
    v_hom = torch.cat([v_pos, torch.ones(len(v_pos), 1)], dim=1)
    return v_hom @ matrix.transpose(1, 2), torch.from_numpy(mesh.t_pos_idx)


def test_values_stay_inside_their_face_though_its_vertices_were_snapped(monkeypatch):
    pos, faces = fine_sphere()
    pos.requires_grad_(True)
    monkeypatch.setattr(nvdiffrast_backend, "rasterize", snapped)
    monkeypatch.setattr(raster, "backend_for", lambda device: "nvdiffrast")
    rast = raster.rasterize(pos, faces, (64, 64))
    seen = rast[..., 3] > 0
    u, v = rast[seen][:, 0], rast[seen][:, 1]
    assert u.min() >= 0 and v.min() >= 0 and (u + v).max() <= 1 + 1e-6
    height = torch.arange(float(pos.shape[1])) % 97  # a value that jumps from vertex to vertex
    value = raster.interpolate(height[:, None], rast, faces)[seen][:, 0]
    corners = height[faces.long()[rast[seen][:, 3].long() - 1]]
    assert (value >= corners.amin(1) - 1e-3).all() and (value <= corners.amax(1) + 1e-3).all()
    depth = (pos[0, :, 2] / pos[0, :, 3])[faces.long()[rast[seen][:, 3].long() - 1]]
    assert (rast[seen][:, 2] <= depth.amax(1) + 1e-5).all()
    assert (rast[seen][:, 2] >= depth.amin(1) - 1e-5).all()
    value.sum().backward()
    assert torch.isfinite(pos.grad).all() and pos.grad.abs().sum() > 0

    monkeypatch.setattr(raster, "SNAPS", ())  # as it was: the emulation shows what is mended
    loose = raster.rasterize(pos, faces, (64, 64))[seen][:, :2]
    assert ((loose < -0.05) | (loose > 1.05)).any(1).float().mean() > 0.01


def test_exact_visibility_is_left_as_it_is(monkeypatch):
    pos, faces = fine_sphere()
    monkeypatch.setattr(raster, "_inside", lambda weight: pytest.fail("numba's were clamped"))
    assert (raster.rasterize(pos.requires_grad_(True), faces, (32, 32))[..., 3] > 0).any()


# Ids beyond 2²⁴


@pytest.mark.parametrize("number", [0, 1, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 3, 2**29 + 1])
def test_ids_come_back_from_a_float32(number):
    value = face_ids.stored(number)
    assert isinstance(value, float) and np.float32(value) == value
    assert face_ids.restored(np.float32(value)) == number
    values = np.array([[value, 5]], np.float32)[:, :1]
    assert face_ids.from_array(values, 2**30).tolist() == [[number]]
    assert face_ids.from_tensor(torch.from_numpy(values).double(), 2**30).tolist() == [[number]]


@pytest.mark.slow
def test_the_last_faces_of_a_huge_mesh_are_told_apart():
    count = 2**24 + 3
    faces = np.zeros((count, 3), np.int32)  # faces without an area, but for the last two
    faces[-2:] = [[0, 1, 2], [1, 3, 2]]
    v_pos = np.array([[-1, -1, 0], [1, -1, 0], [-1, 1, 0], [1, 1, 0]], np.float32)
    image = kernels.rasterize_views(v_pos, faces, np.eye(4, dtype=np.float32)[None], 4, 4)
    found = face_ids.from_array(image[..., 3], count)
    assert sorted(set(found.ravel())) == [count - 1, count]
    value = np.array([0, 1, 0, 1], np.float32)[:, None]
    across = (2 * np.arange(4) + 1) / 8
    assert abs(kernels.interpolate(value, faces, image)[0, ..., 0] - across).max() < 1e-6
    mesh = SimpleNamespace(t_pos_idx=faces)
    assert abs(Visible(mesh, image).interpolate(value)[:, 0].reshape(4, 4) - across).max() < 1e-6
    pos = torch.from_numpy(np.concatenate([v_pos, np.ones((4, 1), np.float32)], axis=1))[None]
    rast = raster.rasterize(pos.requires_grad_(True), torch.from_numpy(faces), (4, 4))
    shown = raster.interpolate(torch.from_numpy(value), rast, torch.from_numpy(faces))
    assert abs(shown[0, ..., 0].detach().numpy() - across).max() < 1e-6


# Nothing to be seen


def test_an_empty_picture_passes_through_all_three_primitives():
    pos = torch.tensor([[[5.0, 5, 0, 1], [6, 5, 0, 1], [5, 6, 0, 1]]], requires_grad=True)
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    rast = raster.rasterize(pos, faces, (4, 4))
    image = raster.interpolate(torch.ones(3, 2), rast, faces)
    smooth = raster.antialias(image, rast, pos, faces)
    assert smooth.shape == (1, 4, 4, 2) and not smooth.any() and not rast[..., 3].any()
    assert all(len(one) == 0 for one in silhouette_pairs(pos.detach(), faces, rast.detach(), 8))
