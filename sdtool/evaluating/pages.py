"""The evaluation's pages: a template, the style that they share, and a script each."""

from typing import Any

from sdtool.io.pages import fill_page, shipped

HERE = "sdtool.evaluating"


def fill(name: str, **values: Any) -> str:
    """The page `name`.html with `values`, its style `pages.css` and its script `name`.js.

    Pictures are shown from the page's own origin or folder only.
    """
    return fill_page(
        shipped(HERE, f"{name}.html"),
        style=shipped(HERE, "pages.css"),
        scripts={"script": shipped(HERE, f"{name}.js")},
        sources={"img-src": "'self' file:"},
        **values,
    )
