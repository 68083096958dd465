"""Render canonical coordinate maps (CCMs) of objects from random views.

Reads a folder of meshes (GLB, glTF, OBJ, PLY, STL, OFF) or an `objects.jsonl`, and writes shards that
`finetune-agp` trains on: per view the map and its camera; `index.jsonl` says where each object is,
and `preview.png` shows some of them, drawn at random. An object that cannot be used, kills its
worker or takes too long becomes a line of `failures.jsonl`, and the exit code is 3 (1 if none can
be used). So does one that fills less than `--min-coverage` of its views, for a part of it lies far away
from the rest. The same command continues an interrupted run, object by object; an object's views depend
on `--seed` and its uid alone.

With `--maps rgb,normal --random-yaw` it renders the camera-free pictures of `train-base` instead.

On a cluster, `--world-size` machines share the work: each runs the same command with its own
`--rank` (under SLURM's `srun` both are known) and writes to a folder of its own in --out. The next
stage takes --out and reads all ranks as one. Or `--engine ray` uses a Ray cluster (RAY_ADDRESS).

Points have no surface, so an object of nothing else is a failure. `--surface-points poisson` makes one by
screened Poisson, closed and smooth; `pivot` by rolling balls through the points themselves, open where
they are sparse. It needs Open3D (`pip install 'sdtool[open3d]'`).

`--from` reads what others have rendered and renders nothing: `ortho10view` is the layout of
Objaverse-Ortho10View (depth, cameras), `crm` that of CRM's training (coordinates from six sides). Their
cameras are orthographic; the shards and what trains on them say so. `--layout crm` writes that of CRM.

Objects should face +Z. For those that do not, `--yaw-fix` names a table with lines of `uid,degrees`:
how far each must be turned, from +Z toward +X, to face +Z; or the folder that `sdtool orient` wrote.

Examples:

    sdtool render-ccm ./objs --out ccm/

    sdtool render-ccm filtered/objects.jsonl --out ccm/ --views 8 --size 32

    srun --ntasks 64 sdtool render-ccm filtered/ --out ccm/ --workers 16
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sdtool.errors import InputError, UsageError
from sdtool.io import stage_record
from sdtool.meshfiles.limits import Limits
from sdtool.runtime.engine import RECYCLE
from sdtool.runtime.options import (
    RUNNING,
    EngineName,
    MaxMemory,
    Out,
    Overwrite,
    PointSurface,
    Rank,
    Seed,
    Timeout,
    Workers,
    WorldSize,
)
from sdtool.runtime.ranks import Ranks

CAMERAS = ("views", "fov", "elevation", "distance", "jitter", "random_yaw", "backend")
MESHES = ("supersample", "max_file_mb", "max_triangles", "surface_points")
SHARDS = ("maps", "shard_size", "previews", "min_coverage")
SHARPEST = 256  # pixels a side that CRM's training makes of its pictures


def render_ccm(
    source: Annotated[Path, typer.Argument(help="Folder of meshes, or an objects.jsonl.")],
    out: Out,
    renders: Annotated[
        Literal["meshes", "crm", "ortho10view"],
        typer.Option("--from", help="What SOURCE holds: meshes, or renders in a layout of others."),
    ] = "meshes",
    layout: Annotated[
        Literal["shards", "crm"],
        typer.Option(help="What is written: shards, or six sides of each object as CRM has them."),
    ] = "shards",
    views: Annotated[int, typer.Option(min=1, help="Random views of each object.")] = 16,
    size: Annotated[int, typer.Option(min=4, help="Pixels a side: the prior's latent size.")] = 64,
    supersample: Annotated[int, typer.Option(min=1, help="Samples a pixel, a side.")] = 4,
    fov: Annotated[float, typer.Option(min=1, max=120, help="Field of view in degrees.")] = 45.0,
    elevation: Annotated[
        tuple[float, float], typer.Option(help="Lowest and highest elevation in degrees.")
    ] = (-10.0, 45.0),
    distance: Annotated[
        float, typer.Option(min=0.6, help="Mean camera distance; the object's longest side is 1.")
    ] = 1.5,
    jitter: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share by which the distance varies.")
    ] = 0.1,
    maps: Annotated[str, typer.Option(help="Which maps, of ccm,rgb,normal.")] = "ccm",
    random_yaw: Annotated[
        bool, typer.Option("--random-yaw", help="Turn every object at random (not for CCMs).")
    ] = False,
    yaw_fix: Annotated[
        Path | None,
        typer.Option(help="Table of uid,degrees that turn objects to +Z.", show_default=False),
    ] = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Objects in one shard file.")] = 256,
    previews: Annotated[int, typer.Option(min=0, help="Objects in the preview picture.")] = 12,
    max_file_mb: Annotated[
        int, typer.Option(min=1, help="Largest file that is read, in MB.")
    ] = Limits.file_bytes >> 20,
    max_triangles: Annotated[
        int, typer.Option(min=1, help="Most triangles of an object.")
    ] = Limits.triangles,
    min_coverage: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of its views that an object fills.")
    ] = 0.002,
    surface_points: Annotated[
        PointSurface,
        typer.Option(help="Make a surface of objects that are only points (Open3D)."),
    ] = "off",
    seed: Seed = 0,
    backend: Annotated[
        Literal["numba", "nvdiffrast", "warp"],
        typer.Option(help="numba: CPU. nvdiffrast, warp: CUDA.", rich_help_panel=RUNNING),
    ] = "numba",
    device: Annotated[
        str, typer.Option(help="Where these run: cuda, cuda:1, …", rich_help_panel=RUNNING)
    ] = "cuda",
    engine: EngineName = "local",
    workers: Workers = 0,
    timeout: Timeout = 120.0,
    max_memory_gb: MaxMemory = 16.0,
    rank: Rank = 0,
    world_size: WorldSize = 1,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    given = dict(locals())
    from sdtool.geometry import open3d_tools
    from sdtool.geometry.cameras import ViewRange
    from sdtool.io.again import tried_again
    from sdtool.io.folders import Unread, say_unread
    from sdtool.io.objects import iter_objects, say_unknown, unread_beside
    from sdtool.io.shards import OWNED
    from sdtool.io.yaw_fix import read_yaw_fix
    from sdtool.rendering import collection
    from sdtool.rendering.maps import MAPS
    from sdtool.rendering.results import PREVIEW, finish
    from sdtool.rendering.views import ViewSettings
    from sdtool.runtime.progress import progress

    wanted = tuple(m.strip() for m in maps.split(",") if m.strip())
    if not wanted or set(wanted) - set(MAPS):
        said = f"--maps {maps!r}: name some of {', '.join(MAPS)}, divided by commas"
        raise UsageError(said, "--maps")
    if random_yaw and "ccm" in wanted:
        said = "--random-yaw would spoil the canonical frame of CCMs; use --maps rgb,normal"
        raise UsageError(said, "--random-yaw")
    if not -89 <= elevation[0] <= elevation[1] <= 89:
        said = "--elevation needs two angles, lowest first, between -89 and 89"
        raise UsageError(said, "--elevation")
    ranks = Ranks(rank, world_size)
    if renders != "meshes":
        _refuse(
            given, (*CAMERAS, *MESHES, "layout"), "is about rendering, and --from reads renders"
        )
        return _read(given, wanted, ranks)
    if layout == "crm":
        _refuse(given, (*CAMERAS, *SHARDS), "is not for --layout crm, whose pictures are six sides")
        return _write_crm(given, ranks)
    view_range = ViewRange(fov, elevation, (1 - jitter, 1 + jitter), distance)
    limits = Limits(file_bytes=max_file_mb << 20, triangles=max_triangles)
    by = "" if surface_points == "off" else surface_points
    if by:
        open3d_tools.library("--surface-points")  # before any work
    settings = ViewSettings(
        views, size, supersample, view_range, wanted, random_yaw, seed, limits, min_coverage, by
    )
    yaws = read_yaw_fix(yaw_fix) if yaw_fix else {}
    total, unknown = 0, set(yaws)
    for item in iter_objects(source):
        total += 1
        unknown.discard(item.uid)
    unread = unread_beside(source) if rank == 0 else Unread()
    params = {**asdict(settings), "shard_size": shard_size, "backend": backend, **ranks.params()}
    record = stage_record.begin(
        ranks.folder(out),
        "render-ccm",
        params=params,
        inputs={"objects": source, "yaw_fix": yaw_fix},
        overwrite=overwrite,
        owned=(*OWNED, PREVIEW),
        patient=True,
    )
    if world_size > 1:
        print(f"rank {rank} of {world_size}: {record.out}", file=sys.stderr)
    if record.is_done and not tried_again(record):
        print(record.already("rendered"), file=sys.stderr)
        return record.result()
    if backend != "numba":
        collection.checked_backend(backend, device)
    record.clear()
    if unread:
        print(say_unread(unread), file=sys.stderr)
    if unknown and rank == 0:
        said = say_unknown(f"--yaw-fix {yaw_fix}", unknown, len(yaws))
        print(f"{said}, which turns nothing", file=sys.stderr)
    objects = partial(iter_objects, source)
    job = collection.RenderJob(record.out, settings, objects, total, shard_size, ranks, yaws)
    job.try_again()
    options = _pool(given)
    with progress("rendering", job.count(), "objects", done=job.finished()) as bar:
        if backend == "numba":
            settled = collection.render_collection(job, **options)
        else:
            settled = collection.render_collection_by_cuda(job, backend, device, **options)
        for failed in settled:
            bar.advance(failed=failed)
    more = unread.counts() | ranks.counts(total)
    return finish(record, job.paths(), views, previews, seed, more)


def _refuse(given: dict[str, Any], names: Sequence[str], why: str) -> None:
    """UsageError if one of these options has another value than its default. given: all options."""
    for name in names:
        if given[name] != signature(render_ccm).parameters[name].default:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {why}; leave it out", f"--{option}")


def _pool(given: dict[str, Any]) -> dict[str, Any]:
    """The options of the worker processes."""
    return {
        "engine": given["engine"],
        "workers": given["workers"],
        "timeout": given["timeout"],
        "memory": int(given["max_memory_gb"] * 2**30),
        "recycle": RECYCLE,
    }


def _read(given: dict[str, Any], wanted: tuple[str, ...], ranks: Ranks) -> stage_record.Result:
    """Shards of what others have rendered."""
    from sdtool.io.again import tried_again
    from sdtool.io.shards import OWNED
    from sdtool.io.yaw_fix import read_yaw_fix
    from sdtool.rendering import renders
    from sdtool.rendering.collection import RenderJob, render_collection
    from sdtool.rendering.results import PREVIEW, finish
    from sdtool.runtime.progress import progress

    if others := ", ".join(sorted(set(wanted) - set(renders.MAPS))):
        said = f"--maps {others}: --from {given['renders']} reads {' and '.join(renders.MAPS)} only"
        raise UsageError(said, "--maps", "--from")
    source, layout, shard_size = given["source"], given["renders"], given["shard_size"]
    camera, views, total = renders.survey(source, layout)
    settings = renders.ReadSettings(
        layout, views, given["size"], camera, wanted, given["min_coverage"]
    )
    yaws = read_yaw_fix(given["yaw_fix"]) if given["yaw_fix"] else {}
    record = stage_record.begin(
        ranks.folder(given["out"]),
        "render-ccm",
        params={**asdict(settings), "shard_size": shard_size, **ranks.params()},
        inputs={"renders": source, "yaw_fix": given["yaw_fix"]},
        overwrite=given["overwrite"],
        owned=(*OWNED, PREVIEW),
    )
    if record.is_done and not tried_again(record):
        print(record.already("there"), file=sys.stderr)
        return record.result()
    objects = partial(renders.iter_renders, source, layout)
    job = RenderJob(record.out, settings, objects, total, shard_size, ranks, yaws)
    job.try_again()
    with progress("reading", job.count(), "objects", done=job.finished()) as bar:
        for failed in render_collection(job, renders.read_object, **_pool(given)):
            bar.advance(failed=failed)
    more = ranks.counts(total)
    return finish(record, job.paths(), views, given["previews"], given["seed"], more)


def _write_crm(given: dict[str, Any], ranks: Ranks) -> stage_record.Result:
    """Pictures as CRM trains on them."""
    from sdtool.io.again import tried_again
    from sdtool.io.failures import write_failures
    from sdtool.io.folders import Unread, say_unread
    from sdtool.io.objects import iter_objects, unread_beside
    from sdtool.io.yaw_fix import read_yaw_fix
    from sdtool.rendering.crm_files import NAMES, OWNED, CrmSettings, write_collection
    from sdtool.rendering.results import none_of
    from sdtool.runtime.progress import progress

    size, source = given["size"], given["source"]
    if size < SHARPEST:
        said = (
            f"--size {size} is below the {SHARPEST} pixels that CRM trains on; its own are of 512"
        )
        raise UsageError(said, "--size")
    limits = Limits(file_bytes=given["max_file_mb"] << 20, triangles=given["max_triangles"])
    by = "" if given["surface_points"] == "off" else given["surface_points"]
    settings = CrmSettings(size, given["supersample"], limits, by)
    yaws = read_yaw_fix(given["yaw_fix"]) if given["yaw_fix"] else {}
    unread = unread_beside(source) if ranks.rank == 0 else Unread()
    record = stage_record.begin(
        ranks.folder(given["out"]),
        "render-ccm",
        params={"layout": "crm", **asdict(settings), **ranks.params()},
        inputs={"objects": source, "yaw_fix": given["yaw_fix"]},
        overwrite=given["overwrite"],
        owned=OWNED,
    )
    if record.is_done and not tried_again(record):
        print(record.already("rendered"), file=sys.stderr)
        return record.result()
    if unread:
        print(say_unread(unread), file=sys.stderr)
    everything = list(iter_objects(source))
    items = [item for k, item in enumerate(everything) if ranks.owns(k)]
    failures = []
    with progress("rendering", len(items), "objects") as bar:
        for failed in write_collection(record.out, settings, items, yaws, **_pool(given)):
            failures += [failed] if failed else []
            bar.advance(failed=bool(failed))
    write_failures(record.out, failures)
    if items and len(failures) == len(items):
        raise InputError(f"{none_of(len(items))} be rendered; failures.jsonl says why")
    lost = {failed["uid"] for failed in failures}
    made = [item.uid for item in items if item.uid not in lost]
    counts = {"ok": len(made), "failed": len(failures)}
    counts |= unread.counts() | ranks.counts(len(everything))
    outputs = [f"{uid}/{name}" for uid in made for name in NAMES]  # what others put there stays
    return record.finish(counts=counts, outputs=outputs)
