"""OBJ, PLY, STL and OFF files through trimesh, which reads geometry and vertex colours only.

It gets one open file and no way to open others. What headers declare is checked before it starts.
"""

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh, validate
from sdtool.io.folders import MESH_SUFFIXES
from sdtool.meshfiles.gltf_tree import missing_file
from sdtool.meshfiles.limits import Limits

FORMATS = {*MESH_SUFFIXES} - {".glb", ".gltf"}
HEADER = 1 << 16  # bytes in which the header of a .ply or .off file has to end


def read_through_trimesh(path: Path, limits: Limits) -> Mesh:
    """Read one file, validated; materials and images beside it are not looked at.

    ObjectError reasons: ``missing-file``, ``unreadable-file``, ``corrupt-file``, ``too-large``,
    ``bad-index``, ``non-finite``, ``no-triangles``, ``zero-extent``.
    """
    kind = path.suffix.lower()[1:]
    try:
        size = path.stat().st_size
        with open(path, "rb") as opened:
            _check(path, kind, size, opened.read(HEADER), limits)
            opened.seek(0)
            with np.errstate(all="ignore"):  # what overflows is found as non-finite
                v_pos, faces, color = _arrays(opened, kind)
    except FileNotFoundError:
        raise missing_file(path) from None
    except ObjectError:
        raise
    except OSError as error:
        raise ObjectError("unreadable-file", f"{path} cannot be read ({error})") from None
    except MemoryError:
        raise ObjectError("too-large", f"{path} does not fit into memory") from None
    except Exception as error:  # its parsers raise anything on a damaged file
        what = f"{type(error).__name__}: {str(error)[:99]}"
        raise ObjectError("corrupt-file", f"{path} cannot be read as .{kind} ({what})") from None
    _limit(path, len(faces), limits)
    if len(faces) and (faces.min() < 0 or faces.max() >= len(v_pos)):
        raise ObjectError("bad-index", f"{path} has a face index outside its {len(v_pos)} vertices")
    return validate(Mesh(v_pos, faces.astype(np.int32), color), str(path))


def _arrays(opened: BinaryIO, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(V, 3) float32, (F, 3) int64 and (V, 3) float32 in [0, 1] or None."""
    import trimesh

    loaded = trimesh.load_mesh(opened, file_type=kind, process=False, skip_materials=True)
    v_pos = np.asarray(loaded.vertices, np.float32).reshape(-1, 3)
    faces = np.asarray(loaded.faces, np.int64).reshape(-1, 3)
    visual = loaded.visual
    if not isinstance(visual, trimesh.visual.ColorVisuals) or visual.kind != "vertex":
        return v_pos, faces, None
    return v_pos, faces, np.asarray(visual.vertex_colors[:, :3] / 255, np.float32)


def _check(path: Path, kind: str, size: int, head: bytes, limits: Limits) -> None:
    """Compare the file's size and the counts that its header declares with the limits."""
    text = kind in ("obj", "off")
    if kind == "stl":
        declared = int.from_bytes(head[80:84], "little")
        text = size != 84 + 50 * declared
        if not text:
            _limit(path, declared, limits)
    elif kind == "ply":
        text = b"format ascii" in head
        for count in re.findall(rb"element\s+\S+\s+(\d{1,20})", head.partition(b"end_header")[0]):
            _limit(path, int(count) // 3, limits)  # vertices, or triangles and their vertices
    elif kind == "off":
        for count in re.findall(rb"\d{1,20}", re.sub(rb"#[^\n]*", b"", head))[:3]:
            _limit(path, int(count) // 3, limits)
    bound = limits.text_bytes if text else limits.file_bytes
    if size > bound:
        raise ObjectError("too-large", f"{path} has {size} bytes, over the limit of {bound}")


def _limit(path: Path, triangles: int, limits: Limits) -> None:
    if triangles > limits.triangles:
        raise ObjectError(
            "too-large", f"{path} has {triangles} triangles, over the limit of {limits.triangles}"
        )
