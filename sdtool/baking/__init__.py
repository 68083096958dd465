"""From a fine mesh and its material to a mesh of few faces with textures."""
