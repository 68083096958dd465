"""meshopt-compressed bufferViews (EXT_ and KHR_meshopt_compression), through the meshopt package."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sdtool.errors import ObjectError

if TYPE_CHECKING:
    from sdtool.meshfiles.accessors import GlbFile

FILTERS = {  # allowed strides in bytes; COLOR came with the KHR_ extension
    "NONE": range(4, 257, 4),
    "OCTAHEDRAL": (4, 8),
    "QUATERNION": (8,),
    "EXPONENTIAL": range(4, 257, 4),
    "COLOR": (4, 8),
}


def decode_meshopt(file: "GlbFile", packed: dict[str, Any], data: np.ndarray) -> np.ndarray:
    """(count · byteStride,) uint8: the bytes of a bufferView whose extension object is `packed`.

    data: (N,) uint8 compressed. The rules of the extension and the limits are checked first.
    """
    count, stride = file.integer(packed, "count"), file.integer(packed, "byteStride")
    mode, name = packed.get("mode"), packed.get("filter", "NONE")
    if mode == "ATTRIBUTES":
        allowed = name in FILTERS and stride in FILTERS[name]
    else:
        allowed = mode in ("TRIANGLES", "INDICES") and stride in (2, 4) and name == "NONE"
        allowed &= mode == "INDICES" or count % 3 == 0
    if not allowed:
        raise file.corrupt(f"meshopt data of mode {str(mode)[:20]} in an impossible layout")
    if count > file.limits.vertices:
        raise file.too_large(f"{count} compressed elements", f"{file.limits.vertices}")
    file.spend(count * stride)
    if count == 0:
        return np.empty(0, np.uint8)
    meshopt = _import(file)
    try:
        rows = meshopt.decode_gltf_buffer(data.tobytes(), count, stride, mode, name)
    except (ValueError, TypeError) as error:
        raise file.corrupt(f"its meshopt data cannot be decoded ({error})") from None
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8)


def _import(file: "GlbFile") -> Any:
    try:
        import meshopt
    except ImportError:
        raise ObjectError(
            "missing-decoder",
            f"{file.path} is meshopt-compressed, which needs a decoder: "
            "pip install 'sdtool[meshopt]'",
        ) from None
    return meshopt
