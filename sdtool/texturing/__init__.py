"""texture: new textures for somebody's mesh, whose geometry, nodes and names stay."""
