"""The files of an exported object: GLB, OBJ with its material and images, PLY, STL, 3MF, USDZ.

The same object gives the same bytes. Every file tells by its first bytes that sdtool wrote it.
"""

import json
import re
import zipfile
import zlib
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sdtool import __version__
from sdtool.exporting import three_mf, usdz
from sdtool.exporting.repairing import repairer
from sdtool.exporting.stl import stl_bytes
from sdtool.exporting.three_mf import MODEL, three_mf_bytes
from sdtool.exporting.usdz import usdz_bytes
from sdtool.geometry import manifolds
from sdtool.geometry.meshes import Mesh
from sdtool.geometry.surfaces import TexturedMesh
from sdtool.io.images import png_bytes
from sdtool.meshfiles import write_glb, write_textured_glb

GENERATOR = f"sdtool {__version__}"
NEEDED = {".3mf": three_mf.library, ".usdz": usdz.library}
HEAD = 4096  # bytes of a file in which it says who wrote it
KINDS = ("color", "roughness", "metallic", "normal")  # images beside an OBJ
MARKS = {
    ".glb": rb'^glTF.{16}\{"asset":\{"version":"2.0","generator":"sdtool ',
    ".obj": rb"^# sdtool ",
    ".mtl": rb"^# sdtool ",
    ".ply": rb"^ply\n[^\n]*\ncomment sdtool ",
    ".png": rb"^\x89PNG.{29}....tEXtSoftware\x00sdtool ",
    ".stl": rb"^sdtool ",
}
APPLICATION = rb'<metadata name="Application"[^>]*>sdtool '


def is_ours(path: Path, data: bytes) -> bool:
    """True if a file of this name that begins so was exported by sdtool, of any version."""
    suffix = path.suffix.lower()
    if suffix in (".3mf", ".usdz"):
        return _is_our_package(data)
    return re.match(MARKS[suffix], data, re.DOTALL) is not None


def _is_our_package(data: bytes) -> bool:
    """Whether a zip is a 3MF whose application is sdtool, or a USDZ with images of sdtool."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as package:
            for name in package.namelist():
                with package.open(name) as file:
                    if name == MODEL:
                        return re.search(APPLICATION, file.read(HEAD)) is not None
                    if name.endswith(".png"):
                        return re.match(MARKS[".png"], file.read(HEAD), re.DOTALL) is not None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError):
        pass
    return False


def need_libraries(suffix: str, *, repair: bool, cut: bool) -> None:
    """MissingDependencyError if what is asked for needs a package that is not there."""
    if suffix in NEEDED:
        NEEDED[suffix]()
    if repair:
        repairer()
    if cut:
        manifolds.library("export --flat-base")


def companion_stem(path: Path) -> str:
    """How the names of the files beside an OBJ begin: without spaces, at which many readers cut them."""
    return re.sub(r"\s+", "_", path.stem)


def targets(path: Path, textured: bool) -> list[Path]:
    """The files that `encode` will make for `path`."""
    if path.suffix.lower() != ".obj" or not textured:
        return [path]
    stem = companion_stem(path)
    names = [f"{stem}-{kind}.png" for kind in KINDS]
    return [*(path.with_name(name) for name in (*names, f"{stem}.mtl")), path]


def encode(
    model: Mesh | TexturedMesh,
    path: Path,
    title: str,
    extras: dict[str, Any],
    corner_color: np.ndarray | None = None,
) -> dict[Path, bytes]:
    """The files that `path` (of one of the endings of `sdtool export`) needs, itself last.

    PLY, STL and 3MF take a Mesh only, USDZ a TexturedMesh. v_pos is written as it is. extras: where the
    object came from, for the formats that can say it. corner_color: (F, 3, 3), for a 3MF.
    """
    suffix, said = path.suffix.lower(), " ".join(f"{GENERATOR}: {title}".split())
    if suffix == ".usdz":
        assert isinstance(model, TexturedMesh)  # AR Quick Look shows no other colours
        return {path: usdz_bytes(model, title, GENERATOR, extras)}
    if suffix == ".stl":
        assert isinstance(model, Mesh)
        return {path: stl_bytes(model, said)}
    if suffix == ".3mf":
        assert isinstance(model, Mesh) and corner_color is not None
        description = json.dumps(extras, ensure_ascii=False)
        return {path: three_mf_bytes(model, corner_color, title, GENERATOR, description)}
    if suffix == ".glb":
        return {path: _glb(model, title, extras)}
    if suffix == ".obj" and isinstance(model, TexturedMesh):
        return _textured_obj(model, path, said)
    assert isinstance(model, Mesh) and model.v_color is not None  # what covers a lift has a colour
    import trimesh
    from trimesh.exchange import obj, ply

    colors = np.rint(np.clip(model.v_color, 0, 1) * 255).astype(np.uint8)
    made = trimesh.Trimesh(model.v_pos, model.t_pos_idx, vertex_colors=colors, process=False)
    if suffix == ".obj":
        return {path: obj.export_obj(made, header=said).encode()}
    intro, rest = ply.export_ply(made, vertex_normal=False).split(b"\n", 1)
    kind, rest = rest.split(b"\n", 1)
    return {path: b"\n".join([intro, kind, f"comment {said}".encode(), rest])}


def _glb(model: Mesh | TexturedMesh, title: str, extras: dict[str, Any]) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.glb"
        if isinstance(model, TexturedMesh):
            write_textured_glb(path, model, name=title, extras=extras, generator=GENERATOR)
        else:
            write_glb(path, model, name=title, extras=extras, generator=GENERATOR)
        return path.read_bytes()


def _textured_obj(model: TexturedMesh, path: Path, said: str) -> dict[Path, bytes]:
    """Images, material with the PBR words that Blender and others read, and geometry.

    Positions and normals are written once for each point of the surface, so that it stays closed.
    """
    textures = model.textures
    images = {
        "color": textures.base_color,
        "roughness": textures.metallic_roughness[..., 1],
        "metallic": textures.metallic_roughness[..., 2],
        "normal": textures.normal,
    }
    stem = companion_stem(path)
    names = {kind: f"{stem}-{kind}.png" for kind in KINDS}
    files = {
        path.with_name(names[kind]): png_bytes(image, Software=said.partition(":")[0])
        for kind, image in images.items()
    }
    words = {"map_Kd": "color", "map_Pr": "roughness", "map_Pm": "metallic", "norm": "normal"}
    lines = [f"# {said}", "newmtl baked", "Ka 0 0 0", "Kd 1 1 1", "Ks 0 0 0", "Pr 1", "Pm 1"]
    lines += [f"{word} {names[kind]}" for word, kind in words.items()]
    material = path.with_name(f"{stem}.mtl")
    files[material] = ("\n".join(lines) + "\n").encode()

    used, first = np.unique(model.origin, return_index=True)
    point = np.searchsorted(used, model.origin)[model.t_pos_idx]
    corners = np.stack([point, model.t_pos_idx, point], axis=-1).reshape(-1, 9) + 1
    text = StringIO()
    text.write(f"# {said}\nmtllib {material.name}\n")
    np.savetxt(text, model.v_pos[first], "v %.7g %.7g %.7g")
    np.savetxt(text, np.stack([model.v_uv[:, 0], 1 - model.v_uv[:, 1]], axis=1), "vt %.6f %.6f")
    np.savetxt(text, model.v_normal[first], "vn %.5f %.5f %.5f")
    text.write("usemtl baked\n")
    np.savetxt(text, corners, "f %d/%d/%d %d/%d/%d %d/%d/%d")
    return files | {path: text.getvalue().encode()}
