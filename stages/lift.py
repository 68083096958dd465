"""Turn a line of text into a 3D shape.

Two priors pull on renders of the shape: the base prior on its normals and colours, the aligned
geometric prior (AGP) on its canonical coordinates, so that it has one front and one back. With no
options it uses the bundled tiny prior and a CPU.

Phases of `--rep dmtet`: a density finds the parts (coarse), a surface on a tetrahedral grid sharpens
them (geometry), a colour field paints them (color). Pictures of each phase appear in `previews/`; at
the end `views.png` shows eight sides and `turntable.webp` one turn. The same command continues an
interrupted run.

Examples:

    sdtool lift "a corgi" --rep dmtet

    sdtool lift "a red chair" --out runs/chair --seed 3

    sdtool lift "a corgi" --lambda-align 0 --out runs/without-agp   # see what the AGP is for
"""

import re
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from sdtool import artifacts, files
from sdtool.errors import UsageError

OUTPUTS = ("shape.safetensors", "material.safetensors", "views.png", "turntable.webp")


def lift(
    prompt: Annotated[str, typer.Argument(help="What to make, e.g. 'a corgi'.")],
    rep: Annotated[Literal["dmtet"], typer.Option(help="Shape representation.")] = "dmtet",
    out: Annotated[
        Path | None, typer.Option(help="Directory for the result; default: runs/PROMPT.")
    ] = None,
    agp: Annotated[str, typer.Option(help="AGP: a folder, or tiny.")] = "tiny",
    base: Annotated[
        str, typer.Option(help="Base prior: a folder, tiny or a hub id; default: the AGP's own.")
    ] = "",
    preset: Annotated[
        str, typer.Option(help="tiny-cpu, or preview (worse, quicker).")
    ] = "tiny-cpu",
    lambda_ori: Annotated[
        float, typer.Option(min=0, help="Factor on the base prior's weight; 0 leaves it out.")
    ] = 1.0,
    lambda_align: Annotated[
        float, typer.Option(min=0, help="Factor on the AGP's weight; 0 leaves it out.")
    ] = 1.0,
    scale: Annotated[
        float, typer.Option(min=0, help="Factor on the guidance scales of the preset.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another shape.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo finished work.")] = False,
) -> artifacts.Result:
    if not prompt.strip():
        raise UsageError('the prompt is empty; try: sdtool lift "a corgi"')
    if lambda_ori == lambda_align == 0:
        raise UsageError("with --lambda-ori 0 and --lambda-align 0 nothing guides the shape")
    from sdtool.lifting.config import plan as plan_of

    plan = plan_of(preset)
    name = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:80] or "prompt"
    out = out or Path("runs") / name
    params = {
        "prompt": prompt, "rep": rep, "agp": agp, "base": base, "preset": preset,
        "settings": asdict(plan), "lambda_ori": lambda_ori, "lambda_align": lambda_align,
        "scale": scale, "seed": seed,
    }  # fmt: skip
    inputs = {"agp": Path(agp) if Path(agp).is_dir() else None}
    inputs["base"] = Path(base) if base and Path(base).is_dir() else None
    record = artifacts.begin(
        out, "lift", params=params, inputs=inputs, overwrite=overwrite,
        owned=("previews/*.png", *OUTPUTS), patient=True,
    )  # fmt: skip
    if record.is_done:
        print(f"{out} is already lifted; --overwrite redoes it", file=sys.stderr)
        return record.result()
    return _lift(record, plan, params)


def _lift(record: artifacts.StageRecord, plan, params: dict) -> artifacts.Result:
    """Load the priors, run the phases, write shape, material and pictures."""
    from sdtool.lifting import dmtet, loop, pictures
    from sdtool.lifting.guidance import Guidance
    from sdtool.priors.loading import base_of, camera_of, load_agp, load_base
    from sdtool.progress import progress

    began = time.monotonic()
    out, prompt = record.out, params["prompt"]
    base = params["base"] or base_of(params["agp"])
    prior, geometric = load_base(base), load_agp(params["agp"])
    record.head["priors"] = {"agp": params["agp"], "base": base}
    if unknown := prior.unknown_words(prompt):
        print(f"the prior has never met: {', '.join(unknown)}", file=sys.stderr)
    look = camera_of(params["agp"])
    record.clear()
    guidance = Guidance(
        prior, geometric, prompt, params["lambda_ori"], params["lambda_align"], params["scale"]
    )
    number, step, strength, scene, adam = 0, 0, 1.0, None, None
    if saved := loop.load(out):
        place, tensors, adam = saved
        number, step, strength = place["phase"], place["step"], place["strength"]
        scene = dmtet.restored_scene(number, tensors, plan)
        _trim_log(out / "log.jsonl", plan, number, step)
        print(f"continuing at the {plan.phases[number].name} phase, step {step}", file=sys.stderr)
    spent: dict[str, float] = {}
    total = sum(phase.steps for phase in plan.phases)
    ready = sum(phase.steps for phase in plan.phases[:number]) + step
    with progress(f'lifting "{prompt}"', total, "steps", done=ready) as bar:
        for index, phase in enumerate(plan.phases[number:], start=number):
            if scene is None:
                scene = dmtet.first_scene(plan)
            elif index > number:
                scene, step, strength, adam = dmtet.next_scene(scene, plan), 0, 1.0, None

            bar.message(f"{phase.name}: {phase.steps - step} steps")

            def show(done: int, loss: float, scene=scene, phase=phase) -> None:
                bar.advance(1, note=f"{phase.name}, loss {loss:.1f}")
                if done % 50 == 0 or done == phase.steps:
                    path = out / "previews" / f"{phase.name}-{done:04d}.png"
                    pictures.preview(scene, look, path, f"{prompt}, {phase.name} {done}")

            clock = loop.optimise(
                scene, guidance, phase, look, number=index, seed=params["seed"], start=step,
                adam=adam, strength=strength, out=out, on_step=show,
            )  # fmt: skip
            for key, seconds in clock.spent.items():
                spent[key] = spent.get(key, 0.0) + seconds
    mesh = dmtet.finished(scene, out)
    pictures.contact_sheet(mesh, look, out / "views.png", prompt)
    pictures.spin(mesh, look, out / "turntable.webp")
    counts = {"ok": 1, "failed": 0, "faces": len(mesh.t_pos_idx), "steps": total}
    result = record.finish(counts=counts, outputs=[*OUTPUTS, "previews", "log.jsonl"])
    (out / "checkpoint.safetensors").unlink(missing_ok=True)
    result.summary["seconds"] = {k: round(v, 2) for k, v in spent.items()}
    result.summary["seconds"]["total"] = round(time.monotonic() - began, 2)
    return result


def _trim_log(path: Path, plan, number: int, step: int) -> None:
    """Drop the log lines of steps that a continued run does again."""
    order = {phase.name: k for k, phase in enumerate(plan.phases)}
    files.trim_jsonl(
        path, lambda line: (order.get(line["phase"], -1), line.get("step", 0)) <= (number, step)
    )
