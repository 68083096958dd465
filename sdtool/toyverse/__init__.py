"""Procedural, canonically oriented objects with annotations: an offline stand-in for Objaverse."""
