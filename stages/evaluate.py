"""Say of every model whether it is one consistent object from all sides, and how often a method's are.

PATH is a lift's directory, a model (.glb, .gltf, .vrm, .obj, .ply, .stl, .off), or a folder of them at any
depth.
The folder that an asset lies in is its method: each gets a rate, with the Wilson interval of 95%.
`--out` gets `index.html`, the report with pictures, and `evaluation.json` with the same in numbers.

A verdict rests on measures that were calibrated on toys with known flaws (a second head, mirrored
halves, six legs, a head turned back to front) and on sound ones; the report says how often it catches
the former and blames the latter. The bundled judge, a small network that looks at untextured views,
knows the kinds of the Toyverse; `--calibrate` measures it again on new toys. Kinds whose sides look too
much alike are not applicable. For other things name a CLIP checkpoint (`--clip`, a folder or a hub id):
it looks for one front and one back, and `--calibrate` says whether it can tell. CLIP also says how well
each asset fits its prompt; it computes on `--device`.

`--human` adds `human.html`: the pictures shuffled, blind to their method, with yes and no; it computes
a person's own rate. Saved answers come back with `--answers`, beside the verdicts of the machine.
`--seed` shuffles, and draws the toys of `--calibrate`.

The same command continues an interrupted evaluation. Exit code 3: some lifts are unfinished or
unreadable; those count as not consistent.

Examples:

    sdtool evaluate runs --out report

    sdtool evaluate runs/a-corgi runs/without-agp --out both

    sdtool evaluate my-models --out judged --human

    sdtool evaluate my-models --out judged --answers answers.json

    sdtool evaluate runs --out with-clip --clip models/clip-vit-large-patch14 --calibrate 16 --workers 0
"""

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import files, stage_record
from sdtool.runtime.options import Device, Overwrite, Seed, Workers


def evaluate(
    paths: Annotated[
        list[Path], typer.Argument(help="Lifts, models, or folders of them.", metavar="PATH…")
    ],
    out: Annotated[Path, typer.Option(help="Directory for the report.")] = Path("report"),
    human: Annotated[
        bool, typer.Option("--human", help="Also write human.html, a blind page of yes and no.")
    ] = False,
    answers: Annotated[
        Path | None, typer.Option(help="Answers saved from human.html, to be shown beside.")
    ] = None,
    clip: Annotated[
        str, typer.Option(help="CLIP checkpoint that also looks: a folder, or a hub id.")
    ] = "",
    calibrate: Annotated[
        int,
        typer.Option(
            min=0, help="Draw the lines anew on so many good toys of each kind; 0: as bundled."
        ),
    ] = 0,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 1,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    from sdtool.evaluating import evaluation, report, thresholds
    from sdtool.evaluating import human as blind
    from sdtool.evaluating.assets import find_assets
    from sdtool.evaluating.measuring import JUDGE, Eyes
    from sdtool.evaluating.results import FAILED, headline
    from sdtool.io.folders import say_unread
    from sdtool.io.objects import unread_beside
    from sdtool.runtime.devices import choose_device

    if calibrate == 1:
        need = "--calibrate 1 is too few to draw a line and to measure it; give 2 or more"
        raise UsageError(need, "--calibrate")
    assets = find_assets(paths, out)
    unread = sum((unread_beside(path) for path in paths), Counter())
    said = blind.read_answers(answers) if answers else None
    params = {"paths": list(map(str, paths)), "clip": clip, "calibrate": calibrate, "seed": seed}
    record = stage_record.begin(
        out,
        "evaluate",
        params=params,
        inputs={str(path): path for path in paths} | {"judge": JUDGE},
        overwrite=overwrite,
        owned=("measured.jsonl", "pictures/*.png", "*.html", "human/*.png", "calibration.json"),
    )
    if record.is_done and not human and not said:
        print(f"{out} is already evaluated; --overwrite redoes it", file=sys.stderr)
        return record.result(out / "index.html")
    if record.is_done:
        record.hold()
    if unread:
        print(say_unread(unread), file=sys.stderr)
    eyes = Eyes(JUDGE, clip, str(choose_device(device)) if clip else "cpu")
    lines = thresholds.load(JUDGE)
    if calibrate:
        lines = _calibrated(out, eyes, calibrate, seed, workers)
    measured = evaluation.measure_all(assets, out, eyes, workers)
    found = evaluation.verdicts(assets, measured, lines)
    summary = evaluation.summary(found, lines.calibration)
    files.write_json(out / "evaluation.json", summary)
    agreed = blind.agreement(found, said) if said else None
    command = shlex.join(["sdtool", "evaluate", *map(str, paths)])
    command += f" --clip {shlex.quote(clip)}" * bool(clip)
    command += f" --calibrate {calibrate} --seed {seed}" * bool(calibrate)
    report.write_report(
        out, found, lines.calibration, title="Consistency", command=command, human=agreed
    )
    outputs = ["index.html", "evaluation.json", "measured.jsonl", "pictures"]
    if calibrate:
        outputs.append("calibration.json")
    if human or (out / "human.html").exists():
        blind.write_sheet(out, found, seed=seed)
        outputs += ["human.html", "human"]
    for method in dict.fromkeys(one.method for one in found):
        print(headline(found, method), file=sys.stderr)
    bad = [one for one in found if one.verdict == FAILED]
    for one in bad:
        print(f"{one.path}: {one.reasons[0]}", file=sys.stderr)
    counts = {"ok": len(found) - len(bad), "failed": len(bad)}
    counts |= {"not read": unread.total()} if unread else {}
    result = record.finish(counts=counts, outputs=outputs)
    facts = result.summary | {"methods": summary["methods"]}
    return stage_record.Result(out / "index.html", facts, failed=len(bad))


def _calibrated(out: Path, eyes, count: int, seed: int, workers: int):
    """Lines drawn anew, or those that this directory drew before."""
    from sdtool.evaluating import thresholds
    from sdtool.evaluating.calibrating import calibrate

    if (out / thresholds.FILE).is_file():
        return thresholds.load(out)
    command = f"sdtool evaluate … --calibrate {count} --seed {seed}"
    lines = calibrate(eyes, count, seed + 1000, workers, command)
    thresholds.save(lines, out)
    return lines
