"""Turn a line of text into a 3D shape.

Two priors pull on renders of the shape: the base prior on its normals and colours, the aligned
geometric prior (AGP) on its canonical coordinates, so that it has one front and one back. With no
options it uses the bundled tiny prior, on an accelerator where there is one.

`--rep nerf` makes a radiance field instead, rendered by volume (DreamFusion with Instant-NGP); its
surface is found at the end. A surface may start from such a lift: `--init runs/other`.

`--rep gaussians` ends with 3D Gaussians, a fixed number of them, seeded on the surface of the coarse density:
`splats.ply`, which viewers of 3D Gaussian splatting read, and a mesh around them for all other stages.

Phases of `--rep dmtet`: a density finds the parts (coarse), a surface on a tetrahedral grid sharpens
them (geometry), a colour field paints them (color): guided by a colour prior, which knows where on the
object each pixel lies, or with `--color-prior none` by the base. Pictures of each phase appear in
`previews/`; at the end `views.png` shows eight sides and `turntable.webp` one turn. The same command
continues an interrupted run.

The preset `paper` has the settings of the papers, for Stable Diffusion: of Fantasia3D (an ellipsoid
becomes a surface, coarse, then fine, then a physically based material) or of SweetDreamer's NeRF.

`--set` changes a setting of a phase. `--print-config` writes all options and every setting of every
phase as TOML, to be edited and given to `--config`. The settings in such a file win over `--preset`,
`--appearance` and `--init`, and `--set` wins over the file.

`--distill` chooses how the priors' scores become a pull on the shape: `sds` as in the paper, or what others
have put in its place (`csd`, `ism`, `sdi`, `vsd`: docs/lifting.md has their equations).

`--best-of 4` begins four seeds, drops the worse half halfway through the first phase and finishes the best,
as its seed alone would have come out; `candidates.png` shows all four and their scores. Both priors choose,
by how well they tell the noise from the shape; `--choose-by judge` lets the judge of `sdtool evaluate` do
it where it can tell, and then its verdict on the result is not independent any more.

`--follow` shows the newest picture, both priors' losses and the time left on a page of this machine (and of
no other), which ends with the lift; `sdtool view --follow DIRECTORY` does so for a lift that runs already.

`--prompts` names a file of prompts, one a line; each gets a directory of its own below `--out`, named
after its words in any script, and keeps it when lines are added or moved. So many as `--workers` says
are lifted at a time (0: as many as there are cores, or GPUs). One that fails does not end the others,
and the same command goes on where it was stopped.

Examples:

    sdtool lift "a corgi" --rep dmtet

    sdtool lift "a red chair" --out runs/chair --seed 3

    sdtool lift "a cat wearing a hat" --best-of 4

    sdtool lift "a corgi" --follow

    sdtool lift "a corgi" --lambda-align 0 --out runs/without-agp   # see what the AGP is for

    sdtool lift "a corgi" --color-prior none --out runs/base-colors

    sdtool lift "a corgi" --preset preview --set geometry.steps=60 --set tet_resolution=40

    sdtool lift "a corgi" --init dog.glb

    sdtool lift "a corgi" --init scan.ply --surface-points poisson   # a cloud of points

    sdtool lift "a corgi" --rep nerf --out runs/soft

    sdtool lift "a corgi" --init runs/soft --out runs/sharp

    sdtool lift "a corgi" --rep gaussians --out runs/splats

    sdtool lift "a corgi" --distill ism --out runs/interval

    sdtool lift "a golden teapot" --appearance pbr --environment studio.hdr

    sdtool lift --prompts wishes.txt --out runs/wishes --workers 2

    sdtool lift "a corgi" --print-config > my.toml   # edit it, then:

    sdtool lift "a cat" --config my.toml
"""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sdtool.errors import UsageError
from sdtool.io import stage_record
from sdtool.io.prompts import read_prompts
from sdtool.runtime.options import (
    LAST_SEED,
    Agp,
    Appearance,
    Base,
    ColorPrior,
    Device,
    EngineName,
    Environment,
    Negative,
    Overwrite,
    PointSurface,
    Precision,
    Seed,
    ViewPrompts,
    Workers,
)

Distill = Annotated[
    Literal["sds", "csd", "ism", "sdi", "vsd"],
    typer.Option(help="How the priors' scores are distilled, in all phases."),
]
BestOf = Annotated[
    int,
    typer.Option(
        min=1, max=64, metavar="N", help="Begin N seeds, from --seed on; finish the best."
    ),
]
ChooseBy = Annotated[
    Literal["priors", "judge"],
    typer.Option(help="Best by: both priors, or the judge of `sdtool evaluate`."),
]
Follow = Annotated[bool, typer.Option("--follow", help="Show how it grows: a page on 127.0.0.1.")]


def lift(
    prompt: Annotated[
        str, typer.Argument(help="What to make, e.g. 'a corgi'.", show_default=False)
    ] = "",
    rep: Annotated[
        Literal["dmtet", "nerf", "gaussians"],
        typer.Option(help="Shape: a surface, a radiance field, or splats."),
    ] = "dmtet",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory for the result; default: runs/PROMPT, or runs with --prompts."
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="File of prompts, one a line; # at its start, or between blanks, begins a comment."
        ),
    ] = None,
    agp: Agp = "tiny",
    base: Base = "",
    color_prior: ColorPrior = "",
    preset: Annotated[
        Literal["tiny-cpu", "preview", "paper"],
        typer.Option(help="preview: worse, quicker. paper: for Stable Diffusion."),
    ] = "tiny-cpu",
    init: Annotated[
        str,
        typer.Option(
            help="Start: density, sphere, ellipsoid, a mesh file or a lift; default: the preset's.",
            autocompletion=lambda: ["density", "sphere", "ellipsoid"],
        ),
    ] = "",
    surface_points: Annotated[
        PointSurface,
        typer.Option(help="Make a surface of an --init of points (Open3D)."),
    ] = "off",
    appearance: Appearance = "",
    environment: Environment = "neutral",
    distill: Distill = "sds",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting: coarse.steps=500. Repeatable."
        ),
    ] = None,
    lambda_ori: Annotated[
        float, typer.Option(min=0, help="Factor on the base prior's weight; 0 leaves it out.")
    ] = 1.0,
    lambda_align: Annotated[
        float, typer.Option(min=0, help="Factor on the AGP's weight; 0 leaves it out.")
    ] = 1.0,
    scale: Annotated[
        float, typer.Option(min=0, help="Factor on the guidance scales of the preset.")
    ] = 1.0,
    view_prompts: ViewPrompts = None,
    perp_neg: Annotated[
        bool,
        typer.Option(
            "--perp-neg",
            help="Mix these words by azimuth and hold the base off wrong sides; twice its passes.",
        ),
    ] = False,
    negative: Negative = "",
    best_of: BestOf = 1,
    choose_by: ChooseBy = "priors",
    follow: Follow = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: EngineName = "local",
    workers: Workers = 1,
    overwrite: Overwrite = False,
) -> stage_record.Result | None:
    from sdtool.priors.bundled import chosen_color_prior

    color = chosen_color_prior(color_prior, agp, preset, lambda_align)
    chosen = _plan(rep, preset, init, appearance, environment, distill, settings, color)
    if surface_points != "off":
        chosen = _of_points(chosen, surface_points)
    _check(prompt, prompts, lambda_ori, lambda_align, follow, seed, best_of)
    if choose_by != "priors" and best_of == 1:
        said = f"--choose-by {choose_by} has one seed to choose from; add --best-of, such as 4"
        raise UsageError(said, "--choose-by", "--best-of")
    from sdtool.lifting.lift_priors import HALF
    from sdtool.lifting.run import Lift
    from sdtool.priors.folder_check import check_local
    from sdtool.runtime.devices import choose_device, visible_gpus

    check_local(base)
    place = choose_device(device)
    if place.type != "cpu":
        _say_backends(place, rep)
    usual = "fp32" if place.type == "cpu" else HALF
    weights: str = usual if precision == "auto" else precision
    lifting = Lift(
        rep=rep,
        agp=agp,
        base=base,
        preset=preset,
        plan=chosen,
        lambda_ori=lambda_ori,
        lambda_align=lambda_align,
        scale=scale,
        by_view=view_prompts,
        negative=negative,
        seed=seed,
        overwrite=overwrite,
        device=str(place),
        precision=weights,
        asked=precision != "auto",
        perp_neg=perp_neg,
        best_of=best_of,
        judge=_judge(choose_by) if best_of > 1 else None,
        color=color if any(phase.guide == "color" for phase in chosen.phases) else "",
    )
    if not prompts:
        return _lift_one(lifting, prompt, out, follow)
    pool: dict[str, Any] = {"engine": engine, "workers": workers, "gpus": visible_gpus(place)}
    return _lift_all(lifting, read_prompts(prompts), out or Path("runs"), pool)


def _check(
    prompt: str,
    prompts: Path | None,
    lambda_ori: float,
    lambda_align: float,
    follow: bool,
    seed: int,
    best_of: int,
) -> None:
    """UsageError if there is nothing to lift, or nothing to guide it."""
    if lambda_ori == lambda_align == 0:
        said = "with --lambda-ori 0 and --lambda-align 0 nothing guides the shape"
        raise UsageError(said, "--lambda-ori", "--lambda-align")
    if prompts and prompt:
        raise UsageError("give a prompt or --prompts, not both", "PROMPT", "--prompts")
    if not prompts and not prompt.strip():
        raise UsageError('the prompt is empty; try: sdtool lift "a corgi"', "PROMPT")
    if seed + best_of - 1 > LAST_SEED:
        said = f"--seed {seed} with --best-of {best_of} goes beyond the last seed, {LAST_SEED}; give less"
        raise UsageError(said, "--seed", "--best-of")
    if follow and prompts:
        said = "--follow shows one lift; while these run: sdtool view --follow DIRECTORY"
        raise UsageError(said, "--follow", "--prompts")


def _say_backends(place, rep: str) -> None:
    """Which backends will render on this device, on stderr."""
    from sdtool.rendering import marching
    from sdtool.rendering.raster import backend_for
    from sdtool.shapes import hashgrid

    said = f"rasteriser: {backend_for(place)}, hash grid: {hashgrid.backend_for(place)}"
    said += f", ray march: {marching.backend_for(place)}" if rep == "nerf" else ""
    print(said, file=sys.stderr)


def in_full(options: dict[str, Any]) -> dict[str, Any]:
    """What `--print-config` shows of `--set`: every setting of every phase."""
    from sdtool.lifting.config import settings_of
    from sdtool.priors.bundled import chosen_color_prior

    names = ["color_prior", "agp", "preset", "lambda_align"]
    color = chosen_color_prior(*(options[name] for name in names))
    names = ["rep", "preset", "init", "appearance", "environment", "distill", "settings"]
    given = [*(options[name] for name in names), color]
    return {"settings": settings_of(_plan(*given))}


def _plan(
    rep: str,
    preset: str,
    init: str,
    appearance: str,
    environment: str,
    distill: str,
    settings: list[str] | None,
    color: str,
):
    """The phases and their settings, as the options ask for them."""
    from sdtool.lifting.config import override
    from sdtool.lifting.presets import (
        PRESETS,
        distilled_by,
        lit_by,
        painted_as,
        starting_from,
        with_color_prior,
    )

    if preset not in PRESETS[rep]:
        said = f"--preset {preset}: there is none of --rep {rep}; it has {', '.join(PRESETS[rep])}"
        raise UsageError(said, "--preset", "--rep")
    chosen = PRESETS[rep][preset]
    chosen = starting_from(chosen, init) if init else chosen
    chosen = painted_as(chosen, appearance) if appearance else chosen
    chosen = with_color_prior(chosen) if color else chosen
    chosen = chosen if distill == "sds" else distilled_by(chosen, distill)
    return override(lit_by(chosen, environment), settings or [])


def _judge(choose_by: str):
    """What scores candidates' meshes; None for the priors."""
    if choose_by == "priors":
        return None
    from sdtool.evaluating.measuring import consistency

    return consistency


def _of_points(chosen, method: str):
    """The plan with a surface of the points of its --init."""
    from dataclasses import replace

    from sdtool.geometry import open3d_tools

    if not Path(chosen.init).is_file():
        said = f"--surface-points {method} is for an --init that is a file of points"
        raise UsageError(said, "--surface-points", "--init")
    open3d_tools.library("--surface-points")  # before any work
    return replace(chosen, surface_points=method)


def _lift_one(lifting, prompt: str, out: Path | None, follow: bool) -> stage_record.Result:
    """Lift a prompt; if asked, serve a page that shows it meanwhile."""
    from sdtool.lifting.folders import folder_of

    job = prompt, out or folder_of(prompt, Path("runs"))
    if not follow:
        return lifting(job)
    from sdtool.viewing.browser import has_display, open_page
    from sdtool.viewing.following import following

    with following(job[1]) as url:
        print(f"follow it at {url}", file=sys.stderr)
        if has_display():
            open_page(url)
        return lifting(job)


def _lift_all(lifting, prompts: list[str], out: Path, pool: dict):
    """Lift each prompt into a directory of its own below `out`; pool: options of `map_items`."""
    from contextlib import closing
    from functools import partial

    from sdtool.errors import ObjectError
    from sdtool.lifting.folders import folders_of
    from sdtool.lifting.run import lift_one
    from sdtool.runtime.engine import map_items

    work = partial(lift_one, lifting)
    failed = {}
    folders = folders_of(prompts, out)
    jobs = list(zip(prompts, folders, strict=True))
    with stage_record.given_back(folders, "lift"), closing(map_items(work, jobs, **pool)) as lifted:
        for (prompt, folder), outcome in lifted:
            if isinstance(outcome, ObjectError):
                failed[prompt] = str(outcome)
                print(f'"{prompt}" failed: {outcome}', file=sys.stderr)
            else:
                print(f'"{prompt}" is in {folder}', file=sys.stderr)
    counts = {"ok": len(jobs) - len(failed), "failed": len(failed)}
    return stage_record.Result(out, {"counts": counts, "failures": failed}, failed=len(failed))
