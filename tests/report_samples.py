"""Two methods that `evaluate` has judged, with pictures, their report, and the answers of a person."""

import base64
import hashlib
import json
import re

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdtool.evaluating.report import write_report
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    SYMMETRIC,
    UNJUDGED,
    Calibrated,
    Calibration,
    Evaluated,
    Finding,
    Rate,
)

HOSTILE = """</script><script>alert('1')</script><img src=x onerror="alert(2)">"""
AZIMUTHS = tuple(range(0, 360, 45))
CALIBRATION = Calibration(
    (
        Calibrated("sides", 0.62, True, Rate(38, 40), Rate(1, 60), {"second head": Rate(20, 20)}),
        Calibrated(
            "parts", 2.5, False, Rate(3, 40), Rate(30, 60), {"six legs": Rate(1, 20)}, False
        ),
    ),
    Rate(39, 40),
    Rate(6, 60),
    {"second head": Rate(20, 20), "six legs": Rate(19, 20)},
    "sdtool evaluate … --calibrate 16",
)


def asset(out, method, name, verdict, **more):
    """An asset whose picture, if it has one, has its own colours and tells its path in a text."""
    picture = "" if verdict == FAILED else f"pictures/{method}-{name}.png"
    if picture:
        (out / "pictures").mkdir(parents=True, exist_ok=True)
        told = PngInfo()
        told.add_text("path", f"runs/{method}/{name}")
        told.add_itxt("Title", method)
        color = tuple(hashlib.sha256(picture.encode()).digest()[:3])
        Image.new("RGB", (128, 48), color).save(out / picture, pnginfo=told)
    usual = {
        "prompt": f"a {name}",
        "reasons": ("it has no model",) if verdict == FAILED else (),
        "truth": AZIMUTHS if picture else (),
        "predicted": tuple((a + 10) % 360 for a in AZIMUTHS) if picture else (),
        "findings": (Finding("sides", 0.75, 0.62, True), Finding("parts", 3.0)) if picture else (),
    }
    path = f"runs/{method}/{name}"
    values = {"category": "", "verdict": verdict, "picture": picture} | usual | more
    return Evaluated(name, method, path, **values)


def evaluated(out):
    """Two methods on the same prompts: 3 of 4 and 1 of 3 consistent, of all verdicts."""
    found = {
        "zebrafish": [CONSISTENT, CONSISTENT, CONSISTENT, INCONSISTENT, SYMMETRIC],
        "quokka": [CONSISTENT, INCONSISTENT, FAILED, UNJUDGED, SYMMETRIC],
    }
    names = ["dog", "cat", "house", "boat", "vase"]
    return [
        asset(out, method, name, verdict)
        for method, verdicts in found.items()
        for name, verdict in zip(names, verdicts, strict=True)
    ]


def report(out, assets, **more):
    """The text of a report's page."""
    usual = {"title": "Of all sides", "command": "sdtool evaluate runs"}
    path = write_report(out, assets, CALIBRATION, **usual | more)
    assert path == out / "index.html"
    return path.read_text(encoding="utf-8")


def key(page):
    return json.loads(base64.b64decode(re.search(r'id="key">([^<]*)<', page)[1]))


def answers_of(assets, said):
    """Answers as read from a file; said: {(method, name): answer}."""
    by_name = {(one.method, one.name): one for one in assets}
    return [
        {"path": one.path, "method": one.method, "prompt": one.prompt, "answer": answer}
        for one, answer in ((by_name[name], answer) for name, answer in said.items())
    ]


SAID = {
    ("zebrafish", "dog"): "yes",  # as the verdict
    ("zebrafish", "cat"): "no",  # the verdict alone says consistent
    ("zebrafish", "house"): "unsure",
    ("zebrafish", "boat"): "no",  # as the verdict
    ("zebrafish", "vase"): "yes",  # not applicable
    ("quokka", "dog"): "yes",  # as the verdict
    ("quokka", "cat"): "yes",  # the person alone
    ("quokka", "boat"): "no",  # not judged by the machine; quokka's house failed
}
