"""What one object may cost: bounds that a loader checks before it allocates anything."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on one object. Beyond them it is refused as ``too-large``, before memory is taken.

    Two bounds spare the object: an image beyond `image_pixels`, or images beyond `texture_bytes`
    in all, are left out, and the faces that wear them keep their plain colour.

    The defaults let every ordinary object of Objaverse pass; a worker then stays below about 3 GB.
    """

    file_bytes: int = 2 << 30  # size of the file
    json_bytes: int = 32 << 20  # the JSON chunk of a GLB, which grows 25-fold in memory at worst
    text_bytes: int = 256 << 20  # size of an .obj, .off, or text .ply or .stl file
    triangles: int = (
        10_000_000  # of the whole scene, every instance counted; three times the vertices
    )
    instances: int = 250_000  # placed meshes, every instance counted
    decoded_bytes: int = (
        1 << 30
    )  # what compressed, sparse and base64 data of one file grow to, in all
    image_pixels: int = 1 << 26  # that an image's header declares: 8192 × 8192
    texture_side: int = 1024  # longest side to which textures are reduced
    texture_bytes: int = 512 << 20  # all reduced textures of one file: 128 of 1024 × 1024

    @property
    def vertices(self) -> int:
        """Three for each triangle."""
        return 3 * self.triangles
