"""Find out what works on this machine, what is missing, and how to get it.

It prints versions, devices, caches and free space, and really tries each part: a triangle through the
rasteriser, a point of the hash grid, one step of the bundled priors' UNets, a mesh written and read,
a Ray worker, and so on. What is missing names the command that installs it.

The exit code is 1 if a part does not work that every sdtool needs, or one that you name as FEATURE.
Then only these two kinds are tried. Something missing that you did not name is no failure. On a new
machine the first run takes longer: it compiles.

Features that sdtool can do without: `gpu`, `nvdiffrast`, `tinycudann`, `warp`, `ray`, `init`, `open3d`,
`print`, `usdz`, `draco`, `meshopt`, `tables`, `objaverse`, `tensorboard`, `lora`, `wandb`, `trackio`,
`stable-diffusion`, `captioner`.

Nothing is written outside caches and the temporary folder, and no server is asked.

Examples:

    sdtool doctor

    sdtool doctor gpu nvdiffrast     # before a long run on a GPU machine

    sdtool doctor ray draco && srun --ntasks 64 sdtool render-ccm filtered --out ccm

    sdtool doctor --json > machine.json
"""

from typing import Annotated, Any

import typer

from sdtool.errors import UsageError
from sdtool.io.stage_record import Report


def _features() -> list[str]:
    from sdtool.doctor.optional import OPTIONAL

    return [check.name for check in OPTIONAL]


def doctor(
    features: Annotated[
        list[str] | None,
        typer.Argument(
            help="Parts that must work, by their names in the report.",
            metavar="FEATURE…",
            autocompletion=_features,
        ),
    ] = None,
) -> Report:
    from dataclasses import asdict

    from sdtool.doctor.check import attempt
    from sdtool.doctor.core import CORE
    from sdtool.doctor.machine import devices, surroundings, versions
    from sdtool.doctor.optional import OPTIONAL
    from sdtool.runtime.progress import progress

    asked = list(dict.fromkeys(features or []))
    known = [check.name for check in (*CORE, *OPTIONAL)]
    if unknown := [name for name in asked if name not in known]:
        said = f"there is no feature {unknown[0]}; choose from {', '.join(known)}"
        raise UsageError(said, "FEATURES")
    chosen = (*CORE, *(check for check in OPTIONAL if not asked or check.name in asked))
    findings = []
    with progress("trying", len(chosen), "parts") as bar:
        for check in chosen:
            findings.append(attempt(check))
            bar.advance(note=check.name)
    bad = [f for f in findings if f.state != "ok" and (f.core or f.name in asked)]
    facts: dict[str, Any] = {"versions": versions(), "devices": devices()}
    facts |= {"surroundings": surroundings(), "checks": [asdict(f) for f in findings]}

    def show() -> None:
        from sdtool.doctor.report import show_report

        show_report(facts)

    return Report(facts, show, "; ".join(finding.sentence() for finding in bad))
