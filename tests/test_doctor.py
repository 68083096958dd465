"""`sdtool doctor`: it tries each part, reports what is broken or missing, and its exit code says so."""

import importlib
import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from sdtool.stages import doctor as stage

from sdtool.cli import run
from sdtool.doctor import machine
from sdtool.doctor.check import Check, attempt
from sdtool.doctor.core import CORE
from sdtool.doctor.optional import OPTIONAL
from sdtool.runtime import warp_module

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
NAMES = [check.name for check in (*CORE, *OPTIONAL)]


def doctor(capsys, *arguments):
    """(exit code, stdout, stderr)"""
    code = run(["doctor", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def findings(stdout):
    """{feature: its finding} of a --json report."""
    return {one["name"]: one for one in json.loads(stdout)["checks"]}


def hide(monkeypatch, *modules):
    """Let these packages look as if they were not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "sdtool.doctor.check.find_spec", lambda name: None if name in modules else real(name)
    )


@pytest.mark.slow
def test_everything_is_tried_and_what_nobody_asked_for_may_be_missing(capsys, monkeypatch):
    hide(monkeypatch, "ray", "DracoPy", "nvdiffrast")
    code, stdout, stderr = doctor(capsys, "--json")
    assert code == 0 and stdout.count("\n") == 1, stderr
    found = findings(stdout)
    assert list(found) == NAMES
    assert all(found[check.name]["state"] == "ok" for check in CORE), found
    assert all(found[check.name]["seconds"] > 0 for check in CORE)
    assert found["meshopt"]["state"] == found["init"]["state"] == "ok"
    assert {found[name]["state"] for name in ("ray", "draco", "nvdiffrast")} == {"missing"}
    assert found["draco"]["cure"] == "pip install 'sdtool[draco]'"
    assert "NVlabs/nvdiffrast" in found["nvdiffrast"]["cure"]
    report = json.loads(stdout)
    assert report["versions"]["torch"] == torch.__version__
    assert report["devices"][0]["device"] == "cpu" and report["devices"][0]["cores"] >= 1
    around = report["surroundings"]
    assert around["disk_free"] > 0 and around["numba_cache"]["bytes"] > 0


@pytest.mark.slow
def test_the_table_has_a_row_for_each_part_and_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hide(monkeypatch, "meshopt")
    code, stdout, stderr = doctor(capsys, "draco", "meshopt")
    assert code == 1
    for check in CORE:
        assert re.search(rf"^{check.name} +ok +\d+\.\d\d  \w", stdout, re.MULTILINE), check.name
    assert re.search(r"^draco +ok ", stdout, re.MULTILINE)
    assert re.search(r"^meshopt +missing ", stdout, re.MULTILINE)
    assert "ray  " not in stdout.split("parts")[1]
    assert "HF_HUB_OFFLINE is on" in stdout and f"torch {torch.__version__}" in stdout
    assert "\nmeshopt: pip install 'sdtool[meshopt]'\n" in stdout
    assert stderr.count("\n") == 1 and stderr.endswith("; pip install 'sdtool[meshopt]'\n")
    assert max(map(len, stdout.splitlines())) <= 80


@pytest.mark.slow
def test_a_broken_part_is_a_row_and_the_exit_code(capsys, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("the disk is\nmade of cheese")

    monkeypatch.setattr("sdtool.meshfiles.write_glb", broken)
    monkeypatch.setattr("sdtool.runtime.engine.map_items", lambda *_, **__: [(-1, 5)])
    code, stdout, stderr = doctor(capsys, "draco", "--json")
    found = findings(stdout)
    assert code == 1 and found["draco"]["state"] == "ok"
    assert {n for n, one in found.items() if one["state"] == "failed"} == {"meshes", "processes"}
    assert found["meshes"]["detail"] == "the disk is"
    assert found["processes"]["detail"] == "they answer {-1: 5}"
    assert (
        json.loads(stdout)["exit_code"] == 1 and "meshes is failed" in json.loads(stdout)["error"]
    )
    assert stderr == f"sdtool: {json.loads(stdout)['error']}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "target, name",
    [
        ("sdtool.rendering.kernels.rasterize", "raster-numba"),
        ("sdtool.shapes.hashgrid_numba.encode", "hashgrid-numba"),
        ("sdtool.shapes.hashgrid_reference.encode", "hashgrid-torch"),
        ("sdtool.priors.prior.Prior.predict", "tiny-agp"),
        ("sdtool.priors.prior.Prior.predict", "tiny-base"),
        ("sdtool.exporting.decimation.decimate", "export"),
    ],
)
def test_wrong_answers_are_noticed(monkeypatch, target, name):
    check = next(check for check in CORE if check.name == name)
    assert attempt(check).state == "ok"
    module, _, function = target.rpartition(".")
    replaced = {
        "rasterize": lambda clip, faces, height, width: np.zeros((height, width, 4), np.float32),
        "encode": lambda points, rows, levels: (2 * rows[:4]).reshape(1, -1) + 0 * points.sum(),
        "predict": lambda self, x, t, text, c2w=None: 0 * x,
        "decimate": lambda mesh, faces: mesh,
    }[function]
    monkeypatch.setattr(target, replaced)
    finding = attempt(check)
    assert finding.state == "failed" and finding.detail, finding


def test_an_unknown_feature_is_wrong_usage(capsys):
    code, stdout, stderr = doctor(capsys, "draco", "warp-drive")
    assert (code, stdout) == (2, "")
    assert "warp-drive" in stderr and "nvdiffrast" in stderr and stderr.count("\n") == 1


def test_a_package_that_is_there_but_broken_is_failed_not_missing(tmp_path, monkeypatch):
    (tmp_path / "objaverse").mkdir()
    text = "raise ImportError('libparty.so.7 is absent')"
    (tmp_path / "objaverse" / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "objaverse", raising=False)
    finding = attempt(next(check for check in OPTIONAL if check.name == "objaverse"))
    assert (finding.state, finding.detail) == ("failed", "libparty.so.7 is absent")


@pytest.mark.slow
def test_a_crash_of_what_was_built_from_source_is_a_row(tmp_path, monkeypatch):
    """As tiny-cuda-nn's on the GPU where it was tried first: this process goes on."""
    monkeypatch.setattr("sdtool.doctor.optional._accelerator", lambda: torch.device("cpu"))
    crash = "import os, signal\ndef Encoding(*_, **__): os.kill(os.getpid(), signal.SIGSEGV)\n"
    (tmp_path / "tinycudann.py").write_text(crash)
    monkeypatch.syspath_prepend(tmp_path)
    finding = attempt(next(check for check in OPTIONAL if check.name == "tinycudann"))
    assert finding.state == "failed", finding
    assert finding.detail == "its process crashed (SIGSEGV, Segmentation fault)"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nvdiffrast", "tinycudann", "warp"])
def test_an_accelerator_of_another_torch_is_failed_not_missing(name, tmp_path, monkeypatch):
    """Its library misses a symbol: ImportError, or OSError where ctypes loads it."""
    monkeypatch.setattr("sdtool.doctor.optional._accelerator", lambda: torch.device("cpu"))
    monkeypatch.syspath_prepend(tmp_path)
    for kind in ("ImportError", "OSError"):
        (tmp_path / name).mkdir(exist_ok=True)
        for file in ("__init__.py", "torch.py"):
            lines = f"raise {kind}('lib.so: undefined symbol: _ZN3c10')"
            (tmp_path / name / file).write_text(lines if file[0] == "_" else "")
        for module in [m for m in sys.modules if m.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)
        warp_module.warp.cache_clear()
        finding = attempt(next(check for check in OPTIONAL if check.name == name))
        assert finding.state == "failed" and "undefined symbol" in finding.detail, finding
    warp_module.warp.cache_clear()
    importlib.invalidate_caches()


def test_the_cure_for_tinycudann_has_its_old_setuptools(monkeypatch):
    hide(monkeypatch, "tinycudann")
    finding = attempt(next(check for check in OPTIONAL if check.name == "tinycudann"))
    assert finding.state == "missing"
    assert finding.cure.startswith(
        "pip install 'setuptools<81' && pip install --no-build-isolation"
    )


def test_a_missing_core_package_is_cured_by_installing_sdtool_again():
    def run():
        raise ModuleNotFoundError("No module named 'trimesh'")

    finding = attempt(Check("meshes", run, core=True))
    assert (finding.state, finding.cure) == ("failed", "pip install sdtool")


def test_weights_in_the_hub_cache_are_opened(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(path))
    check = next(check for check in OPTIONAL if check.name == "captioner")
    save_file({"a": np.zeros(1000, np.float32)}, path)
    assert (attempt(check).state, attempt(check).detail) == ("ok", "2 tensors in the hub cache")
    path.write_bytes(path.read_bytes()[:2000])  # a download that broke off
    assert attempt(check).state == "failed"
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    finding = attempt(check)
    assert finding.state == "missing" and finding.cure.count("hf download ") == 2


@pytest.mark.slow
def test_a_ray_worker_answers():
    finding = attempt(next(check for check in OPTIONAL if check.name == "ray"))
    assert (finding.state, finding.detail) == ("ok", "a worker answered")


def test_an_accelerator_is_described(monkeypatch):
    for name, value in {"is_available": True, "device_count": 1}.items():
        monkeypatch.setattr(torch.accelerator, name, lambda value=value: value)
    kind = torch.device("cuda")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: kind)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Imaginary 9000")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (3 << 30, 8 << 30))
    expected = {"device": "cuda:0", "name": "Imaginary 9000", "capability": "9.0"}
    assert machine.devices()[1] == expected | {"free": 3 << 30, "total": 8 << 30}

    def broken(index):
        raise RuntimeError("CUDA error: unspecified launch failure\nand more")

    monkeypatch.setattr(torch.cuda, "get_device_name", broken)
    assert machine.devices()[1]["name"] == "unknown: CUDA error: unspecified launch failure"


def test_sizes_of_folders(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "a").write_bytes(b"x" * 1500)
    (tmp_path / "link").symlink_to(tmp_path / "blobs" / "a")
    assert machine.folder_size(tmp_path) == 1500
    assert machine.folder_size(tmp_path / "absent") == 0


def test_every_package_and_extra_of_the_project_is_known():
    def names(requirements):
        return {re.match(r"[\w-]+", text)[0] for text in requirements}

    extras = {k: v for k, v in PROJECT["optional-dependencies"].items() if k != "dev"}
    assert set(machine.PACKAGES) == names(PROJECT["dependencies"])
    assert set(machine.EXTRAS) == names(text for some in extras.values() for text in some)
    assert {"warp" if extra == "cuda" else extra for extra in extras} <= set(NAMES)


def test_the_help_names_every_feature_that_may_be_missing():
    assert re.findall(r"`([\w-]+)`", stage.__doc__) == [check.name for check in OPTIONAL]
