"""Write a lifted shape as a GLB file with textures (or OBJ, or PLY), ready for a game or a viewer.

RUN is the directory of a finished `sdtool lift`. The shape is cleaned, reduced to `--faces`, cut
into charts and given three images of `--texture-size` pixels: base colour, metallic-roughness, and
a normal map that keeps the look of the full shape. The file holds one object: +Y up, facing +Z,
centred, its longest side 1. A GLB also tells in `asset.extras` which prompt, seed and priors it
came from.

The ending of `--out` chooses the format. An OBJ gets a .mtl and its images beside it
(`corgi-color.png`, …), in whose names spaces become "_". A PLY has vertex colours, and so have the
others with `--texture-size 0`.

`--repair`, which needs Open3D (`pip install 'sdtool[open3d]'`), removes faces until no edge has more than
two, and fills holes with triangles between the vertices of their borders; `--fill-holes` fans each hole
around a new vertex instead, and needs nothing.

Exporting again writes the same bytes, so an up-to-date file is left alone. A file that sdtool did
not write is not replaced without `--overwrite`.

Examples:

    sdtool export runs/a-corgi

    sdtool export "$(sdtool lift "a corgi")" --out corgi.glb

    sdtool export runs/a-corgi --faces 5000 --texture-size 2048 --out game/corgi.glb

    sdtool export runs/a-corgi --out corgi.obj              # for a modeller, with corgi.mtl

    sdtool export runs/a-corgi --faces 0 --out corgi.ply    # every face, vertex colours

    sdtool export runs/a-corgi --components 1 --fill-holes  # one closed body
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sdtool.errors import InputError, UsageError
from sdtool.io import files, stage_record
from sdtool.runtime.options import RUNNING

FORMATS = (".glb", ".obj", ".ply")
LEAST_TEXTURE, LARGEST_TEXTURE = 32, 4096


def export(
    run: Annotated[Path, typer.Argument(help="Directory of a finished lift.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write: .glb, .obj or .ply; default: RUN/model.glb.")
    ] = None,
    faces: Annotated[
        int, typer.Option(min=0, help="Triangles to keep, about; 0: all of them.")
    ] = 20_000,
    texture_size: Annotated[
        int,
        typer.Option(
            min=0,
            max=LARGEST_TEXTURE,
            help="Pixels a side of each texture; 0: vertex colours instead.",
        ),
    ] = 1024,
    components: Annotated[
        int,
        typer.Option(min=0, help="Keep so many of the largest connected parts; 0: all but crumbs."),
    ] = 0,
    fill_holes: Annotated[
        bool, typer.Option("--fill-holes", help="Close every hole by a flat patch.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Mend edges of over two faces, and fill holes (needs Open3D)."
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace files that sdtool did not write.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
) -> stage_record.Result:
    out = out or run / "model.glb"
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"--out {out}: end the name with one of {', '.join(FORMATS)}", "--out")
    if out.is_dir():
        said = f"--out {out} is a directory; name a file, such as {out / 'model.glb'}"
        raise UsageError(said, "--out")
    if 0 < texture_size < LEAST_TEXTURE:
        raise UsageError(
            f"--texture-size {texture_size} is too small; give at least {LEAST_TEXTURE}, or 0 for "
            "vertex colours",
            "--texture-size",
        )
    if 0 < faces < 4:
        said = f"--faces {faces} cannot enclose a body; give at least 4, or 0 for all"
        raise UsageError(said, "--faces")

    from sdtool.exporting.model_files import encode, is_ours, targets
    from sdtool.geometry import open3d_tools
    from sdtool.lifting.lift_files import read_lift

    if out.suffix.lower() == ".ply":
        texture_size = 0
    if repair:
        open3d_tools.library("export --repair")  # before any work
    lifted = read_lift(run)
    cure = "choose another --out or add --overwrite"
    planned = targets(out, textured=texture_size > 0)
    files.check_replaceable(planned, is_ours, cure=cure, overwrite=overwrite)
    model = _model(run, lifted, faces, texture_size, components, fill_holes, repair)
    extras = _extras(lifted.record)
    made = encode(model, out, extras["title"], extras)
    count = len(model.t_pos_idx)
    size = sum(map(len, made.values()))
    facts = {"vertices": len(model.v_pos), "faces": count, "texture_size": texture_size}
    facts["bytes"] = size
    if not files.replace_own(made, is_ours, cure=cure, overwrite=overwrite):
        print(f"{out} is already up to date", file=sys.stderr)
        return stage_record.Result(out, facts | {"reused": True})
    colours = f"textures of {texture_size}²" if texture_size else "vertex colours"
    said = f"{facts['vertices']} vertices, {count} faces, {colours}, {size / 1024:.0f} KiB"
    print(f"wrote {out}: {said}", file=sys.stderr)
    return stage_record.Result(out, facts)


def _model(
    run: Path,
    lifted,
    faces: int,
    texture_size: int,
    components: int,
    fill_holes: bool,
    repair: bool,
):
    """The finished object: a Mesh with vertex colours, or a TexturedMesh."""
    from dataclasses import replace

    from sdtool.exporting.baking import bake, color_vertices
    from sdtool.exporting.decimation import decimate
    from sdtool.geometry import cleaning
    from sdtool.geometry.ccm import to_canonical
    from sdtool.geometry.parts import largest_parts

    fine = cleaning.clean(lifted.mesh)
    if len(fine.t_pos_idx) == 0:
        raise InputError(f"{run} holds no triangle that has an area; lift it with another --seed")
    fine = largest_parts(fine, components)
    if fill_holes:
        fine = cleaning.clean(cleaning.fill_holes(fine))
    if repair:
        fine = _repaired(fine, "the shape")
    coarse = decimate(fine, faces) if faces else fine
    if repair and coarse is not fine:
        coarse = _repaired(coarse, "what is left of it with --faces")
    if len(coarse.t_pos_idx) == 0:
        raise UsageError(f"nothing of {run} is left with --faces {faces}; give more", "--faces")
    if not texture_size:
        return to_canonical(color_vertices(fine, coarse, lifted.material))
    baked = bake(fine, coarse, lifted.material, texture_size)
    return replace(baked, v_pos=to_canonical(coarse).v_pos[baked.origin])


def _repaired(mesh, name: str):
    """The mesh, repaired; what was done goes to stderr."""
    from sdtool.geometry import open3d_tools

    mesh, done = open3d_tools.repair(mesh)
    print(f"repaired {name}: {done}", file=sys.stderr)
    return mesh


def _extras(record: dict[str, Any]) -> dict[str, Any]:
    """Where the object came from, for `asset.extras`; folders by their names, not their places."""
    params = record["params"]
    extras = {"title": params.get("prompt", ""), "sdtool": record.get("sdtool", "")}
    for key in ("prompt", "seed", "rep", "preset", "lambda_ori", "lambda_align", "scale"):
        if key in params:
            extras[key] = params[key]
    digests = record.get("inputs", {})
    for key, name in record.get("priors", {}).items():
        if key in digests:
            name = f"{Path(name).resolve().name} ({digests[key]['digest']})"
        elif Path(name).is_absolute() or Path(name).is_dir():
            name = Path(name).resolve().name
        extras[key] = name
    return extras
