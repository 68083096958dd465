"""The bundled tiny prior: diffusers folders `base/` and `agp/`; and the judge of `sdtool evaluate` (data)."""
