"""Folders that may not be looked into, also where root runs the tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LOOKING = ("stat", "lstat", "access")
LISTING = ("listdir", "scandir")


def shut(monkeypatch, *names):
    """Have these functions of `os` refuse what lies in a folder called shut, and to list it or go into it."""

    def denied(name, function):
        def call(path=".", *given, **options):
            parts = () if isinstance(path, int) else Path(os.fsdecode(path)).parts
            if name == "access" and "shut" in parts[:-1] + parts[-1:] * (given == (os.X_OK,)):
                return False
            if name != "access" and "shut" in (parts[:-1] if "stat" in name else parts):
                raise PermissionError(13, "Permission denied", os.fsdecode(path))
            return function(path, *given, **options)

        return call

    for name in names:
        monkeypatch.setattr(os, name, denied(name, getattr(os, name)))


def run_as_anyone(*command):
    """(code, stderr) of a command line, to which modes of folders apply as to any user, also to root."""
    prefix = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may read all, and there is no setpriv to give that up")
        less = "-dac_override,-dac_read_search"
        prefix = ["setpriv", f"--bounding-set={less}", f"--inh-caps={less}"]
    words = [*prefix, sys.executable, "-m", "sdtool.cli", *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode, done.stderr
