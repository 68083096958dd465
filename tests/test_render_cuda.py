"""The batched path of `--backend nvdiffrast`: with this project's rasteriser in the place of
nvdiffrast's here, and with nvdiffrast itself where there is a GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from raster_samples import SETTINGS, by_numba, expected, samples
from shape_samples import box

from sdtool.cli import run
from sdtool.errors import ObjectError
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh
from sdtool.rendering import cuda, nvdiffrast_backend
from sdtool.rendering.maps import MAPS


def test_a_batch_gives_what_the_cpu_gives():
    batch = samples()
    for (mesh, c2w), maps in zip(
        batch, cuda.render_batch(by_numba, batch, SETTINGS, "cpu"), strict=True
    ):
        for name, image in expected(mesh, c2w).items():
            assert abs(maps[name] - image).max() < 1e-4, name


def test_batches_keep_jobs_and_pass_on_failures(monkeypatch):
    monkeypatch.setattr(cuda, "SAMPLES", 2 * SETTINGS.views * 32**2)  # two objects in a batch
    batch, error = samples(), ObjectError("corrupt-file", "x")
    loaded = [("a", batch[0]), ("b", error), ("c", batch[1]), ("d", None), ("e", batch[2])]
    found = dict(cuda.render_batches(by_numba, loaded, SETTINGS, "cpu"))
    assert set(found) == set("abcde") and found["b"] is error and found["d"] is None
    for job, (mesh, c2w) in zip("ace", batch, strict=True):
        maps, cameras = found[job]
        assert np.array_equal(cameras, c2w)
        assert abs(maps["ccm"] - expected(mesh, c2w)["ccm"]).max() < 1e-4


def test_an_object_larger_than_a_batch_goes_a_few_views_at_a_time(monkeypatch):
    (mesh, c2w), calls = samples()[0], []
    monkeypatch.setattr(cuda, "TRIANGLES", 2 * len(mesh.t_pos_idx))

    def rasterize(pos, faces, ranges, side):
        calls.append(len(ranges))
        return by_numba(pos, faces, ranges, side)

    ((_, (maps, _)),) = cuda.render_batches(rasterize, [("a", (mesh, c2w))], SETTINGS, "cpu")
    assert calls == [2, 1]
    for name, image in expected(mesh, c2w).items():
        assert abs(maps[name] - image).max() < 1e-4, name


def test_an_object_of_which_nothing_is_seen_gives_empty_maps():
    mesh, c2w = samples()[0]
    away = c2w.copy()
    away[:, :3, 3] *= -1  # the cameras look outward
    for seen in (away, c2w):
        (maps,) = cuda.render_batch(by_numba, [(mesh, seen)], SETTINGS, "cpu")
        for name in MAPS:
            assert maps[name].shape == (3, 16, 16, 4)
            assert (maps[name] == [0, 0, 0, -1]).all() == (seen is away), name


@pytest.mark.slow
def test_an_object_of_ten_million_triangles_goes_view_by_view():
    brick = to_canonical(box([0, 0, 0], [1, 2, 3]))
    faces = np.zeros((10_000_000, 3), np.int32)  # without an area, but for the last ones
    faces[-len(brick.t_pos_idx) :] = brick.t_pos_idx
    settings = replace(SETTINGS, maps=("ccm",), views=2, size=4)
    c2w, shown = samples()[0][1][:2], []

    def rasterize(pos, faces, ranges, side):
        shown.append(ranges.tolist())
        return by_numba(pos, faces, ranges, side)

    loaded = [("a", (Mesh(brick.v_pos, faces), c2w)), ("b", (brick, c2w))]
    found = dict(cuda.render_batches(rasterize, loaded, settings, "cpu"))
    assert shown == [[[0, 10_000_000]], [[0, 10_000_000]], [[0, 12], [12, 12]]]
    assert np.array_equal(found["a"][0]["ccm"], found["b"][0]["ccm"])


def test_an_object_beyond_the_rasteriser_is_a_failure_of_its_own():
    def rasterize(pos, faces, ranges, side):
        if ranges[0, 1] > 100:
            raise ObjectError("too-large", "more triangles than it draws")
        return by_numba(pos, faces, ranges, side)

    sphere, brick, _ = samples()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "TRIANGLES", 100)
        loaded = [("a", brick), ("b", sphere), ("c", brick)]
        found = dict(cuda.render_batches(rasterize, loaded, SETTINGS, "cpu"))
    assert isinstance(found["b"], ObjectError) and found["b"].reason == "too-large"
    assert isinstance(found["a"], tuple) and isinstance(found["c"], tuple)


def test_a_missing_nvdiffrast_is_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(__import__("sys").modules, "nvdiffrast", None)
    monkeypatch.setattr(nvdiffrast_backend, "_CONTEXTS", {})
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    command = [
        "render-ccm",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
        "--backend",
        "nvdiffrast",
    ]
    assert run(command) == 1
    said = capsys.readouterr().err
    assert "--backend numba" in said and said.count("\n") == 1


@pytest.mark.gpu
def test_nvdiffrast_agrees_with_the_cpu():
    pytest.importorskip("nvdiffrast")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    batch = samples()
    rasterize = nvdiffrast_backend.rasterize_ranges
    for (mesh, c2w), maps in zip(
        batch, cuda.render_batch(rasterize, batch, SETTINGS, "cuda"), strict=True
    ):
        ours = expected(mesh, c2w)
        differs = ours["ccm"][..., 3] != maps["ccm"][..., 3]
        assert differs.mean() < 0.01  # nvdiffrast snaps vertices to a sixteenth of a pixel
        both = (ours["ccm"][..., 3] == 1) & (maps["ccm"][..., 3] == 1)
        assert abs(ours["ccm"] - maps["ccm"])[both].max() < 0.05
