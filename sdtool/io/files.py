"""Files that are whole or absent: text, JSON, JSON lines and safetensors, moved into place when done."""

import errno
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sdtool.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors that name no file


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`: moved there if the block succeeds, else removed.

    An OSError about the temporary file names `path` instead, which is what people know of.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        about = (error.filename, error.filename2)
        if str(temporary) in about or (about == (None, None) and error.errno in NO_ROOM):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: str | Path) -> Iterator[None]:
    """Have what a disk refuses name `path`: an OSError that names no file, or what Rust's libraries say."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        if not (found := re.search(r"\(os error (\d+)\)", str(error))):
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for bytes that is there, whole, once the block has succeeded."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        yield file


def make_folder(path: Path) -> list[Path]:
    """Make a folder, with those above it that are missing; the ones that were, itself first."""
    missing = [one for one in (path, *path.parents) if not os.path.lexists(one)]
    for _ in range(9):  # another process may remove an empty one above it meanwhile
        with suppress(FileNotFoundError):
            path.mkdir(parents=True, exist_ok=True)
            return missing
    path.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, in this order, until one is not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


# Half of an emoji, as cut-off names hold, has no UTF-8; JSON reads it back from its escape.
UTF8 = {"encoding": "utf-8", "errors": "backslashreplace"}


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, **UTF8)


def check_replaceable(
    paths: Iterable[Path],
    is_ours: Callable[[Path, bytes], bool],
    *,
    cure: str,
    overwrite: bool = False,
) -> None:
    """UsageError if files cannot be written here, or are not ours to replace: to be asked before the work.

    is_ours, cure, overwrite: as `replace_own` has them.
    """
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{path} is a directory; {cure}", "--out")
        if path.exists() and not overwrite and not is_ours(path, path.read_bytes()):
            raise UsageError(f"sdtool did not write {path}; {cure}", "--out")
        try:
            folder = next(one for one in path.absolute().parents if os.path.lexists(one))
            with tempfile.TemporaryFile(dir=folder):  # permissions alone do not tell
                pass
        except OSError as error:
            said = f"{path} cannot be written ({error.strerror}); choose another --out"
            raise UsageError(said, "--out") from None


def replace_own(
    made: dict[Path, bytes],
    is_ours: Callable[[Path, bytes], bool],
    *,
    cure: str,
    overwrite: bool = False,
) -> bool:
    """Write files atomically, in their order; False if all of them are there already.

    is_ours: whether the bytes that a path holds are of a file that sdtool wrote. If others are in the
    way: UsageError, before anything is written, unless `overwrite`; cure: what to do then.
    """
    check_replaceable(made, is_ours, cure=cure, overwrite=overwrite)
    stale = {
        path: data for path, data in made.items() if not path.exists() or path.read_bytes() != data
    }
    for path, data in stale.items():
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    return bool(stale)


def write_json(path: str | Path, value: Any) -> None:
    """Write one indented JSON value atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=plain) + "\n")


def json_line(record: dict[str, Any]) -> bytes:
    """One JSON object as a line of UTF-8, without its end."""
    text = json.dumps(record, ensure_ascii=False, default=plain)
    return text.encode(UTF8["encoding"], UTF8["errors"])


def write_jsonl(path: str | Path, records: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object per line atomically; return how many."""
    count = 0
    with atomic_file(path) as file:
        for record in records:
            file.write(json_line(record) + b"\n")
            count += 1
    return count


def append_jsonl(path: str | Path, record: dict[str, Any]) -> None:
    """Append one line (for the log of a running stage)."""
    with disk_errors(path), open(path, "ab") as file:
        file.write(json_line(record) + b"\n")


BOM = b"\xef\xbb\xbf"  # the byte-order mark that Windows puts before UTF-8
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # marks that Windows puts before what it calls Unicode


LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def is_pointer(head: bytes) -> bool:
    """Whether a file with these first bytes stands for one that Git LFS keeps elsewhere."""
    return head.startswith(LFS_POINTER)


def refuse_pointer(path: str | Path, head: bytes) -> None:
    """InputError if a file with these first bytes is a pointer of Git LFS."""
    if is_pointer(head):
        raise InputError(
            f"{path} is a pointer of Git LFS, not the file itself; fetch that with: git lfs pull"
        )


def encoding_of(head: bytes) -> str:
    """The encoding of a text that begins with these bytes: UTF-8, or UTF-16 with a mark or without one,
    whose letters of most languages have a zero in one of their two bytes."""
    if head[:2] in UTF16:
        return "utf-16"
    if len(head) > 1 and (head[0] == 0) != (head[1] == 0):
        return "utf-16-be" if head[0] == 0 else "utf-16-le"
    return "utf-8-sig"


def decode_text(data: bytes) -> str:
    """The text of a file by any editor: UTF-8 or UTF-16, with or without a byte-order mark, line ends
    of any system. UnicodeDecodeError if it is neither."""
    text = data.decode(encoding_of(data))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_of(path: str | Path) -> str:
    """The text of a file, as `decode_text`. OSError, UnicodeDecodeError, or InputError for a pointer of
    Git LFS."""
    data = Path(path).read_bytes()
    refuse_pointer(path, data)
    return decode_text(data)


def read_json(path: str | Path) -> Any:
    """Read one JSON value; InputError names the file if it is missing or broken."""
    try:
        return json.loads(text_of(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except RecursionError:
        raise InputError(f"{path} is not valid JSON (it is nested too deeply)") from None
    except ValueError as error:  # also of a number of too many digits
        raise InputError(f"{path} is not valid JSON ({error})") from None


def child(owner: dict[str, Any], key: str) -> dict[str, Any]:
    """The object under a key of one that was read; empty if there is none."""
    value = owner.get(key)
    return value if isinstance(value, dict) else {}


def read_jsonl(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file; InputError names file and line of a broken one."""
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist")
    with open(path, "rb") as file:
        lines: Iterable[bytes] = file
        start = file.read(len(LFS_POINTER))
        refuse_pointer(path, start)
        if encoding_of(start) != "utf-8-sig":
            try:
                lines = decode_text(start + file.read()).encode(**UTF8).split(b"\n")
            except UnicodeDecodeError:
                raise InputError(f"{path}, line 1 is not valid JSON (not UTF-16)") from None
        else:
            file.seek(len(BOM) if start.startswith(BOM) else 0)
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", _why_no_json(error))
                raise InputError(f"{path}, line {number} is not valid JSON ({reason})") from None
            if not isinstance(record, dict):
                raise InputError(f"{path}, line {number} is not a JSON object")
            yield record


def _why_no_json(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"


def file_in(path: Path, name: str) -> Path:
    """The file of this name that lies in the folder `path`; else `path`."""
    return path / name if (path / name).is_file() else path


def walk_files(
    folder: Path, hidden: bool = False, shut: dict[Path, str] | None = None
) -> Iterator[Path]:
    """Every file and every link to nowhere below `folder`, each real folder once.

    A folder that is there itself is walked under its own name, not under that of a link to it.
    hidden: also those whose names begin with a dot. shut: gets the folders that nobody may look into, which
    are passed over, and why.
    """
    seen: set[str] = set()
    shut = {} if shut is None else shut

    def note(error: OSError) -> None:
        shut[Path(error.filename)] = error.strerror or str(error)

    links = [folder]
    while links := sorted(link for link in links if os.path.realpath(link) not in seen):
        for path, inner, names in os.walk(links.pop(0), onerror=note):
            if os.path.realpath(path) in seen:  # behind a link, and walked before
                inner.clear()
                continue
            seen.add(os.path.realpath(path))
            if not os.access(path, os.X_OK):  # its names may be listed, and nothing more
                shut[Path(path)] = os.strerror(errno.EACCES)
                inner.clear()
                continue
            inner[:] = [name for name in inner if hidden or not name.startswith(".")]
            links += [Path(path, n) for n in inner if os.path.islink(os.path.join(path, n))]
            yield from (Path(path, name) for name in names if hidden or not name.startswith("."))


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


TENSOR_KINDS = {"BOOL": "bool", "F32": "float32", "F16": "float16", "I32": "int32", "I64": "int64"}


def write_tensors(
    path: str | Path, tensors: dict[str, "np.ndarray"], metadata: dict[str, str]
) -> None:
    """Write bool, float32, float16, int32 and int64 arrays as a safetensors file, atomically.

    The same content gives the same bytes (the safetensors library orders `metadata` at random),
    and an array's memory may lie in any order.
    """
    import numpy as np

    kinds = {dtype: kind for kind, dtype in TENSOR_KINDS.items()}
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
    with atomic_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in arrays:
            file.write(np.ascontiguousarray(array).data)


def map_tensors(path: str | Path) -> tuple[dict[str, "np.ndarray"], dict[str, str]]:
    """The arrays of such a file, mapped into memory without reading them, and its metadata.

    Processes that map the same file share its pages. An error of numpy, of json or of the system
    says that it is none.
    """
    import numpy as np

    data = np.memmap(path, np.uint8, "r")
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:start].tobytes())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, last = (start + offset for offset in entry["data_offsets"])
        array = data[first:last].view(TENSOR_KINDS[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors, metadata


def plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and torch scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
