"""NVIDIA Warp: its rasteriser and its walk against numba's on the CPU, and what it compiles for GPUs."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from raster_samples import (
    FOV,
    FRONT,
    SETTINGS,
    by_numba,
    clip_of,
    expected,
    outlines,
    samples,
    soup,
    tensors,
)
from shape_samples import QUAD_FACES, box, icosphere

from sdtool.cli import run
from sdtool.geometry.cameras import orbit, world_to_clip
from sdtool.io.shards import open_shard
from sdtool.meshfiles import write_glb
from sdtool.rendering import cuda, kernels, march_warp_kernels, raster, warp_backend, warp_kernels
from sdtool.rendering.face_ids import EXACT, from_array, from_tensor, stored
from sdtool.runtime import warp_module
from sdtool.shapes import hashgrid_warp_kernels

pytestmark = pytest.mark.skipif(not warp_module.is_installed(), reason="warp is not installed")
STEP = 2.0**-30  # of a depth in the z-buffer
FIRST = EXACT - 2


def numba(pos, faces, size):
    views = [kernels.rasterize(view, faces.numpy(), *size) for view in pos.numpy()]
    return torch.from_numpy(np.stack(views))


def assert_same(pos, faces, size, ties=0):
    """Masks are equal, depths too to a step; where the same face is seen, so is every bit.

    ties: pixels that may show another face. Returns the image.
    """
    ours, theirs = warp_backend.rasterize(pos, faces, size), numba(pos, faces, size)
    assert ours.shape == theirs.shape and ours.dtype == torch.float32
    assert torch.equal(ours[..., 3] > 0, theirs[..., 3] > 0)
    assert (ours[..., 2].double() - theirs[..., 2].double()).abs().max() <= STEP + 2.0**-24
    same = ours[..., 3] == theirs[..., 3]
    assert torch.equal(ours[same], theirs[same])
    assert int((~same).sum()) <= ties
    return ours


# Visibility


@pytest.mark.parametrize("near", [0.3, -2.0])  # with −2 some triangles cross the plane of the eye
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(24, 24), (17, 32), (130, 90)])
def test_triangle_soups_are_as_numba_sees_them(seed, size, near):
    pos, faces = soup(seed, 25, near=near)
    rast = assert_same(pos, faces, size)
    assert len(rast[..., 3].unique()) > 8


@pytest.mark.parametrize("divisions, side", [(1, 400), (3, 64), (5, 64), (5, 512)])
def test_spheres_are_as_numba_sees_them(divisions, side):
    """Faces of 12,000 pixels, whose rows are divided, down to a hundredth of one, in two views."""
    v_pos, faces = tensors(icosphere(divisions, radius=0.45))
    cameras = torch.from_numpy(world_to_clip(orbit([0, 1], [0.2, 0.5], [1.5, 1.2]), FOV))
    pos = torch.cat([clip_of(v_pos, m) for m in cameras])
    rast = assert_same(pos, faces, (side, side), ties=2)
    assert 0.2 < (rast[..., 3] > 0).float().mean() < 0.9


@pytest.mark.parametrize("shape, given", list(outlines()))
def test_shapes_with_silhouettes_of_many_kinds_are_as_numba_sees_them(shape, given):
    assert assert_same(*given, (40, 24), ties=2).any()


def test_float32_positions_are_as_numba_sees_them():
    v_pos, faces = tensors(icosphere(5, radius=0.45))
    assert_same(clip_of(v_pos, FRONT.float()), faces, (256, 256), ties=5)  # of 29,660


def test_of_two_faces_in_one_place_the_first_is_seen():
    """The box's faces twice over: numba's rule, here by the number in the lower half of a pixel."""
    v_pos, faces = tensors(box([-0.3, -0.3, -0.3], [0.3, 0.3, 0.3]))
    pos, twice = clip_of(v_pos, torch.from_numpy(world_to_clip(orbit(0.4, 0.3, 1.5), FOV))[0]), None
    twice = torch.cat([faces, faces])
    rast = assert_same(pos, twice, (64, 64))
    assert rast[..., 3].max() <= len(faces) and len(rast[..., 3].unique()) > 4


def test_depths_that_float32_cannot_tell_apart_are_ordered():
    """The second of two quads is nearer by 4e-9, which is four steps and less than float32 holds."""
    square = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1.0]]).double()

    def quad(depth):
        return torch.cat([square, torch.full_like(square[:, :1], depth), torch.ones(4, 1)], dim=1)

    pos = torch.cat([quad(0.9), quad(0.9 - 4e-9)])[None]
    faces = torch.from_numpy(np.concatenate([QUAD_FACES, QUAD_FACES + 4]).astype(np.int32))
    rast = assert_same(pos, faces, (16, 16))
    assert (rast[..., 3] > 2).all()


def test_nothing_and_what_is_not_a_number_leave_no_trace():
    pos, faces = soup(0, 5)
    assert not warp_backend.rasterize(pos, faces[:0], (16, 16)).any()
    assert warp_backend.rasterize(pos[:0], faces, (16, 16)).shape == (0, 16, 16, 4)
    for bad in (float("nan"), float("inf")):
        broken = pos.clone()
        broken[0, ::3, 0] = bad
        assert not warp_backend.rasterize(broken, faces, (16, 16))[..., 3].any()


def test_ranges_are_images_of_their_own():
    pos, faces = soup(3, 30)
    ranges = torch.tensor([[0, 10], [10, 0], [10, 20], [5, 1]], dtype=torch.int32)
    ours = warp_backend.rasterize_ranges(pos[0].float(), faces, ranges, 32)
    theirs = by_numba(pos[0].float().double(), faces, ranges, 32)
    assert torch.equal(ours, theirs) and not ours[1].any() and ours[2, ..., 3].max() > 10


def test_ids_beyond_what_float32_counts_are_exact():
    """Faces 2^24 − 2 … 2^24 + 5 of a list whose others are never looked at; seen, then walked over."""
    last = FIRST + 8
    own, eight = soup(3, 8)
    faces = torch.zeros(last, 3, dtype=torch.int32)
    faces[FIRST:] = eight
    ranges = torch.tensor([[FIRST, 8]], dtype=torch.int32)
    found = warp_backend.rasterize_ranges(own[0], faces, ranges, 48)
    plain = warp_backend.rasterize_ranges(own[0], eight, ranges * torch.tensor([[0, 1]]), 48)
    seen = from_tensor(found[..., 3], last)
    assert torch.equal(seen, torch.where(plain[..., 3] > 0, plain[..., 3].long() + FIRST, 0))
    assert len(seen.unique()) > 5 and seen.max() > EXACT + 2


def test_the_walk_reads_ids_beyond_what_float32_counts(monkeypatch):
    own, eight = soup(3, 8)
    faces = torch.zeros(FIRST + 8, 3, dtype=torch.int32)
    faces[FIRST:] = eight
    rast = warp_backend.rasterize(own, eight, (48, 48))
    expected = warp_backend.silhouette_pairs(own, eight, rast, 64)
    # borders everywhere: to sort the edges of so many faces would take a minute
    monkeypatch.setattr(warp_backend, "neighbours", lambda f, _: torch.full_like(f, -1))
    moved = from_array(rast[..., 3].numpy(), 8)
    rast[..., 3] = torch.from_numpy(np.vectorize(stored)(np.where(moved > 0, moved + FIRST, 0)))
    found = warp_backend.silhouette_pairs(own, faces, rast, 64)
    assert len(found[0]) > 10 and all(map(torch.equal, found, expected))


def test_a_batch_gives_what_the_cpu_gives():
    batch = samples()
    found = cuda.render_batch(warp_backend.rasterize_ranges, batch, SETTINGS, "cpu")
    for (mesh, c2w), maps in zip(batch, found, strict=True):
        for name, image in expected(mesh, c2w).items():
            assert abs(maps[name] - image).max() < 1e-4, name


def test_render_ccm_takes_it(tmp_path):
    for number, mesh in enumerate([icosphere(2), box([0, 0, 0], [1, 2, 3])]):
        write_glb(tmp_path / "in" / f"{number}.glb", mesh)
    maps = {}
    for backend in ("numba", "warp"):
        out = tmp_path / backend
        command = ["render-ccm", str(tmp_path / "in"), "--out", str(out), "--backend", backend]
        command += ["--device", "cpu", "--views", "3", "--size", "16", "--workers", "1"]
        assert run(command) == 0
        maps[backend] = open_shard(out / "ccm-00000.safetensors").maps["ccm"][:]
    assert abs(maps["warp"].astype(float) - maps["numba"]).max() < 2e-3  # stored as float16
    assert maps["warp"].any()


# The walk to silhouettes


@pytest.mark.parametrize("steps", [1, 64])
@pytest.mark.parametrize("shape, given", list(outlines()))
def test_the_walk_finds_exactly_the_pairs_of_numba(shape, given, steps):
    """The same pairs, edges and axes, in the same order."""
    clip, faces = given
    rast = raster.rasterize(clip, faces, (40, 24))
    ours = torch.stack(warp_backend.silhouette_pairs(clip, faces, rast, steps), dim=1)
    triangles = faces.numpy()
    across = kernels.neighbours(triangles, clip.shape[1])
    theirs = [
        (n, *pair)
        for n in range(len(clip))
        for pair in kernels.silhouette_pairs(
            clip[n].numpy(), triangles, across, rast[n].numpy(), steps
        ).tolist()
    ]
    assert steps == 1 or len(theirs) > 10
    assert list(map(tuple, ours.tolist())) == theirs


def test_without_faces_there_is_no_silhouette():
    pos, faces = soup(0, 5)
    found = warp_backend.silhouette_pairs(pos, faces[:0], torch.zeros(1, 8, 8, 4), 64)
    assert [t.shape for t in found] == [(0,)] * 6


def test_an_image_and_its_gradient_are_those_of_the_cpu(monkeypatch):
    """The three primitives together, as an accelerator computes them."""
    v_pos, faces = tensors(icosphere(3, radius=0.4))
    at = torch.from_numpy(world_to_clip(orbit(0.4, 0.3, 1.5), FOV)).float()[0]
    weight = torch.rand(1, 48, 48, 3, generator=torch.Generator().manual_seed(0))

    def gradient():
        leaf = v_pos.clone().requires_grad_()
        clip = clip_of(leaf, at)
        rast = raster.rasterize(clip, faces, (48, 48))
        image = raster.antialias(raster.interpolate(leaf, rast, faces), rast, clip, faces)
        (image * weight).sum().backward()
        return image.detach(), leaf.grad

    by_cpu = gradient()
    monkeypatch.setattr(raster, "backend_for", lambda device: "warp")
    monkeypatch.setattr(raster, "_silhouettes", warp_backend.silhouette_pairs)
    for ours, theirs in zip(gradient(), by_cpu, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5) and ours.any()


def test_an_accelerator_gets_nvdiffrast_else_warp_else_numba(monkeypatch):
    there, installed = torch.device("meta"), {"nvdiffrast", "warp"}
    nvdiffrast = raster.nvdiffrast_backend
    monkeypatch.setattr(nvdiffrast, "can_be_loaded", lambda: "nvdiffrast" in installed)
    monkeypatch.setattr(warp_module, "runs_on", lambda device: "warp" in installed)
    assert raster.backend_for(there) == "nvdiffrast"
    installed.remove("nvdiffrast")
    assert raster.backend_for(there) == "warp"
    assert raster.backend_for(torch.device("cpu")) == "numba"
    installed.clear()
    assert raster.backend_for(there) == "numba"


# Warp itself


@pytest.mark.slow
def test_every_kernel_compiles_for_gpus_without_one(tmp_path):
    """PTX for compute capability 8.0 and 9.0: that of A100 and H100."""
    wp = warp_module.warp()
    names = {warp_kernels.MODULE: set(vars(warp_kernels.kernels()))}
    for dtype in (torch.float32, torch.float64):
        own = hashgrid_warp_kernels.kernels(dtype)
        names[hashgrid_warp_kernels.module_name(dtype)] = set(vars(own))
    names[march_warp_kernels.MODULE] = set(vars(march_warp_kernels.kernels()))
    unfused = (warp_kernels.MODULE, march_warp_kernels.MODULE)
    for module, own in names.items():
        for arch in (80, 90):
            folder = tmp_path / f"{module}-{arch}"
            options = {"arch": arch, "module_dir": str(folder), "use_ptx": True}
            wp.compile_aot_module(wp.get_module(module), **options)
            (path,) = folder.glob("*.ptx")
            text = path.read_text(encoding="utf-8")
            assert f".target sm_{arch}" in text
            fused = re.search(
                r"fma\.rn\.f(32|64)", text
            )  # other edges, walks and depths than the CPU's
            assert not fused or module not in unfused
            entries = [line for line in text.splitlines() if ".entry" in line]
            for name in own:
                assert any(name in line for line in entries), (module, name, entries)


def fresh(code, **env):
    """(stdout, stderr) of a new interpreter."""
    env = {k: v for k, v in os.environ.items() if k != "WARP_CACHE_PATH"} | env
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


POINT = """
import torch
from sdtool.runtime.warp_module import warp
from sdtool.shapes.hashgrid import HashGrid
grid = HashGrid(4, log2_table=8, backend="warp", generator=torch.Generator().manual_seed(0))
assert grid(torch.rand(3, 3, generator=torch.Generator().manual_seed(1))).any()
print(warp().config.kernel_cache_dir)
"""


@pytest.mark.slow
def test_it_says_nothing_on_stdout_and_needs_no_home(tmp_path):
    (tmp_path / "file").touch()
    for home in (
        tmp_path / "home",
        tmp_path / "file",
    ):  # one that can be written, and one that cannot
        stdout, stderr = fresh(POINT, HOME=str(home), XDG_CACHE_HOME="")
        assert stdout.count("\n") == 1, stdout
        assert "driver" not in stderr  # on a machine without one
        inside = stdout.startswith(str(tmp_path / "home" / ".cache" / "warp"))
        assert inside == (home.name == "home")
        assert "sdtool-warp-" in stdout or inside


def test_of_stderr_only_the_lines_in_question_are_withheld(capfd):
    with warp_module._without(b"Warp CUDA warning: Could not"):
        os.write(2, b"Warp CUDA warning: Could not find it.\nWarp CUDA error: it is broken\n")
    os.write(2, b"and after\n")
    assert capfd.readouterr().err == "Warp CUDA error: it is broken\nand after\n"
    with pytest.raises(OSError), warp_module._without(b"no"):
        os.write(2, b"what was said\n")
        raise OSError
    assert capfd.readouterr().err == "what was said\n"
