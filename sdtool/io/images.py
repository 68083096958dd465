"""PNG pictures for people: maps on a background, contact sheets, with text chunks that say what they show."""

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdtool.io.files import atomic_path
from sdtool.io.names import readable

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

PNG = b"\x89PNG\r\n\x1a\n"
"""What a file of that format begins with."""


def map_to_rgb(image: np.ndarray, background: float = 1.0) -> np.ndarray:
    """Map (..., 4) (see `sdtool.geometry.ccm`) → colour (..., 3) in [0, 1] over a grey background."""
    coverage = np.clip((image[..., 3:] + 1) / 2, 0, 1)
    premultiplied = (image[..., :3] + coverage) / 2  # ((2v − 1)·c + c) / 2 = v·c
    return np.clip(premultiplied + background * (1 - coverage), 0, 1)


def repeat_pixels(image: np.ndarray, size: int) -> np.ndarray:
    """(N, H, W, C) with every pixel repeated, as often as brings the height to at least `size`."""
    factor = max(1, -(-size // image.shape[1]))
    return image.repeat(factor, axis=1).repeat(factor, axis=2)


def grid(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """(N, H, W, 3) → one picture of rows of `columns` images on white."""
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.float32)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Colour in [0, 1] → uint8."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def write_png(path: str | Path, image: np.ndarray, **text: str) -> None:
    """Write (H, W, 3) colours in [0, 1] as an sRGB PNG, atomically; `text` becomes PNG text chunks."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, readable(value))
    with atomic_path(path) as temporary:
        Image.fromarray(to_bytes(image)).save(temporary, format="PNG", pnginfo=info)


def drawn_as(text: str) -> str:
    """A text in the letters that pictures have, those of Latin-1: each other one is written as its
    number, "\\uc758", so that different names stay different."""
    whole = unicodedata.normalize("NFC", readable(text))
    if whole.isascii():
        return whole
    return "".join(c if c.isprintable() and c < "\u0100" else f"\\u{ord(c):04x}" for c in whole)


def draw_label(draw: "ImageDraw", place: tuple[int, int], text: str, font: Any = None) -> None:
    """Write a line of text in black. font: of ASCII, which is all that Pillow's own outlines have; other
    letters of Latin-1 are in its font of dots."""
    from PIL import ImageFont

    said = drawn_as(text)
    fit = font if said.isascii() else ImageFont.load_default_imagefont()
    draw.text(place, said, fill="black", font=fit)


def png_bytes(image: np.ndarray, **text: str) -> bytes:
    """(H, W, 3) or (H, W) uint8 as a PNG file; the same pixels and `text` give the same bytes."""
    from io import BytesIO

    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info, made = PngInfo(), BytesIO()
    for key, value in text.items():
        info.add_text(key, readable(value))
    Image.fromarray(image).save(made, format="PNG", pnginfo=info)
    return made.getvalue()


def write_animation(path: str | Path, images: np.ndarray, seconds: float) -> None:
    """Write (N, H, W, 3) colours in [0, 1] as an endless WebP animation of `seconds`, atomically."""
    from PIL import Image

    frames = [Image.fromarray(to_bytes(image)) for image in images]
    with atomic_path(path) as temporary:
        frames[0].save(
            temporary,
            format="WEBP",
            save_all=True,
            append_images=frames[1:],
            loop=0,
            quality=85,
            duration=round(1000 * seconds / len(frames)),
        )
