"""3MF files, by lib3mf, the library of the 3MF consortium: a mesh in millimetres with colours at its vertices.

A colour group is what readers of colour agree on: a texture is shown by few of them, and by no slicer.
"""

import ctypes
import uuid
from typing import Any

import numpy as np

from sdtool.errors import MissingDependencyError
from sdtool.geometry.meshes import Mesh

INSTALL = "pip install 'sdtool[print]'"
MODEL = "3D/3dmodel.model"  # the part of the package that holds the mesh
NAMES = uuid.UUID("5d3c3b4e-6d1f-5f0b-9a53-3a4c8e1d7b20")  # of ours: the same object gives the same ids


def library() -> Any:
    """The module lib3mf, or MissingDependencyError."""
    try:
        import lib3mf
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"a .3mf file needs the package lib3mf, which cannot be loaded ({error}); install it with: "
            f"{INSTALL}"
        ) from None
    return lib3mf


def three_mf_bytes(mesh: Mesh, title: str, application: str, description: str) -> bytes:
    """The file; the same arguments give the same bytes.

    mesh: v_pos in millimetres, +Z up; sRGB-encoded v_color in [0, 1], or none. The texts become metadata of
    these names.
    """
    lib = library()
    wrapper = lib.Wrapper()
    model = wrapper.CreateModel()
    model.SetUnit(lib.ModelUnit.MilliMeter)
    model.SetLanguage("en")
    solid = model.AddMeshObject()
    solid.SetName(title)
    faces = mesh.t_pos_idx.astype(np.uint32)
    solid.SetGeometry(_array(lib.Position, mesh.v_pos), _array(lib.Triangle, faces))
    if mesh.v_color is not None:
        _color(lib, model, solid, mesh.v_color, faces)
    item = model.AddBuildItem(solid, wrapper.GetIdentityTransform())
    for number, thing in enumerate((solid, item)):
        thing.SetUUID(str(uuid.uuid5(NAMES, f"{title} {number}")))
    model.SetBuildUUID(str(uuid.uuid5(NAMES, f"{title} build")))
    group = model.GetMetaDataGroup()
    said = {"Application": application, "Title": title, "Description": description}
    for name, value in said.items():
        group.AddMetaData("", name, value, "xs:string", True)
    return bytes(model.QueryWriter("3mf").WriteToBuffer())


def _color(lib: Any, model: Any, solid: Any, v_color: np.ndarray, faces: np.ndarray) -> None:
    """Give the mesh a group of the colours (V, 3) that it has, sRGB in [0, 1], each there once."""
    shades = np.rint(np.clip(v_color, 0, 1) * 255).astype(np.uint8)
    distinct, number = np.unique(shades, axis=0, return_inverse=True)
    group = model.AddColorGroup()
    keys = [group.AddColor(lib.Color(*rgb, 255)) for rgb in distinct.tolist()]
    of_vertex = np.array(keys, np.uint32)[number.reshape(-1)]
    resource = group.GetResourceID()
    corners = np.concatenate([np.full((len(faces), 1), resource), of_vertex[faces]], axis=1)
    solid.SetAllTriangleProperties(_array(lib.TriangleProperties, corners.astype(np.uint32)))
    solid.SetObjectLevelProperty(resource, keys[0])


def _array(kind: Any, values: np.ndarray) -> Any:
    """Rows of an array as lib3mf's structures, which are packed as numpy's rows are."""
    data = np.ascontiguousarray(values)
    assert ctypes.sizeof(kind) * len(data) == data.nbytes
    return (kind * len(data)).from_buffer_copy(data.tobytes())
