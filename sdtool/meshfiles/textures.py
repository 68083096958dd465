"""Base colour textures of a GLB file, decoded and reduced.

Whatever is wrong with an image costs the image only: its faces keep their plain colour. Images
outside the file are never fetched. PNG, JPEG and WebP are read; the size that an image's header
declares is checked before a pixel is decoded.
"""

import hashlib
import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Texture
from sdtool.meshfiles.accessors import GlbFile
from sdtool.meshfiles.gltf_tree import MISTYPED
from sdtool.meshfiles.materials import GltfMaterial

if TYPE_CHECKING:
    from PIL.Image import Image

WRAPS = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
TRANSFORM = "KHR_texture_transform"


class TextureReader:
    """The textures of one file, each decoded once; images of the same bytes are shared."""

    def __init__(self, file: GlbFile):
        self.file = file
        self._taken = 0  # bytes of pixels
        self._sources: dict[tuple[int, float], np.ndarray | None] = {}
        self._images: dict[tuple[bytes, float], np.ndarray | None] = {}  # by digest
        self._textures: dict[tuple[int, str, str], Texture] = {}

    def of(self, material: GltfMaterial) -> Texture | None:
        """The texture of a material; None if it has none, or if its image cannot be used."""
        if material.texture is None:
            return None
        file = self.file
        try:
            record = file.entry("textures", material.texture.get("index"))
            image = self._image(record, material.cutoff)
            if image is None:
                return None
            sampler = {}
            if record.get("sampler") is not None:
                sampler = file.entry("samplers", record["sampler"])
            s, t = (WRAPS.get(sampler.get(k, 10497), "repeat") for k in ("wrapS", "wrapT"))
        except (ObjectError, *MISTYPED):
            return None
        return self._textures.setdefault((id(image), s, t), Texture(image, (s, t)))

    def _image(self, record: dict[str, Any], cutoff: float) -> np.ndarray | None:
        webp = self.file.extension(record, "EXT_texture_webp").get("source")
        source = record.get("source") if webp is None else webp
        key = (self.file.integer({"source": source}, "source"), cutoff)
        if key not in self._sources:
            self._sources[key] = None  # should it not be readable
            data = self._bytes_of(key[0])
            content = (hashlib.blake2b(data, digest_size=16).digest(), cutoff)
            if content not in self._images:
                self._images[content] = self._decoded(data, cutoff)
            self._sources[key] = self._images[content]
        return self._sources[key]

    def _bytes_of(self, source: int) -> bytes:
        """The encoded image number `source`."""
        image = self.file.entry("images", source)
        if image.get("uri") is not None:
            return self.file.at_uri(image["uri"], f"image {source}").tobytes()
        return self.file.view(image.get("bufferView")).tobytes()

    def _decoded(self, data: bytes, cutoff: float) -> np.ndarray | None:
        """(H, W, 4) uint8; None for what cannot be read or would take too much memory."""
        from PIL import Image

        limits = self.file.limits
        try:
            with warnings.catch_warnings():  # our own limit stands in for PIL's warning
                warnings.simplefilter("ignore")
                image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
                width, height = image.size
                scale = min(1.0, limits.texture_side / max(width, height))
                size = (max(1, round(width * scale)), max(1, round(height * scale)))
                self._taken += 4 * size[0] * size[1]
                if width * height > limits.image_pixels or self._taken > limits.texture_bytes:
                    return None
                image.draft(None, size)  # lets the JPEG decoder reduce by 2, 4 or 8 on its way
                return _rgba(image, size, cutoff)
        except Exception:  # its decoders raise anything on damaged data
            return None


def _rgba(image: "Image", size: tuple[int, int], cutoff: float) -> np.ndarray:
    """(H, W, 4) uint8 at `size` (W, H); colour and alpha are averaged apart (see `GltfMaterial`)."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    clear = image.mode in ("LA", "PA") or "transparency" in image.info
    if image.mode not in ("RGB", "RGBA", "L") or clear:
        image = image.convert("RGBA" if clear else "RGB")
    alpha = None
    if cutoff > 0 and image.mode == "RGBA":
        alpha = image.getchannel("A")
        if cutoff < 1:
            alpha = alpha.point([0 if level < cutoff * 255 else 255 for level in range(256)])
    if image.mode == "RGBA":  # what is transparent keeps its colour: alpha may be without meaning
        image = Image.merge("RGB", image.split()[:3])
    out = np.full((size[1], size[0], 4), 255, np.uint8)
    out[..., :3] = np.asarray(_reduced(image, size).convert("RGB"))
    if alpha is not None:
        out[..., 3] = np.asarray(_reduced(alpha, size))
    return out


def _reduced(image: "Image", size: tuple[int, int]) -> "Image":
    """The image at a smaller size, every pixel the average of its box."""
    from PIL import Image

    return image if image.size == size else image.resize(size, Image.Resampling.BOX)


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
