"""CCMs on a CUDA device: nvdiffrast or Warp finds what is visible, in batches over views and objects.

The rest is torch and runs anywhere, so that it is tested with this project's own rasteriser. Colours
and normals are made of that visibility by the same code as on the CPU.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from sdtool.errors import ObjectError, SdtoolError
from sdtool.geometry import ccm
from sdtool.geometry.cameras import world_to_clip
from sdtool.geometry.meshes import Mesh
from sdtool.rendering.face_ids import EXACT, from_tensor
from sdtool.rendering.maps import visible_maps
from sdtool.rendering.views import ViewSettings

TRIANGLES, SAMPLES = 8_000_000, 1 << 25  # of one batch, over all views; what bounds its memory
assert TRIANGLES <= EXACT  # a batch of many views numbers its faces exactly

Rasterize = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


def render_batch(
    rasterize: Rasterize, batch: list[tuple[Mesh, np.ndarray]], settings: ViewSettings, device: str
) -> list[dict[str, np.ndarray]]:
    """The maps of some canonical meshes, each from its cameras (n, 4, 4): as `render_maps` makes them."""
    side = settings.size * settings.supersample
    positions, triangles, corners, ranges = [], [], [], []
    vertices = faces = 0
    for mesh, c2w in batch:
        matrix = torch.from_numpy(world_to_clip(c2w, np.radians(settings.camera.fov))).to(device)
        v_pos, t_pos_idx = (torch.from_numpy(a).to(device) for a in (mesh.v_pos, mesh.t_pos_idx))
        v_hom = torch.cat([v_pos, torch.ones_like(v_pos[:, :1])], dim=1)
        positions.append((v_hom @ matrix.transpose(1, 2)).reshape(-1, 4))  # (n·V, 4)
        first = vertices + len(v_pos) * torch.arange(len(c2w), device=device)
        triangles.append((t_pos_idx + first[:, None, None]).reshape(-1, 3))  # (n·F, 3)
        coordinates = ccm.canonical_coordinates(mesh.v_pos, *mesh.bounds()).astype(np.float32)
        corners.append(torch.from_numpy(coordinates).to(device).repeat(len(c2w), 1))
        ranges += [(faces + k * len(t_pos_idx), len(t_pos_idx)) for k in range(len(c2w))]
        vertices += len(v_pos) * len(c2w)
        faces += len(t_pos_idx) * len(c2w)
    tri = torch.cat(triangles).to(torch.int32)
    rast = rasterize(torch.cat(positions), tri, torch.tensor(ranges, dtype=torch.int32), side)
    rows = np.cumsum([0] + [len(c2w) for _, c2w in batch])
    results: list[dict[str, np.ndarray]] = [{} for _ in batch]
    if "ccm" in settings.maps:
        maps = _coordinate_maps(rast, tri, torch.cat(corners), settings.size).cpu().numpy()
        for k, result in enumerate(results):
            result["ccm"] = maps[rows[k] : rows[k + 1]]
    others = tuple(name for name in settings.maps if name != "ccm")
    for k, (mesh, c2w) in enumerate(batch if others else ()):
        seen = rast[rows[k] : rows[k + 1]].cpu().numpy()
        start = np.array([first for first, _ in ranges[rows[k] : rows[k + 1]]], np.float32)
        seen[..., 3] -= np.where(seen[..., 3] > 0, start[:, None, None], 0)  # the mesh's own faces
        matrices = world_to_clip(c2w, np.radians(settings.camera.fov))
        results[k] |= visible_maps(mesh, seen, c2w, matrices, others, settings.supersample)
    return results


def _coordinate_maps(
    rast: torch.Tensor, tri: torch.Tensor, corners: torch.Tensor, size: int
) -> torch.Tensor:
    """(N, S, S, 4) rasterised samples → (N, size, size, 4) maps in the form of `sdtool.geometry.ccm`."""
    hit = rast[..., 3] > 0
    u, v, _, face = rast[hit].unbind(-1)
    number = from_tensor(face, len(tri)) - 1
    a, b, c = (corners[tri[number, k].long()] for k in range(3))
    value = c + u[:, None] * (a - c) + v[:, None] * (b - c)
    image = torch.zeros(*rast.shape[:3], 4, device=rast.device)
    image[hit] = torch.cat([2 * value - 1, torch.ones_like(value[:, :1])], dim=1)
    n, side = rast.shape[:2]
    image = image.reshape(n, size, side // size, size, side // size, 4).mean(dim=(2, 4))
    return torch.cat([image[..., :3], 2 * image[..., 3:] - 1], dim=-1)


def render_batches(
    rasterize: Rasterize, loaded: Iterable[tuple[Any, Any]], settings: ViewSettings, device: str
) -> Iterator[tuple[Any, Any]]:
    """(job, (mesh, cameras)) → (job, (maps, cameras)), in batches of objects.

    Whatever else stands in the place of a mesh, such as an ObjectError, is passed on as it is.
    """
    samples = settings.views * (settings.size * settings.supersample) ** 2
    jobs: list[Any] = []
    batch: list[tuple[Mesh, np.ndarray]] = []
    faces = 0
    for job, outcome in loaded:
        if not isinstance(outcome, tuple):
            yield job, outcome
            continue
        more = _triangles(outcome[0]) * settings.views
        if batch and (faces + more > TRIANGLES or (len(batch) + 1) * samples > SAMPLES):
            yield from _rendered(rasterize, jobs, batch, settings, device)
            jobs, batch, faces = [], [], 0
        jobs.append(job)
        batch.append(outcome)
        faces += more
    if batch:
        yield from _rendered(rasterize, jobs, batch, settings, device)


def _triangles(mesh: Mesh) -> int:
    """What a view of a mesh weighs: its triangles, or a third of its vertices if there are more."""
    return max(len(mesh.t_pos_idx), len(mesh.v_pos) // 3)


def _rendered(
    rasterize: Rasterize, jobs: list, batch: list, settings: ViewSettings, device: str
) -> Iterator[tuple[Any, Any]]:
    """Render a batch; an object that is too large for one goes a few views at a time."""
    step = settings.views
    if len(batch) == 1:
        samples = (settings.size * settings.supersample) ** 2
        step = max(1, min(TRIANGLES // max(1, _triangles(batch[0][0])), SAMPLES // samples))
    try:
        pieces = [
            render_batch(
                rasterize, [(mesh, c2w[k : k + step]) for mesh, c2w in batch], settings, device
            )
            for k in range(0, settings.views, step)
        ]
    except ObjectError as error:  # of an object that is too large for the rasteriser, alone here
        yield from ((job, error) for job in jobs)
        return
    except RuntimeError as error:  # torch's and the rasteriser's: no memory, too many triangles
        raise SdtoolError(
            f"the rasteriser on {device} cannot render {jobs[0]} ({error}); try --backend numba"
        ) from None
    for k, (job, (_, c2w)) in enumerate(zip(jobs, batch, strict=True)):
        views = [piece[k] for piece in pieces]
        yield job, ({name: np.concatenate([v[name] for v in views]) for name in views[0]}, c2w)
