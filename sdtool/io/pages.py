"""Pages for the browser, one HTML file each: escaped, and closed to the network and to other scripts."""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from sdtool import __version__


def shipped(package: str, *names: str) -> str:
    """The text of files that a package ships, one after the other."""
    folder = files(package)
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def fill_page(
    template: str,
    *,
    style: str,
    scripts: dict[str, str],
    sources: dict[str, str],
    **values: Any,
) -> str:
    """The page that a jinja2 template makes of `values`, which are escaped (unless they are `Markup`).

    The template also sees `version`, sdtool's; `policy`; `style`, a style sheet; and each of `scripts`
    by its name. The policy, for its <meta http-equiv="Content-Security-Policy">, lets only these scripts
    run, by their hashes. sources: what else the page may load, such as {"img-src": "data:"}.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts.values())
    rules = {
        "default-src": "'none'",
        "script-src": allowed,
        "style-src": "'unsafe-inline'",
        **sources,
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        version=__version__,
        policy="; ".join(f"{directive} {allowed}" for directive, allowed in rules.items()),
        style=Markup(style),
        **{name: Markup(script) for name, script in scripts.items()},
        **values,
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
