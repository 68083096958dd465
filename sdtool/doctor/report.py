"""The report of `sdtool doctor` for people, on stdout."""

import sys
from pathlib import Path
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

STYLES = {"ok": "green", "missing": "yellow", "failed": "bold red"}


def show_report(facts: dict[str, Any]) -> None:
    """Print what `sdtool.stages.doctor` found; facts: as its --json has them."""
    console = Console(file=sys.stdout, highlight=False)
    _title(console, "versions")
    have = [f"{name} {number}" for name, number in facts["versions"].items() if number]
    console.print(Columns([Text(line) for line in have], padding=(0, 3)))
    _title(console, "devices")
    console.print(_pairs((one["device"], _device(one)) for one in facts["devices"]))
    _title(console, "parts, each tried")
    console.print(_checks(facts["checks"]))
    cures = [(one["name"], one["cure"]) for one in facts["checks"] if one["cure"]]
    if cures:
        _title(console, "how to get what is missing")
    for name, cure in cures:  # soft: a long command stays one line, to be copied
        console.print(Text(f"{name}: ").append(cure, style="cyan"), soft_wrap=True)
    _title(console, "surroundings")
    console.print(_pairs(_surroundings(facts["surroundings"])))


def size(count: int | None) -> str:
    """Bytes for people: 1.4 GB, with powers of 1000."""
    if count is None:
        return "unknown"
    number, unit = float(count), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.1f} {unit}" if unit != "bytes" else f"{count} bytes"


def _title(console: Console, words: str) -> None:
    console.print(Text(f"\n{words}", style="bold"))


def _pairs(rows) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows:
        table.add_row(Text(key), Text(value))
    return table


def _checks(findings: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name in ("feature", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("what was done, or why not", overflow="fold")
    for one in findings:
        state = Text(one["state"], style=STYLES[one["state"]])
        table.add_row(Text(one["name"]), state, f"{one['seconds']:.2f}", Text(one["detail"]))
    return table


def _device(one: dict[str, Any]) -> str:
    words = [one["name"]] if "name" in one else []
    if "cores" in one:
        words.append(f"{one['cores']} core{'s' * (one['cores'] != 1)}")
    if "capability" in one:
        words.append(f"compute capability {one['capability']}")
    if one.get("total"):
        words.append(f"{size(one['free'])} of {size(one['total'])} memory free")
    return ", ".join(words)


def _surroundings(facts: dict[str, Any]) -> list[tuple[str, str]]:
    offline = [f"{name} is {'on' if on else 'off'}" for name, on in facts["offline"].items()]
    rows = [
        ("system", facts["system"]),
        ("disk here", f"{size(facts['disk_free'])} of {size(facts['disk_total'])} free"),
        ("offline", ", ".join(offline)),
        ("hub cache", _cache(facts["hub_cache"])),
        ("numba cache", _cache(facts["numba_cache"])),
    ]
    if facts["open_files"] is not None:
        rows.append(("open files", f"at most {facts['open_files']}"))
    if facts["omp_num_threads"]:
        rows.append(("threads", f"OMP_NUM_THREADS is {facts['omp_num_threads']}"))
    return rows


def _cache(cache: dict[str, Any] | None) -> str:
    if cache is None:
        return "unknown"
    path = Path(cache["path"])
    try:
        short = f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):  # not below the home directory, or there is none
        short = str(path)
    return f"{size(cache['bytes'])} in {short}"
