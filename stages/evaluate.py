"""Say of every model whether it is one consistent object from all sides, and how often a method's are.

PATH is a lift's directory, a model (.glb, .gltf, .vrm, .obj, .ply, .stl, .off), or a folder of them at any
depth. Models stand upright, +Y up, as in glTF (`--up z` for those of Blender and CAD); which way around
their fronts face does not matter.
The folder that an asset lies in is its method: each gets a rate, with the Wilson interval of 95%.
`--table` is a CSV file whose first row names its columns: file and prompt, and maybe method and seed.
`--out` gets `index.html`, the report with pictures, and `evaluation.json` with the same in numbers.

A verdict rests on measures that were calibrated on objects with known flaws (a second head or face,
mirrored halves, six legs, a head turned back to front) and on sound ones; the report says how often it
catches the former and blames the latter. The bundled judge, a small network that looks at untextured
views, need not know what a thing is; `--calibrate` measures it again on new objects. What looks too
much alike from all sides is not applicable. A CLIP checkpoint (`--clip`, a folder or a hub id) looks
for one front and one back, and `--calibrate` says whether it can tell. CLIP also says how well each
asset fits its prompt; it computes on `--device`.

`--orient` names an Orient-Anything, as `sdtool orient` reads it: a third judge, which says whether the
front goes round once while the camera does. It changes no verdict. Where two judges or more have spoken,
people among them, the report says how far they agree: Cohen's kappa of each two, Fleiss' of all.

`--protocol` counts by the protocol of docs/evaluation.md: the Janus rate of each PATH, a folder with one
method's results, on a list of prompts; prompts without a result by name; and McNemar's exact test of
every two methods. `toyverse-80` and `open-80` are bundled lists, `own` is that of `--prompts`. Without
any PATH it prints the list, for `lift --prompts`. `protocol.json` holds what it prints.

A prompt is what the table says; else what the lift's record or the glTF file's extras say; else that of
`--prompts` which the file's name spells; else the words of the file's name, as far as they name a thing.
What none of these names has no prompt. Seeds, by which `--protocol` pairs results, are told likewise, or by
the end of the name, as in corgi_seed3.glb.

`--human` adds `human.html`: the pictures shuffled, blind to their method, with yes and no; it computes
a person's own rate. Saved answers come back with `--answers`, once for each person, beside the verdicts
of the machine; answers to some of the pictures are enough for a Janus rate of all that holds however
often the machine errs. `--seed` shuffles, and draws the toys of `--calibrate`.

The same command continues an interrupted evaluation, and measures what was added or changed since a
finished one, or lacks its picture, nothing else. Exit code 3: some lifts are unfinished or unreadable,
and count as not consistent; or memory ran out before they were looked at: they count nowhere, and are
tried again.

Examples:

    sdtool evaluate runs --out report

    sdtool evaluate runs/a-corgi runs/without-agp --out both

    sdtool evaluate my-models --out judged --human

    sdtool evaluate my-models --out judged --answers answers.json

    sdtool evaluate --table results.csv --out by-table

    sdtool evaluate runs --out with-clip --clip models/clip-vit-large-patch14 --calibrate 16 --workers 0

    sdtool evaluate my-models --out three --clip models/clip-vit-large-patch14 --orient models/orient-anything

    sdtool evaluate --protocol open-80 > list.txt   # for lift --prompts, and for other methods

    sdtool evaluate ours theirs --protocol open-80 --out compared
"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sdtool import __version__
from sdtool.errors import UsageError
from sdtool.io import files, stage_record
from sdtool.runtime.options import Device, Overwrite, Seed, Workers

if TYPE_CHECKING:
    from sdtool.evaluating.protocol import Name

OWNED = (
    *("measured.jsonl", "evaluation.json", "protocol.json", "calibration.json"),
    *("index.html", "human.html", "pictures/[0-9a-f]*.png", "human/[0-9]*.png"),
)  # of a run that was stopped


def evaluate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Lifts, models, or folders of them.", metavar="[PATH]…"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for the report.")] = Path("report"),
    table: Annotated[
        Path | None, typer.Option(help="CSV of file, prompt, and maybe method and seed.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts, one a line, that file names may spell.")
    ] = None,
    protocol: Annotated[
        Literal["toyverse-80", "open-80", "own"] | None,
        typer.Option(help="Janus rates by the protocol, on this list of prompts."),
    ] = None,
    human: Annotated[
        bool, typer.Option("--human", help="Also write human.html, a blind page of yes and no.")
    ] = False,
    answers: Annotated[
        list[Path] | None,
        typer.Option(help="Answers saved from human.html, to be shown beside; one a person."),
    ] = None,
    up: Annotated[
        Literal["y", "z"],
        typer.Option(
            help="Axis up of OBJ, PLY, STL and OFF; z: they face −Y, as Blender's. glTF and lifts: y."
        ),
    ] = "y",
    clip: Annotated[
        str, typer.Option(help="CLIP checkpoint that also looks: a folder, or a hub id.")
    ] = "",
    orient: Annotated[
        str, typer.Option(help="Orient-Anything that also looks: a folder, or a hub id.")
    ] = "",
    judge: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a judge, trained and calibrated by yourself. [default: the bundled one]"
        ),
    ] = None,
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
) -> stage_record.Result | stage_record.Report:
    given = dict(locals())
    from sdtool.evaluating import evaluation, janus_rates, judges, report, saying, thresholds
    from sdtool.evaluating import human as blind
    from sdtool.evaluating import people as persons
    from sdtool.evaluating import protocol as protocols
    from sdtool.evaluating.inputs import gather
    from sdtool.evaluating.measuring import JUDGE, Eyes, check
    from sdtool.io.folders import Unread, say_kinds
    from sdtool.runtime.devices import choose_device

    if calibrate == 1:
        need = "--calibrate 1 is too few to draw a line and to measure it; give 2 or more"
        raise UsageError(need, "--calibrate")
    paths = paths or []
    listed, asked = _listed(prompts, protocol)
    if not paths and not table:
        if asked:
            return stage_record.Report({"prompts": asked.prompts}, lambda: print(asked.text()))
        raise UsageError("name lifts, models or folders of them, or a --table", "PATH", "--table")
    unread = Unread()
    assets = gather(paths, out, table, listed, by_path=asked is not None, unread=unread)
    judged_by = judges.name_of(judge)
    people = persons.read_people(answers or [], judged_by)
    lines = thresholds.load(judge or JUDGE)
    stage_record.refuse_inside(out, {str(path): path for path in paths})
    record = stage_record.begin(
        out,
        "evaluate",
        params=_params(given),
        inputs={"--table": table, "--prompts": prompts},
        overwrite=overwrite,
        owned=OWNED,
        patient=True,
        called={"judge": judged_by},
    )
    where = str(choose_device(device)) if clip or orient else "cpu"
    eyes = Eyes(judge or JUDGE, clip, where, orient, up)
    keys = evaluation.keys_of(assets, eyes)
    persons.check(evaluation.expected(assets, keys, out) if people else [], people, out)
    if record.is_done:
        new = set(keys) - evaluation.known(out).keys()
        gone = evaluation.known(out).keys() - set(keys)
        if not (new or gone or human or people):
            print(f"{out} is already evaluated; --overwrite redoes it", file=sys.stderr)
            return record.result(out / "index.html")
        if new or gone:
            _reopen(record, len(new), len(gone))
        else:
            record.hold()
    if unread.kinds:
        print(say_kinds(unread.kinds), file=sys.stderr)
    if not record.is_done:
        check(eyes)
    record.clear()  # only now, sure of who judges
    if calibrate:
        lines = _calibrated(out, eyes, calibrate, seed, workers)
    measured = evaluation.measure_all(assets, keys, out, eyes, workers)
    found = evaluation.verdicts(assets, measured, lines, judged_by)
    heard = persons.hear(found, people, out, asked)
    by_people = persons.janus_rates(heard.agreed)
    compared = judges.agreement(found, {name: one.answers for name, one in heard.people.items()})
    summary = evaluation.summary(found, lines.calibration, compared, by_people, unread)
    files.write_json(out / "evaluation.json", summary)
    outputs = ["index.html", "evaluation.json", "measured.jsonl", "pictures"]
    outcome = None
    if asked:
        digest = protocols.judge_id(judge or JUDGE, calibrate, seed)
        outcome = janus_rates.run(asked, found, digest, judged_by, by_people)
        files.write_json(out / "protocol.json", outcome.as_json())
        outputs.append("protocol.json")
    report.write_report(
        out,
        found,
        lines.calibration,
        title="Consistency",
        command=_command(given),
        people=heard.agreed,
        judges=compared,
        outcome=outcome,
        unread=unread,
    )
    if calibrate:
        outputs.append("calibration.json")
    if human or (out / "human.html").exists():
        blind.write_sheet(out, janus_rates.of_list(asked, found) or found, seed=seed)
        outputs += ["human.html", "human"]
    for line in saying.lines(found, lines.calibration, heard, compared, outcome):
        print(line, file=sys.stderr)
    counts = evaluation.counts(found) | unread.counts()
    result = record.finish(counts=counts, outputs=outputs)
    if heard.refused:
        raise heard.refused
    facts = result.summary | {k: summary[k] for k in ("methods", "janus_by_people") if k in summary}
    facts |= {"protocol": outcome.as_json()} if outcome else {}
    bad = counts["failed"] + counts.get("not looked at", 0)
    return stage_record.Result(out / "index.html", facts, failed=bad)


def _listed(prompts: Path | None, protocol: "Name | None"):
    """The prompts that file names may spell, and the protocol that is asked for, or None."""
    from sdtool.evaluating import protocol as protocols
    from sdtool.io.prompts import read_prompts

    if protocol == protocols.OWN and not prompts:
        raise UsageError("--protocol own needs --prompts, its list", "--protocol", "--prompts")
    if protocol and protocol != protocols.OWN and prompts:
        said = f"--protocol {protocol} has its own list; with --prompts it is --protocol own"
        raise UsageError(said, "--protocol", "--prompts")
    listed = tuple(read_prompts(prompts)) if prompts else ()
    file = prompts.name if prompts else ""
    asked = protocols.load(protocol, listed, file) if protocol else None
    return (asked.prompts if asked else listed), asked


def _reopen(record: stage_record.StageRecord, new: int, gone: int) -> None:
    """Go on in a finished directory, and say why; lines that another version has drawn there go."""
    from sdtool.evaluating import thresholds

    by = record.recorded("sdtool")
    record.reopen()
    if by == __version__:
        said = f"models that are new, have changed or lack their picture: {new}; gone: {gone}"
        print(f"{said}; the others are not measured again", file=sys.stderr)
        return
    (record.out / thresholds.FILE).unlink(missing_ok=True)
    said = f"{record.out} was measured by sdtool {by}, and this is {__version__}"
    print(f"{said}: everything is measured again", file=sys.stderr)


def _params(given: dict[str, Any]) -> dict[str, Any]:
    """What the record keeps of the options. given: all of them."""
    from sdtool.evaluating.measuring import JUDGE
    from sdtool.evaluating.protocol import judge_id

    names = ("clip", "orient", "protocol", "up", "calibrate", "seed")
    params = {name: given[name] for name in names}
    judge = judge_id(given["judge"] or JUDGE)
    return {"paths": list(map(str, given["paths"] or [])), **params, "judge": judge}


def _command(given: dict[str, Any]) -> str:
    """The command that makes the page again. given: all options."""
    named = ["table", "prompts", "protocol", "clip", "orient", "judge", "calibrate"]
    told = [(name, given[name]) for name in named if given[name]]
    told += [("up", given["up"])] if given["up"] != "y" else []
    told += [("answers", file) for file in given["answers"] or []]
    told += [("seed", given["seed"])] if given["calibrate"] else []
    words = ["sdtool", "evaluate", *map(str, given["paths"] or [])]
    for name, value in told:
        words += [f"--{name}", str(value)]
    return shlex.join(words)


def _calibrated(out: Path, eyes, count: int, seed: int, workers: int):
    """Lines drawn anew, or those that this directory drew before."""
    from dataclasses import replace

    from sdtool.evaluating import thresholds
    from sdtool.evaluating.calibrating import calibrate

    if (out / thresholds.FILE).is_file():
        return thresholds.load(out, "remove it, and the same command draws them anew")
    command = f"sdtool evaluate … --calibrate {count} --seed {seed}"
    alone = replace(eyes, orient="")  # it draws no line
    lines = calibrate(alone, count, seed + 1000, workers, command)
    thresholds.save(lines, out)
    return lines
