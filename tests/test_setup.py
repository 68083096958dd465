"""What a newcomer's set-up rests on: the Makefile, the pinned versions, the list of packages."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def pins():
    """{package: version} of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): Version(version) for name, version in pairs}


def make(*arguments, cwd=ROOT):
    """Run make as from a shell, also where make runs these tests."""
    inherited = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "TORCH_WHEELS", "CUDA")
    env = {key: value for key, value in os.environ.items() if key not in inherited}
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=60
    )


def test_every_dependency_is_pinned_to_a_version_that_suits():
    project, pinned = PROJECT["project"], pins()
    extras = project["optional-dependencies"]
    asked = [Requirement(text) for text in project["dependencies"] + extras["dev"]]
    for own in [requirement for requirement in asked if requirement.name == "sdtool"]:
        asked += [Requirement(text) for extra in own.extras for text in extras[extra]]
    for requirement in asked:
        if requirement.name == "sdtool":
            continue
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in pinned, f"{name} has no line in constraints.txt"
        assert pinned[name] in requirement.specifier, requirement


def test_no_pin_brings_cuda():
    assert pins()["torch"] == Version("2.13.0")
    assert not [name for name in pins() if re.match("nvidia|cuda|triton", name)]


def test_every_package_is_listed():
    folders = [p.parent.relative_to(ROOT) for p in (ROOT / "sdtool").rglob("__init__.py")]
    expected = {".".join(folder.parts) for folder in folders} | {"sdtool.stages"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == expected


@needs_make
def test_make_alone_explains_its_targets():
    shown = make().stdout
    for target in ("setup", "demo", "test", "test-fast", "check", "bench", "gpu-check", "clean"):
        assert re.search(rf"^make {target} +[A-Z]\S* ", shown, re.MULTILINE), target


@pytest.fixture
def fresh(tmp_path):
    """A folder that was never set up."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@needs_make
def test_an_old_or_absent_python_is_named(fresh):
    for python in ("false", "no-such-python"):
        run = make("demo", f"PYTHON={python}", cwd=fresh)
        assert run.returncode != 0 and f"{python} is not" in run.stderr
        assert "3.11" in run.stderr and "make demo PYTHON=" in run.stderr
    assert not (fresh / ".venv").exists()


@needs_make
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch has no CUDA packages")
def test_set_up_asks_for_cuda_packages_only_when_told(fresh):
    plain = make("-n", "setup", cwd=fresh).stdout
    assert "--no-deps torch==2.13.0+cpu" in plain and "-c constraints.txt" in plain
    assert "--extra-index-url" not in plain
    assert "torch==2.13.0+cpu" not in make("-n", "setup", "CUDA=1", cwd=fresh).stdout
    elsewhere = make("-n", "setup", "TORCH_WHEELS=file:///wheels", cwd=fresh).stdout
    assert "--extra-index-url file:///wheels --no-deps torch==2.13.0+cpu" in elsewhere
