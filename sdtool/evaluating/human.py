"""A person's judgement: a blind sheet for the browser. `answers` reads what it lets download."""

import base64
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sdtool import __version__
from sdtool.errors import InputError
from sdtool.evaluating.pages import fill
from sdtool.evaluating.results import (
    FAILED,
    SYMMETRIC,
    UNSEEN,
    UNSHOWN,
    Evaluated,
)
from sdtool.io import files
from sdtool.io.images import PNG

# The chunks of a PNG that its looks need; the others may tell where it came from.
SEEN = {b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"IDAT", b"IEND"}


def write_sheet(out: Path, assets: list[Evaluated], *, seed: int) -> Path:
    """Write `out`/human.html, which asks of each asset if it is consistent; return its path.

    The assets are shuffled by `seed` ≥ 0 (PCG64), and their pictures copied to `out`/human under the
    numbers of that order, without text. Failed ones have no picture: the page only counts them, as
    "no"; of what was not looked at it says nothing. Each answer will hold its picture's digest. InputError
    if a picture cannot be read.
    """
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(assets))
    shuffled = [assets[place] for place in order]
    folder = out / "human"
    for old in folder.glob("*.png"):  # of an earlier sheet
        if re.fullmatch(r"\d{4,}\.png", old.name):
            old.unlink()
    shown: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    for asset in (one for one in shuffled if one.verdict not in UNSHOWN):
        png = without_text(out / asset.picture)
        name = f"{len(shown) + 1:04d}.png"
        with files.atomic_path(folder / name) as temporary:
            temporary.write_bytes(png)
        about = {"path": asset.path, "method": asset.method, "prompt": asset.prompt}
        counts = asset.verdict != SYMMETRIC
        seen = {"picture": f"human/{quote(name)}", "digest": picture_digest(png)}
        shown.append({**about, **seen, "counts": counts})
        digest.update(json.dumps([*about.values(), counts]).encode() + hashlib.sha256(png).digest())
    failed = Counter(asset.method for asset in assets if asset.verdict == FAILED)
    methods = [[name, failed[name]] for name in counted_methods(assets)]
    digest.update(json.dumps(methods).encode())
    key = {
        "sdtool": __version__,
        "digest": digest.hexdigest()[:16],
        "methods": methods,
        "shown": shown,
    }
    encoded = base64.b64encode(json.dumps(key, ensure_ascii=True).encode()).decode()
    files.write_text(out / "human.html", fill("human", key=encoded))
    return out / "human.html"


def counted_methods(assets: list[Evaluated]) -> list[str]:
    """The methods that have an asset which counts for a person's rate."""
    uncounted = (SYMMETRIC, UNSEEN)
    return list(dict.fromkeys(one.method for one in assets if one.verdict not in uncounted))


def picture_digest(png: bytes) -> str:
    """By what an answer knows its picture again."""
    return hashlib.sha256(png).hexdigest()[:16]


def without_text(path: Path) -> bytes:
    """The bytes of a PNG without the chunks that its looks do not need (the format's 5.3: each is
    length, type, data and checksum)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); evaluate again to write its picture"
        ) from None
    kept, start = [PNG], len(PNG)
    while data.startswith(PNG) and start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if data[start + 4 : start + 8] in SEEN:
            kept.append(data[start:end])
        if data[start + 4 : start + 8] == b"IEND" and end <= len(data):
            return b"".join(kept)
        start = end
    raise InputError(
        f"{path} is not a whole PNG; remove it and evaluate again, which writes it anew"
    )
