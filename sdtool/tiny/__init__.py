"""The bundled tiny prior: diffusers folders `base/` and `agp/` (data only)."""
