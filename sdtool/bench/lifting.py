"""Where the time of a lift goes, and how it compares with the recipe of version e78a945."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Group
from rich.table import Table

from sdtool.bench import reference
from sdtool.errors import SdtoolError
from sdtool.io import files

PROMPT = "a corgi"
OLD, NEW = "reference", "tiny-cpu"
PARTS = {
    "prior": "priors",
    "renderer, forward": "render",
    "renderer, backward and optimiser": "backward",
}


class Lifted(NamedTuple):
    """What one lift took. spent: seconds by part, "the whole" last. steps: of all phases. first: seconds from
    the command to the first picture on the disk. wall: to its end. cpu: seconds of all its processes."""

    spent: dict[str, float]
    steps: int
    first: float
    wall: float
    cpu: float


def lifting(folder: Path, options: list[str]) -> Group:
    """Lifts with the older recipe and with the preset `tiny-cpu`, one after the other, and what each took.

    options: `--rep` and `--preset` choose one of them; the others go to `sdtool lift` as they are.
    """
    parser = argparse.ArgumentParser("python -m sdtool.bench lifting", allow_abbrev=False)
    parser.add_argument("--rep", choices=("dmtet", "nerf"), help="this representation only")
    parser.add_argument("--preset", help=f"this preset only; default: {OLD} and {NEW}")
    chosen, others = parser.parse_known_args(options)
    presets = [chosen.preset] if chosen.preset else [OLD, NEW]
    shown: list[Table] = []
    for rep in [chosen.rep] if chosen.rep else ["dmtet", "nerf"]:
        found = {
            preset: lifted(folder / rep / preset, [*recipe(folder, rep, preset), *others])
            for preset in presets
        }
        for preset, one in found.items():
            said = " ".join([f"--rep {rep} --preset {preset}", *others])
            shown.append(parts(one, f'Lifting "{PROMPT}" in {one.steps} steps ({said})'))
        if len(found) > 1:
            shown.append(compared(rep, found[OLD], found[NEW]))
    return Group(*shown)


def recipe(folder: Path, rep: str, preset: str) -> list[str]:
    """The options of a preset; of the older recipe, which is none, a file for `--config` in `folder`."""
    if preset != OLD:
        return ["--rep", rep, "--preset", preset]
    path = folder / f"{OLD}-{rep}.toml"
    files.write_text(path, reference.as_toml(rep))
    return ["--config", str(path)]


def lifted(out: Path, options: list[str]) -> Lifted:
    """Run `sdtool lift`, watching for its first picture."""
    command = [sys.executable, "-m", "sdtool.cli", "lift", PROMPT, "--out", str(out), "--json"]
    began, first = time.monotonic(), float("nan")
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    ended, status, used = 0, 0, None
    while not ended:
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if first != first and any(out.glob("previews/*.png")):
            first = time.monotonic() - began
        time.sleep(0.02)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert used is not None and process.stdout is not None
    said = process.stdout.read()
    process.stdout.close()
    if process.returncode:
        raise SdtoolError(f"sdtool lift ended with code {process.returncode}")
    result = json.loads(said)
    seconds, total = result["seconds"], result["seconds"]["total"]
    spent = {name: seconds[key] for name, key in PARTS.items()}
    spent["loading, pictures, checkpoints"] = total - sum(spent.values())
    cpu = used.ru_utime + used.ru_stime
    return Lifted(spent | {"the whole": total}, result["counts"]["steps"], first, wall, cpu)


def parts(one: Lifted, title: str) -> Table:
    """Where the time of a lift went."""
    table = Table("part", title=title, title_justify="left")
    for heading in ("seconds", "ms a step", "share of the whole"):
        table.add_column(heading, justify="right")
    total = one.spent["the whole"]
    for name, spent in one.spent.items():
        each = f"{1000 * spent / one.steps:.0f}"
        table.add_row(name, f"{spent:.1f}", each, f"{spent / total:.0%}")
    table.add_row("command to end, with imports", f"{one.wall:.1f}", "", "")
    table.add_row("command to first picture", f"{one.first:.1f}", "", "")
    table.add_row("all processes, on their cores", f"{one.cpu:.1f}", "", "")
    return table


def compared(rep: str, old: Lifted, new: Lifted) -> Table:
    """Seconds of two lifts, and how many times less the second took."""
    table = Table("part", title=f"--rep {rep}: {NEW} against {OLD}", title_justify="left")
    for heading in (OLD, NEW, "times less"):
        table.add_column(heading, justify="right")
    rows = {name: (old.spent[name], new.spent[name]) for name in old.spent}
    rows |= {
        "command to end, with imports": (old.wall, new.wall),
        "command to first picture": (old.first, new.first),
        "all processes, on their cores": (old.cpu, new.cpu),
    }
    for name, (before, now) in rows.items():
        ratio = f"{before / now:.2f}" if now > 0 else ""
        table.add_row(name, f"{before:.1f}", f"{now:.1f}", ratio)
    return table
