"""Materials of a GLB file: what colours a primitive."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdtool.meshfiles.accessors import GlbFile

GLOSSY = "KHR_materials_pbrSpecularGlossiness"


@dataclass(frozen=True, eq=False)
class GltfMaterial:
    """What of a glTF material colours a primitive: its base colour. factor: (3,) float32 linear.

    texture: the glTF textureInfo of the base colour, or None. cutoff: 0 where the image's alpha
    is ignored, 1 where it blends, between them the value above which a cut-out is there.
    """

    factor: np.ndarray
    texture: dict[str, Any] | None = None
    cutoff: float = 0.0


WHITE = GltfMaterial(np.ones(3, np.float32))


def material_of(file: GlbFile, primitive: dict[str, Any]) -> GltfMaterial:
    """Metallic-roughness base colour, or specular-glossiness diffuse; white without a material."""
    if primitive.get("material") is None:
        return WHITE
    record = file.entry("materials", primitive["material"])
    values = file.child(record, "pbrMetallicRoughness")
    factor, texture = "baseColorFactor", "baseColorTexture"
    glossy = file.extension(record, GLOSSY)
    if glossy:
        values, factor, texture = glossy, "diffuseFactor", "diffuseTexture"
    given = values.get(factor)
    if isinstance(given, list) and len(given) == 3:  # some leave out that it is opaque
        values = {**values, factor: [*given, 1]}
    color = np.array(file.numbers(values, factor, [1, 1, 1, 1])[:3], np.float32)
    info = values.get(texture)
    if not isinstance(info, dict):
        info = None
    return GltfMaterial(color, info, _cutoff(record))


def _cutoff(record: dict[str, Any]) -> float:
    mode, cutoff = record.get("alphaMode"), record.get("alphaCutoff", 0.5)
    if mode == "MASK":
        usable = type(cutoff) in (int, float) and 0 < cutoff < 1
        return float(cutoff) if usable else 0.5
    return 1.0 if mode == "BLEND" else 0.0
