"""sdtool: from a line of text to a 3D model that looks right from every side."""

__version__ = "0.1.0"
