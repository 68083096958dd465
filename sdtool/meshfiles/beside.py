"""The files that a model names: buffers and images beside it, never outside of its folder tree."""

import mmap
import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from sdtool.errors import ObjectError, UnopenedError
from sdtool.meshfiles.other_kinds import unreadable

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # http:, file:, and C: of a foreign disk
SHOWN = 99  # letters of a name in a message
TAILS = 4  # folders of a foreign path that are looked for here


def map_file(path: str | Path) -> np.ndarray:
    """(N,) uint8 of a whole file, mapped into memory; OSError or ValueError if it cannot be."""
    if not _is_regular(os.fspath(path)) and os.path.exists(path) and not os.path.isdir(path):
        raise OSError("it is no file but a pipe or a device")  # opened, it might never end
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

    ObjectError reasons: ``external-buffer`` for what lies elsewhere; UnopenedError's: ``missing-buffer``, and
    ``unreadable-file`` for what lies in a folder that may not be looked into.
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
    led_out, shut = False, None
    for folder in dict.fromkeys((own, real)):
        for spelled in names:
            for found in _candidates(folder, spelled):
                target = os.path.realpath(found)
                if not any(os.path.commonpath([root, target]) == root for root in roots):
                    led_out = True
                elif _is_regular(target):
                    return target
            shut = shut or _shut(os.path.join(folder, spelled))
    if led_out:
        raise outside
    if shut:
        raise unreadable(*shut, path)
    said = f"{path} needs {uri[:SHOWN]} for {name}, which is not beside it"
    raise UnopenedError("missing-buffer", said, os.path.join(own, list(names)[-1]))


def tails(name: str) -> list[str]:
    """Of a path on another computer, what may be found beside the model: b/c.png and c.png of
    /home/a/b/c.png, C:\\a\\b\\c.png, and http://a/b/c.png; the longest first."""
    parts = [part for part in name.replace("\\", "/").split("/") if part]
    return ["/".join(parts[k:]) for k in range(1, len(parts))][-TAILS:]


def _candidates(folder: str, name: str) -> list[str]:
    """The path as it is spelled; if there is none, those that differ in the case of letters only."""
    path = os.path.join(folder, name)
    if os.path.lexists(path) or os.path.isabs(name):
        return [path]
    found = [folder]
    for part in name.split("/"):
        found = [os.path.join(base, n) for base in found for n in _spellings(base, part)]
    return found


def _spellings(folder: str, name: str) -> list[str]:
    """The entries of a folder that have this name, in whatever case."""
    if os.path.lexists(os.path.join(folder, name)):
        return [name]
    try:
        return _listing(folder, os.stat(folder).st_mtime_ns).get(name.casefold(), [])
    except OSError:
        return []


@lru_cache(8)
def _listing(folder: str, changed: int) -> dict[str, list[str]]:
    """The entries of a folder by their names without case. changed: when it was, so that a list is not
    kept beyond that."""
    found: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)):
        found.setdefault(name.casefold(), []).append(name)
    return found


def _shut(path: str) -> tuple[str, OSError] | None:
    """The path, and why nobody may look whether it is there; None if one may."""
    try:
        os.stat(path)
    except PermissionError as error:
        return path, error
    except (OSError, ValueError):
        pass
    return None


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # a pipe would never end
    except OSError:
        return False
