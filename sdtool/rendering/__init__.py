"""Rasterisation (one API, several backends), volume rendering, shading. Importing it loads no torch."""
