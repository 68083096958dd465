"""Our reader and rasteriser against trimesh's loaders and Embree's rays, on models of any folders."""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from sdtool.bench.embree import embree_rast
from sdtool.bench.trimesh_reader import Read, read_by_trimesh
from sdtool.errors import ObjectError, UsageError
from sdtool.geometry.cameras import ViewRange, random_views, world_to_clip
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh, linear_to_srgb
from sdtool.io.folders import survey
from sdtool.meshfiles import load_mesh, write_glb
from sdtool.rendering import kernels
from sdtool.rendering.texturing import base_color
from sdtool.rendering.visible import Visible

VIEWS, SIZE, NAMED = 4, 64, 3
MEASURES = {
    "bounds": "bounds, share of the longest side",
    "pixels": "pixels that differ, edges left out",
    "silhouette": "silhouettes, 1 − IoU",
    "rasteriser": "the same, of our reader's mesh",
    "mean": "mean base colour, of 1",
    "texels": "base colour, pixel by pixel",
}


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Which models are read."""
    parser = argparse.ArgumentParser(prog="python -m sdtool.bench readers", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="of models; without, three are made")
    parser.add_argument("--count", type=int, default=100, help="of models [default: 100]")
    return parser.parse_args(arguments)


def readers(folder: Path, arguments: Sequence[str] = ()) -> Table:
    """Bounds, silhouettes and base colours by both: medians, the worst, and who refused what."""
    given = options(arguments)
    if given.count < 1:
        raise UsageError(f"--count {given.count}: at least 1 model is needed", "--count")
    if not given.folders:
        make_models(folder)
    chosen = choose(given.folders or [folder], given.count)
    found: dict[str, dict[str, float]] = {}
    refused: dict[str, list[str]] = defaultdict(list)
    for path, name in chosen.items():
        ours, theirs = None, None
        try:
            ours = load_mesh(path, textures=True, normals=False)
        except ObjectError as error:
            refused["sdtool"].append(f"{name} ({error.reason})")
        try:
            theirs = read_by_trimesh(path)
        except ObjectError as error:
            refused["trimesh"].append(f"{name} ({error.reason})")
        if ours is not None and theirs is not None:
            found[name] = differences(ours, theirs)
    return _table(found, refused, len(chosen))


def choose(folders: Sequence[Path], count: int) -> dict[Path, str]:
    """`count` models, or all if there are fewer: path → name, sorted.

    Folders that hold models, and the kinds of file in each, take turns; within one, evenly over names.
    """
    groups: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    names: dict[Path, str] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder", "FOLDER")
        for path in survey(folder).models:
            groups[path.parent, path.suffix.lower()].append(path)
            names[path] = path.relative_to(folder).as_posix()
    if not names:
        raise UsageError(f"no models in {', '.join(map(str, folders))}", "FOLDER")
    shares = dict.fromkeys(groups, 0)
    while sum(shares.values()) < min(count, len(names)):
        free = [key for key in groups if shares[key] < len(groups[key])]
        shares[min(free, key=lambda key: shares[key])] += 1
    chosen = []
    for key, share in shares.items():
        places = (np.arange(share) + 0.5) * len(groups[key]) / max(share, 1)
        chosen += [groups[key][int(place)] for place in places]
    return {path: names[path] for path in sorted(chosen)}


def differences(ours: Mesh, theirs: Read) -> dict[str, float]:
    """MEASURES of one model; without those of colours where trimesh knows no colour.

    Each side is normalised by itself and seen by the same cameras: ours by the rasteriser, trimesh's by
    Embree. `rasteriser` has our mesh on both sides.
    """
    look = ViewRange()
    c2w, fov = random_views(np.random.default_rng(0), VIEWS, look), float(np.radians(look.fov))
    gap = np.abs(ours.bounds().astype(np.float64) - theirs.mesh.bounds()).max()
    values = {"bounds": float(gap / np.ptp(theirs.mesh.bounds(), axis=0).max())}
    ours, other = to_canonical(ours), to_canonical(theirs.mesh)
    raster = kernels.rasterize_views(
        ours.v_pos, ours.t_pos_idx, world_to_clip(c2w, fov), SIZE, SIZE
    )
    traced = embree_rast(other, c2w, fov, SIZE)
    a, b = raster[..., 3] > 0, traced[..., 3] > 0
    values["pixels"] = float(((a != b) & (_even(a) | _even(b))).mean())
    values["silhouette"] = _unlike(a, b)
    values["rasteriser"] = _unlike(a, embree_rast(ours, c2w, fov, SIZE)[..., 3] > 0)
    mine, known = np.full((*a.shape, 3), np.nan), np.full((*a.shape, 3), np.nan)
    mine[a] = base_color(Visible(ours, raster))
    seen = Visible(other, traced)
    known[b] = linear_to_srgb(theirs.base_color(seen.face, seen.weights))
    both = np.isfinite(mine[..., 0]) & np.isfinite(known[..., 0])
    if both.any():
        gaps = mine[both] - known[both]
        values["mean"] = float(np.abs(gaps.mean(axis=0)).max())
        values["texels"] = float(np.abs(gaps).mean())
    return values


def _unlike(a: np.ndarray, b: np.ndarray) -> float:
    return 1 - float((a & b).sum() / max((a | b).sum(), 1))


def _even(mask: np.ndarray) -> np.ndarray:
    """Where (N, S, S) bool is the same in all of a pixel's neighbours, eight of them."""
    wide = np.pad(mask, ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(1, 2))
    whole, none = around.all(axis=(3, 4)), ~around.any(axis=(3, 4))
    return np.asarray(whole | none)


def _table(found: dict[str, dict[str, float]], refused: dict[str, list[str]], count: int) -> Table:
    title = (
        f"{count} models, {len(found)} read by both: sdtool's reader and rasteriser against trimesh's "
        f"loaders and Embree's rays, {VIEWS} views of {SIZE}×{SIZE}"
    )
    table = Table("what differs", title=title, title_justify="left", caption_justify="left")
    for heading in ("models", "median", "worst"):
        table.add_column(heading, justify="right")
    table.add_column("of", overflow="fold")
    for key, what in MEASURES.items():
        values = {name: each[key] for name, each in found.items() if key in each}
        worst = sorted(values, key=lambda n: -values[n])[:NAMED]
        median = f"{np.median(list(values.values())):.2g}" if values else "–"
        first = [what, str(len(values)), median]
        for name in [n for n in worst if values[n] > 0] or [""]:
            table.add_row(*first, f"{values.get(name, 0):.2g}" if values else "–", name)
            first = [""] * 3
    lines = [
        f"{reader} refused {len(names)}: {', '.join(names)}" for reader, names in refused.items()
    ]
    table.caption = "\n".join(lines) or "neither reader refused any"
    return table


def make_models(folder: Path) -> list[Path]:
    """Three small models: a coloured .glb, an .obj with a material, a .ply with colours of vertices."""
    import trimesh

    color = np.array([[0.9, 0.5, 0.1], [0.2, 0.6, 0.3]], np.float32)
    ball, cone = trimesh.creation.icosphere(2), trimesh.creation.cone(0.5, 1.0)
    mixed = color[(ball.vertices[:, 0] > 0).astype(int)]
    mesh = Mesh(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces, np.int32), mixed)
    paths = [write_glb(folder / "ball.glb", mesh), folder / "box.obj", folder / "cone.ply"]
    cube = trimesh.creation.box((1.0, 0.6, 0.3))
    corners = [f"v {x} {y} {z}" for x, y, z in cube.vertices]
    faces = [f"f {a} {b} {c}" for a, b, c in cube.faces + 1]
    text = "\n".join(["mtllib box.mtl", *corners, "usemtl red", *faces])
    paths[1].write_text(f"{text}\n", encoding="utf-8")
    (folder / "box.mtl").write_text("newmtl red\nKd 0.8 0.2 0.1\n", encoding="utf-8")
    shade = np.tile(np.array([60, 120, 200, 255], np.uint8), (len(cone.vertices), 1))
    trimesh.Trimesh(cone.vertices, cone.faces, vertex_colors=shade).export(paths[2])
    return paths
