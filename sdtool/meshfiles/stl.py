"""STL files: bytes and text, colours of faces as two programs write them."""

import re
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError
from sdtool.io.files import BOM
from sdtool.meshfiles.polygon_mesh import Polygons, read_numbers

START = 84  # bytes before the first triangle: a title, and how many there are
ROW = np.dtype([("normal", "<f4", 3), ("corner", "<f4", (3, 3)), ("color", "<u2")])
OWN = 0x8000  # of a colour: that the face has one (VisCAM), or that it has none (Magics)
VERTEX = re.compile(rb"\bvertex((?:\s+[-+.\dni]\S*){3})", re.IGNORECASE)


def is_binary(size: int, head: bytes) -> bool:
    """Whether an STL file of `size` bytes that begins with `head` is one of bytes.

    The title of a binary file may begin with "solid" as well, so the size decides; of a file that is
    too short or too long for its count, zeros and letters beyond ASCII do.
    """
    if size >= START and size == START + ROW.itemsize * declared(head):
        return True
    text = head.removeprefix(BOM).lstrip()[:5].lower() == b"solid"
    return not (text and (size < START or b"facet" in head.lower() or b"\0" not in head))


def declared(head: bytes) -> int:
    """How many triangles a binary file says that it has."""
    return int.from_bytes(head[80:START], "little")


def read_stl(data: bytes, path: Path) -> Polygons:
    """The triangles in the bytes of an STL file; no two share a vertex, as the format has it.

    ObjectError ``corrupt-file`` or ``truncated-file``.
    """
    if is_binary(len(data), data[: 1 << 16]):
        return _binary(data, path)
    rows = VERTEX.findall(data)
    numbers = read_numbers(b" ".join(rows))
    if len(numbers) != 3 * len(rows) or len(rows) % 3:
        said = "it ends within a triangle" if len(rows) % 3 else "a vertex is not three numbers"
        raise ObjectError("corrupt-file", f"{path} cannot be read as .stl ({said})")
    return _triangles(numbers.reshape(-1, 3, 3))


def _binary(data: bytes, path: Path) -> Polygons:
    count, there = declared(data[:START]), (len(data) - START) // ROW.itemsize
    if len(data) < START:
        raise ObjectError(
            "truncated-file", f"{path} is not whole: it ends within its header; fetch it again"
        )
    if count > there:
        said = f"it promises {count:,} triangles and has the bytes of {there:,}"
        raise ObjectError("truncated-file", f"{path} is not whole: {said}; fetch it again")
    rows = np.frombuffer(data, ROW, count, START)
    found = _triangles(rows["corner"])
    default = data[:80].find(b"COLOR=")  # Magics: a colour of the whole, red first in 15 bits
    magics = default >= 0
    own = (rows["color"] & OWN == 0) if magics else (rows["color"] & OWN != 0)
    if rows["color"].any() and (magics or own.any()):
        shifts = (0, 5, 10) if magics else (10, 5, 0)
        color = np.stack([(rows["color"] >> s & 31) / np.float32(31) for s in shifts], axis=1)
        whole = np.frombuffer(data[default + 6 : default + 9], np.uint8) / np.float32(255)
        base = whole if magics and len(whole) == 3 else np.full(3, np.nan, np.float32)
        found.p_color = np.where(own[:, None], color, base).astype(np.float32)
    return found


def _triangles(corner: np.ndarray) -> Polygons:
    count = len(corner)
    v_pos = np.array(corner, np.float32).reshape(-1, 3)
    return Polygons(v_pos, np.arange(3 * count), np.full(count, 3))
