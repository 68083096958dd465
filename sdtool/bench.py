"""`make bench`: rendering CCMs against Embree, and where the time of a lift goes.

    python -m sdtool.bench [OPTIONS OF LIFT]

Embree (through the package `embreex`) is an independent ray tracer: the same files, cameras and
maps, in the same run and on one thread each. Only ratios within one run mean anything.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from sdtool import ccm
from sdtool.cameras import ViewRange, pixel_rays, random_views
from sdtool.errors import MissingDependencyError, SdtoolError
from sdtool.glb import load_mesh, write_glb
from sdtool.meshes import Mesh
from sdtool.render import kernels
from sdtool.render.maps import render_maps

VIEWS, SIZE, SECONDS = 16, 64, 1.5
SUBDIVISIONS = (3, 5)  # spheres of 1,280 and 20,480 triangles
PROMPT = "a corgi"


# Embree


def embree_rast(mesh: Mesh, c2w: np.ndarray, fov: float, size: int) -> np.ndarray:
    """What rays through the pixel centres hit, in the form of `kernels.rasterize_views`.

    c2w: (N, 4, 4). fov: radians. Returns (N, size, size, 4) float32: the weights of the face's
    first two vertices, the distance from the eye (in the place of z/w), face id + 1; 0 if empty.
    """
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError:
        raise MissingDependencyError(
            "embreex is not installed; install it with: pip install embreex"
        ) from None
    scene = EmbreeScene()
    TriangleMesh(scene, mesh.v_pos[mesh.t_pos_idx])
    eye, direction = pixel_rays(c2w, fov, size)
    origin = np.broadcast_to(eye[:, None, None], direction.shape)
    hit = scene.run(
        np.ascontiguousarray(origin.reshape(-1, 3)),
        np.ascontiguousarray(direction.reshape(-1, 3)),
        output=True,
    )
    u, v = hit["u"], hit["v"]  # the weights of the second and third vertex
    rast = np.stack([1 - u - v, u, hit["tfar"], hit["primID"] + 1], axis=-1)
    rast[hit["primID"] < 0] = 0
    return rast.astype(np.float32).reshape(*direction.shape[:3], 4)


def embree_maps(mesh: Mesh, c2w: np.ndarray, fov: float, size: int) -> np.ndarray:
    """CCMs (N, size, size, 4) of a canonical mesh as `render_maps` makes them, by Embree."""
    rast = embree_rast(mesh, c2w, fov, size)
    corner = ccm.canonical_coordinates(mesh.v_pos, *mesh.bounds()).astype(np.float32)
    value = kernels.interpolate(corner, mesh.t_pos_idx, rast)
    return ccm.encode_map(value, (rast[..., 3:] > 0).astype(np.float32))


def numba_maps(mesh: Mesh, c2w: np.ndarray, fov: float, size: int) -> np.ndarray:
    """CCMs (N, size, size, 4) of a canonical mesh, one sample a pixel."""
    return render_maps(mesh, c2w, fov, size, ("ccm",), supersample=1)["ccm"]


# Objects a second


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
    """Load a GLB and render its CCMs, by numba and by Embree."""
    title = f"CCM objects a second: load a GLB, {VIEWS} views of {SIZE}×{SIZE}, one thread"
    table = Table("mesh", title=title, title_justify="left")
    for heading in ("numba", "Embree", "against Embree", "mask differs", "CCM differs"):
        table.add_column(heading, justify="right")
    look = ViewRange()
    c2w, fov = random_views(np.random.default_rng(0), VIEWS, look), float(np.radians(look.fov))
    for subdivisions in SUBDIVISIONS:
        path = write_glb(folder / f"sphere-{subdivisions}.glb", lumpy_sphere(subdivisions))

        def by(render, path=path) -> np.ndarray:
            return render(ccm.to_canonical(load_mesh(path)), c2w, fov, SIZE)

        ours, theirs = by(numba_maps), by(embree_maps)  # compiles, and warms the file cache
        both = (ours[..., 3] > 0) & (theirs[..., 3] > 0)
        differs = int((ours[..., 3] != theirs[..., 3]).sum())
        worst = float(np.abs(ours - theirs)[both].max()) / 2
        rate = rates({"numba": lambda: by(numba_maps), "Embree": lambda: by(embree_maps)}, seconds)
        table.add_row(
            f"{20 * 4**subdivisions:,} triangles",
            f"{rate['numba']:.0f}",
            f"{rate['Embree']:.0f}",
            f"{rate['numba'] / rate['Embree']:.1f}×",
            f"{differs} of {VIEWS * SIZE * SIZE} px",
            f"{worst:.0e} at most",
        )
    return table


# Seconds a step


def lifting(folder: Path, options: list[str]) -> Table:
    """A lift with the preset `preview`, and where its time went."""
    command = [sys.executable, "-m", "sdtool.cli", "lift", PROMPT, "--preset", "preview"]
    command += ["--out", str(folder / "lift"), "--json", *options]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if said.returncode:
        raise SystemExit(said.returncode)  # it has said why
    result = json.loads(said.stdout)
    seconds, steps = result["seconds"], result["counts"]["steps"]
    total = seconds["total"]
    rows = {
        "prior": seconds["priors"],
        "renderer, forward": seconds["render"],
        "renderer, backward and optimiser": seconds["backward"],
    }
    rows["loading, pictures, checkpoints"] = total - sum(rows.values())
    title = f'Lifting "{PROMPT}" in {steps} steps (--preset preview)'
    table = Table("part", title=title, title_justify="left")
    for heading in ("seconds", "ms a step", "share of the whole"):
        table.add_column(heading, justify="right")
    for name, spent in [*rows.items(), ("the whole", total)]:
        table.add_row(name, f"{spent:.1f}", f"{1000 * spent / steps:.0f}", f"{spent / total:.0%}")
    return table


def main() -> None:
    """Print both tables on stdout."""
    console = Console(width=None if sys.stdout.isatty() else 100)
    try:
        with tempfile.TemporaryDirectory() as folder:
            console.print(rendering(Path(folder)))
            console.print(lifting(Path(folder), sys.argv[1:]))
    except SdtoolError as error:
        raise SystemExit(f"bench: {error}") from None


if __name__ == "__main__":
    main()
