"""A person's judgement: a blind sheet for the browser, its answers, and how the verdicts agree with them."""

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sdtool import __version__
from sdtool.errors import InputError
from sdtool.evaluating.pages import fill
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    SYMMETRIC,
    Evaluated,
    Rate,
)
from sdtool.evaluating.statistics import cohen_kappa
from sdtool.io import files

ANSWERS = ("yes", "no", "unsure")
PNG = b"\x89PNG\r\n\x1a\n"
# The chunks of a PNG that its looks need; the others may tell where it came from.
SEEN = {b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"IDAT", b"IEND"}

# The sheet


def write_sheet(out: Path, assets: list[Evaluated], *, seed: int) -> Path:
    """Write `out`/human.html, which asks of each asset if it is consistent; return its path.

    The assets are shuffled by `seed` ≥ 0 (PCG64), and their pictures copied to `out`/human under the
    numbers of that order, without text. Failed ones have no picture: the page only counts them, as
    "no". InputError if a picture cannot be read.
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
    for asset in (one for one in shuffled if one.verdict != FAILED):
        png = _without_text(out / asset.picture)
        name = f"{len(shown) + 1:04d}.png"
        with files.atomic_path(folder / name) as temporary:
            temporary.write_bytes(png)
        about = {"path": asset.path, "method": asset.method, "prompt": asset.prompt}
        counts = asset.verdict != SYMMETRIC
        shown.append({**about, "picture": f"human/{quote(name)}", "counts": counts})
        digest.update(json.dumps([*about.values(), counts]).encode() + hashlib.sha256(png).digest())
    failed = Counter(asset.method for asset in assets if asset.verdict == FAILED)
    methods = [[name, failed[name]] for name in _methods(assets)]
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


def _methods(assets: list[Evaluated]) -> list[str]:
    """The methods that have an asset which counts for a person's rate."""
    return list(dict.fromkeys(asset.method for asset in assets if asset.verdict != SYMMETRIC))


def _without_text(path: Path) -> bytes:
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
    raise InputError(f"{path} is not a whole PNG; evaluate again to write its picture")


# The answers


def read_answers(path: Path) -> list[dict[str, str]]:
    """The answers that a sheet let download: path, method, prompt, and answer, one of `ANSWERS`.

    InputError if the file is something else, or answers for one asset twice.
    """
    cure = "give the file that the sheet's “Download the answers” wrote"
    try:
        found = files.read_json(path)
    except InputError as error:
        raise InputError(f"{error}; {cure}") from None
    listed = found.get("answers") if isinstance(found, dict) else None
    if not isinstance(listed, list) or not {"sdtool", "sheet"} <= set(found):
        raise InputError(f"{path} does not hold a sheet's answers; {cure}")
    seen = set()
    for number, one in enumerate(listed, start=1):
        if not isinstance(one, dict) or not all(
            isinstance(one.get(key), str) for key in ("path", "method", "prompt", "answer")
        ):
            raise InputError(
                f"{path}, answer {number} lacks path, method, prompt or answer; {cure}"
            )
        if one["answer"] not in ANSWERS:
            raise InputError(
                f"{path}, answer {number} is {one['answer']!r}, not yes, no or unsure; {cure}"
            )
        if _key(one) in seen:
            raise InputError(f"{path} answers twice for {one['path']}; {cure}")
        seen.add(_key(one))
    return listed


@dataclass(frozen=True)
class Agreement:
    """What a person said of the assets, and how the automatic verdicts compare.

    rates: the share of "yes" for each method, as the sheet shows it: failed assets count as "no";
    what is not applicable, not answered or answered "unsure" does not count. symmetric: the same of
    those that are not applicable, of all methods. The four counts and `kappa` are of the assets that
    were judged by both (consistent or inconsistent; yes or no). only_automatic: consistent by the
    verdict alone; only_person: by the person alone.
    """

    rates: dict[str, Rate]
    symmetric: Rate
    both_yes: int
    only_automatic: int
    only_person: int
    both_no: int
    unsure: int = 0
    unanswered: int = 0

    @property
    def agreed(self) -> Rate:
        """How often both say the same."""
        apart = self.only_automatic + self.only_person
        return Rate(self.both_yes + self.both_no, self.both_yes + self.both_no + apart)

    @property
    def kappa(self) -> float:
        """Cohen's, of the verdict and the person."""
        return cohen_kappa([[self.both_yes, self.only_automatic], [self.only_person, self.both_no]])


def agreement(assets: list[Evaluated], answers: list[dict[str, Any]]) -> Agreement:
    """Compare a person's answers (`read_answers`) with the verdicts.

    InputError if an answer is of an asset that is not among `assets`, or of one that failed.
    """
    said = {_key(one): one["answer"] for one in answers}
    shown = {(a.path, a.method): a for a in assets if a.verdict != FAILED}
    if foreign := sorted(set(said) - set(shown)):
        path, method = foreign[0]
        raise InputError(
            f"the answers are of other assets: {path} ({method}) has nothing to show here; "
            "evaluate the folders that the sheet was made from, or make and answer a new sheet"
        )
    heard: dict[str, list[bool]] = {method: [] for method in _methods(assets)}
    for asset in assets:
        if asset.verdict == FAILED:
            heard[asset.method].append(False)
    symmetric: list[bool] = []
    both: Counter[tuple[bool, bool]] = Counter()
    for key, asset in shown.items():
        if said.get(key) not in ("yes", "no"):
            continue
        yes = said[key] == "yes"
        if asset.verdict == SYMMETRIC:
            symmetric.append(yes)
        else:
            heard[asset.method].append(yes)
            if asset.verdict in (CONSISTENT, INCONSISTENT):
                both[asset.verdict == CONSISTENT, yes] += 1
    return Agreement(
        rates={method: Rate(sum(kept), len(kept)) for method, kept in heard.items()},
        symmetric=Rate(sum(symmetric), len(symmetric)),
        both_yes=both[True, True],
        only_automatic=both[True, False],
        only_person=both[False, True],
        both_no=both[False, False],
        unsure=list(said.values()).count("unsure"),
        unanswered=len(shown) - len(said),
    )


def _key(answer: dict[str, Any]) -> tuple[str, str]:
    return answer["path"], answer["method"]
