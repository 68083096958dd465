"""What files of renders say: where cameras stand, what they see; and how a picture becomes numbers."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError, UnopenedError
from sdtool.meshfiles.other_kinds import unreadable


@dataclass(frozen=True)
class Cameras:
    """The cameras of one object, in our axes. c2w: (N, 4, 4) float32.

    model: "perspective" or "orthographic". lens: the field of view in degrees, or the world units that a
    side of the image shows.
    """

    model: str
    lens: float
    c2w: np.ndarray

    def said(self) -> str:
        """The projection in words."""
        unit = "world units a side" if self.model == "orthographic" else "degrees"
        return f"{self.model} cameras ({self.lens:g} {unit})"


@dataclass(frozen=True)
class Seen:
    """What the cameras of one object see, a view at a time: lists, for N large pictures are many bytes.

    points: (S, S, 3) float32 in our axes. there: (S, S) bool, where the object is. colors: (S, S, 4)
    float32 sRGB-encoded in [0, 1], not premultiplied, with coverage last; none if nobody asked.
    """

    points: list[np.ndarray]
    there: list[np.ndarray]
    colors: list[np.ndarray] = field(default_factory=list)


def read_picture(path: Path) -> np.ndarray:
    """A picture of 8 bits a channel: (H, W, 4) uint8, alpha 255 where the file has none.

    ObjectError (``missing-file``, ``unreadable-file``, ``bad-picture``) if there is none.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGBA"))
    except FileNotFoundError:
        raise UnopenedError("missing-file", f"{path} is missing", str(path)) from None
    except PermissionError as error:
        raise unreadable(path, error) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ObjectError(
            "bad-picture", f"{path} is no picture that can be read ({error})"
        ) from None


def colors_of(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 4) uint8 as colours: see `Seen`."""
    return picture.astype(np.float32) / 255
