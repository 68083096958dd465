"""A .gltf and the files beside it as one GLB, for who can take one file only."""

import copy
from typing import Any

from sdtool.errors import ObjectError
from sdtool.meshfiles.accessors import GlbFile
from sdtool.meshfiles.writing import container

MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


def packed_glb(file: GlbFile) -> bytes:
    """The bytes of a GLB with all buffers and images of `file`; see `packed`."""
    return container(*packed(file))


def packed(file: GlbFile, instead: bytes | None = None) -> tuple[dict[str, Any], bytes]:
    """The tree and the one binary chunk of a GLB with all buffers and images of `file`.

    Nothing else changes. ObjectError if one is missing; instead: a PNG for images that are. Buffers of
    compressed data that have no bytes of their own are not known.
    """
    tree: dict[str, Any] = copy.deepcopy(file.tree)
    binary, starts = bytearray(), []
    for index in range(len(file.items(tree, "buffers"))):
        starts.append(_append(binary, file.buffer(index).tobytes()))
    for view in file.items(tree, "bufferViews"):
        view["byteOffset"] = view.get("byteOffset", 0) + starts[file.integer(view, "buffer")]
        view["buffer"] = 0
    for number, image in enumerate(file.items(tree, "images")):
        if "uri" in image:
            data = _image(file, image.pop("uri"), number, instead)
            place = {"buffer": 0, "byteOffset": _append(binary, data), "byteLength": len(data)}
            tree.setdefault("bufferViews", []).append(place)
            kinds = (kind for magic, kind in MAGIC.items() if data.startswith(magic))
            image["mimeType"] = next(kinds, image.get("mimeType", "image/png"))
            image["bufferView"] = len(tree["bufferViews"]) - 1
    tree["buffers"] = [{"byteLength": len(binary)}]
    return tree, bytes(binary)


def _image(file: GlbFile, uri: Any, number: int, instead: bytes | None) -> bytes:
    try:
        return file.at_uri(uri, f"image {number}").tobytes()
    except ObjectError:
        if instead is None:
            raise
        return instead


def _append(binary: bytearray, data: bytes) -> int:
    """Add bytes, 4-byte aligned; return where they begin."""
    start = len(binary)
    binary += data + b"\0" * (-len(data) % 4)
    return start
