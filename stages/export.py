"""Write a lifted shape, or a mesh file, for a game, a viewer, a printer or a phone.

RUN is the directory of a finished `sdtool lift`, or a mesh (.glb, .gltf, .obj, .ply, .stl, .off). The shape
is cleaned, reduced to `--faces`, cut into charts and given three images of `--texture-size` pixels: base
colour, metallic-roughness, and a normal map that keeps the look of the full shape. Of a mesh, one object is
made of all that the file holds, and its base colours are baked anew; its roughness and metal are not kept.

The ending of `--out` chooses the format. A lift becomes one object, facing the front, centred, its longest
side 1; a mesh keeps its size and place. `--height` makes either as high as you say.

  .glb .obj .ply  metres, +Y up; an OBJ gets a .mtl and its images beside it (`corgi-color.png`, …), in
                  whose names spaces become "_"; a PLY has vertex colours, and so have the others with
                  `--texture-size 0`; a GLB tells in `asset.extras` where it came from

  .usdz           for AR Quick Look on phones: metres, +Y up, standing on the ground (`sdtool[usdz]`)

  .stl            for slicers: no colours; +Z up; millimetres with `--height`, else the model's own numbers

  .3mf            for slicers: millimetres, +Z up, with colours (`sdtool[print]`); `--colors 4` leaves so
                  many, for as many filaments

For printing, `--repair` (`sdtool[print]`) makes a closed body: holes are capped, inner walls and faces back
to back go, parts that overlap become one. For .stl and .3mf, and with `--repair` or `--height`, a report
says whether the body is watertight and how thick its thinnest part is; `--json` has it under "body".
`--fill-holes` alone fans each hole around a new vertex, and needs nothing.

Exporting again writes the same bytes, so an up-to-date file is left alone. A file that sdtool did
not write is not replaced without `--overwrite`.

Examples:

    sdtool export runs/a-corgi

    sdtool export "$(sdtool lift "a corgi")" --out corgi.glb

    sdtool export runs/a-corgi --faces 5000 --texture-size 2048 --out game/corgi.glb

    sdtool export runs/a-corgi --out corgi.obj              # for a modeller, with corgi.mtl

    sdtool export runs/a-corgi --faces 0 --out corgi.ply    # every face, vertex colours

    sdtool export runs/a-corgi --components 1 --fill-holes  # one closed body

    sdtool export runs/a-corgi --repair --height 80mm --flat-base 1mm --out corgi.stl

    sdtool export runs/a-corgi --repair --height 8cm --colors 4 --out corgi.3mf

    sdtool export runs/a-corgi --height 0.3m --out corgi.usdz  # as large as that in the room

    sdtool export "my-models/red chair.glb" --repair --height 3in --out chair.stl
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sdtool.errors import UsageError
from sdtool.io import files, stage_record
from sdtool.io.folders import MESH_SUFFIXES
from sdtool.runtime.options import LARGEST_TEXTURE, LEAST_TEXTURE, RUNNING

FORMATS = (".glb", ".obj", ".ply", ".stl", ".3mf", ".usdz")
FACES, PRINTED_FACES = 20_000, 200_000


def export(
    run: Annotated[Path, typer.Argument(help="Directory of a finished lift, or a mesh file.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"File to write: {' '.join(FORMATS)}; default, of a lift: RUN/model.glb."
        ),
    ] = None,
    height: Annotated[
        str | None, typer.Option(help="How high to make it, with a unit: 80mm, 8cm, 0.08m, 3in.")
    ] = None,
    faces: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Triangles to keep, about; 0: all. Default: 20,000; 200,000 for .stl and .3mf.",
        ),
    ] = None,
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
        typer.Option(
            min=0, help="Keep so many of the largest connected parts; 0: all, but a lift's crumbs."
        ),
    ] = 0,
    fill_holes: Annotated[
        bool, typer.Option("--fill-holes", help="Close every hole by a flat patch.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Make it one closed body for printing (needs manifold3d, or Open3D)."
        ),
    ] = False,
    flat_base: Annotated[
        str | None,
        typer.Option(help="Cut so much off below, as 1mm, for a base to stand on; with --height."),
    ] = None,
    colors: Annotated[
        int, typer.Option(min=0, max=64, help="Colours of a .3mf, at most; 0: all that there are.")
    ] = 0,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace files that sdtool did not write.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
) -> stage_record.Result:
    is_file = run.is_file() and run.suffix.lower() in MESH_SUFFIXES
    out = _target(run, out, is_file)
    suffix = out.suffix.lower()
    if suffix == ".usdz" and texture_size == 0:
        said = "AR Quick Look shows no vertex colours; give a .usdz a --texture-size"
        raise UsageError(said, "--texture-size")
    if 0 < texture_size < LEAST_TEXTURE:
        raise UsageError(
            f"--texture-size {texture_size} is too small; give at least {LEAST_TEXTURE}, or 0 for "
            "vertex colours",
            "--texture-size",
        )
    if faces is not None and 0 < faces < 4:
        said = f"--faces {faces} cannot enclose a body; give at least 4, or 0 for all"
        raise UsageError(said, "--faces")
    if flat_base is not None and height is None:
        raise UsageError("--flat-base is a length of what has a size; add --height", "--flat-base")
    if colors and suffix != ".3mf":
        raise UsageError(f"--colors is for a .3mf, not for {out}", "--colors")

    from sdtool.exporting import sizes
    from sdtool.exporting.model_files import encode, is_ours, need_libraries, targets
    from sdtool.exporting.modelling import Wishes, model_of
    from sdtool.exporting.soundness import soundness

    printed = suffix in sizes.PRINTED
    wishes = Wishes(
        suffix=suffix,
        faces=(PRINTED_FACES if printed else FACES) if faces is None else faces,
        texture_size=0 if printed or suffix == ".ply" else texture_size,
        components=components,
        fill_holes=fill_holes,
        repair=repair,
        height=0.0 if height is None else sizes.metres(height, "--height"),
        flat_base=0.0 if flat_base is None else sizes.metres(flat_base, "--flat-base"),
        colors=colors,
        own_size=is_file,
    )
    if 0 < wishes.height <= wishes.flat_base:
        said = f"--flat-base {flat_base} leaves nothing of a height of {height}; give less"
        raise UsageError(said, "--flat-base", "--height")
    need_libraries(suffix, repair=repair, cut=wishes.flat_base > 0)  # before any work
    surface, material, extras = _source(run, is_file)
    cure = "choose another --out or add --overwrite"
    planned = targets(out, textured=wishes.texture_size > 0)
    files.check_replaceable(planned, is_ours, cure=cure, overwrite=overwrite)
    model = model_of(surface, material, wishes, run)
    made = encode(model.shape, out, extras["title"], extras, model.corner_color)
    count, vertices = len(model.shape.t_pos_idx), len(model.shape.v_pos)
    facts: dict[str, Any] = {"vertices": vertices, "faces": count}
    facts |= {"texture_size": wishes.texture_size, "bytes": sum(map(len, made.values()))}
    if printed or repair or wishes.height:
        unit = None if model.unit is None else model.unit * sizes.MILLIMETRES
        body = soundness(model.body, unit)
        facts["body"] = body.facts()
        for line in body.lines():
            print(line, file=sys.stderr)
    if not files.replace_own(made, is_ours, cure=cure, overwrite=overwrite):
        print(f"{out} is already up to date", file=sys.stderr)
        return stage_record.Result(out, facts | {"reused": True})
    colours = "no colours" if suffix == ".stl" else "vertex colours"
    if wishes.texture_size:
        colours = f"textures of {texture_size}²"
    said = f"{vertices} vertices, {count} faces, {colours}, {facts['bytes'] / 1024:.0f} KiB"
    print(f"wrote {out}: {said}", file=sys.stderr)
    return stage_record.Result(out, facts)


def _target(run: Path, out: Path | None, is_file: bool) -> Path:
    """The file to write, if its name can be one."""
    if out is None and is_file:
        said = f"{run} is a file, so --out must name the one to write, such as {run.stem}.3mf"
        raise UsageError(said, "--out")
    out = out or run / "model.glb"
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"--out {out}: end the name with one of {', '.join(FORMATS)}", "--out")
    if out.is_dir():
        said = f"--out {out} is a directory; name a file, such as {out / f'model{out.suffix}'}"
        raise UsageError(said, "--out")
    if is_file and out.exists() and out.samefile(run):
        raise UsageError(f"--out {out} is the file that is read; name another", "--out")
    return out


def _source(run: Path, is_file: bool) -> tuple[Any, Any, dict[str, Any]]:
    """The surface (a Mesh), what covers it (a Material), and what is told about them in the file."""
    from sdtool import __version__

    if is_file:
        from sdtool.exporting.sources import read_source

        surface, material = read_source(run)
        return surface, material, {"title": run.stem, "source": run.name, "sdtool": __version__}
    from sdtool.lifting.lift_files import read_lift

    lifted = read_lift(run)
    return lifted.mesh, lifted.material, _extras(lifted.record)


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
