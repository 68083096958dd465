"""Kernels where neither the code's folder nor the home directory can be written."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from sdtool.geometry import jit

CODE = """
import numba
from numba.core.caching import CacheImpl, UserProvidedCacheLocator
CacheImpl._locator_classes = [UserProvidedCacheLocator]  # as if all other places were read-only
import numpy as np
from sdtool.rendering.hdr import *
from sdtool.rendering import kernels
print(kernels._is_hidden(np.zeros((4, 4), np.float32), 1.0, 0, 1, 0, 1))
"""


def run(tmp_path, **environment):
    kept = {k: v for k, v in os.environ.items() if k != jit.FOLDER}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=kept | {"TMPDIR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True\n", done.stderr
    return done.stderr


def test_the_cache_goes_to_a_folder_of_the_users_own(tmp_path):
    assert run(tmp_path) == ""
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"sdtool-numba-{os.getuid()}" and folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("*.nbi"))


@pytest.mark.slow
def test_a_folder_that_others_may_write_is_not_used(tmp_path):
    folder = tmp_path / f"sdtool-numba-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    said = run(tmp_path)
    assert said.count("\n") == 1 and "NUMBA_CACHE_DIR may name one" in said
    assert not list(folder.iterdir())
    assert run(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "named")) == ""
    assert list((tmp_path / "named").rglob("*.nbi"))


def test_a_link_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(jit.tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"sdtool-numba-{os.getuid()}").symlink_to(tmp_path)
    jit._folder.cache_clear()
    assert jit._folder() is None
    jit._folder.cache_clear()


def test_no_other_file_compiles_past_it():
    """A kernel with numba's own decorator would refuse to be cached in a container."""
    root = Path(__file__).parent.parent
    found = [p for d in ("sdtool", "stages") for p in (root / d).rglob("*.py")]
    past = [
        p.name
        for p in found
        if "numba.njit" in p.read_text() or "from numba import njit" in p.read_text()
    ]
    assert past == ["jit.py"]


def test_without_any_home_no_folder_called_tilde_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(jit.os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(jit.tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv(jit.FOLDER, "kept")  # so that it is put back
    monkeypatch.delenv(jit.FOLDER)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    jit._folder.cache_clear()
    assert jit.njit()(lambda x: x + 1)(1) == 2
    jit._folder.cache_clear()
    assert [p.name for p in tmp_path.iterdir()] == ["tmp"]
    assert os.environ[jit.FOLDER].startswith(str(tmp_path / "tmp"))


def test_what_is_compiled_computes():
    double = jit.njit(nogil=True)(lambda x: 2 * x)
    assert double(21) == 42 and isinstance(double, numba.core.registry.CPUDispatcher)


@pytest.fixture(autouse=True)
def _unchanged(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", numba.config.CACHE_DIR)
