"""Names of the files that a training works with, beside its result."""

SAMPLES = "samples/step-[0-9]*.png"
"""Sample grids; their names are from `sample_name`."""

LATENTS = "latents.npy"
"""Of all pictures, for `sdtool.training.vae.LatentViews`."""

TEXTS = "text-????????????????.cache"
"""Encoded prompts, of `sdtool.training.text_cache`."""


def sample_name(step: int) -> str:
    """Of the sample grid after a step, relative to the training's folder."""
    return f"samples/step-{step:06d}.png"
