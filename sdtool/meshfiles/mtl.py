"""The materials that an OBJ file names: their colours, and textures where they are wanted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Texture
from sdtool.io.files import BOM
from sdtool.meshfiles.beside import find_beside, tails
from sdtool.meshfiles.images import MISSING, ImageStore, why_not
from sdtool.meshfiles.limits import Limits

# Options of a texture and how many words they may have behind them; of -o, -s and -t only numbers.
OPTIONS = {
    b"-blendu": 1, b"-blendv": 1, b"-boost": 1, b"-bm": 1, b"-cc": 1, b"-clamp": 1, b"-colorspace": 1,
    b"-imfchan": 1, b"-mm": 2, b"-o": 3, b"-s": 3, b"-t": 3, b"-texres": 1, b"-type": 1,
}  # fmt: skip
FOLDER = b" folder"  # of the library that a material stands in; no statement has such a name
NUMBERS = (b"-o", b"-s", b"-t")
PLACING = {b"-s": (1.0, 1.0), b"-o": (0.0, 0.0)}  # and what stands for numbers that are left out
# What programs write where a face has no material of its own.
NO_MATERIAL = (b"", b"none", b"null", b"(null)", b"default", b"off")


@dataclass(frozen=True, eq=False)
class Look:
    """color: (3,) float32 sRGB-encoded, or None if only an image knows it. texture: its image, at
    coordinates (s, t) · scale + offset."""

    color: np.ndarray | None = None
    texture: Texture | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)


class ObjMaterials:
    """The materials of one OBJ file, from libraries in its own folder tree; the images of one PLY.

    lost: the libraries, materials and images that are missing or cannot be read: name → why.
    """

    def __init__(self, path: Path, limits: Limits, textures: bool):
        self.path, self.limits, self.wants_textures = path, limits, textures
        self.lost: dict[str, str] = {}
        self._no_library = False
        self._store = ImageStore(limits)
        self._records: dict[bytes, dict[bytes, bytes]] = {}  # name → statement → the rest
        self._textures: dict[tuple[int, str], Texture] = {}

    def said(self) -> tuple[str, ...]:
        """What is lost, as `Mesh.lost` has it."""
        return tuple(f"{name[:99]} ({why})" for name, why in sorted(self.lost.items()))

    def read_library(self, names: bytes) -> None:
        """Read what a line with `mtllib` names: one file, whose name may hold spaces, or several."""
        names = names.strip(b'"')
        whole = self._bytes_of(names)
        if whole is not None:
            self._read(whole, names)
            return
        for name in names.split():
            data = self._bytes_of(name)
            if data is None:
                self.lost[_text(name)] = MISSING
                self._no_library = True  # which says it all
            else:
                self._read(data, name)

    def _read(self, data: bytes, name: bytes) -> None:
        folder = name.replace(b"\\", b"/").rpartition(b"/")[0]
        record: dict[bytes, bytes] = {}
        for line in data.removeprefix(BOM).splitlines():
            kind, _, rest = line.strip().replace(b"\t", b" ").partition(b" ")
            if kind.lower() == b"newmtl":
                record = self._records.setdefault(rest.strip(), {FOLDER: folder})
            else:
                record.setdefault(kind.lower(), rest.strip())

    def look_of(self, name: bytes, needed: bool = True) -> Look:
        """What a material gives to its faces. With an image, Kd is not looked at: what programs write
        there is anything from black to white. Without Kd, Ka is the colour.

        needed: whether a material that no library defines is missed."""
        record = self._records.get(name)
        if record is None:  # in another case, as some programs write it
            alike = (k for k in self._records if k.lower() == name.lower())
            record = self._records.get(next(alike, b""))
        if record is None:
            if needed and not self._no_library and name.lower() not in NO_MATERIAL:
                self.lost[f"material {_text(name)}"] = "in no .mtl"
            return Look()
        if record.get(b"map_kd"):
            if not self.wants_textures:
                return Look()
            texture = self.texture(record[b"map_kd"], record[FOLDER])
            if texture is not None:
                place = image_statement(record[b"map_kd"])
                return Look(texture=texture, scale=place.scale, offset=place.offset)
        try:
            said = record[b"kd"] if b"kd" in record else record[b"ka"]
            color = np.array([float(word) for word in said.split()[:3]], np.float32)
        except (KeyError, ValueError):
            return Look()
        if color.shape == (1,):
            color = color.repeat(3)  # one number stands for all
        good = color.shape == (3,) and np.isfinite(color).all()
        return Look(color.clip(0, 1)) if good else Look()

    def texture(self, statement: bytes, folder: bytes = b"") -> Texture | None:
        """The image of a statement, seen from the library's folder or from that of the model."""
        said = image_statement(statement)
        name = said.name
        data = self._bytes_of(folder + b"/" + name) if folder else None
        data = self._bytes_of(name) if data is None else data
        image = None if data is None else self._store.image(data, 0.0)
        if image is None:
            self.lost[_text(name)] = MISSING if data is None else why_not(data)
            return None
        wrap = "clamp" if said.clamp else "repeat"
        return self._textures.setdefault((id(image), wrap), Texture(image, (wrap, wrap)))

    def _bytes_of(self, name: bytes) -> bytes | None:
        """The bytes of a file beside the OBJ; of a path on another computer, its tails are tried."""
        for spelled in dict.fromkeys((_text(name), name.decode("latin-1"))):
            for text in (spelled, *tails(spelled)):
                try:
                    found = Path(find_beside(self.path, text, "a material"))
                    if found.stat().st_size <= self.limits.file_bytes:
                        return found.read_bytes()
                except (ObjectError, OSError, ValueError):
                    continue
        return None


@dataclass(frozen=True)
class ImageStatement:
    """What a texture statement says. name: of the file, which may hold spaces. clamp: whether `-clamp on`
    stands there. scale, offset: of coordinates as OBJ has them, (s, t) → (s, t) · scale + offset."""

    name: bytes
    clamp: bool = False
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)


def image_statement(statement: bytes) -> ImageStatement:
    """Read the rest of a line such as `map_Kd -s 2 2 1 -clamp on red brick.png`."""
    words, clamp = statement, False
    numbers: dict[bytes, list[float]] = {b"-s": [], b"-o": [], b"-t": []}
    while (option := words.split(maxsplit=1)[:1]) and option[0].lower() in OPTIONS:
        name, words = option[0].lower(), words[len(option[0]) :].lstrip()
        for _ in range(OPTIONS[name]):
            value, rest = (*words.split(maxsplit=1), b"", b"")[:2]
            if name in NUMBERS:
                if not _is_number(value):
                    break
                numbers[name].append(float(value))
            clamp |= name == b"-clamp" and value.lower() == b"on"
            words = rest
    (s, t), (u, v) = ((*numbers[o], *fill[len(numbers[o]) :])[:2] for o, fill in PLACING.items())
    return ImageStatement(words.strip().strip(b'"'), clamp, (s, t), (u, v))


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
