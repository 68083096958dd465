"""Write a lifted shape as a GLB file (or OBJ, or PLY).

RUN is the directory of a finished `sdtool lift`. The file holds one object: +Y up, facing +Z,
centred, its longest side 1, with vertex colours. A GLB also tells in `asset.extras` which prompt,
seed and priors it came from. The ending of `--out` chooses the format.

Exporting again writes the same bytes, so an up-to-date file is left alone. A file that sdtool did
not write is not replaced without `--overwrite`.

Examples:

    sdtool export runs/a-corgi

    sdtool export "$(sdtool lift "a corgi")" --out corgi.glb

    sdtool export runs/a-corgi --out corgi.ply
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sdtool import __version__, artifacts, files
from sdtool.errors import InputError, UsageError

FORMATS = (".glb", ".obj", ".ply")
GENERATOR = f"sdtool {__version__}"


def export(
    run: Annotated[Path, typer.Argument(help="Directory of a finished lift.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write: .glb, .obj or .ply; default: RUN/model.glb.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that sdtool did not write.")
    ] = False,
) -> artifacts.Result:
    out = out or run / "model.glb"
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"--out {out}: end the name with one of {', '.join(FORMATS)}")
    if out.is_dir():
        raise UsageError(f"--out {out} is a directory; name a file, such as {out / 'model.glb'}")

    from sdtool.ccm import to_canonical
    from sdtool.clean import clean
    from sdtool.lifted import read_lift

    lifted = read_lift(run)
    mesh = clean(lifted.mesh)
    if len(mesh.t_pos_idx) == 0:
        raise InputError(f"{run} holds no triangle that has an area; lift it with another --seed")
    mesh = to_canonical(mesh)
    data = _encode(mesh, out.suffix.lower(), _extras(lifted.record))
    facts = {"vertices": len(mesh.v_pos), "faces": len(mesh.t_pos_idx), "bytes": len(data)}
    if out.exists():
        found = out.read_bytes()
        if found == data:
            print(f"{out} is already up to date", file=sys.stderr)
            return artifacts.Result(out, facts | {"reused": True})
        if not overwrite and not _is_ours(found, out.suffix.lower()):
            raise UsageError(f"sdtool did not write {out}; choose another --out or add --overwrite")
    with files.atomic_path(out) as temporary:
        temporary.write_bytes(data)
    size = f"{facts['vertices']} vertices, {facts['faces']} faces, {len(data) / 1024:.0f} KiB"
    print(f"wrote {out}: {size}", file=sys.stderr)
    return artifacts.Result(out, facts)


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


def _encode(mesh, suffix: str, extras: dict[str, Any]) -> bytes:
    """The bytes of the file: the same mesh and extras give the same bytes."""
    from tempfile import TemporaryDirectory

    from sdtool.glb import write_glb

    if suffix == ".glb":
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.glb"
            write_glb(path, mesh, name=extras["title"], extras=extras, generator=GENERATOR)
            return path.read_bytes()
    import numpy as np
    import trimesh
    from trimesh.exchange import obj, ply

    colors = np.rint(np.clip(mesh.v_color, 0, 1) * 255).astype(np.uint8)
    made = trimesh.Trimesh(mesh.v_pos, mesh.t_pos_idx, vertex_colors=colors, process=False)
    said = " ".join(f"{GENERATOR}: {extras['title']}".split())
    if suffix == ".obj":
        return obj.export_obj(made, header=said).encode()
    intro, rest = ply.export_ply(made, vertex_normal=False).split(b"\n", 1)
    kind, rest = rest.split(b"\n", 1)
    return b"\n".join([intro, kind, f"comment {said}".encode(), rest])


def _is_ours(data: bytes, suffix: str) -> bool:
    """True if the file begins as one that `_encode` makes, of any version."""
    import re

    marks = {
        ".glb": rb'^glTF.{16}\{"asset":\{"version":"2.0","generator":"sdtool ',
        ".obj": rb"^# sdtool ",
        ".ply": rb"^ply\n[^\n]*\ncomment sdtool ",
    }
    return re.match(marks[suffix], data, re.DOTALL) is not None
