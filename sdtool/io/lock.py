"""One writer at a time in a stage directory: who holds it, and whether that one still lives.

While a command writes, its directory holds `.sdtool.lock`: a file that the system locks for the process
and forgets when the process ends, however it ends. In it stands who that is, for people and for machines
that share the disk but not the locks. Those know a living holder by the file's time, which it renews.
"""

import atexit
import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from sdtool.errors import BusyError

try:
    import fcntl
except ImportError:  # no system of this kind: what stands in the file decides alone
    fcntl = None  # type: ignore[assignment]

LOCK = ".sdtool.lock"
BEAT = 20.0  # seconds between two signs of life
SILENT = 300.0  # seconds without one, after which the holder on another machine counts as gone

_BUSY = (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN)


@dataclass(frozen=True)
class Holder:
    """Who writes in a directory. since: Unix time in seconds. boot: the system's own name for its run,
    which containers on one machine share, whatever they call themselves; "" if unknown."""

    stage: str
    host: str
    process: int
    since: float
    boot: str = ""

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.since).strftime("%Y-%m-%d %H:%M:%S")
        ago = duration(time.time() - self.since)
        return (
            f"sdtool {self.stage}, process {self.process} on {self.host}, since {when} ({ago} ago)"
        )


def hold(
    out: Path,
    stage: str,
    ending: Callable[[], None] = lambda: None,
    afterwards: Callable[[], None] = lambda: None,
    quietly: bool = False,
) -> None:
    """Take the directory `out`, which exists, for this process. BusyError if another one holds it.

    ending, afterwards: called when it is given free, just before and just after. What this process holds
    already it may take again; then those of before are forgotten. quietly: say nothing of a holder that has
    ended. Where no lock can be made because nothing can be written, there is none: the stage's own first
    file says what is wrong.
    """
    key = os.path.realpath(out)
    if before := _held.pop(key, None):
        before.release(at_end=False)
    path = Path(out, LOCK)
    while (file := _opened(path)) is not None:
        lock = _Lock(path, file, ending, afterwards)
        mine = Holder(stage, socket.gethostname(), os.getpid(), time.time(), _boot())
        try:
            if lock.taken(mine, quietly):
                _held[key] = lock
                _begin_beating()
                return
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def release(out: Path) -> None:
    """Give the directory free, if this process holds it."""
    lock = _held.pop(os.path.realpath(out), None)
    if lock:
        lock.release()


def release_all() -> None:
    """Give free whatever this process holds: what it began has ended, well or not."""
    for key in list(_held):
        release(Path(key))


def is_held(out: Path) -> bool:
    """Whether a living process, this one too, holds a directory. Takes and changes nothing."""
    try:
        file = os.open(Path(out, LOCK), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    lock = _Lock(Path(out, LOCK), file)
    try:
        holder = lock._read()
        if holder is None:
            return False
        return runs(holder.process) if _is_near(holder) else lock._silence() < SILENT
    finally:
        os.close(file)


def duration(seconds: float) -> str:
    """A length of time in words: 40 seconds, 3 minutes, 5 hours, 2 days."""
    for unit, length, least in (("day", 86400, 172800), ("hour", 3600, 7200), ("minute", 60, 120)):
        if seconds >= least:
            return f"{int(seconds // length)} {unit}s"
    count = max(0, int(seconds))
    return f"{count} second{'s' * (count != 1)}"


class _Lock:
    """An open lock file."""

    def __init__(
        self,
        path: Path,
        file: int,
        ending: Callable[[], None] = lambda: None,
        afterwards: Callable[[], None] = lambda: None,
    ):
        self.path, self.file = path, file
        self.ending, self.afterwards = ending, afterwards

    def taken(self, mine: Holder, quietly: bool = False) -> bool:
        """Take it; False if the file has gone meanwhile, so that another must be opened."""
        shared = self._lock()  # whether the system itself says that nobody holds it
        if not self._is_there():
            return False
        holder = self._read()
        if holder and _is_near(holder):
            if not shared and holder.process != mine.process and runs(holder.process):
                raise self._busy(holder)
        elif holder:
            silence = self._silence()
            if silence < SILENT:
                raise self._busy(holder, silence)
        if holder and holder.process != mine.process and not quietly:
            print(f"{self.path.parent}: taken over from {holder}, which has ended", file=sys.stderr)
        with suppress(OSError):  # no room, or a file that others own: the system's lock holds
            os.ftruncate(self.file, 0)
            os.pwrite(self.file, (json.dumps(asdict(mine)) + "\n").encode(), 0)
        return True

    def _lock(self) -> bool:
        """Lock the file; False if this system or this disk knows no locks."""
        if fcntl is None:
            return False
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _BUSY:
                return False
            holder = self._read()
            is_far = holder and not _is_near(holder)
            raise self._busy(holder, self._silence() if is_far else None) from None
        return True

    def _is_there(self) -> bool:
        """Whether the path still names this very file."""
        try:
            return os.path.samestat(os.fstat(self.file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _read(self) -> Holder | None:
        """Who stands in it; None if nobody can be read."""
        try:
            said = json.loads(os.pread(self.file, 4096, 0))
            stage, host = str(said["stage"]), str(said["host"])
            datetime.fromtimestamp(said["since"])
            boot = str(said.get("boot", ""))
            return Holder(stage, host, int(said["process"]), float(said["since"]), boot)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None

    def _silence(self) -> float:
        """Seconds since the last sign of life, by the clock of the disk, which may be another's."""
        before = os.fstat(self.file)
        try:
            os.utime(self.file)
            now = os.fstat(self.file).st_mtime
            os.utime(self.file, ns=(before.st_atime_ns, before.st_mtime_ns))
        except OSError:
            now = time.time()
        return now - before.st_mtime

    def _busy(self, holder: Holder | None, silence: float | None = None) -> BusyError:
        """The error that says who holds the directory, and what to do."""
        out = self.path.parent
        said = f"{out} is in use by {holder or 'another sdtool'}"
        if silence is None:
            return BusyError(
                f"{said}; run this command again when that one has ended, or choose another --out"
            )
        return BusyError(
            f"{said}, whose last sign of life is {duration(silence)} old; run this command again when "
            f"that one has ended, or choose another --out; if it is gone already, remove {self.path} "
            f"(after {duration(SILENT)} without a sign this is not needed)"
        )

    def release(self, at_end: bool = True) -> None:
        """Remove the file, if it is still this one, and forget the lock. at_end: whether to call `ending`
        and `afterwards`."""
        was_there = False
        with suppress(OSError):
            if self._is_there():
                with suppress(OSError):
                    if at_end:
                        self.ending()
                self.path.unlink(missing_ok=True)
                was_there = True
        with suppress(OSError):
            os.close(self.file)
        if was_there and at_end:
            with suppress(OSError):
                self.afterwards()


_held: dict[str, _Lock] = {}  # by the real path of the directory
_ended = threading.Event()
_beating: list[threading.Thread] = []


def _opened(path: Path) -> int | None:
    """A descriptor of the lock file, made if need be; None if that cannot be."""
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        with suppress(OSError):
            return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
    return None


def _begin_beating() -> None:
    """Renew the files' times as long as this process lives."""

    def beat() -> None:
        while not _ended.wait(BEAT):
            for lock in list(_held.values()):
                with suppress(OSError):
                    os.utime(lock.file)

    if not _beating:
        _beating.append(threading.Thread(target=beat, daemon=True, name="sdtool-lock"))
        _beating[0].start()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _is_near(holder: Holder) -> bool:
    """Whether it is, or was, on this machine, whose locks can be trusted."""
    return holder.host == socket.gethostname() or (holder.boot != "" and holder.boot == _boot())


def runs(process: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except OSError:
        pass
    return True


@atexit.register
def _end() -> None:
    _ended.set()
    release_all()
