"""Headless Chromium, where there is one on PATH."""

import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")


def open_page(url, tmp_path, *options, seconds=60):
    """What Chromium writes of a page after so many seconds of the page's own clock."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'p'}", f"--virtual-time-budget={1000 * seconds}"]
    done = subprocess.run([*command, *options, url], capture_output=True, timeout=1200, check=True)
    return done.stdout.decode()
