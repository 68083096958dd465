"""glTF extensions: those that are read, and those that may be passed over since they move no triangle."""

from typing import Any

# Extensions that change materials, textures, lights, sound, data or behaviour, and no triangle; that
# of Cesium moves the whole. What an object with levels of detail shows first is its best.
HARMLESS = {
    "KHR_animation_pointer", "KHR_audio", "KHR_audio_emitter", "KHR_implicit_shapes",
    "KHR_interactivity", "KHR_lights_punctual", "KHR_mesh_quantization", "KHR_node_hoverability",
    "KHR_node_selectability", "KHR_physics_rigid_bodies", "KHR_texture_basisu",
    "KHR_texture_transform", "KHR_xmp", "KHR_xmp_json_ld", "AGI_articulations",
    "AGI_stk_metadata", "CESIUM_RTC", "CESIUM_primitive_outline", "EXT_instance_features",
    "EXT_lights_ies", "EXT_lights_image_based", "EXT_mesh_features", "EXT_mesh_manifold",
    "EXT_structural_metadata", "EXT_texture_astc", "EXT_texture_avif", "EXT_texture_webp",
    "MSFT_lod", "MSFT_texture_dds", "VRM",
}  # fmt: skip
HARMLESS_PREFIXES = (
    "KHR_materials_", "ADOBE_materials_", "MOZ_hubs_", "MSFT_packing_", "OMI_", "VRMC_",
)  # fmt: skip
LOOKS = {"materials", "textures", "images", "samplers", "animations", "cameras"}
"""Lists of a tree in which an extension changes no triangle."""
DRACO = "KHR_draco_mesh_compression"
MESHOPT = ("KHR_meshopt_compression", "EXT_meshopt_compression")
INSTANCING = "EXT_mesh_gpu_instancing"
VISIBILITY = "KHR_node_visibility"
UNDERSTOOD = {*HARMLESS, *MESHOPT, DRACO, INSTANCING, VISIBILITY}


def is_understood(tree: dict[str, Any], name: str) -> bool:
    """Whether a glTF whose JSON is `tree` can be read although it requires the extension `name`."""
    if name in UNDERSTOOD or name.startswith(HARMLESS_PREFIXES):
        return True
    used = {kind for kind, value in tree.items() if _uses(value, name)}
    return bool(used & LOOKS) and used <= LOOKS  # in use, and only where no triangle can change


def _uses(value: Any, name: str) -> bool:
    """Whether any object within a JSON value has the extension `name`."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            extensions = value.get("extensions")
            if isinstance(extensions, dict) and name in extensions:
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False
