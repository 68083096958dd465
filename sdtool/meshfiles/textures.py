"""Base colour textures of a glTF file.

Whatever is wrong with an image costs the image only: its faces keep their plain colour, and it is
counted. Images outside a GLB are never fetched; a .gltf may have them beside it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Texture
from sdtool.meshfiles.accessors import GlbFile
from sdtool.meshfiles.gltf_tree import MISTYPED
from sdtool.meshfiles.images import ImageStore
from sdtool.meshfiles.materials import GltfMaterial

NEAREST = 9728
WRAPS = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
TRANSFORM = "KHR_texture_transform"
ELSEWHERE = ("EXT_texture_webp", "EXT_texture_avif", "MSFT_texture_dds")
"""Extensions whose images Pillow may read. If it cannot, the texture's own image is the fallback."""


class TextureReader:
    """The textures of one file, each decoded once; images of the same bytes are shared.

    lost: what materials asked for and could not have, by the numbers of textures.
    """

    def __init__(self, file: GlbFile):
        self.file = file
        self.lost: set[str] = set()
        self._store = ImageStore(file.limits)
        self._sources: dict[tuple[int, float], np.ndarray | None] = {}
        self._textures: dict[tuple[int, str, str, bool], Texture] = {}

    def of(self, material: GltfMaterial) -> Texture | None:
        """The texture of a material; None if it has none, or if its image cannot be used."""
        if material.texture is None:
            return None
        file, index = self.file, material.texture.get("index")
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
        self.lost.add(str(index)[:20])
        return None

    def _image(self, record: dict[str, Any], cutoff: float) -> np.ndarray | None:
        """(H, W, 4) uint8 of a texture: of its extensions' images or its own, the first that is read."""
        sources = [self.file.extension(record, name).get("source") for name in ELSEWHERE]
        for source in [*sources, record.get("source")]:
            if source is None:
                continue
            key = (self.file.integer({"source": source}, "source"), cutoff)
            if key not in self._sources:
                self._sources[key] = None  # should it not be readable
                try:
                    data = self._bytes_of(key[0])
                except (ObjectError, *MISTYPED):
                    continue
                self._sources[key] = self._store.image(data, cutoff)
            if self._sources[key] is not None:
                return self._sources[key]
        return None

    def _bytes_of(self, source: int) -> bytes:
        """The encoded image number `source`."""
        image = self.file.entry("images", source)
        if image.get("uri") is not None:
            return self.file.at_uri(image["uri"], f"image {source}").tobytes()
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
