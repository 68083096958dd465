"""What lies below a folder of models: the files that are read, links to nowhere, and what is passed over.

Folders behind links are walked, too, each real folder once, so that links in a circle end. Hidden
files and folders are passed over.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdtool.io.files import walk_files
from sdtool.io.words import counted

GLTF_SUFFIXES = (".glb", ".gltf", ".vrm")  # a .vrm is a GLB with a person in it
MESH_SUFFIXES = (*GLTF_SUFFIXES, ".obj", ".ply", ".stl", ".off")
# Endings of what lies beside models and is none: parts of them, pictures, texts, results of stages.
COMPANIONS = frozenset(
    """bin mtl png jpg jpeg webp gif bmp tga tif tiff dds ktx ktx2 basis hdr exr psd xcf svg avif
    heic ico txt md rst html htm pdf rtf doc docx odt url webloc log cfg ini license json jsonl
    ndjson csv tsv parquet toml yaml yml xml css js py sh import meta safetensors npy npz gz mp3 ogg
    wav mp4 webm mov db lnk sha256 md5 partial lock tmp""".split()
)
PACKED = (".tar.gz", ".glb.gz", ".gltf.gz", ".obj.gz", ".ply.gz", ".stl.gz", ".off.gz")
NAMED = 8  # kinds that a sentence names


@dataclass
class Unread:
    """kinds: ending → how many files of a kind that sdtool does not read. shut: folders that nobody may
    look into, and why."""

    kinds: Counter[str] = field(default_factory=Counter)
    shut: dict[Path, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.kinds or self.shut)

    def counts(self) -> dict[str, int]:
        """How many files and how many folders, of a stage record; those that there are."""
        found = {"not read": self.kinds.total(), "folders not read": len(self.shut)}
        return {name: count for name, count in found.items() if count}

    def as_json(self) -> dict[str, dict[str, Any]]:
        """The same by name: ending → how many files, folder → why."""
        shut = {str(path): why for path, why in sorted(self.shut.items())}
        return {"files": dict(sorted(self.kinds.items())), "folders": shut}


@dataclass
class Folder:
    """models: files that are read, and links with such a name that lead nowhere, sorted by path."""

    models: list[Path] = field(default_factory=list)
    unread: Unread = field(default_factory=Unread)


def survey(folder: Path) -> Folder:
    """Look at everything below a folder."""
    found = Folder()
    for path in walk_files(folder, shut=found.unread.shut):
        if path.suffix.lower() in MESH_SUFFIXES:
            if _is_there(path):
                found.models.append(path)
            else:  # a pipe, a socket or a device
                found.unread.kinds[f"{path.suffix.lower()} that is no file"] += 1
        elif kind := unread_kind(path.name):
            found.unread.kinds[kind] += 1
        elif not path.suffix and path.is_symlink() and (why := _refused(path)):
            found.unread.shut[path] = why  # of a folder, as models have endings
    found.models.sort()
    return found


def _is_there(path: Path) -> bool:
    """Whether a path is a file or a link; also where nobody may look, so that reading it says so."""
    try:
        return path.is_file() or path.is_symlink()
    except OSError:
        return True


def _refused(path: Path) -> str:
    """Why nobody may look at what a link leads to; "" if one may, or if it leads nowhere."""
    try:
        path.stat()
    except PermissionError as error:
        return error.strerror or str(error)
    except OSError:
        pass
    return ""


def unread_kind(name: str) -> str:
    """The ending, in lower case, of a file of a kind that is not read; "" of all others."""
    lower = name.lower()
    for packed in PACKED:
        if lower.endswith(packed):
            return packed
    ending = Path(lower).suffix
    usual = ending[1:] in COMPANIONS or not ending[1:].isalnum() or len(ending) > 9
    return "" if usual or ending in MESH_SUFFIXES or ending[1:].isdecimal() else ending


def say_unread(unread: Unread) -> str:
    """Lines such as "3 files of kinds that sdtool does not read: .fbx (2), .zip (1)"; "" if there is nothing
    to say."""
    return "\n".join(filter(None, (say_kinds(unread.kinds), *say_shut(unread.shut))))


def say_shut(shut: dict[Path, str]) -> list[str]:
    """A line for each folder that cannot be read."""
    return [
        f"{path} cannot be read ({why}); what it holds is left out"
        for path, why in sorted(shut.items())
    ]


def shut_aside(shut: dict[Path, str]) -> str:
    """ "; objs/b cannot be read (Permission denied)", of each folder, to end a sentence with."""
    return "".join(f"; {path} cannot be read ({why})" for path, why in sorted(shut.items()))


def say_kinds(unread: Counter[str]) -> str:
    """The line of `say_unread` about such files; "" if there are none."""
    if not unread:
        return ""
    kinds = sorted(unread.items(), key=lambda entry: (-entry[1], entry[0]))
    named = ", ".join(f"{ending} ({count})" for ending, count in kinds[:NAMED])
    if len(kinds) > NAMED:
        named += f" and {counted(len(kinds) - NAMED, 'kind')} more"
    total = unread.total()
    return f"{total} file{'s' * (total > 1)} of kinds that sdtool does not read: {named}"


def model_stem(path: Path) -> str:
    """The name of a model without its endings: chair of chair.gltf.glb."""
    stem = path.stem
    while Path(stem).suffix.lower() in MESH_SUFFIXES and Path(stem).stem:
        stem = Path(stem).stem
    return stem
