"""Radiance pictures (.hdr, .pic): read with every kind of run-length code, and with bounds.

Format: four bytes a pixel, three mantissas and one exponent: value = mantissa · 2^(exponent − 136).
Rows are plain, coded as repeated pixels (before Radiance 2.0), or coded byte plane by byte plane.
"""

from pathlib import Path

import numpy as np

from sdtool.errors import InputError
from sdtool.geometry.jit import njit

MAX_PIXELS = 1 << 25  # 8192 × 4096
HEADER_BYTES = 1 << 16
BRIGHTEST = 1e6  # radiance beyond it, which only damaged files hold, is cut off


def read_hdr(path: str | Path) -> np.ndarray:
    """(H, W, 3) float32 linear radiance of a Radiance picture; row 0 is its top.

    Values are divided by the header's EXPOSURE. InputError if the file cannot be used.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = file.read(4 * MAX_PIXELS + MAX_PIXELS + HEADER_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if not data.startswith(b"#?"):
        raise InputError(f"{path} is not a Radiance picture; give an .hdr file")
    height, width, flips, exposure, start = _header(path, data)
    pixels = np.empty((height, width, 4), np.uint8)
    row = _decode(np.frombuffer(data, np.uint8), start, pixels)
    if row >= 0:
        raise InputError(f"{path} is damaged or cut short in row {row}; get a whole copy of it")
    scale = np.ldexp(np.float32(1 / exposure), np.arange(256) - 136)
    scale[0] = 0.0  # an exponent of 0 means black
    image = pixels[..., :3] * scale.astype(np.float32)[pixels[..., 3:]]
    return np.ascontiguousarray(np.minimum(image, np.float32(BRIGHTEST))[flips])


def _header(path: Path, data: bytes) -> tuple[int, int, tuple[slice, slice], float, int]:
    """Height, width, how to turn the rows and columns, the exposure, and where pixels begin."""
    end = data.find(b"\n\n", 0, HEADER_BYTES)
    size_end = data.find(b"\n", end + 2, end + 2 + 256)
    if end < 0 or size_end < 0:
        raise InputError(f"{path} has no complete Radiance header; get a whole copy of it")
    exposure = 1.0
    for line in data[:end].decode("latin-1").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "FORMAT" and value.strip() != "32-bit_rle_rgbe":
            raise InputError(f"{path} holds {value.strip()}; convert it to 32-bit_rle_rgbe")
        if key.strip() == "EXPOSURE":
            exposure *= _positive(path, value)
    words = data[end + 2 : size_end].decode("latin-1").split()
    upright = len(words) == 4 and words[0] in ("-Y", "+Y") and words[2] in ("+X", "-X")
    if not upright or not (words[1].isdecimal() and words[3].isdecimal()):
        raise InputError(
            f"{path} gives its size as {' '.join(words)[:40]!r}, not as '-Y 512 +X 1024'; "
            "save it again as rows from top to bottom"
        )
    if len(words[1]) > 9 or len(words[3]) > 9 or int(words[1]) * int(words[3]) > MAX_PIXELS:
        raise InputError(f"{path} is larger than 8192 × 4096 pixels; reduce it")
    height, width = int(words[1]), int(words[3])
    if height * width == 0:
        raise InputError(f"{path} has no pixels")
    flips = (
        slice(None, None, -1 if words[0] == "+Y" else 1),
        slice(None, None, -1 if words[2] == "-X" else 1),
    )
    return height, width, flips, exposure, size_end + 1


def _positive(path: Path, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1e-20 < value < 1e20:
        raise InputError(f"{path} has the exposure {text.strip()[:40]!r}; it must be positive")
    return value


@njit(nogil=True)
def _decode(data, at, pixels):
    """Fill `pixels` (H, W, 4) uint8 from `data` at byte `at`; the damaged row's number, or −1."""
    height, width, _ = pixels.shape
    size = len(data)
    for row in range(height):
        # Byte planes (Radiance 2.0): the row begins with 2, 2 and its width
        planes = 8 <= width <= 32767 and at + 4 <= size and data[at] == 2 and data[at + 1] == 2
        if planes and data[at + 2] < 128:
            if np.int64(data[at + 2]) * 256 + data[at + 3] != width:
                return row
            at += 4
            # Each plane in turn, three mantissas and the exponent: a code above 128 is a run of
            # code − 128 times the next byte, any other a literal of so many bytes
            for plane in range(4):
                column = np.int64(0)
                while column < width:
                    if at + 2 > size:
                        return row
                    count = np.int64(data[at])
                    is_run = count > 128
                    if is_run:
                        count -= 128
                    if count == 0 or column + count > width:
                        return row
                    at += 1
                    if is_run:
                        pixels[row, column : column + count, plane] = data[at]
                        at += 1
                    else:
                        if at + count > size:
                            return row
                        pixels[row, column : column + count, plane] = data[at : at + count]
                        at += count
                    column += count
            continue
        # Whole pixels: plain, or 1, 1, 1, count for repeats of the last one; repeats that follow
        # one another give the count's higher bytes
        column, shift = np.int64(0), 0
        while column < width:
            if at + 4 > size:
                return row
            if data[at] == 1 and data[at + 1] == 1 and data[at + 2] == 1:
                count = np.int64(data[at + 3]) << shift
                if column == 0 or column + count > width or shift > 24:
                    return row
                for k in range(count):
                    pixels[row, column + k] = pixels[row, column - 1]
                column += count
                shift += 8
            else:
                pixels[row, column] = data[at : at + 4]
                column += 1
                shift = 0
            at += 4
    return -1
