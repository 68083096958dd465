"""Draco-compressed primitives (KHR_draco_mesh_compression), through DracoPy.

The decoder believes what a stream declares: a few bytes may ask for gigabytes. So the declared
counts are read here first and compared with the limits, and while the decoder runs the process may
not grow by more than an honest stream of those counts could need.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from sdtool.errors import ObjectError

if TYPE_CHECKING:
    from sdtool.meshfiles.accessors import GlbFile

MESH, SEQUENTIAL, EDGEBREAKER = 1, 0, 1
HAS_METADATA = 0x8000
INTEGERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"}  # Draco's types of numbers
# Draco took 65 bytes a face on a mesh of a million with three attributes; vertices that no two
# faces share, with every attribute that glTF knows, may take ten times as much.
BYTES_EACH, BYTES_AT_LEAST = 1024, 256 << 20
ONE_AT_A_TIME = Lock()


def decode_draco(
    file: "GlbFile", packed: dict[str, Any]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The geometry of a primitive whose extension object is `packed`.

    (F, 3) uint32 faces, checked against their vertices, and {"POSITION": (V, 3), …} of the
    attributes that the extension names: floats, or integers not yet normalised.
    """
    data = file.view(packed.get("bufferView")).tobytes()
    faces, points = _declared(file, data)
    if faces > file.limits.triangles or points > file.limits.vertices:
        raise file.too_large(f"{faces} compressed triangles", f"{file.limits.triangles}")
    draco = _import(file)
    try:
        working = min(BYTES_EACH * (faces + points), 2 * file.limits.decoded_bytes)
        with _bounded_growth(BYTES_AT_LEAST + working):
            mesh = draco.decode(data)
            triangles = np.asarray(mesh.faces).reshape(-1, 3)
            stored = {a["unique_id"]: _as_stored(a) for a in mesh.attributes}
    except MemoryError:
        raise file.too_large("Draco data that need more memory", f"{working} bytes") from None
    except Exception as error:  # its own exceptions, and whatever a damaged stream trips
        what = f"its Draco data cannot be decoded ({type(error).__name__}: {error})"
        raise file.corrupt(what) from None
    file.spend(triangles.nbytes + sum(values.nbytes for values in stored.values()))
    attributes = {}
    for name, number in file.child(packed, "attributes").items():
        values = stored.get(number) if type(number) is int else None
        if values is None or values.ndim != 2 or values.dtype.kind not in "iuf":
            raise file.corrupt(f"its Draco data lack the attribute {name[:99]}")
        attributes[name] = values
    if "POSITION" not in attributes:
        raise file.corrupt("its Draco data have no positions")
    count = len(attributes["POSITION"])
    if len({len(values) for values in attributes.values()}) != 1:
        raise file.corrupt("its Draco attributes are not of one length")
    if triangles.size and triangles.max() >= count:
        raise file.bad_index(count)
    return triangles, attributes


def _as_stored(attribute: dict[str, Any]) -> np.ndarray:
    """(V, C) values of an attribute, in the number type of the stream.

    DracoPy makes floats of positions, normals and texture coordinates, also where whole numbers are
    stored that are still to be normalised. Floats up to 1 have been normalised by the decoder, as a
    mark in the stream asks for: no normalised mesh would be as small as one step of its grid.
    """
    values, kind = np.asarray(attribute["data"]), INTEGERS.get(attribute.get("data_type", 0))
    if kind is None or values.dtype.kind != "f" or not np.abs(values).max(initial=0) > 1:
        return values
    whole = values.astype(kind)
    return whole if (whole == values).all() else values


def _declared(file: "GlbFile", data: bytes) -> tuple[int, int]:
    """The numbers of faces and of points that a Draco stream says it holds (bitstream 2.2)."""
    reader = _Reader(data)
    try:
        if reader.take(5) != b"DRACO" or reader.take(2) != b"\2\2" or reader.byte() != MESH:
            raise file.corrupt("its Draco data are no mesh of bitstream version 2.2")
        method = reader.byte()
        if int.from_bytes(reader.take(2), "little") & HAS_METADATA:
            for _ in range(reader.varint()):
                reader.varint()
                reader.skip_metadata()
            reader.skip_metadata()
        if method == SEQUENTIAL:
            return reader.varint(), reader.varint()
        if method == EDGEBREAKER:
            reader.byte()  # how its triangles were walked
            points = reader.varint()  # here they stand first
            return reader.varint(), points
    except IndexError:
        raise file.corrupt("its Draco data end within their header") from None
    raise file.corrupt(f"its Draco data use the unknown method {method}")


class _Reader:
    """The fields of a Draco header, in order; IndexError where it ends."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise IndexError
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        """Seven bits a byte, the lowest first."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                break
        return value

    def skip_metadata(self) -> None:
        """Names and values, then named children of the same kind."""
        pending, named = 1, False
        while pending:
            if named:
                self.take(self.byte())
            for _ in range(self.varint()):
                self.take(self.byte())
                self.take(self.varint())
            pending, named = pending - 1 + self.varint(), True


@contextmanager
def _bounded_growth(extra: int) -> Iterator[None]:
    """Let the process's address space grow by `extra` bytes at most, where the system can (Linux)."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        yield
        return
    with ONE_AT_A_TIME:  # the bound is the whole process's
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        bounds = [pages * resource.getpagesize() + extra, soft, hard]
        bound = min(b for b in bounds if b != resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _import(file: "GlbFile") -> Any:
    try:
        import DracoPy
    except ImportError:
        raise ObjectError(
            "missing-decoder",
            f"{file.path} is Draco-compressed, which needs a decoder: pip install 'sdtool[draco]'",
        ) from None
    return DracoPy
