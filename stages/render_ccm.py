"""Render canonical coordinate maps (CCMs) of objects from random views.

Reads a folder of meshes (GLB, OBJ, PLY, STL, OFF) or an `objects.jsonl`, and writes shards that
`finetune-agp` trains on: per view the map and its camera. An object that cannot be used becomes a
line of `failures.jsonl`, and the exit code is 3 (1 if none can be used).

With `--maps rgb,normal --random-yaw` it renders the camera-free pictures of `train-base` instead.

Examples:

    sdtool render-ccm ./objs --out ccm/

    sdtool render-ccm filtered/objects.jsonl --out ccm/ --views 8 --size 32
"""

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sdtool import artifacts, files
from sdtool.errors import InputError, ObjectError, UsageError


def render_ccm(
    source: Annotated[Path, typer.Argument(help="Folder of meshes, or an objects.jsonl.")],
    out: Annotated[Path, typer.Option(help="Directory for the shards.")],
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
    shard_size: Annotated[int, typer.Option(min=1, help="Objects in one shard file.")] = 256,
    previews: Annotated[int, typer.Option(min=0, help="Objects in the preview picture.")] = 12,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 takes every core.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Views depend on seed and uid alone.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo finished work.")] = False,
) -> artifacts.Result:
    from sdtool.cameras import ViewRange
    from sdtool.objects import list_objects
    from sdtool.render.maps import MAPS

    wanted = tuple(m.strip() for m in maps.split(",") if m.strip())
    if not wanted or set(wanted) - set(MAPS):
        raise UsageError(f"--maps {maps!r}: name some of {', '.join(MAPS)}, divided by commas")
    if random_yaw and "ccm" in wanted:
        raise UsageError(
            "--random-yaw would spoil the canonical frame of CCMs; use --maps rgb,normal"
        )
    if not -89 <= elevation[0] <= elevation[1] <= 89:
        raise UsageError("--elevation needs two angles, lowest first, between -89 and 89")
    look = ViewRange(fov, elevation, (1 - jitter, 1 + jitter), distance)
    objects = list_objects(source)
    params = {
        "views": views,
        "size": size,
        "supersample": supersample,
        "camera": asdict(look),
        "maps": wanted,
        "random_yaw": random_yaw,
        "shard_size": shard_size,
        "seed": seed,
    }
    record = artifacts.begin(
        out,
        "render-ccm",
        params=params,
        inputs={"objects": source},
        overwrite=overwrite,
        owned=("ccm-?????.safetensors", "views-?????.safetensors", "preview.png"),
    )
    if record.is_done:
        print(f"{out} is already rendered; --overwrite redoes it", file=sys.stderr)
        return record.result()
    jobs = []
    for number, start in enumerate(range(0, len(objects), shard_size)):
        name = f"{'ccm' if 'ccm' in wanted else 'views'}-{number:05d}.safetensors"
        part = [(o["uid"], o["path"]) for o in objects[start : start + shard_size]]
        jobs.append({**params, "path": str(out / name), "objects": part, "camera": look})
    _run(jobs, len(objects), workers)
    return _finish(record, [Path(job["path"]) for job in jobs], previews)


def _run(jobs: list[dict], total: int, workers: int) -> None:
    """Render the missing shards, with progress."""
    from sdtool.engine import available_cores, map_items
    from sdtool.progress import progress

    missing = [job for job in jobs if not Path(job["path"]).exists()]
    ready = total - sum(len(job["objects"]) for job in missing)
    with progress("rendering", total, "objects", done=ready) as bar:
        for ok, failed in map_items(_render_shard, missing, workers or available_cores()):
            bar.advance(ok + failed, failed=failed)


def _render_shard(job: dict) -> tuple[int, int]:
    """Render one shard file; return how many objects went well and how many failed."""
    import numpy as np

    from sdtool.cameras import random_views, rotate_y
    from sdtool.ccm import to_canonical
    from sdtool.glb import load_mesh
    from sdtool.objects import object_rng
    from sdtool.render.maps import render_maps

    look, wanted = job["camera"], job["maps"]
    stacks: dict[str, list] = {name: [] for name in (*wanted, "c2w", "object")}
    failures = []
    uids = [uid for uid, _ in job["objects"]]
    for index, (uid, path) in enumerate(job["objects"]):
        try:
            if path is None:
                raise ObjectError("missing-file", f"{uid} has no file in its collection")
            mesh = to_canonical(load_mesh(path))
        except ObjectError as error:
            failures.append({"uid": uid, "reason": error.reason, "message": str(error)})
            continue
        rng = object_rng(job["seed"], uid)
        c2w = random_views(rng, job["views"], look)
        if job["random_yaw"]:
            turned = mesh.with_positions(rotate_y(mesh.v_pos, rng.uniform(-np.pi, np.pi)))
            mesh = to_canonical(turned)
        images = render_maps(
            mesh, c2w, np.radians(look.fov), job["size"], wanted, job["supersample"]
        )
        for name in wanted:
            stacks[name].append(images[name].transpose(0, 3, 1, 2).astype(np.float16))
        stacks["c2w"].append(c2w)
        stacks["object"].append(np.full(len(c2w), index, np.int32))
    empty = np.zeros((0, 4, job["size"], job["size"]), np.float16)
    tensors = {name: np.concatenate(stacks[name] or [empty]) for name in wanted}
    tensors["c2w"] = np.concatenate(stacks["c2w"] or [np.zeros((0, 4, 4), np.float32)])
    tensors["object"] = np.concatenate(stacks["object"] or [np.zeros(0, np.int32)])
    metadata = {
        "uids": json.dumps(uids),
        "failures": json.dumps(failures),
        "camera": json.dumps(asdict(look)),
    }
    files.write_tensors(job["path"], tensors, metadata)
    return len(uids) - len(failures), len(failures)


def _finish(record: artifacts.StageRecord, shards: list[Path], previews: int) -> artifacts.Result:
    """Gather the failures, draw the preview and write the done-marker."""
    from safetensors import safe_open

    failures, total = [], 0
    for path in shards:
        with safe_open(path, "numpy") as file:
            header = file.metadata()
        failures += json.loads(header["failures"])
        total += len(json.loads(header["uids"]))
    outputs = [path.name for path in shards]
    (record.out / artifacts.FAILURES).unlink(missing_ok=True)  # of an earlier attempt
    if failures:
        files.write_jsonl(record.out / artifacts.FAILURES, failures)
        outputs.append(artifacts.FAILURES)
    if len(failures) == total:
        for path in shards:  # so that the same command tries again
            path.unlink()
        reasons = Counter(failure["reason"] for failure in failures).most_common()
        raise InputError(
            f"none of the {total} objects could be rendered "
            f"({', '.join(f'{count} {reason}' for reason, count in reasons)}); "
            f"{record.out / artifacts.FAILURES} says why, object by object"
        )
    if previews:
        _preview(record.out / "preview.png", shards, previews)
        outputs.append("preview.png")
    counts = {"ok": total - len(failures), "failed": len(failures)}
    return record.finish(counts=counts, outputs=outputs)


def _preview(path: Path, shards: list[Path], objects: int) -> None:
    """One picture: a row for each of the first objects, four views of each map."""
    import numpy as np
    from safetensors import safe_open

    from sdtool.images import enlarge, grid, map_to_rgb, write_png

    rows = []
    for shard in shards:
        with safe_open(shard, "numpy") as file:
            names = [n for n in ("ccm", "rgb", "normal") if n in file.keys()]
            index = file.get_tensor("object")
            for value in np.unique(index):
                first = int(np.searchsorted(index, value))
                last = min(first + 4, int(np.searchsorted(index, value, side="right")))
                for name in names:
                    image = file.get_slice(name)[first:last].astype(np.float32)
                    rows.append(map_to_rgb(image.transpose(0, 2, 3, 1)))
                if len(rows) >= objects * len(names):
                    break
        if len(rows) >= objects * len(names):
            break
    columns = 4 * max(1, min(3, len(rows)))
    padded = [np.concatenate([r, np.ones((4 - len(r), *r.shape[1:]), np.float32)]) for r in rows]
    sheet = grid(enlarge(np.concatenate(padded), 64), columns)
    write_png(path, sheet, Title="canonical coordinate maps and views, first objects")
