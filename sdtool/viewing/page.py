"""The page of `sdtool view`: one HTML file that holds models, pictures, three.js and the viewer.

three.js is what trimesh ships for its own viewer, read from the installed package. A content
security policy lets only these two scripts run, by their hashes, and nothing be fetched.
"""

import base64
import hashlib
import html
import json
from importlib.resources import files
from string import Template

from sdtool import __version__
from sdtool.errors import MissingDependencyError, UsageError
from sdtool.viewing.subjects import Subject

MARK = "<!-- made by sdtool view"
SCRIPTS = ("looks.js", "controls.js", "viewer.js")
# How the parts of trimesh's script end that the page needs; what follows the last starts its own page.
ENDS = ("THREE.TrackballControls=TrackballControls;})();", "THREE.GLTFLoader=GLTFLoader;})();")
LARGEST_PAGE = 400 << 20  # bytes; Chromium ends strings at 512 MiB


def build_page(subjects: list[Subject]) -> str:
    """The whole page of one or more models. UsageError if it is more than a browser can take."""
    data = json.dumps([_plain(subject) for subject in subjects], ensure_ascii=True)
    if len(data) > LARGEST_PAGE:
        raise UsageError(
            f"a page of {len(data) >> 20} MiB is too large; view fewer models at once", "PATHS"
        )
    library, viewer = _three(), "".join(_part(name) for name in SCRIPTS)
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in (library, viewer))
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; connect-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    title = subjects[0].title if len(subjects) == 1 else f"{len(subjects)} models"
    return Template(_part("page.html")).substitute(
        mark=f"{MARK} {__version__} -->",
        policy=policy,
        title=html.escape(f"{title} – sdtool"),
        style=_part("page.css"),
        data=data.replace("<", "\\u003c"),  # so that no text of a model ends the element
        library=library,
        viewer=viewer,
    )


def is_ours(text: str) -> bool:
    """True if a file that begins so was written by `sdtool view`, of any version."""
    return text.startswith(f"<!DOCTYPE html>\n{MARK} ")


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


def _part(name: str) -> str:
    return files("sdtool.viewing").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _three() -> str:
    """three.js with its trackball and GLTF loader: trimesh's viewer without the part that starts it."""
    from trimesh import resources, util

    archive = util.decompress(resources.get_bytes("templates/viewer.zip"), file_type="zip")
    page = archive["viewer.html.template"].read().decode("utf-8")
    script = page.partition("<script>")[2]
    if any(mark not in script for mark in ENDS):
        raise MissingDependencyError(
            "the installed trimesh ships another viewer than sdtool knows; "
            "install the one it knows: pip install 'trimesh<6'"
        )
    return script[: script.index(ENDS[-1]) + len(ENDS[-1])].replace("\r\n", "\n")
