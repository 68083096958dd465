"""Shapes in space: meshes, cameras, canonical coordinates, and what is measured and mended on them."""
