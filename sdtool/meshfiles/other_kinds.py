"""What a file is that is not what its name says: a page instead of a download, a pointer, an archive.

Only looked at where a reader has failed, so that readers stay free of it.
"""

import os
import stat
from pathlib import Path

from sdtool.errors import ObjectError, UnopenedError
from sdtool.io.files import BOM, encoding_of, is_pointer
from sdtool.io.folders import MESH_SUFFIXES

HEAD = 512  # bytes that are looked at
# First bytes → what begins so, what to do about it, and the endings of files that may.
KINDS: tuple[tuple[bytes, str, str, tuple[str, ...]], ...] = (
    (b"glTF", "a GLB file", "give it the ending .glb", (".glb", ".gltf", ".vrm")),
    (b"ply\n", "a PLY file", "give it the ending .ply", (".ply",)),
    (b"ply\r", "a PLY file", "give it the ending .ply", (".ply",)),
    (b"Z2xURg", "a GLB file in base64", "decode it (base64 -d)", ()),
    (b"PK\3\4", "a ZIP archive", "unpack it", ()),
    (b"\x1f\x8b", "compressed with gzip", "unpack it (gunzip)", ()),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it (unzstd)", ()),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it", ()),
    (b"Rar!", "a RAR archive", "unpack it", ()),
    (b"Kaydara FBX Binary", "an FBX file", "convert it to .glb", ()),
    (b"BLENDER", "a Blender file", "export it as .glb", ()),
    (b"PXR-USDC", "a USD file", "convert it to .glb", ()),
    (b"\x89PNG", "a PNG picture", "look for the model", ()),
    (b"\xff\xd8\xff", "a JPEG picture", "look for the model", ()),
    (b"%PDF", "a PDF document", "look for the model", ()),
)
REPLACED = "\ufffd".encode()  # what stands for bytes that are no letters
PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")


def pointer(path: str | os.PathLike, model: str | os.PathLike = "") -> ObjectError:
    """The error for a pointer of Git LFS; `model` is the file that needs what it stands for."""
    needed = f", which {model} needs," if model else ""
    return ObjectError(
        "git-lfs-pointer",
        f"{path}{needed} is a pointer of Git LFS, not the file itself; fetch that with: git lfs pull",
    )


def unreadable(
    path: str | os.PathLike, error: Exception, model: str | os.PathLike = ""
) -> ObjectError:
    """The error for a file that the system does not let be read; `model` is the file that needs it."""
    needed = f", which {model} needs," if model else ""
    why, cure = str(error), ""
    if isinstance(error, PermissionError):
        why, cure = str(error.strerror), "; change its permissions, or those of its folder"
    said = f"{path}{needed} cannot be read ({why}){cure}"
    return UnopenedError("unreadable-file", said, os.path.abspath(os.fsdecode(path)))


def check_regular(path: str | os.PathLike) -> None:
    """ObjectError ``unreadable-file`` for a pipe or a device, which may never end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # its reader says why
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ObjectError("unreadable-file", f"{path} is no file but a pipe or a device")


def better_reason(error: ObjectError, path: str | os.PathLike) -> ObjectError:
    """`error` of the reader of `path`, or a more exact one by the first bytes of that file.

    Reasons: ``empty-file``, ``git-lfs-pointer``, ``wrong-kind``.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError, ObjectError):
        return error
    if not head:
        return ObjectError("empty-file", f"{path} is empty: it has no bytes; fetch it again")
    if is_pointer(head):
        return pointer(path)
    if head.startswith(b"glTF") and REPLACED in head:
        said_so = f"{path} was changed into text on its way, which destroys it; fetch it as bytes"
        return ObjectError("corrupt-file", said_so)
    ending = Path(path).suffix.lower()
    said = _kind(head, ending)
    if said is None:
        return error
    what, cure = said
    kind = "a model" if ending not in MESH_SUFFIXES else f"a {ending} file"
    return ObjectError("wrong-kind", f"{path} is {what}, not {kind}; {cure}")


def _kind(head: bytes, ending: str) -> tuple[str, str] | None:
    """(what begins with these bytes, the cure); None if a file with this ending may."""
    for magic, what, cure, endings in KINDS:
        if head.startswith(magic):
            return None if ending in endings else (what, cure)
    text = head.removeprefix(BOM).lstrip().lower()
    if text.startswith(PAGES):
        return "a web page", "download the file itself"
    if text.startswith((b"<?xml", b"<error", b"<collada")):
        if b"<collada" in text:
            return "a COLLADA file", "convert it to .glb"
        return "XML", "download it again"
    if encoding_of(head).startswith("utf-16") and ending in (".gltf", ".obj", ".ply", ".off"):
        return "text in UTF-16", "save it as UTF-8"
    if text.startswith(b"{") and ending not in (".glb", ".gltf", ".vrm"):
        return "JSON", "download it again, or give a glTF file the ending .gltf"
    return None
