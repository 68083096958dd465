"""How the evaluation's pages are filled: escaped, and closed to the network and to other scripts."""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from sdtool import __version__


def fill(name: str, **values: Any) -> str:
    """The page `name`.html with `values`, its style `pages.css` and its script `name`.js.

    Every value is escaped. A content security policy lets only this script run, by its hash, and only
    pictures of the page's own origin or folder be shown.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    script = _part(f"{name}.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src 'self' file:; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_part(f"{name}.html")).render(
        version=__version__,
        policy=policy,
        style=Markup(_part("pages.css")),
        script=Markup(script),
        **values,
    )


def _part(name: str) -> str:
    return files("sdtool.evaluating").joinpath(name).read_text(encoding="utf-8")
