"""Words in a glTF file itself: its title, the names of its parts and materials, its plain colours.

Only the JSON at the front of the file is read, never geometry or images.
"""

import colorsys
import os
import re
import struct
from dataclasses import dataclass
from typing import Any

from sdtool.captioning.english import COLOUR_WORDS, MATERIAL_WORDS
from sdtool.captioning.names import clean_name
from sdtool.errors import ObjectError
from sdtool.io.files import child
from sdtool.io.folders import GLTF_SUFFIXES
from sdtool.meshfiles.gltf_tree import EMBEDDED, is_text, missing_file, parse_json
from sdtool.meshfiles.limits import Limits
from sdtool.meshfiles.other_kinds import better_reason, check_regular, unreadable

LIMITS = Limits()

# What programs call things that nobody named.
UNNAMED = frozenset(
    """aiscene annotation armature arc array asm auxscene ball base bezier beziercurve bip bip001 body
    bone boolean box bottom bool brep camera capsule center cestmodel circle collada collection
    colormap component compound cone controller ctrl cube curve cylinder default defaultmaterial
    dummy empty entity extrude extrusion face faces fbx fill front geo geode geom geometry gles
    gltf grid group grp helper icosphere id identity imported initialshadinggroup input instance
    joint joints lambert layer layers left light lights line locator loft lod main mat material
    materialmerger matrix mball mesh merged metarig model new node nodes none null nurbs nurbspath
    obj object objects other output part parts path pasted patch phong pivot plane platonic point
    polygon polysurface poly pcube pcylinder pplane psphere rectangle revolve right rig root rootnode
    round scene scenerootnode sculpt shading shape shapes skeleton skin skinned sketchfab sketchup skp solid
    source sphere spline standardsurface stl subtool sun surface surfaces suzanne sweep text texture
    the to torus top transform tri unnamed untitled value view visual visualscene world wrapper
    würfel zylinder kugel ebene cubo esfera cilindro plano cube001 defaultobject cleaner sub
    node_ meshes geometries scenes hierarchy anim animation take primitive primitives""".split()
)
SAME_MATTER = {"wood": "wooden", "metallic": "metal", "rusted": "metal", "gold": "golden"}
"""What a material's name says as an adjective, where that is another word."""


@dataclass(frozen=True)
class FileWords:
    """What a file says of itself, cleaned; each may be empty.

    title: the artist's title. parts: names of scenes, nodes and meshes that read as words, outermost
    first, lower case. traits: a colour and a material, if all its materials agree on them.
    """

    title: str = ""
    parts: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()


def read_file_words(path: str | os.PathLike | None, limits: Limits = LIMITS) -> FileWords:
    """The words in one GLB or .gltf file; none in a file of another kind.

    ObjectError if it cannot be read: ``missing-file``, ``unreadable-file``, ``corrupt-file``,
    ``truncated-file``, ``too-large``, and those of `better_reason`.
    """
    if path is None:
        raise ObjectError("missing-file", "the listing has no file for it")
    if not str(path).lower().endswith(GLTF_SUFFIXES):
        return FileWords()
    check_regular(path)
    try:
        tree = _tree(path, limits)
    except ObjectError as error:
        raise better_reason(error, path) from None
    asset = child(tree, "asset")
    titles = [child(owner, "extras").get("title") for owner in (asset, *_all(tree, "scenes"))]
    title = next((name for t in titles if isinstance(t, str) and (name := clean_name(t))), "")
    return FileWords(title, _parts(tree), _traits(_all(tree, "materials")))


def _tree(path: str | os.PathLike, limits: Limits) -> dict[str, Any]:
    """The JSON object of a GLB file (version 2) or of a .gltf."""
    try:
        with open(path, "rb") as file:
            head = file.read(20)
            magic, version, _, length, kind = struct.unpack("<4sIII4s", head.ljust(20, b"\0"))
            if magic != b"glTF" and is_text(path, head):
                text = head + file.read(limits.text_bytes)
                if len(text) > limits.text_bytes:
                    message = f"{path} has more than {limits.text_bytes} bytes, which is the limit"
                    raise ObjectError("too-large", message)
                text = EMBEDDED.sub(b'""', text)
                length = len(text)
            elif magic != b"glTF" or kind != b"JSON" or version != 2:
                raise ObjectError("corrupt-file", f"{path} does not begin as a GLB 2.0 file does")
            else:
                text = file.read(length) if length <= limits.json_bytes else b""
                if len(text) < length <= limits.json_bytes:
                    raise ObjectError("truncated-file", f"{path} is not whole; fetch it again")
            if length > limits.json_bytes:
                message = f"{path} has {length} bytes of JSON; {limits.json_bytes} are allowed"
                raise ObjectError("too-large", message)
            tree = parse_json(text)
    except FileNotFoundError:
        raise missing_file(path) from None
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, RecursionError) as error:
        raise ObjectError("corrupt-file", f"{path} is damaged: its JSON ({error})") from None
    if not isinstance(tree, dict):
        raise ObjectError("corrupt-file", f"{path} is damaged: its JSON is not an object")
    return tree


def _parts(tree: dict[str, Any], most: int = 200) -> tuple[str, ...]:
    """Names of scenes, nodes and meshes in the file's order, cleaned, each once."""
    found: dict[str, None] = {}
    for kind in ("scenes", "nodes", "meshes"):
        for entry in _all(tree, kind)[:most]:
            name = entry.get("name")
            words = _part(name) if isinstance(name, str) else ""
            if words:
                found[words] = None
    return tuple(found)


def _part(name: str) -> str:
    """A node's name in lower-case words; "" if a program gave it."""
    text = re.sub(r"[._\-\s]*\d+", " ", name[:120])  # Laser_bike_72, Chair.001
    words = clean_name(text).lower().split()
    is_hex = any(re.fullmatch(r"[0-9a-f]{6,}", word) for word in name.lower().split("."))
    named = [word for word in words if word not in UNNAMED and len(word) > 2]
    return "" if is_hex or not named or len(words) > 4 else " ".join(words)


def _traits(materials: list[dict[str, Any]]) -> tuple[str, ...]:
    """The one colour and the one matter that the materials speak of; none if they disagree."""
    colours: set[str] = set()
    matters: set[str] = set()
    for material in materials[:64]:
        name = material.get("name")
        words = re.findall(r"[a-z]+", name.lower()) if isinstance(name, str) else []
        words = [SAME_MATTER.get(word, word) for word in words]
        matters |= MATERIAL_WORDS & set(words) or {""}
        said = COLOUR_WORDS & set(words)
        colours |= said or {_plain_colour(material)}
    found = [next(iter(traits)) for traits in (colours, matters) if len(traits) == 1]
    return tuple(trait for trait in found if trait)


def _plain_colour(material: dict[str, Any]) -> str:
    """The word for a saturated base colour factor; "" for grey, for a texture, or in doubt."""
    surface = child(material, "pbrMetallicRoughness")
    factor = surface.get("baseColorFactor")
    if "baseColorTexture" in surface or not isinstance(factor, list) or len(factor) < 3:
        return ""
    if not all(isinstance(value, int | float) and 0 <= value <= 1 for value in factor[:3]):
        return ""
    red, green, blue = (max(float(value), 0) ** (1 / 2.2) for value in factor[:3])
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if saturation < 0.45 or value < 0.25:
        return ""
    degrees = hue * 360
    if 15 <= degrees < 45 and value < 0.6:
        return "brown"
    bounds = ((12, "red"), (42, "orange"), (70, "yellow"), (165, "green"), (255, "blue"),
              (290, "purple"), (335, "pink"), (361, "red"))  # fmt: skip
    return next(word for bound, word in bounds if degrees < bound)


def _all(tree: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects in the list `tree[key]`, whatever else may stand in it."""
    value = tree.get(key)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
