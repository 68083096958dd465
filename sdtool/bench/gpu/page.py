"""The two files of a run: gpu-check.json, and gpu-check.md, a page of tables."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sdtool.bench.gpu.figures import Figure, short
from sdtool.bench.gpu.running import Outcome
from sdtool.io.files import write_json, write_text

JSON, PAGE, LOG = "gpu-check.json", "gpu-check.md", "gpu-check.log"


def write_results(folder: Path, machine: dict[str, Any], outcomes: list[Outcome]) -> None:
    """Write both files of what is known so far."""
    record = {
        **machine,
        "sound": all(outcome.is_sound for outcome in outcomes),
        "checks": [
            {
                "name": outcome.check.name,
                "state": outcome.state,
                "seconds": round(outcome.seconds, 1),
                "error": outcome.error,
                "figures": [asdict(figure) for figure in outcome.figures],
            }
            for outcome in outcomes
        ],
    }
    write_json(folder / JSON, record)
    write_text(folder / PAGE, page(machine, outcomes))


def page(machine: dict[str, Any], outcomes: list[Outcome]) -> str:
    """The Markdown page."""
    parts = [f"# GPU check: {machine['name']}", _about(machine), _summary(outcomes)]
    parts += [_section(outcome) for outcome in outcomes]
    return "\n\n".join(parts) + "\n"


def _about(machine: dict[str, Any]) -> str:
    said = {
        "device": machine["device"],
        "memory": f"{machine['memory'] / 2**30:.0f} GB" if machine.get("memory") else None,
        "compute capability": machine.get("capability"),
        "driver": machine.get("driver"),
        "CUDA of torch": machine.get("torch_cuda"),
        "sdtool": machine.get("sdtool"),
        "Python": machine.get("python"),
        **machine.get("versions", {}),
    }
    line = ", ".join(f"{name} {value}" for name, value in said.items() if value)
    if machine.get("small"):
        line += (
            ".\n\n**At reduced size: speeds and memory are no measure of anything, and goals are "
            "not judged.**"
        )
    return line


def _summary(outcomes: list[Outcome]) -> str:
    """What became of it all, in a sentence and in a table."""
    unsound = [outcome.check.title for outcome in outcomes if not outcome.is_sound]
    figures = [figure for outcome in outcomes for figure in outcome.figures]
    goals = [figure.verdict for figure in figures if figure.verdict in ("reached", "missed")]
    said = "Everything is as it must be." if not unsound else f"Not in order: {'; '.join(unsound)}."
    if goals:
        said += f" {goals.count('reached')} of {len(goals)} goals are reached."
    lines = [said, "", "| check | outcome | seconds |", "|---|---|---:|"]
    for outcome in outcomes:
        lines.append(f"| {outcome.check.title} | {_state(outcome)} | {outcome.seconds:.0f} |")
    return "\n".join(lines)


def _state(outcome: Outcome) -> str:
    """A state in words, with what it says about goals."""
    missed = sum(figure.verdict == "missed" for figure in outcome.figures)
    said = f"**{outcome.state}**" if outcome.state in ("failed", "not run") else outcome.state
    if outcome.error:
        said += f": {_cell(outcome.error)}"
    if missed:
        said += f", {missed} goal{'s' * (missed > 1)} missed"
    return said


def _section(outcome: Outcome) -> str:
    """A check's own heading, what it is about, and its figures."""
    parts = [f"## {outcome.check.title}", outcome.check.about]
    if outcome.error:
        parts.append(f"{outcome.state.capitalize()}: {outcome.error}.")
    if outcome.figures:
        lines = ["| figure | value | wanted | verdict |", "|---|---:|---:|---|"]
        parts.append("\n".join([*lines, *map(_row, outcome.figures)]))
    return "\n\n".join(parts)


def _row(figure: Figure) -> str:
    value = f"{short(figure.value)} {figure.unit}".strip()
    marked = figure.verdict in ("wrong", "missed")
    verdict = f"**{figure.verdict}**" if marked else figure.verdict
    return f"| {_cell(figure.name)} | {_cell(value)} | {_cell(figure.wanted)} | {verdict} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
