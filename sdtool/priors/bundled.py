"""The bundled priors' name and folders; told without loading what loads priors."""

from importlib import resources
from pathlib import Path

from sdtool.errors import InputError, UsageError

TINY = "tiny"
"""The id of the bundled priors."""


def bundled_folder(part: str) -> Path:
    """The folder of a bundled prior: "base", "agp" or "color". InputError if it is not there."""
    folder = Path(str(resources.files("sdtool"))) / "tiny" / part
    if not (folder / "unet" / "config.json").is_file():
        raise InputError(f"the bundled tiny prior is missing ({folder}); build it: make tiny-prior")
    return folder


def has_bundled_color() -> bool:
    """Whether a colour prior stands beside the bundled AGP."""
    try:
        bundled_folder("color")
    except InputError:
        return False
    return True


def chosen_color_prior(asked: str, agp: str, preset: str, lambda_align: float = 1.0) -> str:
    """The colour prior that the options ask for, "" for none: where nothing is said, the bundled one
    belongs to the bundled AGP."""
    if asked == "none" or (preset == "paper" and not asked):
        return ""
    if preset == "paper":
        said = (
            "--preset paper leaves the colours to the base, as Fantasia3D does; use another preset"
        )
        raise UsageError(said, "--color-prior", "--preset")
    if asked:
        return asked
    return TINY if agp == TINY and lambda_align > 0 and has_bundled_color() else ""
