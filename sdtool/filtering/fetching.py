"""Getting the files of a collection that are not on this disk, one at a time, each whole or not at all.

From a mirror (a folder, or an http(s) URL, with the same layout as the collection), or with the
`objaverse` package from where that gets them.
"""

import contextlib
import errno
import gzip
import http.client
import io
import json
import os
import shutil
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sdtool.errors import InputError, MissingDependencyError, ObjectError, UsageError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
FETCH_ERRORS = (OSError, EOFError, ValueError, LookupError, http.client.HTTPException)
SILENCE = 60.0  # seconds without a byte after which a connection is given up
UNREACHABLE = "unreachable"  # the reason if nobody answers
STAGING = ".fetching"  # folder in the collection for files that are not whole yet


@dataclass(frozen=True)
class Wanted:
    """An object of a collection; `path` is relative to the collection's folder."""

    uid: str
    path: str


class Origin(Protocol):
    """Where files come from. `get` raises one of FETCH_ERRORS if it cannot; `name` is for messages."""

    @property
    def name(self) -> str: ...

    def get(self, wanted: Wanted, target: Path) -> None:
        """Write the file to `target`, whose folder exists."""


@dataclass(frozen=True)
class Folder:
    """Another copy of the collection on this machine."""

    name: str

    def get(self, wanted: Wanted, target: Path) -> None:
        shutil.copyfile(Path(self.name) / wanted.path, target)


@dataclass(frozen=True)
class Url:
    """A web server with a copy of the collection."""

    name: str

    def get(self, wanted: Wanted, target: Path) -> None:
        url = f"{self.name.rstrip('/')}/{urllib.parse.quote(wanted.path)}"
        with urllib.request.urlopen(url, timeout=SILENCE) as answer, open(target, "wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
            length = answer.headers.get("Content-Length")
        if length is not None and target.stat().st_size != int(length):
            raise EOFError(f"the connection ended before the file did ({url})")


@dataclass(frozen=True)
class ObjaversePackage:
    """What `objaverse.load_objects` finds. It knows one folder only, so it is lent an empty one."""

    name: str = "the objaverse package"

    def get(self, wanted: Wanted, target: Path) -> None:
        import objaverse

        lent = target.with_suffix(".objaverse")
        lent.mkdir(exist_ok=True)
        listing = gzip.compress(json.dumps({wanted.uid: wanted.path}).encode())
        (lent / "object-paths.json.gz").write_bytes(listing)
        socket.setdefaulttimeout(SILENCE)  # it sets none, and would wait for ever
        try:
            objaverse._VERSIONED_PATH = str(lent)
            with contextlib.redirect_stdout(io.StringIO()):  # stdout is for results
                found = objaverse.load_objects([wanted.uid])
            os.replace(found[wanted.uid], target)
        finally:
            shutil.rmtree(lent, ignore_errors=True)


def choose_origin(mirror: str | None) -> Origin:
    """The mirror that is named, or the objaverse package; an error if there is no such thing."""
    if mirror is None:
        try:
            import objaverse  # noqa: F401
        except ImportError:
            raise MissingDependencyError(
                "--fetch needs the objaverse package, or a copy of the collection (--mirror); "
                "install it with: pip install 'sdtool[objaverse]'"
            ) from None
        return ObjaversePackage()
    if urllib.parse.urlsplit(mirror).scheme in ("http", "https"):
        return Url(mirror)
    if not Path(mirror).is_dir():
        raise UsageError(f"--mirror {mirror} is neither a folder nor an http(s) URL", "--mirror")
    return Folder(str(Path(mirror).resolve()))


@dataclass(frozen=True)
class Fetcher:
    """Fetches one object into the collection at `root`: what worker processes run. Picklable."""

    origin: Origin
    root: Path
    attempts: int = 5
    pause: float = 1.0  # seconds before the second attempt; doubled before each further one

    def __call__(self, wanted: Wanted) -> dict[str, Any]:
        """What a line of the ledger says: uid, path, bytes, attempts.

        ObjectError ``unreachable`` if nobody answered at the last attempt, ``not-fetched`` if the
        answer was no, or no mesh file.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                size = self._get(wanted)
                return {**vars(wanted), "bytes": size, "attempts": attempt}
            except FETCH_ERRORS as error:
                problem = error
            if isinstance(problem, OSError) and problem.errno in FULL:
                raise InputError(f"{self.root} cannot take more files: {problem.strerror}")
            if _is_final(problem) or attempt == self.attempts:
                break
            time.sleep(self.pause * 2 ** (attempt - 1))
        reason = UNREACHABLE if _nobody_answered(problem) else "not-fetched"
        raise ObjectError(reason, f"{wanted.path} from {self.origin.name}: {problem}")

    def _get(self, wanted: Wanted) -> int:
        final = self.root / wanted.path
        staging = self.root / STAGING / str(os.getpid())
        staging.mkdir(parents=True, exist_ok=True)
        target = staging / final.name
        try:
            self.origin.get(wanted, target)
            with open(target, "rb") as file:
                head = file.read(4)
            if final.suffix == ".glb" and head != b"glTF":
                raise ValueError(f"what came is no GLB file (it begins with {head!r})")
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(target, final)
            return final.stat().st_size
        finally:
            target.unlink(missing_ok=True)


def begin_fetching(root: Path) -> None:
    """Check that files can be put there, and remove what killed runs have left half done."""
    if not os.access(root, os.W_OK):
        raise InputError(f"{root} cannot be written to, so nothing can be fetched into it")
    shutil.rmtree(root / STAGING, ignore_errors=True)


def _nobody_answered(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError | urllib.error.ContentTooShortError):
        return False
    return isinstance(error, urllib.error.URLError | TimeoutError | ConnectionError)


def _is_final(error: Exception) -> bool:
    """Whether asking again would bring the same answer."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (400, 401, 403, 404, 405, 410, 451)
    return isinstance(error, FileNotFoundError)
