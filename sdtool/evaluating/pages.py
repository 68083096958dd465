"""The evaluation's pages: a template, the style that they share, and a script each."""

import re
from typing import Any

from sdtool.io.pages import fill_page, shipped

HERE = "sdtool.evaluating"
CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)  # what no page may hold: all but tabs and line ends


def fill(name: str, **values: Any) -> str:
    """The page `name`.html with `values`, its style `pages.css` and its script `name`.js.

    Pictures are shown from the page's own origin or folder only. Control characters are escaped.
    """
    page = fill_page(
        shipped(HERE, f"{name}.html"),
        style=shipped(HERE, "pages.css"),
        scripts={"script": shipped(HERE, f"{name}.js")},
        sources={"img-src": "'self' file:"},
        **values,
    )
    return CONTROLS.sub(lambda found: repr(found[0])[1:-1], page)
