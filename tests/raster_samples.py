"""What the rasterisers' tests look at: triangle soups, outlines of many kinds, a batch of meshes."""

import numpy as np
import torch
from shape_samples import box, icosphere

from sdtool.geometry.cameras import ViewRange, orbit, random_views, world_to_clip
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh, Texture
from sdtool.meshfiles.limits import Limits
from sdtool.rendering import kernels
from sdtool.rendering.maps import MAPS, render_maps
from sdtool.rendering.views import ViewSettings

FOV = np.radians(45.0)
FRONT = torch.from_numpy(world_to_clip(orbit(0.4, 0.3, 1.5), FOV)).double()[0]
SETTINGS = ViewSettings(3, 16, 2, ViewRange(), MAPS, False, 0, Limits())


def clip_of(v_pos, matrix=FRONT):
    """(V, 3) tensor → (1, V, 4) clip positions."""
    return (torch.cat([v_pos, torch.ones_like(v_pos[:, :1])], dim=1) @ matrix.T)[None]


def tensors(mesh):
    return torch.from_numpy(mesh.v_pos), torch.from_numpy(mesh.t_pos_idx)


def soup(seed, count, *, near=0.3):
    """Random clip triangles (1, 3·count, 4) float64 about the screen; w from `near` to 3."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(-1.2, 1.2, (count, 1, 2))
    screen = middle + rng.normal(0, 0.5, (count, 3, 2))
    w = rng.uniform(near, 3, (count, 3, 1))
    depth = rng.uniform(-1.1, 1.1, (count, 3, 1))
    pos = np.concatenate([screen * w, depth * w, w], axis=-1).reshape(1, -1, 4)
    return torch.from_numpy(pos), torch.arange(3 * count, dtype=torch.int32).reshape(-1, 3)


def outlines():
    """Name → (clip positions, faces) with silhouettes of many kinds."""
    ball, faces = tensors(icosphere(3, radius=0.4))
    tiny, tiny_faces = tensors(icosphere(5, radius=0.4))
    long = ball * torch.tensor([1.0, 1, 6])
    at = FRONT.float()
    yield "two views", (torch.cat([clip_of(ball, at), clip_of(ball + 0.3, at)]), faces)
    yield "small faces", (clip_of(tiny, at), tiny_faces)
    yield "with holes", (clip_of(ball, at), faces[::3])
    yield "across the eye", (clip_of(long, at), faces)
    yield "soup", soup(3, 40)


def by_numba(pos, faces, ranges, side):
    """What nvdiffrast promises in its range mode."""
    rast = np.zeros((len(ranges), side, side, 4), np.float32)
    for n, (first, count) in enumerate(ranges.tolist()):
        part = kernels.rasterize(pos.numpy(), faces[first : first + count].numpy(), side, side)
        part[..., 3] += np.where(part[..., 3] > 0, first, 0)
        rast[n] = part
    return torch.from_numpy(rast)


def samples():
    """Canonical meshes with their cameras: a sphere, a box with colours, a textured box."""
    rng = np.random.default_rng(0)
    brick = box([0, 0, 0], [1, 2, 3])
    color = rng.uniform(0, 1, brick.v_pos.shape).astype(np.float32)
    image = rng.integers(0, 256, (8, 8, 4), np.uint8)
    uv = rng.uniform(0, 1, (len(brick.v_pos), 2)).astype(np.float32)
    which = np.zeros(len(brick.t_pos_idx), np.int32)
    meshes = [
        icosphere(3),
        Mesh(brick.v_pos, brick.t_pos_idx, color),
        Mesh(brick.v_pos, brick.t_pos_idx, None, uv, which, (Texture(image),)),
    ]
    return [(to_canonical(mesh), random_views(rng, 3, ViewRange())) for mesh in meshes]


def expected(mesh, c2w):
    return render_maps(mesh, c2w, np.radians(45), SETTINGS.size, MAPS, SETTINGS.supersample)
