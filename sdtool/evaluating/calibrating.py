"""Objects by which the measures are calibrated: toys of each kind, compositions of no kind, and real
assets, all sound and with each flaw.

`python -m sdtool.evaluating.calibrating --out sdtool/tiny/judge --assets FOLDER` writes the bundled
calibration. Toys and compositions draw the lines, each judged by those that others drew; real assets only
show how well the lines hold.
"""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sdtool.errors import InputError, ObjectError
from sdtool.evaluating import thresholds
from sdtool.evaluating.compositions import compose
from sdtool.evaluating.measuring import JUDGE, Eyes, Measured, measure
from sdtool.evaluating.modules import one_sentence
from sdtool.evaluating.samples import HELD_OUT, read_assets, sample, spoiled_somehow
from sdtool.evaluating.variation import varied
from sdtool.evaluating.viewnet import load_judge
from sdtool.geometry.meshes import Mesh
from sdtool.runtime.engine import map_items
from sdtool.runtime.progress import progress
from sdtool.toyverse import janus, surgery
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.words import article

KNOWN, UNKNOWN, COMPOSED = "toys", "toys of held-out kinds", "compositions"
SPOILED = 2  # copies of each real asset with a flaw


@dataclass(frozen=True)
class Job:
    """What is to be made and measured. mesh: a real asset; None of a toy or, without a category, of a
    composition."""

    source: str
    category: str
    flaw: str
    mesh: Mesh | None = None


def measured(job: tuple[int, Job], seed: int, eyes: Eyes) -> Measured:
    """Make and measure job number `job[0]`. ObjectError if what is drawn cannot have that flaw."""
    number, wanted = job
    for attempt in range(20):
        mesh = _made(np.random.default_rng([seed, number, attempt]), wanted)
        if mesh is not None:
            prompt = article(wanted.category) if wanted.category else ""
            return measure(mesh, "", eyes, prompt=prompt)
        if wanted.mesh is not None:
            break  # it was tried often enough
    raise ObjectError("no-such-flaw", f"{wanted.category or 'this'} cannot have {wanted.flaw}")


def _made(rng: np.random.Generator, wanted: Job) -> Mesh | None:
    if wanted.mesh is not None:
        return spoiled_somehow(rng, wanted.mesh, wanted.flaw) if wanted.flaw else wanted.mesh
    if wanted.category:
        found = sample(rng, wanted.category, wanted.flaw)
        return None if found is None else found.mesh
    mesh, front = compose(rng)
    if wanted.flaw:
        spoiled = spoiled_somehow(rng, mesh, wanted.flaw) if front else None
        if spoiled is None:
            return None
        mesh = spoiled
    return varied(rng, mesh, 0.5)


def jobs_for(count: int, assets: dict[str, list[Mesh]], seed: int) -> list[Job]:
    """All that is to be measured: see `calibrate`."""
    each, others = max(1, count // 4), max(2, count // 2)
    jobs = []
    for name in CATEGORIES:
        source = UNKNOWN if name in HELD_OUT else KNOWN
        kinds = janus.kinds_for(name)
        jobs += [Job(source, name, "")] * (count if kinds else others)
        jobs += [Job(source, name, flaw) for flaw in kinds for _ in range(each)]
    for flaw in surgery.CUTS:
        jobs += [Job(COMPOSED, "", ""), Job(COMPOSED, "", flaw)] * count
    rng = np.random.default_rng([seed, 3])
    for source, meshes in assets.items():
        jobs += [Job(source, "", "", mesh) for mesh in meshes]
        jobs += [
            Job(source, "", str(flaw), mesh)
            for mesh in meshes
            for flaw in rng.permutation(list(surgery.CUTS))[:SPOILED]
        ]
    return jobs


def calibrate(
    eyes: Eyes,
    count: int = 16,
    seed: int = 1,
    workers: int = 1,
    command: str = "",
    assets: dict[str, list[Mesh]] | None = None,
) -> thresholds.Thresholds:
    """Draw lines on freshly made objects, and measure how well they hold.

    count: good toys of each kind that can have a flaw; of other kinds half of that (at least 2), of each
    kind with each of its flaws a quarter (at least 1); four times as many compositions, and as many
    spoiled ones. assets: source → real ones, sound, each judged as it stands and spoiled twice; no line
    is drawn on them.
    """
    numbered = list(enumerate(jobs_for(count, assets or {}, seed)))
    work = partial(measured, seed=seed, eyes=eyes)
    found: list[thresholds.Case] = []
    with progress("calibrating", len(numbered), "objects") as bar:
        for (number, job), outcome in map_items(work, numbered, workers=workers):
            bar.advance(failed=isinstance(outcome, ObjectError))
            if not isinstance(outcome, ObjectError):
                draws = job.mesh is None
                found.append(thresholds.Case(number, job.source, job.flaw, outcome, draws))
    return thresholds.draw(sorted(found, key=lambda one: one.number), command)


def asset_sources(folders: list[Path], learnt: list[str]) -> dict[str, list[Mesh]]:
    """The real assets of folders, by the folder's name; `learnt`: those that the judge has learnt from."""
    return {
        f"real assets: {folder.name}" + " (learnt from)" * (folder.name in learnt): read_assets(
            folder
        )
        for folder in folders
    }


def options(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=JUDGE, help="Folder of a judge, which gets the lines."
    )
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--assets", type=Path, nargs="*", default=[], help="Folders of real, sound assets."
    )
    return parser.parse_args(given)


def run(asked: argparse.Namespace) -> None:
    """Draw the lines of the judge in `--out`."""
    command = f"python -m sdtool.evaluating.calibrating --count {asked.count} --seed {asked.seed}"
    command += f" --assets {' '.join(folder.name for folder in asked.assets)}" * bool(asked.assets)
    try:
        learnt = load_judge(asked.out)[1].get("assets", [])
    except InputError as error:
        said = f"{error}; --out must be the folder of a judge: copy the bundled one, {JUDGE}"
        raise InputError(f"{said}, or train one with judge_training") from None
    sources = asset_sources(asked.assets, learnt)
    made = calibrate(Eyes(asked.out), asked.count, asked.seed, asked.workers, command, sources)
    thresholds.save(made, asked.out)
    say(made)


def main(given: list[str] | None = None) -> None:
    asked = options(given)
    with one_sentence("calibrating"):
        run(asked)


def say(made: thresholds.Thresholds) -> None:
    """Print the lines and the rates."""
    for one in made.calibration.measures:
        kept = "kept" if one.kept else "thrown out"
        print(f"{one.measure}, line at {one.threshold:.4f}, {kept}")
        print(f"    caught {one.caught}, blamed {one.blamed}")
        print("   ", {kind: str(rate) for kind, rate in one.by_kind.items()})
    print("together: caught", made.calibration.caught, "blamed", made.calibration.blamed)
    for name, rates in made.calibration.sources.items():
        print(f"{name}: caught {rates.caught}, blamed {rates.blamed}")
        print(f"    not told: sound {rates.untold_sound}, spoiled {rates.untold_spoiled}")
        print("   ", {kind: str(rate) for kind, rate in rates.by_kind.items() if rate.of})


if __name__ == "__main__":
    main()
