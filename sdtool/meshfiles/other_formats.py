"""OBJ, PLY, OFF and STL files, by readers of our own.

What headers declare is checked before anything is read. No other file is opened, but for the materials
of an OBJ from its own folder tree.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError, OutOfMemoryError
from sdtool.geometry.meshes import Mesh, validate
from sdtool.geometry.normals import creased_normals, usable_normals
from sdtool.io.folders import GLTF_SUFFIXES, MESH_SUFFIXES
from sdtool.meshfiles.beside import map_file
from sdtool.meshfiles.gltf_tree import missing_file
from sdtool.meshfiles.limits import Limits
from sdtool.meshfiles.mtl import ObjMaterials
from sdtool.meshfiles.obj import read_obj
from sdtool.meshfiles.off import read_off
from sdtool.meshfiles.other_kinds import unreadable
from sdtool.meshfiles.ply import read_ply
from sdtool.meshfiles.polygon_mesh import Polygons, to_mesh
from sdtool.meshfiles.stl import declared, is_binary, read_stl

FORMATS = {*MESH_SUFFIXES} - {*GLTF_SUFFIXES}
HEADER = 1 << 16  # bytes in which the header of a .ply or .off file has to end


def read_other(path: Path, limits: Limits, textures: bool = False, normals: bool = True) -> Mesh:
    """Read one file, validated. textures, normals: as `sdtool.meshfiles.load_mesh` has them.

    Without normals in the file, the surface is smooth where it bends by less than 30°.

    ObjectError reasons: ``missing-file``, ``unreadable-file``, ``corrupt-file``,
    ``truncated-file``, ``too-large``, ``bad-index``, ``non-finite``, ``no-triangles``, ``zero-extent``.
    """
    kind = path.suffix.lower()[1:]
    try:
        size = path.stat().st_size
        with open(path, "rb") as opened:
            _check(path, kind, size, opened.read(HEADER), limits)
        with np.errstate(all="ignore"):  # what overflows is found as non-finite
            mesh = _mesh(path, kind, map_file(path).tobytes(), limits, textures, normals)
            mesh = validate(mesh, str(path))
            return _with_normals(mesh) if normals else replace(mesh, v_normal=None)
    except FileNotFoundError:
        raise missing_file(path) from None
    except ObjectError:
        raise
    except OSError as error:
        raise unreadable(path, error) from None
    except MemoryError:
        raise OutOfMemoryError(f"{path} does not fit into memory") from None
    except Exception as error:  # whatever a damaged file trips
        what = f"{type(error).__name__}: {str(error)[:99]}"
        raise ObjectError("corrupt-file", f"{path} cannot be read as .{kind} ({what})") from None


def _mesh(
    path: Path, kind: str, data: bytes, limits: Limits, textures: bool, normals: bool
) -> Mesh:
    """What is in the bytes of a file; vertices are split for normals only if these are wanted."""
    if kind == "stl":
        return _stl(read_stl(data, path), path, limits)
    if kind == "off":
        return to_mesh(read_off(data, path), path, limits.triangles)
    materials = ObjMaterials(path, limits, textures)
    read = {"ply": read_ply, "obj": read_obj}[kind]
    polygons = read(data, path, materials)
    if kind == "ply" and len(polygons.v_pos) and not len(polygons.count):
        splats = b"f_dc_0" in data[:HEADER]  # the colours of Gaussian splatting
        what = f"{len(polygons.v_pos):,} {'Gaussians (splats)' if splats else 'points'}"
        cure = "render-ccm and lift make a surface of points with --surface-points"
        raise ObjectError("no-triangles", f"{path} holds {what} and no triangles; {cure}")
    if not normals:
        polygons.c_normal = None
    mesh = to_mesh(polygons, path, limits.triangles)
    return replace(mesh, lost=materials.said()) if textures else mesh


def _stl(found: Polygons, path: Path, limits: Limits) -> Mesh:
    _limit(path, len(found.count), limits)
    if found.p_color is not None:
        return to_mesh(found, path, limits.triangles)
    return Mesh(found.v_pos, found.corner.reshape(-1, 3).astype(np.int32))


def _with_normals(mesh: Mesh) -> Mesh:
    """The mesh with the normals of its file, or with those that its shape gives."""
    if mesh.v_normal is None or len(mesh.v_normal) != len(mesh.v_pos):
        return creased_normals(mesh)
    return replace(mesh, v_normal=usable_normals(mesh.v_normal))


def _check(path: Path, kind: str, size: int, head: bytes, limits: Limits) -> None:
    """Compare the file's size and the counts that its header declares with the limits."""
    text = kind in ("obj", "off")
    if kind == "stl":
        text = not is_binary(size, head)
        if not text:
            _limit(path, declared(head), limits)
    elif kind == "ply":
        text = b"format ascii" in head
        said = re.findall(rb"element\s+(\S+)\s+(\d{1,20})", head.partition(b"end_header")[0])
        for name, count in said:
            if int(count) > limits.vertices:  # vertices, or triangles and their vertices
                raise ObjectError(
                    "too-large",
                    f"{path} promises {int(count):,} rows of {name.decode('utf-8', 'replace')[:20]} "
                    f"in its {size:,} bytes, over the limit of {limits.vertices:,}",
                )
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
