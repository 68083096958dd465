"""GLB files in and out."""

from sdtool.glb_write import write_glb

__all__ = ["write_glb"]
