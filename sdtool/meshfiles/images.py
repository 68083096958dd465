"""Encoded images as textures: decoded with Pillow, reduced, limited; what cannot be read is counted."""

import hashlib
import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from sdtool.io.files import LFS_POINTER
from sdtool.meshfiles.limits import Limits

if TYPE_CHECKING:
    from PIL.Image import Image

# Those that models are made with. Pillow may lack AVIF; formats that start programs are not here.
FORMATS = (
    "PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF", "TIFF", "DDS", "JPEG2000", "PPM", "TGA",
)  # fmt: skip


MISSING, NOT_READABLE = "missing", "not readable"
# Beginnings of what is made for graphics cards, and of what is no image.
NOT_READ = (
    (b"\xabKTX 20", "KTX2"),
    (b"\xabKTX 11", "KTX"),
    (b"sB", "Basis"),
    (b"v/1\1", "EXR"),
    (b"#?", "HDR"),
    (b"8BPS", "PSD"),
    (LFS_POINTER, "a pointer of Git LFS"),
)


def why_not(data: bytes) -> str:
    """Why the bytes of an image are none for us, in a word or two."""
    return next((kind for magic, kind in NOT_READ if data.startswith(magic)), NOT_READABLE)


class ImageStore:
    """The images of one file, each decoded once; those of the same bytes are shared."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self._taken = 0  # bytes of pixels
        self._images: dict[tuple[bytes, float], np.ndarray | None] = {}  # by digest

    def image(self, data: bytes, cutoff: float) -> np.ndarray | None:
        """(H, W, 4) uint8 of an encoded image; None if it cannot be read or would take too much memory.

        cutoff: as `sdtool.meshfiles.materials.GltfMaterial` has it.
        """
        content = (hashlib.blake2b(data, digest_size=16).digest(), cutoff)
        if content not in self._images:
            self._images[content] = self._decoded(data, cutoff)
        return self._images[content]

    def _decoded(self, data: bytes, cutoff: float) -> np.ndarray | None:
        from PIL import Image

        limits = self.limits
        try:
            with warnings.catch_warnings():  # our own limit stands in for PIL's warning
                warnings.simplefilter("ignore")
                Image.init()
                known = [name for name in FORMATS if name in Image.OPEN]
                image = Image.open(io.BytesIO(data), formats=known)
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
