"""What stages hand each other: atomic files and the stage record.

A stage writes one directory. `stage.json` is written last and marks it done; while the stage runs,
`stage.partial.json` holds the same parameters, so that an interrupted run is continued by the same
command and never mixed with another one.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdtool import __version__
from sdtool.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np

DONE, PARTIAL = "stage.json", "stage.partial.json"
FAILURES, LOG = "failures.jsonl", "log.jsonl"


@dataclass(frozen=True)
class Result:
    """What a stage function returns: the path that goes to stdout, and facts for `--json`.

    `failed` > 0 makes the exit code 3 (done, but some objects failed).
    """

    path: Path
    summary: dict[str, Any] = field(default_factory=dict)
    failed: int = 0


# Atomic files


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`: moved there if the block succeeds, else removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# Half of an emoji, as cut-off names hold, has no UTF-8; JSON reads it back from its escape.
UTF8 = {"encoding": "utf-8", "errors": "backslashreplace"}


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, **UTF8)


def write_json(path: str | Path, value: Any) -> None:
    """Write one indented JSON value atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")


def write_jsonl(path: str | Path, records: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object per line atomically; return how many."""
    count = 0
    with atomic_path(path) as temporary, open(temporary, "w", **UTF8) as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, default=_plain) + "\n")
            count += 1
    return count


def append_jsonl(path: str | Path, record: dict[str, Any]) -> None:
    """Append one line (for logs and failures of a running stage)."""
    with open(path, "a", **UTF8) as file:
        file.write(json.dumps(record, ensure_ascii=False, default=_plain) + "\n")


def read_json(path: str | Path) -> Any:
    """Read one JSON value; InputError names the file if it is missing or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error})") from None


def read_jsonl(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file; InputError names file and line of a broken one."""
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist")
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8"))
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                reason = getattr(error, "msg", "not UTF-8")
                raise InputError(f"{path}, line {number} is not valid JSON ({reason})") from None
            if not isinstance(record, dict):
                raise InputError(f"{path}, line {number} is not a JSON object")
            yield record


def trim_jsonl(path: str | Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Leave only the lines of a log that `keep` wants, and no last one that a kill cut short.

    For a run that continues. A log that does not exist is none to trim.
    """
    path, kept, read = Path(path), [], 0
    if not path.exists():
        return
    try:
        for record in read_jsonl(path):
            read += 1
            if keep(record):
                kept.append(record)
    except InputError:
        if read + 1 < sum(1 for line in path.read_bytes().split(b"\n") if line.strip()):
            raise
    write_jsonl(path, kept)


def write_tensors(
    path: str | Path, tensors: dict[str, "np.ndarray"], metadata: dict[str, str]
) -> None:
    """Write float32, float16, int32 and int64 arrays as a safetensors file, atomically.

    The same content gives the same bytes (the safetensors library orders `metadata` at random),
    and an array's memory may lie in any order.
    """
    import numpy as np

    kinds = {"float32": "F32", "float16": "F16", "int32": "I32", "int64": "I64"}
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    arrays, end = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])), 0
    for name, array in arrays:
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": kinds[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in arrays:
            file.write(np.ascontiguousarray(array))


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and torch scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


# Digests


def digest(path: str | Path, leave_out: Path | None = None) -> str:
    """A short SHA-256 of an input: a file's bytes, a stage directory's record, or names and sizes.

    Hashing names and sizes keeps a folder of 100,000 objects cheap to recognise. What lies in the
    folder `leave_out` does not count: results may be written below what they were made from.
    """
    path = Path(path)
    sha = hashlib.sha256()
    if path.is_file():
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    elif (path / DONE).is_file():
        sha.update((path / DONE).read_bytes())
    elif path.is_dir():
        skipped = leave_out.resolve() if leave_out else None
        for item in sorted(p for p in path.rglob("*") if p.is_file()):
            if skipped and skipped in item.resolve().parents:
                continue
            sha.update(os.fsencode(f"{item.relative_to(path)}\0{item.stat().st_size}\n"))
    else:
        raise InputError(f"{path} does not exist")
    return sha.hexdigest()[:16]


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

    def result(self, path: Path | None = None) -> Result:
        """The Result of a finished stage, as recorded."""
        assert self._done is not None
        counts = self._done.get("counts", {})
        summary = {"counts": counts, "outputs": self._done.get("outputs", []), "reused": True}
        return Result(path or self.out, summary, failed=counts.get("failed", 0))

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

    def fail(self, item: str, reason: str, message: str) -> None:
        """Note one object that could not be used, in `failures.jsonl`."""
        line = {"uid": item, "reason": reason, "message": message}
        append_jsonl(self.out / FAILURES, line)

    def finish(self, *, counts: dict[str, int], outputs: Iterable[str | Path]) -> Result:
        """Write `stage.json` (the done-marker) and return the stage's Result for its directory."""
        names = [str(output) for output in outputs]
        write_json(self.out / DONE, {**self.head, "counts": counts, "outputs": names})
        (self.out / PARTIAL).unlink(missing_ok=True)
        return Result(self.out, {"counts": counts, "outputs": names}, counts.get("failed", 0))


def begin(
    out: str | Path,
    stage: str,
    *,
    params: dict[str, Any],
    inputs: dict[str, str | Path | None] | None = None,
    overwrite: bool = False,
    owned: Iterable[str] = (),
    patient: bool = False,
) -> StageRecord:
    """Open the stage directory `out`.

    params: everything that changes the result (the seed too). inputs: name → file or directory.
    The record `is_done` if the same command finished here before; it is `resumed` if the same
    command was interrupted here. UsageError if `out` holds something else.

    overwrite: remove what the same stage made here, and nothing else: what its record lists as
    outputs; of an unfinished run, what matches the patterns `owned`, relative to `out`; of both the
    record itself, `failures.jsonl`, `log.jsonl` and checkpoints. What others put beside that stays,
    and links are not followed. patient: this waits until the stage, sure of its inputs, calls
    `clear()` on the record; it must do so before it writes.
    """
    out = Path(out)
    given = {key: Path(path) for key, path in (inputs or {}).items() if path}
    for key, path in given.items():
        if out.resolve() in (path.resolve(), *path.resolve().parents):
            raise UsageError(f"--out {out} holds the input {key} ({path}); choose another --out")
    found = {k: {"path": str(p), "digest": digest(p, leave_out=out)} for k, p in given.items()}
    head = {
        "stage": stage,
        "sdtool": __version__,
        "params": json.loads(json.dumps(params, default=_plain)),
        "inputs": found,
    }
    if not out.is_dir() and (out.exists() or out.is_symlink()):
        kind = "a file" if out.exists() else "a link to nothing"
        raise UsageError(f"--out {out} is {kind}; name a directory")
    marks = [m for m in (out / DONE, out / PARTIAL) if m.is_file()]
    if not marks and out.is_dir() and any(not _TEMPORARY.match(p.name) for p in out.iterdir()):
        raise UsageError(f"{out} is not empty and sdtool did not write it; choose another --out")
    if marks and [p.name for p in out.iterdir()] == [PARTIAL]:
        marks = []  # a command that failed before it made anything binds nobody
    if marks:
        other = read_json(marks[0])
        author = other.get("stage") if isinstance(other, dict) else "something else"
        if author != stage:
            raise UsageError(f"{out} was written by {author}; choose another --out")
        if overwrite:
            made = other.get("outputs")
            made = [name for name in made if isinstance(name, str)] if type(made) is list else []
            if marks[0].name == PARTIAL:
                made += [str(p.relative_to(out)) for pattern in owned for p in out.glob(pattern)]
            made += [FAILURES, LOG, *(p.name for p in out.glob("checkpoint*.safetensors"))]
            record = StageRecord(out, head, None, resumed=False, replaced=made)
            if not patient:
                record.clear()
            return record
        difference = _difference(other, head)
        if difference:
            raise UsageError(
                f"{out} was made differently ({difference}); "
                "choose another --out or add --overwrite"
            )
        done = other if marks[0].name == DONE else None
        if done is None:
            _sweep(out)
        return StageRecord(out, head, done, resumed=done is None)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / PARTIAL, head)
    return StageRecord(out, head, None, resumed=False)


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The first thing in which two records of a stage differ, in words; empty if they agree."""
    before, now = old.get("params", {}), new["params"]
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            return f"{key}: {before.get(key)} there, {now.get(key)} now"
    for key in sorted(old.get("inputs", {}).keys() | new["inputs"].keys()):
        there, here = old.get("inputs", {}).get(key), new["inputs"].get(key)
        if (there or {}).get("digest") != (here or {}).get("digest"):
            return f"its input {key} has changed"
    return ""


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
        if match and (int(match[1]) == os.getpid() or not _runs(int(match[1]))):
            path.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
