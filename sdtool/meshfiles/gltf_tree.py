"""A glTF file, binary or text: its JSON tree, looked up without ever trusting it, and its binary chunk.

What is wrong is an ObjectError with a named reason; nothing is read that was not checked. The first
bytes decide which of both it is: people give a .glb the name .gltf, and the other way round.
"""

import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import ObjectError, UnopenedError
from sdtool.io.files import BOM, is_pointer
from sdtool.meshfiles.beside import find_beside, map_file
from sdtool.meshfiles.extensions import is_understood
from sdtool.meshfiles.limits import Limits
from sdtool.meshfiles.other_kinds import pointer, unreadable

# What a JSON tree of other types, or of another depth, than glTF's may trip in its readers.
MISTYPED = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError)

HEAD = 64  # bytes by which text is told from GLB
# A text so long is data. It is kept out of the JSON tree, whose size is limited.
EMBEDDED = re.compile(rb'"data:([^"\\;,]{0,99};base64,[^"\\]{4096,})"')


def parse_json(text: bytes) -> Any:
    """The value of a glTF file's JSON text, as programs write it: with a byte-order mark, with zeros
    behind it, with names in another encoding. ValueError or RecursionError if it is none."""
    return json.loads(text.removeprefix(BOM).rstrip(b"\0 \t\r\n").decode("utf-8", "replace"))


def is_text(path: str | os.PathLike, head: bytes) -> bool:
    """Whether a file with these first bytes is to be read as the text of a .gltf, whatever its name."""
    text = head.removeprefix(BOM).lstrip()
    return Path(path).suffix.lower() == ".gltf" or text.startswith(b"{")


def missing_file(path: str | os.PathLike) -> ObjectError:
    """The error for a file that is not there, or that only a link pretends to be."""
    said = (
        "is a link to a file that does not exist" if Path(path).is_symlink() else "does not exist"
    )
    return UnopenedError("missing-file", f"{path} {said}", os.path.abspath(os.fsdecode(path)))


def check_link(path: str | os.PathLike) -> None:
    """ObjectError if a link leads nowhere (``missing-file``) or where nobody may look
    (``unreadable-file``)."""
    try:
        if os.path.islink(path):
            os.stat(path)
    except FileNotFoundError:
        raise missing_file(path) from None
    except OSError as error:
        raise unreadable(path, error) from None


class GlbTree:
    """One opened GLB or .gltf: `tree` is its JSON object, `chunk` its binary chunk, (N,) uint8, mapped."""

    def __init__(self, path: str | Path, limits: Limits):
        self.path, self.limits = Path(path), limits
        self.is_text = False  # a .gltf, which may name files beside it
        self.bytes_read = 0
        self.embedded: list[bytes] = []  # long data URIs, without their "data:"
        self.tree, self.chunk = self._split(self.map(self.path))
        self.required = {str(name) for name in self.items(self.tree, "extensionsRequired")}
        for name in sorted(self.required):
            if not is_understood(self.tree, name):
                raise ObjectError(
                    "unsupported-extension",
                    f"{self.path} requires the glTF extension {name[:99]}, which sdtool cannot "
                    "read; export it without",
                )

    @property
    def extras(self) -> dict[str, Any]:
        """What the file's author says of it in `asset.extras`; {} if nothing."""
        asset = self.tree.get("asset")
        extras = asset.get("extras") if isinstance(asset, dict) else None
        return extras if isinstance(extras, dict) else {}

    # The container

    def map(self, path: str | Path) -> np.ndarray:
        """(N,) uint8 of this file, or of one that `beside` found, mapped into memory."""
        try:
            self.bytes_read += os.path.getsize(path)
            if self.bytes_read > self.limits.file_bytes:
                raise self.too_large(f"{self.bytes_read} bytes", f"{self.limits.file_bytes}")
            return map_file(path)
        except FileNotFoundError:
            raise missing_file(path) from None
        except (OSError, ValueError) as error:
            model = "" if Path(path) == self.path else self.path
            raise unreadable(path, error, model) from None

    def beside(self, uri: Any, name: str) -> np.ndarray:
        """(N,) uint8 of a file that this one names, from its own folder tree."""
        if not isinstance(uri, str):
            raise self.external(name, uri)
        found = find_beside(self.path, uri, name)
        data = self.map(found)
        if is_pointer(data[:64].tobytes()):
            raise pointer(found, self.path)
        return data

    def _split(self, data: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
        """The JSON tree and the bytes of the binary chunk (empty if there is none)."""
        if not len(data):
            raise self.corrupt("the file is empty")
        size, magic = len(data), data[:4].tobytes()
        if magic != b"glTF" and is_text(self.path, data[:HEAD].tobytes()):
            return self._text(data), np.empty(0, np.uint8)
        if magic != b"glTF":
            raise self.corrupt("it does not begin as a GLB file does")
        if size < 20:
            raise self.truncated(f"it ends after {size} bytes, within its header")
        version, total = struct.unpack("<II", data[4:12].tobytes())
        if version != 2:
            raise ObjectError(
                "unsupported-version", f"{self.path} is glTF {version}; convert it to glTF 2.0"
            )
        chunks: list[tuple[bytes, np.ndarray]] = []
        start = 12
        while start + 8 <= size and len(chunks) < 2:  # chunks after the second are extensions'
            length, kind = struct.unpack("<I4s", data[start : start + 8].tobytes())
            if chunks and start >= total and kind != b"BIN\0":
                break  # what is appended to a file is no part of it; some writers count wrong
            if start + 8 + length > size:
                raise self.truncated(
                    f"it ends after {size} of {max(total, start + 8 + length)} bytes"
                )
            chunks.append((kind, data[start + 8 : start + 8 + length]))
            start += 8 + length
            # Chunks begin at multiples of four; some writers forgot to pad them.
            if data[start + 4 : start + 8].tobytes() != b"BIN\0":
                start += -start % 4
        if not chunks or chunks[0][0] != b"JSON":
            raise self.corrupt("it does not start with a JSON chunk")
        tree = self._json(chunks[0][1].tobytes())
        has_binary = len(chunks) > 1 and chunks[1][0] == b"BIN\0"
        return tree, chunks[1][1] if has_binary else np.empty(0, np.uint8)

    def _text(self, data: np.ndarray) -> dict[str, Any]:
        """The JSON tree of a .gltf; a version other than 2 is refused."""
        self.is_text = True
        if len(data) > self.limits.text_bytes:
            raise self.too_large(f"{len(data)} bytes", f"{self.limits.text_bytes}")

        def take_out(found: re.Match[bytes]) -> bytes:
            self.embedded.append(found[1])
            return b'"embedded:%d"' % (len(self.embedded) - 1)

        tree = self._json(EMBEDDED.sub(take_out, data.tobytes()))
        asset = tree.get("asset")
        version = asset.get("version") if isinstance(asset, dict) else None
        if version is None and self.path.suffix.lower() != ".gltf":
            raise ObjectError(
                "wrong-kind", f"{self.path} is JSON and says of no glTF version; download it again"
            )
        if str(version).partition(".")[0] != "2":
            raise ObjectError(
                "unsupported-version",
                f"{self.path} is glTF {str(version)[:20]}; convert it to glTF 2.0",
            )
        return tree

    def _json(self, text: bytes) -> dict[str, Any]:
        if len(text) > self.limits.json_bytes:
            raise self.too_large(f"{len(text)} bytes of JSON", f"{self.limits.json_bytes}")
        try:
            tree = parse_json(text)
        except (ValueError, RecursionError) as error:
            raise self.corrupt(f"its JSON cannot be read ({error})") from None
        if not isinstance(tree, dict):
            raise self.corrupt("its JSON is not an object")
        return tree

    # Errors

    def corrupt(self, what: str) -> ObjectError:
        """The error for a file that contradicts the glTF specification or itself."""
        return ObjectError("corrupt-file", f"{self.path} is damaged: {what}")

    def truncated(self, what: str) -> ObjectError:
        """The error for a file that ends before what it promises."""
        return ObjectError("truncated-file", f"{self.path} is not whole: {what}; fetch it again")

    def too_large(self, what: str, limit: str) -> ObjectError:
        """The error for an object beyond one of `self.limits`."""
        return ObjectError("too-large", f"{self.path} has {what}, over the limit of {limit}")

    def bad_index(self, count: int) -> ObjectError:
        """The error for triangles that need more vertices than there are."""
        return ObjectError(
            "bad-index", f"{self.path} has a face index outside its {count} vertices"
        )

    def external(self, name: str, uri: Any) -> ObjectError:
        """The error for data of which nobody can say where they lie."""
        return ObjectError(
            "external-buffer",
            f"{self.path} keeps {name} in another file, {str(uri)[:99]}; pack both into one",
        )

    # The tree

    def items(self, owner: dict[str, Any], key: str) -> list[Any]:
        """The list `owner[key]`; empty if absent or null."""
        value = [] if owner.get(key) is None else owner[key]
        if not isinstance(value, list):
            raise self.corrupt(f"{key} is not a list")
        return value

    def child(self, owner: dict[str, Any], key: str) -> dict[str, Any]:
        """The object `owner[key]`; empty if absent or null."""
        value = {} if owner.get(key) is None else owner[key]
        if not isinstance(value, dict):
            raise self.corrupt(f"{key} is not an object")
        return value

    def extension(self, owner: dict[str, Any], name: str) -> dict[str, Any]:
        """The object of one extension of `owner`; empty if absent."""
        return self.child(self.child(owner, "extensions"), name) if "extensions" in owner else {}

    def entry(self, kind: str, index: Any) -> dict[str, Any]:
        """The object number `index` of the top-level list `kind`."""
        entries = self.items(self.tree, kind)
        if type(index) is not int or not 0 <= index < len(entries):
            raise self.corrupt(f"there is no entry {str(index)[:99]} in {kind}")
        if not isinstance(entries[index], dict):
            raise self.corrupt(f"entry {index} of {kind} is not an object")
        return entries[index]

    def integer(self, owner: dict[str, Any], key: str, default: int | None = None) -> int:
        """The integer `owner[key]`, not negative."""
        value = owner.get(key, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or value < 0:
            raise self.corrupt(f"{key} is {str(value)[:99]}, not a count")
        return value

    def numbers(self, owner: dict[str, Any], key: str, default: list[float]) -> list[float]:
        """The list of numbers `owner[key]`, as many as `default` has, all finite; null is absent."""
        values = default if owner.get(key) is None else owner[key]
        if not isinstance(values, list) or len(values) != len(default):
            raise self.corrupt(f"{key} is not a list of {len(default)} numbers")
        if not all(type(v) in (int, float) for v in values):
            raise self.corrupt(f"{key} holds something that is not a number")
        if not all(-1e300 < v < 1e300 for v in values):
            raise ObjectError("non-finite", f"{self.path} has NaN or infinite numbers in a {key}")
        return values
