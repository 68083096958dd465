"""PLY files: polygons and triangle strips, colours of vertices and faces, normals; text and binary.

Line ends may be of any system, and what follows the last element is not looked at.
"""

import re
from pathlib import Path

import numpy as np

from sdtool.meshfiles.mtl import ObjMaterials
from sdtool.meshfiles.ply_values import (
    Element,
    List,
    Property,
    corrupt,
    read_binary_values,
    read_text_values,
)
from sdtool.meshfiles.polygon_mesh import Polygons, near, truncated

TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
COLORS = (
    ("red", "green", "blue"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
    ("r", "g", "b"),
)
CORNERS = ("vertex_indices", "vertex_index")
HEADER = 1 << 16  # bytes in which the header has to end


def read_ply(data: bytes, path: Path, materials: ObjMaterials) -> Polygons:
    """The surface in the bytes of a PLY file. ObjectError ``corrupt-file``.

    materials: reads the image that a comment names, if that is wanted.
    """
    order, elements, start = _header(data, path)
    _check_promises(elements, len(data) - start, order == "=", path)
    values = read_text_values if order == "=" else read_binary_values
    found = values(data[start:], elements, order, path)
    vertex = found.get("vertex", {})
    if not all(isinstance(vertex.get(axis), np.ndarray) for axis in "xyz"):
        raise corrupt(path, "its vertices have no x, y and z")
    v_pos = near(np.column_stack([vertex[axis] for axis in "xyz"]).astype(np.float64))
    corner, count = _faces(found)
    polygons = Polygons(v_pos, corner, count)
    polygons.v_color = _color(vertex)
    if all(isinstance(vertex.get(name), np.ndarray) for name in ("nx", "ny", "nz")):
        polygons.v_normal = np.column_stack([vertex[n] for n in ("nx", "ny", "nz")])
    of_faces = _color(found.get("face", {}))
    if of_faces is not None and polygons.v_color is None and len(of_faces) <= len(count):
        polygons.p_color = np.full((len(count), 3), np.nan, np.float32)
        polygons.p_color[: len(of_faces)] = of_faces
    images = re.findall(rb"[\r\n]comment\s+TextureFile\s+([^\r\n]+)", data[:start])
    if images and materials.wants_textures:
        _cover(polygons, found, materials, [name.strip() for name in images])
    return polygons


def _check_promises(elements: list[Element], size: int, text: bool, path: Path) -> None:
    """Whether `size` bytes can hold what the header promises; nothing was allocated until now."""
    left = size
    for element in elements:
        kinds = [p.length or p.kind for p in element.properties]
        least = 2 * len(kinds) if text else sum(np.dtype(kind).itemsize for kind in kinds)
        if element.count * least - text > left:
            said = f"its header promises {element.count:,} rows of {element.name}"
            raise truncated(path, f"{said}, at least {least} bytes each, and {left:,} bytes follow")
        left -= element.count * least


def _cover(
    polygons: Polygons,
    found: dict[str, dict[str, np.ndarray | List]],
    materials: ObjMaterials,
    names: list[bytes],
) -> None:
    """Give the polygons their images, as MeshLab and scanners write it: by corners or vertices.

    names: of the images, which a column `texnumber` of the faces counts."""
    uv: np.ndarray | None = None
    wedges = found.get("face", {}).get("texcoord")
    if isinstance(wedges, tuple) and (wedges[0] == 2 * polygons.count[: len(wedges[0])]).all():
        uv = wedges[1].reshape(-1, 2)
    for pair in (("s", "t"), ("u", "v"), ("texture_u", "texture_v")):
        columns = [found["vertex"].get(one) for one in pair]
        if uv is None and all(isinstance(column, np.ndarray) for column in columns):
            uv = np.column_stack(columns)[polygons.corner.clip(0, len(polygons.v_pos) - 1)]  # type: ignore[arg-type]
    if uv is None or len(uv) != len(polygons.corner):
        return
    made = [materials.texture(name) for name in names]
    textures = list(dict.fromkeys(one for one in made if one is not None))
    if textures:
        place = np.array([-1 if one is None else textures.index(one) for one in made] + [-1])
        number = found.get("face", {}).get("texnumber")
        worn = np.zeros(len(polygons.count), np.int64)
        if isinstance(number, np.ndarray) and len(number) <= len(worn):
            worn[: len(number)] = number.astype(np.int64)
        worn[(worn < 0) | (worn >= len(names))] = len(names)
        polygons.textures = tuple(textures)
        polygons.c_uv = np.column_stack([uv[:, 0], 1 - uv[:, 1]]).astype(np.float32)
        polygons.p_texture = place[worn].astype(np.int32)
        if (polygons.p_texture >= 0).all():
            polygons.v_color = polygons.p_color = None  # the images have all the colour


def _header(data: bytes, path: Path) -> tuple[str, list[Element], int]:
    """The byte order, the elements and where they begin."""
    end = re.search(rb"(?:^|[\r\n])[ \t]*end_header[ \t]*(\r\n|\n|\r)", data[:HEADER])
    if not re.match(rb"ply\s", data, re.IGNORECASE) or end is None:
        raise corrupt(path, "it has no header of a PLY file")
    # A lone CR ends the lines of old systems; then a first byte 10 is data.
    stop = end.end() - (end[1] == b"\r\n" and b"\r\n" not in data[: end.start()])
    order, elements = "", []
    for line in re.split(rb"[\r\n]+", data[: end.start()])[1:]:
        words = line.decode("utf-8", "replace").split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) > 1:
            order = ORDERS.get(words[1], "")
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal():
            elements.append(Element(words[1], int(words[2]), ()))
        elif words[0] == "property" and elements:
            last = elements.pop()
            added = (*last.properties, _property(words[1:], path))
            elements.append(Element(last.name, last.count, added))
        else:
            raise corrupt(path, f"its header says {' '.join(words)[:60]}")
    if not order:
        raise corrupt(path, "its format is unknown")
    return order, elements, stop


def _property(words: list[str], path: Path) -> Property:
    kinds = [TYPES.get(word, "") for word in words[:-1] if word != "list"]
    if words[:1] == ["list"] and len(words) == 4 and all(kinds):
        return Property(words[3], kinds[1], kinds[0])
    if len(words) == 2 and all(kinds):
        return Property(words[1], kinds[0])
    raise corrupt(path, f"it has the property {' '.join(words)[:60]}")


# What they mean


def _faces(found: dict[str, dict[str, np.ndarray | List]]) -> List:
    """(C,) corners and (N,) their counts, of faces and then of triangle strips."""
    corners, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for name, values in found.items():
        lists = {key: value for key, value in values.items() if isinstance(value, tuple)}
        known = next((lists[key] for key in CORNERS if key in lists), None)
        if known is None:
            continue
        lengths, numbers = known[0], np.asarray(known[1]).astype(np.int64)
        if name == "face":
            corners.append(numbers)
            counts.append(lengths)
        elif name == "tristrips":
            faces = _strips(lengths, numbers)
            corners.append(faces.reshape(-1))
            counts.append(np.full(len(faces), 3))
    return np.concatenate(corners), np.concatenate(counts)


def _strips(lengths: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(F, 3) triangles of strips; −1 begins a new one, and every second triangle is turned over."""
    begins = np.zeros(len(numbers) + 1, bool)
    begins[np.cumsum(lengths)] = True
    begins[0] = True
    begins[np.flatnonzero(numbers < 0) + 1] = True
    begin = np.maximum.accumulate(np.where(begins[:-1], np.arange(len(numbers)), 0))
    a, b, c = numbers[:-2], numbers[1:-1], numbers[2:]
    whole = (begin[2:] == begin[:-2]) & (np.minimum(np.minimum(a, b), c) >= 0)
    whole &= (a != b) & (b != c) & (c != a)
    faces = np.stack([a, b, c], axis=1)
    odd = (np.arange(len(a)) - begin[: len(a)]) % 2 == 1
    faces[odd] = faces[odd][:, [1, 0, 2]]
    return faces[whole]


def _color(values: dict[str, np.ndarray | List]) -> np.ndarray | None:
    """(N, 3) float32 sRGB-encoded in [0, 1] of an element's colours, or None."""
    for names in COLORS:
        parts = [values.get(name) for name in names]
        if all(isinstance(part, np.ndarray) for part in parts):
            color = np.column_stack(parts).astype(np.float32)  # type: ignore[arg-type]
            kind = parts[0].dtype  # type: ignore[union-attr]
            largest = np.iinfo(kind).max if kind.kind in "iu" else 1.0
            if kind.kind == "f" and color.max(initial=0) > 1:
                largest = 255.0
            return np.nan_to_num(color / np.float32(largest)).clip(0, 1)
    return None
