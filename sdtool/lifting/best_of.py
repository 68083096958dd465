"""`lift --best-of N`: N seeds begin, the worse half is dropped early, and only the best is finished.

Each candidate runs the first phase of the lift as `--seed` with its seed would, in a directory of its own
below `candidates/`. Halfway they are scored and the worse half ends; at the end of the phase the best of
the others is chosen. Its checkpoint becomes the lift's own, which then goes on with that seed: the result is
bit for bit what that seed alone would have given. `candidates.json` is written after every score, so that an
interrupted choice is continued.
"""

import math
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdtool.errors import SdtoolError
from sdtool.geometry.cameras import ViewRange, turntable
from sdtool.geometry.meshes import Mesh
from sdtool.io.files import read_json, write_json
from sdtool.io.images import draw_label, grid, map_to_rgb, write_png
from sdtool.lifting import loop, pictures
from sdtool.lifting.config import LiftPlan
from sdtool.lifting.folders import CANDIDATES
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.scenes import Scene
from sdtool.lifting.scoring import PRIORS, prior_errors, ranked
from sdtool.runtime.progress import progress

TABLE, SHEET = "candidates.json", "candidates.png"
OUTPUTS = (CANDIDATES, TABLE, SHEET)
"""Names in a lift's directory."""
HALFWAY = 0.5
"""Share of the first phase after which the worse half is dropped."""

FAILED = -1e9
"""The score of a candidate whose shape vanished, or is no number."""
LABEL = 15  # pixels

Judge = Callable[[Mesh], dict[str, float]]
"""name → how consistent a mesh is, higher is better; empty if that cannot be told."""


@dataclass(frozen=True)
class Choice:
    """What the candidates are made from, and where. rep: a representation's module. seeds: theirs. judge:
    by whose measures' sum they are chosen, if it can tell them all; else, and with None, by the priors."""

    out: Path
    prompt: str
    rep: Any
    plan: LiftPlan
    guidance: Guidance
    view_range: ViewRange
    seeds: tuple[int, ...]
    judge: Judge | None = None

    @property
    def rounds(self) -> list[tuple[int, int]]:
        """(step at which they are scored, how many go on): halving, then the end of the phase."""
        steps, count = self.plan.phases[0].steps, len(self.seeds)
        half = round(steps * HALFWAY)
        early = [(half, (count + 1) // 2)] if count > 2 and 0 < half < steps else []
        return [*early, (steps, 1)]


def chosen(out: Path) -> int | None:
    """The seed that was chosen in a lift's directory; None if none has been. What is left of the candidates
    is cleared away, and the best one's checkpoint, log and previews become those of the lift."""
    if not (out / TABLE).is_file():
        return None
    best = read_json(out / TABLE).get("chosen")
    if best is not None:
        for name in ("log.jsonl", loop.CHECKPOINT):
            if (_folder(out, best) / name).is_file():
                os.replace(_folder(out, best) / name, out / name)
        for picture in (_folder(out, best) / "previews").glob("*.png"):
            (out / "previews").mkdir(exist_ok=True)
            os.replace(picture, out / "previews" / picture.name)
        for folder in (out / CANDIDATES).glob("seed-*/"):
            shutil.rmtree(folder)
    return best


def seed_of(given: Choice, shown: bool = True) -> int:
    """The best candidate's seed, which `choose` finds unless it has been chosen already. shown: whether there
    are progress bars."""
    found = chosen(given.out)
    if found is None:
        found = choose(given, shown)
        print(f"seed {found} is chosen of {len(given.seeds)}: {given.out / SHEET}", file=sys.stderr)
    return found


def choose(given: Choice, shown: bool = True) -> int:
    """Run the candidates; returns the best one's seed. SdtoolError if none of them came through."""
    path = given.out / TABLE
    table = read_json(path) if path.is_file() else {}
    lines = table.setdefault("candidates", [{"seed": seed, "found": {}} for seed in given.seeds])
    title = f'{len(lines)} candidates for "{given.prompt}"'
    left, before = lines, 0
    for step, kept in given.rounds:
        with progress(f"{title}, {step} steps", len(left), "candidates", shown=shown) as bar:
            for line in left:
                if str(step) not in line["found"]:
                    line["found"][str(step)] = _run(given, line, before, step)
                    write_json(path, table)
                bar.advance()
        scores = _scores([line["found"][str(step)] for line in left])
        for line, score in zip(left, scores, strict=True):
            line["score"], line["steps"] = score, step
        order = sorted(range(len(left)), key=lambda k: -scores[k])
        left, before = [left[k] for k in sorted(order[:kept])], step
    best = left[0]
    if best["score"] == FAILED:
        why = best["found"][str(before)].get("failed", "no prior gives it a number")
        raise SdtoolError(
            f"none of {len(lines)} candidates came through ({why}); try another --seed or a lower --scale, "
            "with --overwrite"
        )
    table["chosen"] = best["seed"]
    _sheet(given, lines, best)
    write_json(path, table)
    chosen(given.out)
    return best["seed"]


def _folder(out: Path, seed: int) -> Path:
    return out / CANDIDATES / f"seed-{seed}"


def _run(given: Choice, line: dict[str, Any], before: int, step: int) -> dict[str, Any]:
    """Bring a candidate to a step of the first phase, from `before` or wherever it was interrupted.

    Returns what it is scored by, name → number; of one that failed, "failed" → why.
    """
    seed, phase = line["seed"], given.plan.phases[0]
    folder = _folder(given.out, seed)
    folder.mkdir(parents=True, exist_ok=True)
    start, strength, adam = 0, 1.0, None
    if saved := loop.load(folder):
        place, tensors, adam = saved
        start, strength = place["step"], place["strength"]
        scene = given.rep.restored_scene(0, tensors, given.plan, given.guidance.device)
        loop.trim_log(folder / "log.jsonl", given.plan, 0, start)
    elif before:
        return line["found"][str(before)]
    else:
        scene = given.rep.first_scene(given.plan, given.guidance.device)

    def show(done: int, loss: float | None) -> None:
        if pictures.is_due(done, phase.steps, is_first=True):
            path = folder / "previews" / f"{phase.name}-{done:04d}.png"
            pictures.preview(scene, given.view_range, path, f"{given.prompt}, {phase.name} {done}")

    try:
        loop.optimise(
            scene, given.guidance, phase, given.view_range, number=0, seed=seed, start=start, adam=adam,
            strength=strength, out=folder, on_step=show, until=step,
        )  # fmt: skip
        _picture(given, scene, given.out / CANDIDATES / f"seed-{seed}.png")
        found = prior_errors(scene, given.guidance, phase, given.view_range)
        if given.judge is not None:
            found |= given.judge(given.rep.rough_mesh(scene, given.plan, given.view_range))
        return found
    except SdtoolError as error:
        (folder / loop.CHECKPOINT).unlink(missing_ok=True)
        return {"failed": str(error)}


def _scores(found: list[dict[str, Any]]) -> list[float]:
    """One number for each candidate, higher is better; `FAILED` for one that failed."""
    sound = [one for one in found if "failed" not in one]
    told = all(one.keys() - PRIORS for one in sound)
    if told:
        scores = iter([sum(one[name] for name in one.keys() - PRIORS) for one in sound])
    else:
        scores = iter(ranked([{name: one[name] for name in one.keys() & PRIORS} for one in sound]))
    every = [FAILED if "failed" in one else next(scores) for one in found]
    return [score if math.isfinite(score) else FAILED for score in every]


def _picture(given: Choice, scene: Scene, path: Path) -> None:
    """A PNG of eight sides: normals."""
    c2w = turntable(8, given.view_range, pictures.ELEVATION)
    fov = float(np.radians(given.view_range.fov))
    with torch.no_grad():
        maps = scene.render(c2w, fov, pictures.PREVIEW)["normal"]
    write_png(path, grid(map_to_rgb(maps.cpu().numpy().transpose(0, 2, 3, 1)), 8))


def _sheet(given: Choice, lines: list[dict[str, Any]], best: dict[str, Any]) -> None:
    """`candidates.png`: a row of eight sides for each candidate, under its score."""
    from PIL import Image, ImageDraw

    rows = []
    for line in lines:
        said = f"seed {line['seed']}: {line['score']:.3f}"
        if line is best:
            said += ", chosen"
        elif line["steps"] < given.plan.phases[0].steps:
            said += f", dropped after {line['steps']} steps"
        if line["score"] == FAILED:
            said = f"seed {line['seed']}: failed"
        path = given.out / CANDIDATES / f"seed-{line['seed']}.png"
        if path.is_file():
            with Image.open(path) as file:
                rows.append((said, file.convert("RGB")))
    width, high = max(picture.width for _, picture in rows), LABEL + rows[0][1].height
    sheet = Image.new("RGB", (width, high * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for k, (said, picture) in enumerate(rows):
        draw_label(draw, (3, k * high + 2), said)
        sheet.paste(picture, (0, k * high + LABEL))
    title = f"{given.prompt}: candidates"
    write_png(given.out / SHEET, np.asarray(sheet, np.float32) / 255, Title=title)
