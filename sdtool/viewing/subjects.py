"""What a page shows: models from mesh files, and from lifts together with their preview history."""

import json
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sdtool.errors import InputError, ObjectError
from sdtool.exporting.model_files import is_ours
from sdtool.geometry.meshes import FAR, Mesh
from sdtool.geometry.normals import explicit_normals
from sdtool.io.folders import GLTF_SUFFIXES, model_stem
from sdtool.io.images import PNG
from sdtool.io.stage_record import DONE, PARTIAL
from sdtool.io.words import counted
from sdtool.meshfiles import load_mesh, write_glb
from sdtool.meshfiles.accessors import GlbFile
from sdtool.meshfiles.extensions import DRACO, INSTANCING, MESHOPT, VISIBILITY
from sdtool.meshfiles.gltf_tree import MISTYPED
from sdtool.meshfiles.limits import Limits
from sdtool.meshfiles.looks import glb_with_looks
from sdtool.meshfiles.packing import packed_glb

# What the page's loader draws wrongly or not at all; such a file is written anew, as plain triangles.
BEYOND_THE_PAGE = {DRACO, INSTANCING, VISIBILITY, *MESHOPT}
BEYOND_THE_PAGE |= {"KHR_texture_basisu", "EXT_texture_astc", "MSFT_texture_dds"}
LONGEST_TITLE = 200


@dataclass(frozen=True)
class Picture:
    """One step of a lift's history: the bytes of a PNG, and what it shows."""

    caption: str
    png: bytes


@dataclass(frozen=True)
class Subject:
    """One model of a page.

    name: of its file, never the whole path. glb: a GLB that needs no other file. bounds: lowest and
    highest corner of its tight box. facts: one line below the title.
    """

    title: str
    name: str
    facts: str
    glb: bytes
    bounds: tuple[list[float], list[float]]
    pictures: list[Picture] = field(default_factory=list)


def lifts_or_itself(path: Path) -> list[Path]:
    """The finished lifts in a folder of such, or the path alone."""
    from sdtool.lifting.lift_files import lifts_in

    if not path.is_dir() or (path / DONE).is_file() or (path / PARTIAL).is_file():
        return [path]
    return lifts_in(path) or [path]


def read_subject(path: Path) -> Subject:
    """The model in a mesh file, or in the directory of a finished lift.

    ObjectError or InputError if it cannot be used.
    """
    if path.is_dir():
        return _run(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; name a model, or the directory of a lift")
    return _file(path, path.name if path.parent == Path() else "/".join(path.parts[-2:]))


def _file(path: Path, name: str) -> Subject:
    stem = model_stem(path)
    if path.suffix.lower() not in GLTF_SUFFIXES:
        mesh = load_mesh(path, textures=True)
        _say_lost(path, mesh)
        data = glb_with_looks(mesh, stem) if mesh.textures else _plain_glb(mesh, stem)
        return _subject(mesh, data, {}, stem, name)
    mesh = load_mesh(path)
    glb = GlbFile(path, Limits())
    try:
        reason = _needs_rewriting(glb, mesh)
        data = b"" if reason else packed_glb(glb) if _is_apart(glb) else path.read_bytes()
    except ObjectError as error:  # of an image: the geometry was read
        reason = str(error)
    if reason:
        mesh = load_mesh(path, textures=True)
        how = "with its base colours alone" if mesh.textures else "without textures"
        print(f"{path} is shown {how}: it has {reason}", file=sys.stderr)
        _say_lost(path, mesh)
        data = glb_with_looks(mesh, stem) if mesh.textures else _plain_glb(mesh, stem)
    return _subject(mesh, data, glb.extras, stem, name)


def _say_lost(path: Path, mesh: Mesh) -> None:
    if mesh.lost:
        lost = ", ".join(mesh.lost[:3]) + ", …" * (len(mesh.lost) > 3)
        print(f"{path} has plain colours where it lacks {lost}", file=sys.stderr)


def _is_apart(glb: GlbFile) -> bool:
    """Whether a model is more than one file, or a text."""
    named = [
        one.get("uri")
        for kind in ("images", "buffers")
        for one in glb.items(glb.tree, kind)
        if isinstance(one, dict)
    ]
    return glb.is_text or any(uri and not str(uri).startswith("data:") for uri in named)


def _run(run: Path) -> Subject:
    """A finished lift: RUN/model.glb if that is newer than the lift, else its vertex colours."""
    from sdtool.geometry.ccm import to_canonical
    from sdtool.geometry.cleaning import clean
    from sdtool.lifting.lift_files import read_lift

    lifted = read_lift(run)
    name = run.resolve().name
    exported = run / "model.glb"
    if _is_current(exported, run):
        seen = _file(exported, name)
        title, facts, data, bounds = seen.title, seen.facts, seen.glb, seen.bounds
    else:
        print(
            f"{exported} is absent or older than its lift: showing vertex colours", file=sys.stderr
        )
        mesh = clean(lifted.mesh)
        if len(mesh.t_pos_idx) == 0:
            raise ObjectError("no-triangles", f"{run} holds no triangle that has an area")
        mesh = to_canonical(mesh)
        seen = _subject(mesh, _plain_glb(mesh, name), lifted.params, name, name)
        title, facts, data, bounds = seen.title, seen.facts, seen.glb, seen.bounds
    return Subject(title, name, facts, data, bounds, _history(run, lifted.params))


def _is_current(model: Path, run: Path) -> bool:
    """True if sdtool wrote `model`, and not before the lift was finished."""
    if not model.is_file() or model.stat().st_mtime_ns < (run / DONE).stat().st_mtime_ns:
        return False
    with open(model, "rb") as file:
        return is_ours(model, file.read(256))


def _history(run: Path, params: dict[str, Any]) -> list[Picture]:
    """The previews in the order of the lift's phases, then the eight views of the result."""
    settings = params.get("settings")
    phases = settings.get("phases") if isinstance(settings, dict) else None
    names = [one.get("name") for one in phases or [] if isinstance(one, dict)]

    def place(path: Path) -> tuple[int, str, int, str]:
        phase, _, step = path.stem.rpartition("-")
        order = names.index(phase) if phase in names else len(names)
        return order, phase, int(step) if step.isdecimal() else 0, path.name

    pictures, whole = [], (run / "previews").glob("[!.]*.png")  # a name with a dot is half written
    for path in [*sorted(whole, key=place), run / "views.png"]:
        data = path.read_bytes() if path.is_file() else b""
        if data.startswith(PNG):
            _, phase, step, _ = place(path)
            caption = f"{phase}, step {step}" if phase else path.stem.replace("views", "the result")
            pictures.append(Picture(caption, data))
        elif data or path.parent != run:
            print(f"{path} is no PNG and left out", file=sys.stderr)
    return pictures


def _is_far(glb: GlbFile, mesh: Mesh) -> bool:
    """Whether numbers of the file are so large that `load_mesh` has moved the model to the origin."""
    low, high = mesh.bounds().astype(float)
    bound = FAR * (high - low).max()
    nodes, accessors = (glb.items(glb.tree, kind) for kind in ("nodes", "accessors"))
    with suppress(*MISTYPED):  # of what the scene does not use
        places = [node.get("translation") for node in nodes]
        places += [(node.get("matrix") or [0] * 16)[12:15] for node in nodes]
        places += [one.get("max") for one in accessors if one.get("type") == "VEC3"]
        return any(abs(number) > bound for place in places for number in place or ())
    return False


def _needs_rewriting(glb: GlbFile, mesh: Mesh) -> str:
    """Why the page cannot take a valid model; empty if it can, or if `packed_glb` can cure it."""
    tree = glb.tree
    lists = (tree.get("extensionsUsed"), tree.get("extensionsRequired"))
    used = {str(name) for names in lists if isinstance(names, list) for name in names}
    if beyond := sorted(used & BEYOND_THE_PAGE):
        return ", ".join(beyond)
    return "places far from its origin" if _is_far(glb, mesh) else ""


def _plain_glb(mesh: Mesh, title: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.glb"
        return write_glb(path, explicit_normals(mesh), name=title).read_bytes()


def _subject(mesh: Mesh, data: bytes, extras: dict[str, Any], stem: str, name: str) -> Subject:
    """`extras`: the parameters of the lift, as an export or the lift's record tells them."""
    title = next((extras[key] for key in ("prompt", "title") if extras.get(key)), stem)
    facts = [counted(len(mesh.t_pos_idx), "triangle")]
    for key in ("rep", "preset", "seed", "lambda_align"):
        if isinstance(extras.get(key), str | int | float):
            facts.append(f"{key} {json.dumps(extras[key], ensure_ascii=False)}".replace('"', ""))
    low, high = mesh.bounds().astype(float).tolist()
    title = " ".join(str(title).split())[:LONGEST_TITLE]
    return Subject(title, name, " · ".join(facts)[:LONGEST_TITLE], data, (low, high))
