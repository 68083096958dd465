"""Folders that may not be looked into, also where root runs the tests."""

import os
from pathlib import Path

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
