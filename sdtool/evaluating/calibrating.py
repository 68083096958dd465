"""Toys by which the measures are calibrated: of each kind, sound and with each flaw.

`python -m sdtool.evaluating.calibrating --out sdtool/tiny/judge` writes the bundled calibration.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError
from sdtool.evaluating import thresholds
from sdtool.evaluating.measuring import JUDGE, Eyes, Measured, measure
from sdtool.evaluating.samples import sample
from sdtool.runtime.engine import map_items
from sdtool.runtime.progress import progress
from sdtool.toyverse import janus
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.words import article


def toy(job: tuple[int, str, str], seed: int, eyes: Eyes) -> Measured:
    """Measure toy number `job[0]` of a category with a flaw ("" for none). ObjectError if the toy drawn
    has no part for it."""
    number, category, flaw = job
    for attempt in range(20):
        found = sample(np.random.default_rng([seed, number, attempt]), category, flaw)
        if found is not None:
            return measure(found.mesh, category, eyes, prompt=article(category))
    raise ObjectError("no-such-flaw", f"a {category} cannot have the flaw {flaw}")


def calibrate(
    eyes: Eyes, count: int = 16, seed: int = 1, workers: int = 1, command: str = ""
) -> thresholds.Thresholds:
    """Draw lines on freshly made toys, and measure how well they hold.

    count: good toys of each kind that can have a flaw; of other kinds half of that (at least 4), of each
    kind with each of its flaws a quarter (at least 2).
    """
    each, others = max(2, count // 4), max(4, count // 2)
    jobs = [("", n) for n in CATEGORIES for _ in range(count if janus.kinds_for(n) else others)]
    jobs += [(flaw, n) for n in CATEGORIES for flaw in janus.kinds_for(n) for _ in range(each)]
    numbered = [(k, category, flaw) for k, (flaw, category) in enumerate(jobs)]
    work = partial(toy, seed=seed, eyes=eyes)
    found: list[tuple[int, str, Measured]] = []
    with progress("calibrating on toys", len(numbered), "toys") as bar:
        for (number, _, flaw), outcome in map_items(work, numbered, workers=workers):
            bar.advance(failed=isinstance(outcome, ObjectError))
            if not isinstance(outcome, ObjectError):
                found.append((number, flaw, outcome))
    return thresholds.draw(sorted(found, key=lambda one: one[0]), command)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=JUDGE)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    command = f"python -m sdtool.evaluating.calibrating --count {asked.count} --seed {asked.seed}"
    made = calibrate(Eyes(asked.out), asked.count, asked.seed, asked.workers, command)
    thresholds.save(made, asked.out)
    for one in made.calibration.measures:
        kept = "kept" if one.kept else "thrown out"
        print(f"{one.measure}, line at {one.threshold:.4f}, {kept}")
        print(f"    caught {one.caught}, blamed {one.blamed}")
        print("   ", {kind: str(rate) for kind, rate in one.by_kind.items()})
    print("together: caught", made.calibration.caught, "blamed", made.calibration.blamed)
    print("   ", {kind: str(rate) for kind, rate in made.calibration.by_kind.items()})


if __name__ == "__main__":
    main()
