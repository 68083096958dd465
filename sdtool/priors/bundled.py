"""The bundled priors' name and folders; told without loading what loads priors."""

from importlib import resources
from pathlib import Path

from sdtool.errors import InputError

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
