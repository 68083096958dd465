"""One channel of an OpenEXR picture, as Blender writes depth: scan lines, uncompressed or by zlib.

The file format is OpenEXR's ("OpenEXR File Layout", openexr.com). Tiles, several parts, deep pixels and the
codecs that need more than zlib are refused by name. Nothing in a file decides how much memory is taken
beyond its own picture, whose sides are limited.
"""

import struct
import zlib
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError, UnopenedError

MAGIC = b"\x76\x2f\x31\x01"
LARGEST = 16384  # pixels a side
LINES = {0: 1, 2: 1, 3: 16}  # scan lines of a chunk, of the codecs that are read
CODECS = ("none", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
TYPES = ("<u4", "<f2", "<f4")
CUT, TILED, DEEP, PARTS = "is cut off", 0x200, 0x800, 0x1000


def read_channel(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """The first channel of a file that is called one of `names`, or `layer.name`: (H, W) float32.

    ObjectError (``missing-file``, ``unreadable-file``, ``bad-depth``) if there is none, or it cannot be read.
    """
    try:
        return _channel(path.read_bytes(), names)
    except FileNotFoundError:
        raise UnopenedError("missing-file", f"{path} is missing", str(path)) from None
    except OSError as error:
        said = f"{path} cannot be read ({error.strerror})"
        raise UnopenedError("unreadable-file", said, str(path)) from None
    except (ValueError, IndexError, struct.error, zlib.error, UnicodeDecodeError) as error:
        said = str(error) if type(error) is ValueError else CUT
        raise ObjectError("bad-depth", f"{path} {said}, so it gives no depth") from None


def _channel(data: bytes, names: tuple[str, ...]) -> np.ndarray:
    header, place = _header(data)
    codec = header["compression"][0]
    if codec not in LINES:
        named = CODECS[codec] if codec < len(CODECS) else f"number {codec}"
        raise ValueError(f"is compressed by {named}, and only none, ZIPS and ZIP are read")
    left, top, right, bottom = struct.unpack("<4i", header["dataWindow"])
    if header["displayWindow"] != header["dataWindow"]:
        raise ValueError(
            "holds a part of its picture only (its data window is not its display window)"
        )
    width, height = right - left + 1, bottom - top + 1
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise ValueError(f"is {width} × {height} pixels, and the most are {LARGEST} a side")
    before, kind, total = _find(_channels(header["channels"]), names)
    image = np.empty((height, width), np.float32)
    rows = set()
    start, chunks = width * before, -(-height // LINES[codec])
    stop = start + width * np.dtype(kind).itemsize
    for (offset,) in struct.iter_unpack("<Q", _part(data, place, 8 * chunks)):
        row, size = struct.unpack("<2i", _part(data, offset, 8))
        first = row - top
        if not 0 <= first < height or first % LINES[codec] or size < 0:
            raise ValueError("is damaged: it names a row that it does not have")
        rows.add(first)
        count = min(LINES[codec], height - first)
        raw = _unpacked(_part(data, offset + 8, size), count * width * total, codec)
        lines = np.frombuffer(raw, np.uint8).reshape(count, width * total)
        image[first : first + count] = np.ascontiguousarray(lines[:, start:stop]).view(kind)
    if len(rows) != chunks:
        raise ValueError("is damaged: it lacks some of its rows")
    return image


def _header(data: bytes) -> tuple[dict[str, bytes], int]:
    """The attributes of the header, by name, and where the table of chunks begins."""
    if data[:4] != MAGIC:
        raise ValueError("is no OpenEXR file")
    flags = struct.unpack_from("<i", data, 4)[0]
    for bit, what in ((TILED, "tiles"), (DEEP, "deep pixels"), (PARTS, "several parts")):
        if flags & bit:
            raise ValueError(f"holds {what}, and only scan lines of one part are read")
    found, place = {}, 8
    while data[place] != 0:
        name, place = _text(data, place)
        _, place = _text(data, place)
        size = struct.unpack_from("<i", data, place)[0]
        found[name] = _part(data, place + 4, size)
        place += 4 + size
    for name in ("channels", "compression", "dataWindow", "displayWindow"):
        if not found.get(name):
            raise ValueError(f"is damaged: its header has no {name}")
    return found, place + 1


def _channels(data: bytes) -> list[tuple[str, str]]:
    """(name, type) of every channel, in the order of their pixels."""
    found, place = [], 0
    while data[place] != 0:
        name, place = _text(data, place)
        kind, _, across, down = struct.unpack_from("<iI2i", data, place)
        if not 0 <= kind < len(TYPES) or (across, down) != (1, 1):
            raise ValueError(f"has a channel {name} of a kind that is not read")
        found.append((name, TYPES[kind]))
        place += 16
    return found


def _find(channels: list[tuple[str, str]], names: tuple[str, ...]) -> tuple[int, str, int]:
    """Bytes a pixel before the wanted channel, its type, and bytes a pixel of all."""
    last = [name.rpartition(".")[2] for name, _ in channels]
    wanted = next((name for name in names if name in last), None)
    if wanted is None:
        raise ValueError(f"has no channel {' or '.join(names)} among {', '.join(last) or 'none'}")
    sizes, k = [np.dtype(kind).itemsize for _, kind in channels], last.index(wanted)
    return sum(sizes[:k]), channels[k][1], sum(sizes)


def _unpacked(data: bytes, size: int, codec: int) -> bytes:
    """The pixels of a chunk: `size` bytes. Those that did not shrink are stored as they are."""
    if codec == 0 or len(data) == size:
        if len(data) != size:
            raise ValueError("is damaged: a chunk has another size than its lines")
        return data
    raw = zlib.decompressobj().decompress(data, size + 1)
    if len(raw) != size:
        raise ValueError("is damaged: a chunk has another size than its lines")
    steps = np.frombuffer(raw, np.uint8).astype(np.int64)
    steps[1:] -= 128  # each byte is stored as its difference from the one before, plus 128
    values = np.cumsum(steps).astype(np.uint8)
    apart = np.empty(size, np.uint8)  # even bytes are stored before odd ones
    apart[0::2], apart[1::2] = values[: (size + 1) // 2], values[(size + 1) // 2 :]
    return apart.tobytes()


def _part(data: bytes, place: int, size: int) -> bytes:
    if size < 0 or place < 0 or place + size > len(data):
        raise ValueError(CUT)
    return data[place : place + size]


def _text(data: bytes, place: int) -> tuple[str, int]:
    end = data.index(0, place)
    return data[place:end].decode("latin-1"), end + 1
