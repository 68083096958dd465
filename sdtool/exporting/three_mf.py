"""3MF files, by lib3mf, the library of the 3MF consortium: a mesh in millimetres with colours at its corners.

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
SHIFTS = np.array([1 << 16, 1 << 8, 1], np.uint32)  # red, green and blue as one number
NAMES = uuid.UUID(
    "5d3c3b4e-6d1f-5f0b-9a53-3a4c8e1d7b20"
)  # of ours: the same object gives the same ids


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


def three_mf_bytes(
    mesh: Mesh, corner_color: np.ndarray, title: str, application: str, description: str
) -> bytes:
    """The file; the same arguments give the same bytes.

    mesh: v_pos in millimetres, +Z up. corner_color: (F, 3, 3) sRGB-encoded, in [0, 1]. The texts become
    metadata of these names.
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
    _color(lib, model, solid, corner_color)
    item = model.AddBuildItem(solid, wrapper.GetIdentityTransform())
    for number, thing in enumerate((solid, item)):
        thing.SetUUID(str(uuid.uuid5(NAMES, f"{title} {number}")))
    model.SetBuildUUID(str(uuid.uuid5(NAMES, f"{title} build")))
    group = model.GetMetaDataGroup()
    said = {"Application": application, "Title": title, "Description": description}
    for name, value in said.items():
        group.AddMetaData("", name, value, "xs:string", True)
    return bytes(model.QueryWriter("3mf").WriteToBuffer())


def _color(lib: Any, model: Any, solid: Any, corner_color: np.ndarray) -> None:
    """Give the mesh a group of the colours (F, 3, 3) that its corners have, each there once."""
    shades = np.rint(np.clip(corner_color, 0, 1) * 255).astype(np.uint32) @ SHIFTS
    distinct, number = np.unique(shades, return_inverse=True)
    group = model.AddColorGroup()
    keys = [
        group.AddColor(lib.Color(c >> 16, c >> 8 & 255, c & 255, 255)) for c in distinct.tolist()
    ]
    resource = group.GetResourceID()
    corners = np.array(keys, np.uint32)[number.reshape(-1, 3)]
    rows = np.concatenate([np.full((len(corners), 1), resource, np.uint32), corners], axis=1)
    solid.SetAllTriangleProperties(_array(lib.TriangleProperties, rows))
    usual = keys[int(np.bincount(number.reshape(-1)).argmax())]
    solid.SetObjectLevelProperty(resource, usual)


def _array(kind: Any, values: np.ndarray) -> Any:
    """Rows of an array as lib3mf's structures, which are packed as numpy's rows are."""
    data = np.ascontiguousarray(values)
    assert ctypes.sizeof(kind) * len(data) == data.nbytes
    return (kind * len(data)).from_buffer_copy(data.tobytes())
