"""Where the time of a lift goes."""

import json
import subprocess
import sys
from pathlib import Path

from rich.table import Table

PROMPT = "a corgi"


def lifting(folder: Path, options: list[str]) -> Table:
    """A lift with the preset `preview`, and where its time went."""
    command = [sys.executable, "-m", "sdtool.cli", "lift", PROMPT, "--preset", "preview"]
    command += ["--out", str(folder / "lift"), "--json", *options]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if said.returncode:
        raise SystemExit(said.returncode)  # it has said why
    result = json.loads(said.stdout)
    seconds, steps = result["seconds"], result["counts"]["steps"]
    total = seconds["total"]
    rows = {
        "prior": seconds["priors"],
        "renderer, forward": seconds["render"],
        "renderer, backward and optimiser": seconds["backward"],
    }
    rows["loading, pictures, checkpoints"] = total - sum(rows.values())
    chosen = " ".join(["--preset preview", *options])
    title = f'Lifting "{PROMPT}" in {steps} steps ({chosen})'
    table = Table("part", title=title, title_justify="left")
    for heading in ("seconds", "ms a step", "share of the whole"):
        table.add_column(heading, justify="right")
    for name, spent in [*rows.items(), ("the whole", total)]:
        table.add_row(name, f"{spent:.1f}", f"{1000 * spent / steps:.0f}", f"{spent / total:.0%}")
    return table
