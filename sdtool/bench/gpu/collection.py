"""`render-ccm` over a small collection: a device's backends beside numba, in maps and in objects a second."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from sdtool.bench.gpu.figures import Sheet
from sdtool.bench.gpu.rasterisers import backends
from sdtool.bench.gpu.setup import Setup
from sdtool.bench.rendering import lumpy_sphere
from sdtool.geometry.cameras import ViewRange
from sdtool.io.files import write_jsonl
from sdtool.io.objects import iter_objects
from sdtool.io.shards import open_shard
from sdtool.meshfiles import write_glb
from sdtool.meshfiles.limits import Limits
from sdtool.rendering.collection import RenderJob, render_collection, render_collection_by_cuda
from sdtool.rendering.views import ViewSettings
from sdtool.runtime.ranks import Ranks

FILES = 8  # of different meshes, listed again and again under other uids: with other cameras

# The largest shares of pixels whose coverage differs, and of covered ones whose coordinates do, by `FAR`: as
# where one of 16 samples shows what lies behind. Of 42 million pixels of 640 balls, drawn by Warp on a CPU,
# 19 had another coverage. nvdiffrast moves vertices to a grid of 1/16 pixel.
BOUNDS = {"warp": (1e-4, 1e-4), "nvdiffrast": (0.02, 0.01)}
FAR = 4e-3  # of the object's box


def compare(setup: Setup, sheet: Sheet) -> None:
    """Render by numba on the CPU and by each backend on the device; compare the shards."""
    import torch

    subdivisions, objects, first, views, size = (
        (2, 6, 2, 4, 16) if setup.small else (5, 384, 96, 16, 64)
    )
    listing = _collection(setup.work, subdivisions, objects)
    settings = ViewSettings(views, size, 4, ViewRange(), ("ccm",), False, 0, Limits())
    workers = 1 if setup.small else 0
    sheet.note("objects", objects)
    sheet.note("triangles of each", 20 * 4**subdivisions)
    sheet.note("views of each", f"{views} of {size}×{size}, 16 samples a pixel")

    def rendered(name: str, by: str) -> tuple[np.ndarray, float]:
        """The maps (N, 4, H, W) of all objects, and objects a second after the first ones."""
        source = partial(iter_objects, listing)
        out = setup.work / f"ccm-{name}"
        out.mkdir()
        job = RenderJob(out, settings, source, objects, objects, Ranks(), {})
        settled: Iterator[bool]
        if by == "numba":
            settled = render_collection(job, workers=workers)
        else:
            settled = render_collection_by_cuda(job, by, setup.device, workers=workers)
        began = time.perf_counter()
        for count, failed in enumerate(settled, start=1):
            if failed:
                raise RuntimeError(f"an object could not be rendered by {by}")
            if count == first:
                began = time.perf_counter()
        rate = (objects - first) / (time.perf_counter() - began)
        return open_shard(job.paths()[0]).maps["ccm"][:].astype(np.float32), rate

    expected, base = rendered("numba", "numba")
    sheet.note("numba, 1 core" if setup.small else "numba, all cores", base, "objects/s")
    for backend in backends(torch.device(setup.device)):
        maps, rate = rendered(backend, backend)
        sheet.note(backend, rate, "objects/s")
        sheet.note(f"{backend}, against numba", rate / base, "×")
        most_coverage, most_coordinates = BOUNDS[backend]
        other = float((np.abs(maps[:, 3] - expected[:, 3]) > 1e-3).mean())
        both = (maps[:, 3] == 1) & (expected[:, 3] == 1)
        far = np.abs(maps - expected)[:, :3].max(axis=1)[both] / 2
        sheet.at_most(f"{backend}: pixels of other coverage", other, most_coverage)
        share = float((far > FAR).mean())
        sheet.at_most(f"{backend}: pixels of other coordinates", share, most_coordinates)
        sheet.note(f"{backend}: largest difference in coordinates", float(far.max()))


def _collection(folder: Path, subdivisions: int, objects: int) -> Path:
    """A listing of so many lumpy balls."""
    ball = lumpy_sphere(subdivisions)
    for k in range(FILES):
        scaled = ball.with_positions(ball.v_pos * [1, 1 + k / FILES, 1])
        write_glb(folder / f"{k}.glb", scaled)
    lines = ({"uid": f"object-{k}", "path": f"{k % FILES}.glb"} for k in range(objects))
    write_jsonl(folder / "objects.jsonl", lines)
    return folder / "objects.jsonl"
