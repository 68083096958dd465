"""What stages hand each other: the stage record, and digests of inputs.

A stage writes one directory. `stage.json` is written last and marks it done; while the stage runs,
`stage.partial.json` holds the same parameters, so that an interrupted run is continued by the same
command and never mixed with another one. From `begin` to `finish` the directory is this process's
(`sdtool.io.lock`), so that the same command twice at once does not mix either.
"""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sdtool import __version__
from sdtool.errors import BusyError, InputError, UsageError
from sdtool.io.failures import FAILURES
from sdtool.io.files import (
    make_folder,
    plain,
    read_json,
    remove_empty,
    walk_files,
    write_json,
)
from sdtool.io.lock import LOCK, hold, release, runs
from sdtool.io.record_differences import difference
from sdtool.io.words import counted

DONE, PARTIAL = "stage.json", "stage.partial.json"
LOG = "log.jsonl"
RANK = re.compile(r"rank-\d{5,}")
"""The folder of one rank of a run of many (`sdtool.io.rank_folders`)."""


@dataclass(frozen=True)
class Result:
    """What a stage function returns: the path that goes to stdout, and facts for `--json`.

    `failed` > 0 makes the exit code 3 (done, but some objects failed).
    """

    path: Path
    summary: dict[str, Any] = field(default_factory=dict)
    failed: int = 0


@dataclass(frozen=True)
class Report:
    """What a stage function returns that answers a question instead of writing files.

    facts: for `--json`. show: prints them for people, on stdout. complaint: why the answer is bad, as a
    sentence for stderr; then the exit code is 1.
    """

    facts: dict[str, Any]
    show: Callable[[], None]
    complaint: str = ""


# Digests


def digest(path: str | Path, leave_out: Path | None = None) -> str:
    """A short SHA-256 of an input: a file's bytes, a stage directory's record (or those of its ranks),
    or names and sizes. Of a large file of weights: its size, and bytes from all over it.

    Hashing names and sizes keeps a folder of 100,000 objects cheap to recognise. What lies in the
    folder `leave_out` does not count: results may be written below what they were made from.
    """
    path = Path(path)
    sha = hashlib.sha256()
    if path.suffix == ".safetensors" and path.is_file() and path.stat().st_size > LARGE:
        _sample(path, sha)
    elif path.is_file():
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    elif (path / DONE).is_file():
        sha.update((path / DONE).read_bytes())
    elif records := sorted(path.glob(f"rank-*/{DONE}")):
        for record in records:
            sha.update(record.read_bytes())
    elif path.is_dir():
        skipped = Path(os.path.realpath(leave_out)) if leave_out else None
        found = (p for p in walk_files(path, hidden=True) if p.name != LOCK)
        for item in sorted(p for p in found if os.path.isfile(p)):
            if skipped and skipped in item.resolve().parents:
                continue
            sha.update(os.fsencode(f"{item.relative_to(path)}\0{item.stat().st_size}\n"))
    else:
        raise InputError(f"{path} does not exist")
    return sha.hexdigest()[:16]


LARGE, SAMPLES = 1 << 28, 64
"""Bytes from which on a file of weights is not read whole to be recognised, and how many places are."""


def _sample(path: Path, sha: Any) -> None:
    """Feed a hash with a file's size and 64 KB from each of `SAMPLES` places, first and last among them."""
    size, block = path.stat().st_size, 1 << 16
    sha.update(f"{size}\n".encode())
    with open(path, "rb") as file:
        for k in range(SAMPLES):
            file.seek((size - block) * k // (SAMPLES - 1))
            sha.update(file.read(block))


# The stage record


class StageRecord:
    """The life of one stage directory; made by `begin`, closed by `finish`."""

    def __init__(
        self,
        out: Path,
        head: dict[str, Any],
        done: dict[str, Any] | None,
        resumed: bool,
        replaced: Iterable[str] | None = None,
    ):
        self.out, self.head, self.resumed = out, head, resumed
        self._done, self._replaced = done, replaced

    @property
    def is_done(self) -> bool:
        """True when the same command has already finished here."""
        return self._done is not None

    def recorded(self, name: str) -> Any:
        """What a finished stage noted of itself under `name`; None if nothing, or not finished."""
        return None if self._done is None else self._done.get(name)

    def already(self, done: str) -> str:
        """Of a finished stage "ccm is already rendered; --overwrite redoes it", and how many folders it could
        not read."""
        assert self._done is not None
        shut = self._done.get("counts", {}).get("folders not read", 0)
        again = f", and tries again the {counted(shut, 'folder')} that could not be read then"
        return f"{self.out} is already {done}; --overwrite redoes it{again if shut else ''}"

    def result(self, path: Path | None = None) -> Result:
        """The Result of a finished stage, as recorded."""
        assert self._done is not None
        counts = self._done.get("counts", {})
        summary = {"counts": counts, "outputs": self._done.get("outputs", []), "reused": True}
        return Result(path or self.out, summary, failed=counts.get("failed", 0))

    def hold(self) -> None:
        """Go on in a finished directory: take it, as `begin` takes one that is not. BusyError."""
        hold(self.out, self.head["stage"])

    def reopen(self) -> None:
        """Go on in a finished directory whose result changes: until `finish` it is unfinished. BusyError."""
        self.hold()
        os.replace(self.out / DONE, self.out / PARTIAL)
        write_json(self.out / PARTIAL, self.head)
        self._done, self.resumed = None, True

    def clear(self) -> None:
        """Remove what the overwritten run made; nothing if none waits to be removed."""
        if self._replaced is None:
            return
        if (self.out / DONE).is_file():  # killed from here on, it is an unfinished run
            os.replace(self.out / DONE, self.out / PARTIAL)
        for name in self._replaced:
            _remove_inside(self.out, name)
        _sweep(self.out)
        write_json(self.out / PARTIAL, self.head)
        self._replaced = None

    def finish(self, *, counts: dict[str, int], outputs: Iterable[str | Path]) -> Result:
        """Write `stage.json` (the done-marker) and return the stage's Result for its directory."""
        names = [str(output) for output in outputs]
        write_json(self.out / DONE, {**self.head, "counts": counts, "outputs": names})
        (self.out / PARTIAL).unlink(missing_ok=True)
        release(self.out)
        return Result(self.out, {"counts": counts, "outputs": names}, counts.get("failed", 0))


def begin(
    out: str | Path,
    stage: str,
    *,
    params: dict[str, Any],
    inputs: Mapping[str, str | Path | None] | None = None,
    overwrite: bool = False,
    owned: Iterable[str] = (),
    patient: bool = False,
    called: Mapping[str, str] | None = None,
) -> StageRecord:
    """Open the stage directory `out`.

    params: everything that changes the result (the seed too). inputs: name → file or directory.
    The record `is_done` if the same command finished here before; it is `resumed` if the same
    command was interrupted here. UsageError if `out` holds something else, BusyError if another process
    is at work in it. Unless it is done, `out` is this process's until `finish`, or until
    `sdtool.io.lock.release_all`. What ends before it made anything takes its record back, and the folders
    that it made for it.

    overwrite: remove what the same stage made here, and nothing else: what its record lists as
    outputs; of an unfinished run, what matches the patterns `owned`, relative to `out`; of both the
    record itself, `failures.jsonl`, `log.jsonl` and checkpoints. What others put beside that stays,
    and links are not followed. patient: this waits until the stage, sure of its inputs, calls
    `clear()` on the record; it must do so before it writes. called: parameter → how people call its value,
    to be told where it differs; it decides nothing.
    """
    out = Path(out)
    given = {key: Path(path) for key, path in (inputs or {}).items() if path}
    refuse_inside(out, given)
    found = {k: {"path": str(p), "digest": digest(p, leave_out=out)} for k, p in given.items()}
    head = {
        "stage": stage,
        "sdtool": __version__,
        "params": json.loads(json.dumps(params, default=plain)),
        "inputs": found,
        **({"called": dict(called)} if called else {}),
    }
    try:  # one look: another process may make it meanwhile
        is_file = not stat.S_ISDIR(out.stat().st_mode)
    except OSError:
        is_file = False
    if is_file or out.is_symlink() and not out.exists():
        kind = "a file" if is_file else "a link to nothing"
        raise UsageError(f"--out {out} is {kind}; name a directory", "--out")
    if RANK.fullmatch(out.name) and _marks(out.parent):
        raise UsageError(
            f"{out.parent} holds a run without ranks, which would be read in the place of {out.name}; choose "
            "another --out for the ranks, or remove that run first",
            "--out",
        )
    if not overwrite and (out / DONE).is_file():
        other = _read_record(out, DONE, stage)
        if not difference(other, head):
            return StageRecord(out, head, other, resumed=False)
    names = _names(out)
    is_ours = bool(names & {DONE, PARTIAL}) or all(map(_passes, names))
    if not is_ours and not _marks(out):  # in this order: another process may begin or end meanwhile
        said = "is not empty and sdtool did not write it; choose another --out"
        if ranks := sum(bool(RANK.fullmatch(name)) for name in names):
            said = f"holds the {'folders' if ranks > 1 else 'folder'} of {counted(ranks, 'rank')}; choose "
            said += "another --out for a run without ranks, or remove what is there first"
        raise UsageError(f"{out} {said}", "--out")
    made: list[Path] = []
    while True:
        made = make_folder(out) or made
        hold(out, stage, partial(_withdraw, out), partial(remove_empty, made))
        if out.is_dir():  # else another process, which made it, has taken it back meanwhile
            break
    try:
        return _begun(out, stage, head, overwrite, owned, patient)
    except BaseException:
        release(out)
        raise


def refuse_inside(out: Path, inputs: Mapping[str, Path]) -> None:
    """UsageError if an input is `out` or lies in it."""
    for key, path in inputs.items():
        if Path(os.path.realpath(out)) in (path.resolve(), *path.resolve().parents):
            raise UsageError(
                f"--out {out} holds the input {key} ({path}); choose another --out", "--out"
            )


def _begun(
    out: Path,
    stage: str,
    head: dict[str, Any],
    overwrite: bool,
    owned: Iterable[str],
    patient: bool,
) -> StageRecord:
    """The record of a directory that this process holds."""
    marks = _marks(out)
    if _made_nothing(out):
        marks = []  # a command that was killed before it made anything binds nobody
    if not marks:
        write_json(out / PARTIAL, head)
        return StageRecord(out, head, None, resumed=False)
    other = _read_record(out, marks[0], stage)
    if overwrite:
        made = other.get("outputs")
        made = [name for name in made if isinstance(name, str)] if type(made) is list else []
        if marks[0] == PARTIAL:
            made += [str(p.relative_to(out)) for pattern in owned for p in out.glob(pattern)]
        made += [FAILURES, LOG, *(p.name for p in out.glob("checkpoint*.safetensors"))]
        record = StageRecord(out, head, None, resumed=False, replaced=made)
        if not patient:
            record.clear()
        return record
    apart = difference(other, head)
    if apart:
        raise UsageError(
            f"{out} was made differently ({apart}); choose another --out or add --overwrite"
        )
    if marks[0] == DONE:  # by another process, while this one looked
        release(out)
        return StageRecord(out, head, other, resumed=False)
    _sweep(out)
    return StageRecord(out, head, None, resumed=True)


@contextmanager
def given_back(outs: Iterable[Path], stage: str) -> Iterator[None]:
    """While workers of this process begin a stage in these directories: one that is ended meanwhile, as by
    Ctrl-C, leaves what it would have left had it ended by itself."""
    missing = {out: [one for one in (out, *out.parents) if not one.exists()] for out in outs}
    try:
        yield
    finally:
        for out, made in missing.items():
            if (out / LOCK).is_file():
                with suppress(BusyError):  # a worker on another machine
                    afterwards = partial(remove_empty, made)
                    hold(out, stage, partial(_let_go, out), afterwards, quietly=True)
                release(out)
            else:
                remove_empty(made)


def _let_go(out: Path) -> None:
    """Like `_withdraw`, of a process that was killed."""
    _sweep(out)
    _withdraw(out)


def _withdraw(out: Path) -> None:
    """Take back the record of a command that ended before it made anything."""
    if _made_nothing(out):
        (out / PARTIAL).unlink()


def _made_nothing(out: Path) -> bool:
    """Whether a directory holds the record of an unfinished command and nothing besides."""
    return _names(out) - {LOCK} == {PARTIAL}


def _names(out: Path) -> set[str]:
    """The names of what lies in a folder; none if it is not there."""
    try:
        return {path.name for path in out.iterdir()}
    except FileNotFoundError:
        return set()


def _marks(out: Path) -> list[str]:
    """The records that a directory holds, that of a finished stage first."""
    found = [name for name in (DONE, PARTIAL) if (out / name).is_file()]
    if not found and (out / DONE).is_file():  # another process has finished between the two looks
        found = [DONE]
    return found


def _passes(name: str) -> bool:
    """Whether a file of this name does not make a directory one that sdtool did not write."""
    return name == LOCK or bool(_TEMPORARY.match(name))


def _read_record(out: Path, name: str, stage: str) -> dict[str, Any]:
    """A record in `out`. UsageError if another stage wrote it."""
    other = read_json(out / name)
    author = other.get("stage") if isinstance(other, dict) else "something else"
    if author != stage:
        raise UsageError(f"{out} was written by {author}; choose another --out", "--out")
    return other


def _remove_inside(out: Path, name: str) -> None:
    """Remove a file or folder that a record names, if it lies in `out` and behind no link."""
    path = out / name  # `name` if that is absolute
    if not path.is_relative_to(out) or path == out or ".." in path.relative_to(out).parts:
        return
    folders = path.relative_to(out).parents
    if any((out / folder).is_symlink() for folder in list(folders)[:-1]):  # the last is `out`
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp(\..+)?$")  # the names that `atomic_path` gives


def _sweep(out: Path) -> None:
    """Remove the temporary files of processes that were killed."""
    for path in out.rglob(".*.tmp*"):
        match = _TEMPORARY.match(path.name)
        if match and (int(match[1]) == os.getpid() or not runs(int(match[1]))):
            path.unlink(missing_ok=True)
