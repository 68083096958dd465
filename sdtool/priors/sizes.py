"""Whether a UNet is of SDXL's kind, told from its configuration alone."""

from collections.abc import Mapping
from typing import Any

SIZES = 6
"""Height and width of the picture before it was cropped, the crop's top and left, height and width wanted."""


def takes_sizes(config: Mapping[str, Any]) -> bool:
    """Whether a UNet with this configuration sees them."""
    return config.get("addition_embed_type") == "text_time"


def pooled_width(config: Mapping[str, Any]) -> int:
    """Numbers of the pooled text that such a UNet takes."""
    return (
        config["projection_class_embeddings_input_dim"] - SIZES * config["addition_time_embed_dim"]
    )
