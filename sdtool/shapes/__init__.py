"""Shape representations: density grids, tetrahedral grids, marching tetrahedra, colour fields."""
