"""numba's compiler, with a cache for what it compiled wherever one can be written.

numba keeps that beside the code, or in the home directory, and refuses to compile where neither can be
written, as in a container that runs as a stranger. Then it is kept in the temporary folder, or not at all.
"""

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numba

FOLDER = "NUMBA_CACHE_DIR"


def njit(**options: Any) -> Callable[[Callable], Any]:
    """`numba.njit(**options)` with `cache=True`, as far as that is possible."""

    def compiled(function: Callable) -> Any:
        if (
            FOLDER in os.environ or os.path.expanduser("~") != "~"
        ):  # else numba makes a folder "~" here
            try:
                return numba.njit(cache=True, **options)(function)
            except RuntimeError:  # no place that numba knows of can be written
                pass
        if folder := _folder():
            os.environ[FOLDER] = str(folder)  # worker processes see it, too
            setattr(numba.config, "CACHE_DIR", str(folder))  # noqa: B010  # its types know no names
            try:
                return numba.njit(cache=True, **options)(function)
            except RuntimeError:
                pass
        _say()
        return numba.njit(**options)(function)

    return compiled


@cache
def _folder() -> Path | None:
    """A folder in the temporary one that belongs to this user alone, for what is in it will be run."""
    try:
        folder = Path(tempfile.gettempdir(), f"sdtool-numba-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(folder)
        if (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.getuid()
            and not found.st_mode & 0o077
        ):
            return folder
    except (OSError, AttributeError):  # nothing can be written, or a system without users
        pass
    return None


@cache
def _say() -> None:
    if parent_process() is None:
        print(
            "numba compiles anew in every process, which takes some seconds: no folder for its cache "
            f"can be written; {FOLDER} may name one",
            file=sys.stderr,
        )
