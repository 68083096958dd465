"""Objects a second: loading a GLB and rendering its CCMs, against Embree on the same files and cameras."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.table import Table

from sdtool.bench.embree import embree_maps
from sdtool.geometry import ccm
from sdtool.geometry.cameras import ViewRange, random_views
from sdtool.geometry.meshes import Mesh
from sdtool.meshfiles import load_mesh, write_glb
from sdtool.rendering.maps import render_maps

VIEWS, SIZE, SECONDS = 16, 64, 1.5


def lumpy_sphere(subdivisions: int) -> Mesh:
    """A sphere with waves on it: some pixels see several layers."""
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions)
    v_pos = np.asarray(sphere.vertices)
    radius = 1 + 0.2 * np.sin(6 * v_pos).prod(axis=1, keepdims=True)
    return Mesh((v_pos * radius).astype(np.float32), np.asarray(sphere.faces, np.int32))


def rates(functions: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Calls a second of each function: they take turns for `seconds` each; medians."""
    spent: dict[str, list[float]] = {name: [] for name in functions}
    while min(sum(times) for times in spent.values()) < seconds:
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            spent[name].append(time.perf_counter() - began)
    return {name: 1 / float(np.median(times)) for name, times in spent.items()}


def rendering(folder: Path, seconds: float = SECONDS) -> Table:
    """Load a GLB and render its CCMs, by numba and by Embree: one sample a pixel, and 4×4."""
    title = f"CCM objects a second: load a GLB, {VIEWS} views of {SIZE}×{SIZE}, one thread"
    table = Table("mesh", title=title, title_justify="left")
    for heading in ("samples", "numba", "Embree", "against Embree", "mask differs", "CCM differs"):
        table.add_column(heading, justify="right")
    view_range = ViewRange()
    c2w, fov = (
        random_views(np.random.default_rng(0), VIEWS, view_range),
        float(np.radians(view_range.fov)),
    )
    for samples, subdivisions in ((1, 3), (1, 5), (4, 3), (4, 5)):
        path = write_glb(folder / f"sphere-{subdivisions}.glb", lumpy_sphere(subdivisions))

        def numba(path=path, samples=samples) -> np.ndarray:
            return render_maps(_load(path), c2w, fov, SIZE, ("ccm",), samples)["ccm"]

        def embree(path=path, samples=samples) -> np.ndarray:
            return ccm.downsample(embree_maps(_load(path), c2w, fov, SIZE * samples), samples)

        ours, theirs = numba(), embree()  # compiles, and warms the file cache
        both = (ours[..., 3] == 1) & (theirs[..., 3] == 1)
        differs = int((np.abs(ours[..., 3] - theirs[..., 3]) > 1e-5).sum())
        worst = float(np.abs(ours - theirs)[both].max()) / 2
        rate = rates({"numba": numba, "Embree": embree}, seconds)
        table.add_row(
            f"{20 * 4**subdivisions:,} triangles",
            f"{samples}×{samples}",
            f"{rate['numba']:.0f}",
            f"{rate['Embree']:.1f}",
            f"{rate['numba'] / rate['Embree']:.1f}×",
            f"{differs} of {VIEWS * SIZE * SIZE} px",
            f"{worst:.0e} at most",
        )
    return table


def _load(path: Path) -> Mesh:
    return ccm.to_canonical(load_mesh(path))
