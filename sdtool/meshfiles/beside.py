"""The files that a .gltf names: buffers and images beside it, never outside of its folder tree."""

import mmap
import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from sdtool.errors import ObjectError

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # http:, file:, and C: of a foreign disk
SHOWN = 99  # letters of a name in a message


def map_file(path: str | Path) -> np.ndarray:
    """(N,) uint8 of a whole file, mapped into memory; OSError or ValueError if it cannot be."""
    with open(path, "rb") as opened:
        if os.fstat(opened.fileno()).st_size == 0:
            return np.empty(0, np.uint8)
        return np.frombuffer(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def find_beside(path: Path, uri: str, name: str) -> str:
    """The real path of what `uri` names, seen from the model file `path`.

    The name is tried as it stands, then with its %20 and backslashes read as URIs and Windows mean
    them, then in any case. All links are resolved, and what they lead to has to lie below the folder
    of `path`, or below that of the file which `path` is a link to: a cache keeps links here and all
    contents there. name: what it is, for messages.

    ObjectError reasons: ``external-buffer`` for what lies elsewhere, ``missing-file``.
    """
    own, real = os.path.abspath(path.parent), os.path.dirname(os.path.realpath(path))
    roots = tuple(dict.fromkeys((os.path.realpath(own), real)))
    outside = ObjectError(
        "external-buffer",
        f"{path} keeps {name} in {uri[:SHOWN]}, outside of its own folder; put both into one",
    )
    if SCHEME.match(uri):
        raise outside
    if "\0" in uri:
        raise ObjectError("corrupt-file", f"{path} is damaged: the name of {name} holds a zero")
    names = dict.fromkeys((uri, unquote(uri), unquote(uri).replace("\\", "/")))
    led_out = False
    for folder in dict.fromkeys((own, real)):
        for spelled in names:
            for found in _candidates(folder, spelled):
                target = os.path.realpath(found)
                if not any(os.path.commonpath([root, target]) == root for root in roots):
                    led_out = True
                elif _is_regular(target):
                    return target
    if led_out:
        raise outside
    raise ObjectError(
        "missing-file", f"{path} needs {uri[:SHOWN]} for {name}, which is not beside it"
    )


def _candidates(folder: str, name: str) -> list[str]:
    """The path as it is spelled; if there is none, those of its folder that differ in case only."""
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        return [path]
    inner, last = os.path.split(path)
    try:
        return [
            path,
            *(os.path.join(inner, n) for n in sorted(os.listdir(inner)) if _same(n, last)),
        ]
    except OSError:
        return [path]


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # a pipe would never end
    except OSError:
        return False
