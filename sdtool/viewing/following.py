"""A page that shows a lift while it runs: the newest picture, both priors' losses, the time left.

It reads what the lift writes (`log.jsonl`, `previews/`, the stage record), so it may follow a lift of another
process, or of another machine that shares the disk. It is offered to this machine only, and serves nothing
but the page, the lift's state and its newest picture.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sdtool.errors import InputError
from sdtool.io.files import read_json, read_jsonl
from sdtool.io.lock import is_held
from sdtool.io.pages import fill_page, shipped
from sdtool.io.stage_record import DONE, LOG, PARTIAL
from sdtool.lifting.folders import CANDIDATES
from sdtool.viewing.serving import Answer, address, server

HERE = "sdtool.viewing"
POINTS = 400
"""Of a curve, at most; of more steps every second one is left out, and so on."""
LOSSES = ("align", "ori", "color")
LINGER = 5.0
"""Seconds for which the page may still ask for the end."""


def state(run: Path) -> dict[str, Any]:
    """What is known of the lift in a directory, as plain data.

    status: "waiting", "choosing" (among the candidates of --best-of), "running", "stopped" or "done". phases:
    of each its name, steps, steps done, and losses: name → [[step, value], …]; while it is choosing, of that
    candidate that was at work last. left: seconds, or None while they cannot be told. picture: the name
    of the newest one, "" for none. candidate: which that is, in words, while it is choosing, else "".
    """
    done, record = (run / DONE).is_file(), _record(run)
    candidate = None if done else _candidate(run)
    lines = [
        line for line in _log((candidate or run) / LOG) if "step" in line and "seconds" in line
    ]
    phases, seconds, left = [], [], 0.0
    for phase in record.get("settings", {}).get("phases", []):
        own = [line for line in lines if line.get("phase") == phase["name"]]
        took = [line["seconds"] for line in own[-20:]]
        seconds += took
        left += (phase["steps"] - len(own)) * (_mean(took) or _mean(seconds) or 0.0)
        curves = {name: _curve(own, name) for name in LOSSES}
        curves = {name: curve for name, curve in curves.items() if curve}
        phases.append(
            {**{key: phase[key] for key in ("name", "steps")}, "done": len(own), "losses": curves}
        )
    newest = newest_picture(run)
    running = "choosing" if candidate else "running" if lines else "waiting"
    said, name = "", newest.name if newest else ""
    if candidate:
        said = (
            f"{candidate.name.replace('-', ' ')}, one of {record.get('best_of', 'some')} candidates"
        )
        name = name and f"{candidate.name}-{name}"
    return {
        "prompt": record.get("prompt", ""),
        "status": "done" if done else running if is_held(run) or not record else "stopped",
        "phases": phases,
        "left": 0.0 if done else (round(left, 1) if seconds and not candidate else None),
        "picture": name,
        "candidate": said,
    }


def _candidate(run: Path) -> Path | None:
    """The folder of that candidate of --best-of that was at work last; None where none has to be chosen."""
    log = _newest(run.glob(f"{CANDIDATES}/seed-*/{LOG}"))
    return log.parent if log else None


def _newest(paths: Iterable[Path]) -> Path | None:
    """The file that was written last; what vanishes meanwhile, as the lift clears away, is passed over."""
    written: dict[Path, int] = {}
    for path in paths:
        with suppress(OSError):
            written[path] = path.stat().st_mtime_ns
    return max(written, key=lambda path: written[path], default=None)


def _log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, up to one that is not whole: it is written just now, or the disk was full."""
    lines = []
    with suppress(InputError):
        for line in read_jsonl(path):
            lines.append(line)
    return lines


def _record(run: Path) -> dict[str, Any]:
    """The parameters of the lift in a directory; empty before it has begun. InputError if it is no lift."""
    for name in (DONE, PARTIAL):
        if (run / name).is_file():
            found = read_json(run / name)
            if not isinstance(found, dict) or found.get("stage") != "lift" or "params" not in found:
                raise InputError(f"{run} is not the directory of a lift; name one")
            return found["params"]
    return {}


def newest_picture(run: Path) -> Path | None:
    """The eight sides of a finished lift, else its latest preview; None if there is none yet."""
    if (run / DONE).is_file() and (run / "views.png").is_file():
        return run / "views.png"
    folder = _candidate(run) or run
    return _newest((folder / "previews").glob("[!.]*.png"))  # a name with a dot is half written


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _curve(lines: list[dict[str, Any]], name: str) -> list[list[float]]:
    curve = [[line["step"], line[name]] for line in lines if name in line]
    while len(curve) > POINTS:
        curve = curve[1::2]
    return curve


@contextmanager
def following(run: Path, port: int = 0) -> Iterator[str]:
    """Serve the page of a lift's directory, which may not exist yet, while this lasts; its address.

    After that the page may ask for the end once more, for at most `LINGER` seconds.
    """
    page = fill_page(
        shipped(HERE, "follow.html"),
        style=shipped(HERE, "follow.css"),
        scripts={"follower": shipped(HERE, "follow.js")},
        sources={"img-src": "'self'", "connect-src": "'self'"},
        title=run.name,
    ).encode()
    told, asked = threading.Event(), threading.Event()

    def answer(path: str) -> Answer:
        if path == "/":
            return "text/html; charset=utf-8", page
        if path == "/state":
            asked.set()
            found = state(run)
            if found["status"] in ("done", "stopped"):
                told.set()
            return "application/json", json.dumps(found).encode()
        if path == "/picture" and (newest := newest_picture(run)):
            with suppress(OSError):  # it has just been cleared away
                return "image/png", newest.read_bytes()
        return None

    with server(answer, port) as offered:
        threading.Thread(target=offered.serve_forever, daemon=True).start()
        try:
            yield address(offered)
            if asked.is_set():
                told.clear()
                told.wait(LINGER)
                time.sleep(0.5)  # for the last picture
        finally:
            offered.shutdown()


def wait_for_the_end(run: Path, every: float = 1.0) -> str:
    """Wait until the lift in `run` is done or nobody is at work in it; its last status."""
    while (found := state(run)["status"]) in ("waiting", "running"):
        time.sleep(every)
    return found
