"""The page of `sdtool view`: one HTML file that holds models, pictures, three.js and the viewer.

three.js, its trackball and its GLTF loader lie in `three/` as the npm package three 0.140.2 has them.
"""

import base64
import json
from pathlib import Path

from sdtool.errors import UsageError
from sdtool.io.pages import fill_page, shipped
from sdtool.viewing.subjects import Subject

HERE = "sdtool.viewing"
THREE = ("three/three.min.js", "three/TrackballControls.js", "three/GLTFLoader.js")
VIEWER = ("looks.js", "controls.js", "viewer.js")
MARK = "<!-- made by sdtool view"
LARGEST_PAGE = 400 << 20  # bytes; Chromium ends strings at 512 MiB


def build_page(subjects: list[Subject]) -> str:
    """The whole page of one or more models. UsageError if it is more than a browser can take."""
    from markupsafe import Markup

    data = json.dumps([_plain(subject) for subject in subjects], ensure_ascii=True)
    if len(data) > LARGEST_PAGE:
        raise UsageError(
            f"a page of {len(data) >> 20} MiB is too large; view fewer models at once", "PATHS"
        )
    return fill_page(
        shipped(HERE, "page.html"),
        style=shipped(HERE, "page.css"),
        scripts={"library": shipped(HERE, *THREE), "viewer": shipped(HERE, *VIEWER)},
        sources={"img-src": "data: blob:", "connect-src": "data: blob:"},
        title=subjects[0].title if len(subjects) == 1 else f"{len(subjects)} models",
        data=Markup(data.replace("<", "\\u003c")),  # so that no text of a model ends the element
    )


def is_ours(path: Path, data: bytes) -> bool:
    """True if a file that begins so was written by `sdtool view`, of any version."""
    return data.startswith(f"<!DOCTYPE html>\n{MARK} ".encode())


def _plain(subject: Subject) -> dict:
    """A model as the page's script reads it."""
    low, high = subject.bounds
    return {
        "title": subject.title,
        "name": subject.name,
        "facts": subject.facts,
        "low": low,
        "high": high,
        "glb": base64.b64encode(subject.glb).decode(),
        "pictures": [
            {"caption": one.caption, "png": base64.b64encode(one.png).decode()}
            for one in subject.pictures
        ],
    }
