"""Readers of printing and phone formats that share nothing with what wrote them."""

import io
import struct
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from sdtool.geometry.meshes import Mesh, Texture

CORE = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"
MATERIALS = "{http://schemas.microsoft.com/3dmanufacturing/material/2015/02}"


def read_stl(path: Path) -> trimesh.Trimesh:
    """A binary STL by trimesh, its corners at one place made one vertex."""
    data = path.read_bytes()
    assert (
        not data.startswith(b"solid")
        and len(data) == 84 + 50 * struct.unpack_from("<I", data, 80)[0]
    )
    return trimesh.load_mesh(path)


def read_three_mf(path: Path) -> tuple[trimesh.Trimesh, np.ndarray, dict[str, str], str]:
    """By the text of the specification: the mesh, the colours of its corners (F, 3, 3), metadata, unit."""
    with zipfile.ZipFile(path) as package:
        assert package.testzip() is None
        relations = ElementTree.fromstring(package.read("_rels/.rels"))
        (target,) = [r.get("Target") for r in relations if r.get("Type").endswith("/3dmodel")]
        model = ElementTree.fromstring(package.read(target.lstrip("/")))
        types = package.read("[Content_Types].xml").decode()
    assert 'Extension="model"' in types and 'Extension="rels"' in types
    groups = {
        group.get("id"): [c.get("color") for c in group]
        for group in model.iter(f"{MATERIALS}colorgroup")
    }
    (thing,) = model.iter(f"{CORE}object")
    (item,) = model.iter(f"{CORE}item")
    assert item.get("objectid") == thing.get("id") and item.get("transform") is None
    v_pos = [[float(v.get(axis)) for axis in "xyz"] for v in model.iter(f"{CORE}vertex")]
    faces, colors = [], []
    for triangle in model.iter(f"{CORE}triangle"):
        faces.append([int(triangle.get(f"v{k}")) for k in (1, 2, 3)])
        group = groups[triangle.get("pid", thing.get("pid"))]
        first = triangle.get("p1", thing.get("pindex"))
        number = [int(triangle.get(f"p{k}", first)) for k in (1, 2, 3)]
        colors.append([list(bytes.fromhex(group[n][1:7])) for n in number])
    metadata = {m.get("name"): m.text for m in model.iter(f"{CORE}metadata")}
    mesh = trimesh.Trimesh(v_pos, faces, process=False)
    return mesh, np.array(colors, np.uint8), metadata, model.get("unit")


def stored_files(path: Path) -> dict[str, bytes]:
    """The files of a USDZ, which has to be a zip without compression, each file at a multiple of 64 bytes."""
    data, found = path.read_bytes(), {}
    with zipfile.ZipFile(path) as package:
        for info in package.infolist():
            assert info.compress_type == zipfile.ZIP_STORED and info.flag_bits == 0
            name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
            start = info.header_offset + 30 + name + extra
            assert start % 64 == 0, info.filename
            found[info.filename] = data[start : start + info.file_size]
            assert package.read(info) == found[info.filename]
    return found


def read_usdz(path: Path) -> tuple[Mesh, dict[str, np.ndarray]]:
    """The mesh that USD's own stage has, with the base colour that its material leads to; and all images."""
    from pxr import Usd, UsdGeom, UsdShade

    files = stored_files(path)
    stage = Usd.Stage.Open(str(path))
    (prim,) = [p for p in stage.Traverse() if p.IsA(UsdGeom.Mesh)]
    shape, (material, _) = (
        UsdGeom.Mesh(prim),
        UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial(),
    )
    surface = material.ComputeSurfaceSource()[0]
    images = {}
    for name in ("diffuseColor", "roughness", "metallic", "normal"):
        source = UsdShade.Shader(
            surface.GetInput(name).GetConnectedSources()[0][0].source.GetPrim()
        )
        asset = source.GetInput("file").Get()
        assert asset.resolvedPath == f"{path}[{asset.path}]"
        images[name] = np.asarray(Image.open(io.BytesIO(files[asset.path])))
    st = UsdGeom.PrimvarsAPI(shape).GetPrimvar("st")
    v_uv = np.array(st.Get(), np.float32) * [1, -1] + [0, 1]
    faces = np.array(shape.GetFaceVertexIndicesAttr().Get(), np.int32).reshape(-1, 3)
    v_pos = np.array(shape.GetPointsAttr().Get(), np.float32)
    opaque = np.dstack([images["diffuseColor"], np.full(images["normal"].shape[:2], 255, np.uint8)])
    texture = Texture(opaque, ("clamp", "clamp"))
    place = np.zeros(len(faces), np.int32)
    return Mesh(v_pos, faces, None, v_uv.astype(np.float32), place, (texture,)), images
