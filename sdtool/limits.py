"""What one object may cost: bounds that a loader checks before it allocates anything."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on one object; beyond them it is refused as ``too-large``.

    file_bytes: size of the file. json_bytes: size of a GLB's JSON chunk, which becomes many times
    larger in memory. triangles: triangles of the whole scene, every instance counted; as many
    vertices are allowed for each of their corners. nodes: placed meshes, every instance counted.
    image_pixels: pixels that an image's header may declare; an image beyond is left out and its
    faces stay untextured. texture_side: longest side in pixels to which textures are reduced.
    """

    file_bytes: int = 2 << 30
    json_bytes: int = 64 << 20
    triangles: int = 30_000_000
    nodes: int = 1_000_000
    image_pixels: int = 1 << 28
    texture_side: int = 1024
