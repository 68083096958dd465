"""export: from a fine mesh and its material to a textured mesh of few faces, in the formats people want."""
