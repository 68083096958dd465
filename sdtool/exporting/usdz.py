"""USDZ files as AR Quick Look opens them, by usd-core, Pixar's own library.

One mesh with the textures of a `TexturedMesh` under a UsdPreviewSurface. AR Quick Look's rules: metres,
+Y up, a default prim, images as PNG or JPEG, one .usdc that comes first, a zip that is not compressed and
whose files begin at multiples of 64 bytes. Colours at vertices are not shown there: there must be textures.
"""

import struct
import zipfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sdtool.errors import MissingDependencyError
from sdtool.geometry.surfaces import TexturedMesh
from sdtool.io.images import png_bytes

INSTALL = "pip install 'sdtool[usdz]'"
ROOT = "/Model"
LAYER = "model.usdc"
ALIGNED = 64  # bytes
LOCAL_HEADER = 30  # bytes before the name of a file in a zip
PADDING = 0x1986  # what USD calls an extra field that only fills


def library() -> Any:
    """The module pxr with its parts, or MissingDependencyError."""
    try:
        import pxr
        from pxr import Gf, Kind, Sdf, Usd, UsdGeom, UsdShade, Vt  # noqa: F401
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"a .usdz file needs the package usd-core, which cannot be loaded ({error}); install it with: "
            f"{INSTALL}"
        ) from None
    return pxr


def usdz_bytes(model: TexturedMesh, title: str, application: str, extras: dict[str, Any]) -> bytes:
    """The file. v_pos in metres, +Y up; application: the program that says it wrote the images."""
    pxr = library()
    with TemporaryDirectory() as name:
        folder = Path(name)
        stage = pxr.Usd.Stage.CreateNew(str(folder / LAYER))
        _head(pxr, stage, title, application, extras)
        shape = _shape(pxr, stage, model)
        material = _material(pxr, stage)
        pxr.UsdShade.MaterialBindingAPI.Apply(shape.GetPrim()).Bind(material)
        stage.GetRootLayer().Save()
        del stage, shape, material
        files = {LAYER: (folder / LAYER).read_bytes()}
    textures = model.textures
    images = {
        "color": textures.base_color,
        "roughness": textures.metallic_roughness[..., 1],
        "metallic": textures.metallic_roughness[..., 2],
        "normal": textures.normal,
    }
    for kind, image in images.items():
        files[f"textures/{kind}.png"] = png_bytes(image, Software=application)
    return package(files)


def package(files: dict[str, bytes]) -> bytes:
    """A zip of the files as USDZ wants it: not compressed, each at a multiple of 64 bytes; without dates.

    The library's own packer notes the time, so that no two files of it are the same.
    """
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)  # of 1980
            start = made.tell() + LOCAL_HEADER + len(name.encode()) + 4
            padding = -start % ALIGNED
            info.extra = struct.pack("<HH", PADDING, padding) + bytes(padding)
            archive.writestr(info, data)
    return made.getvalue()


def _head(pxr: Any, stage: Any, title: str, application: str, extras: dict[str, Any]) -> None:
    """Units, axes, the default prim, and where the object came from."""
    pxr.UsdGeom.SetStageUpAxis(stage, pxr.UsdGeom.Tokens.y)
    pxr.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = pxr.UsdGeom.Xform.Define(stage, ROOT).GetPrim()
    pxr.Usd.ModelAPI(root).SetKind(pxr.Kind.Tokens.component)
    root.SetDisplayName(title)
    stage.SetDefaultPrim(root)
    stage.GetRootLayer().documentation = f"{application}: {title}"
    stage.GetRootLayer().customLayerData = {
        "creator": application,
        "sdtool": {key: str(value) for key, value in extras.items()},
    }


def _shape(pxr: Any, stage: Any, model: TexturedMesh) -> Any:
    """The mesh: a polygon mesh, not a surface to be subdivided, with texture coordinates."""
    vt = pxr.Vt
    shape = pxr.UsdGeom.Mesh.Define(stage, f"{ROOT}/Shape")
    faces = np.ascontiguousarray(model.t_pos_idx, np.int32)
    points = np.ascontiguousarray(model.v_pos, np.float32)
    shape.CreatePointsAttr(vt.Vec3fArray.FromNumpy(points))
    shape.CreateFaceVertexCountsAttr(vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    shape.CreateFaceVertexIndicesAttr(vt.IntArray.FromNumpy(faces.reshape(-1)))
    shape.CreateNormalsAttr(vt.Vec3fArray.FromNumpy(np.ascontiguousarray(model.v_normal)))
    shape.SetNormalsInterpolation(pxr.UsdGeom.Tokens.vertex)
    shape.CreateSubdivisionSchemeAttr(pxr.UsdGeom.Tokens.none)
    box = np.stack([points.min(axis=0), points.max(axis=0)])
    shape.CreateExtentAttr(vt.Vec3fArray.FromNumpy(box))
    kind = pxr.Sdf.ValueTypeNames.TexCoord2fArray
    coordinates = pxr.UsdGeom.PrimvarsAPI(shape).CreatePrimvar(
        "st", kind, pxr.UsdGeom.Tokens.vertex
    )
    upward = np.stack([model.v_uv[:, 0], 1 - model.v_uv[:, 1]], axis=1)  # t grows upward here
    coordinates.Set(vt.Vec2fArray.FromNumpy(np.ascontiguousarray(upward, np.float32)))
    return shape


def _material(pxr: Any, stage: Any) -> Any:
    """A UsdPreviewSurface that reads the four images."""
    types = pxr.Sdf.ValueTypeNames
    material = pxr.UsdShade.Material.Define(stage, f"{ROOT}/Looks/Baked")
    pxr.UsdGeom.Scope.Define(stage, f"{ROOT}/Looks")

    def node(name: str, kind: str) -> Any:
        made = pxr.UsdShade.Shader.Define(stage, f"{ROOT}/Looks/Baked/{name}")
        made.CreateIdAttr(kind)
        return made

    surface = node("Surface", "UsdPreviewSurface")
    surface.CreateInput("useSpecularWorkflow", types.Int).Set(0)
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    reader = node("Coordinates", "UsdPrimvarReader_float2")
    reader.CreateInput("varname", types.String).Set("st")
    place = reader.CreateOutput("result", types.Float2)
    for kind, target, what, output, space in (
        ("color", "diffuseColor", types.Color3f, "rgb", "sRGB"),
        ("roughness", "roughness", types.Float, "r", "raw"),
        ("metallic", "metallic", types.Float, "r", "raw"),
        ("normal", "normal", types.Normal3f, "rgb", "raw"),
    ):
        image = node(kind.title(), "UsdUVTexture")
        image.CreateInput("file", types.Asset).Set(pxr.Sdf.AssetPath(f"textures/{kind}.png"))
        image.CreateInput("sourceColorSpace", types.Token).Set(space)
        image.CreateInput("st", types.Float2).ConnectToSource(place)
        for axis in ("wrapS", "wrapT"):
            image.CreateInput(axis, types.Token).Set("clamp")
        if kind == "normal":  # [0, 1] → [−1, 1]
            image.CreateInput("scale", types.Float4).Set(pxr.Gf.Vec4f(2, 2, 2, 1))
            image.CreateInput("bias", types.Float4).Set(pxr.Gf.Vec4f(-1, -1, -1, 0))
        value = types.Float3 if output == "rgb" else types.Float
        surface.CreateInput(target, what).ConnectToSource(image.CreateOutput(output, value))
    return material
