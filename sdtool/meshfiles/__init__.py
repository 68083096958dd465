"""Meshes in files: glTF by our own reader and writer, and a few older formats."""

from sdtool.meshfiles.reading import load_mesh, read_glb
from sdtool.meshfiles.writing import write_glb, write_textured_glb

__all__ = ["load_mesh", "read_glb", "write_glb", "write_textured_glb"]
