"""Base colour textures of a glTF file.

Whatever is wrong with an image costs the image only: its faces keep their plain colour, and it is
counted. They may lie beside the file; nothing is fetched.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Texture
from sdtool.meshfiles.accessors import GlbFile
from sdtool.meshfiles.beside import tails
from sdtool.meshfiles.gltf_tree import MISTYPED
from sdtool.meshfiles.images import MISSING, NOT_READABLE, ImageStore, why_not
from sdtool.meshfiles.materials import GltfMaterial

NEAREST = 9728
WRAPS = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
TRANSFORM = "KHR_texture_transform"
BASIS = "KHR_texture_basisu"
LONGEST = 1000  # letters of a path
ELSEWHERE = ("EXT_texture_webp", "EXT_texture_avif", "MSFT_texture_dds")
"""Extensions whose images Pillow may read. If it cannot, the texture's own image is the fallback."""


class TextureReader:
    """The textures of one file, each decoded once; images of the same bytes are shared.

    lost: what materials asked for and could not have: number of a texture → its image, and why.
    """

    def __init__(self, file: GlbFile):
        self.file = file
        self.lost: dict[str, str] = {}
        self._store = ImageStore(file.limits)
        self._sources: dict[tuple[int, float], np.ndarray | None] = {}
        self._why: dict[int, str] = {}  # of images that could not be read
        self._textures: dict[tuple[int, str, str, bool], Texture] = {}

    def of(self, material: GltfMaterial) -> Texture | None:
        """The texture of a material; None if it has none, or if its image cannot be used."""
        if material.texture is None:
            return None
        file, index = self.file, material.texture.get("index")
        record: dict[str, Any] = {}
        try:
            record = file.entry("textures", index)
            image = self._image(record, material.cutoff)
            if image is not None:
                sampler = {}
                if record.get("sampler") is not None:
                    sampler = file.entry("samplers", record["sampler"])
                s, t = (WRAPS.get(sampler.get(k, 10497), "repeat") for k in ("wrapS", "wrapT"))
                nearest = sampler.get("magFilter") == NEAREST
                made = Texture(image, (s, t), nearest)
                return self._textures.setdefault((id(image), s, t, nearest), made)
        except (ObjectError, *MISTYPED):
            pass
        self.lost[str(index)[:20]] = self._said(record, str(index)[:20])
        return None

    def lack(self, material: GltfMaterial, why: str) -> None:
        """Note that a primitive cannot wear the texture of its material."""
        index = str((material.texture or {}).get("index"))[:20]
        self.lost[index] = f"texture {index} ({why})"

    def _said(self, record: dict[str, Any], index: str) -> str:
        """Which image a texture lacks, and why."""
        for source in self._sources_of(record):
            if type(source) is int and source in self._why:
                return self._why[source]
        with suppress(ObjectError, *MISTYPED):
            if basis := self.file.extension(record, BASIS):
                return self._named(self.file.integer(basis, "source"), "KTX2")
        return f"texture {index} (without an image)"

    def _sources_of(self, record: dict[str, Any]) -> list[Any]:
        """The numbers of images that a texture may have, the preferred ones first."""
        try:
            sources = [self.file.extension(record, name).get("source") for name in ELSEWHERE]
        except (ObjectError, *MISTYPED):
            return []
        return [one for one in (*sources, record.get("source")) if one is not None]

    def _image(self, record: dict[str, Any], cutoff: float) -> np.ndarray | None:
        """(H, W, 4) uint8 of a texture: of its extensions' images or its own, the first that is read."""
        for source in self._sources_of(record):
            key = (self.file.integer({"source": source}, "source"), cutoff)
            if key not in self._sources:
                self._sources[key] = None  # should it not be readable
                try:
                    data = self._bytes_of(key[0])
                except (ObjectError, *MISTYPED) as error:
                    missing = getattr(error, "reason", "") == "missing-buffer"
                    self._why[key[0]] = self._named(key[0], MISSING if missing else NOT_READABLE)
                    continue
                self._sources[key] = self._store.image(data, cutoff)
                if self._sources[key] is None:
                    self._why[key[0]] = self._named(key[0], why_not(data))
            if self._sources[key] is not None:
                return self._sources[key]
        return None

    def _named(self, source: int, why: str) -> str:
        """An image by its name, or by its number, and why it could not be read."""
        image: dict[str, Any] = {}
        with suppress(ObjectError):
            image = self.file.entry("images", source)
        name = image.get("uri") or image.get("name")
        if not isinstance(name, str) or name.startswith(("data:", "embedded:")):
            name = f"image {source}"
        return f"{name[:99]} ({why})"

    def _bytes_of(self, source: int) -> bytes:
        """The encoded image number `source`."""
        image = self.file.entry("images", source)
        uri = image.get("uri")
        if uri is not None:
            name = f"image {source}"
            try:
                return self.file.at_uri(uri, name).tobytes()
            except ObjectError:  # a path on the computer of who made it, for one
                for tail in tails(uri) if isinstance(uri, str) and len(uri) < LONGEST else ():
                    with suppress(ObjectError):
                        return self.file.beside(tail, name).tobytes()
                raise
        return self.file.view(image.get("bufferView")).tobytes()


def texture_coordinates(
    file: GlbFile, material: GltfMaterial, attribute: Callable[[str], np.ndarray]
) -> np.ndarray | None:
    """(V, 2) float32 of a textured primitive, KHR_texture_transform applied; None if unusable.

    attribute: gives the (V, 2) array of a vertex attribute by its name.
    """
    info = material.texture
    if info is None:
        return None
    try:
        transform = file.extension(info, TRANSFORM)
        number = file.integer(info, "texCoord", 0)
        number = file.integer(transform, "texCoord", number)
        uv = attribute(f"TEXCOORD_{number}").astype(np.float64)
        if transform:
            # Scaled, turned counter-clockwise as the image is seen (t grows downward), then moved.
            turn = file.numbers({"rotation": [transform.get("rotation", 0)]}, "rotation", [0])[0]
            c, s = np.cos(turn), np.sin(turn)
            uv = uv * file.numbers(transform, "scale", [1, 1]) @ np.array([[c, -s], [s, c]])
            uv = uv + file.numbers(transform, "offset", [0, 0])
    except (ObjectError, *MISTYPED):
        return None
    return np.nan_to_num(uv.astype(np.float32), posinf=0, neginf=0)
