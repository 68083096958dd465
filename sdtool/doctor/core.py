"""Checks of what every sdtool needs, each on something tiny whose answer is known."""

import tempfile
from pathlib import Path

from sdtool.doctor.check import Check, expect

CLIP = ((-0.9, -0.9, 0.0, 1.0), (0.9, -0.9, 0.0, 1.0), (0.0, 0.9, 0.0, 1.0))
SIDE = 16
POINT = (0.3, 0.6, 0.8)


def triangle_seen(device) -> int:
    """How many of SIDE² pixels show a triangle; its gradient in the positions must be finite."""
    import torch

    from sdtool.rendering.raster import antialias, interpolate, rasterize

    pos = torch.tensor([CLIP], device=device, requires_grad=True)
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32, device=device)
    rast = rasterize(pos, faces, (SIDE, SIDE))
    white = interpolate(torch.ones(3, 1, device=device), rast, faces)
    (slope,) = torch.autograd.grad(antialias(white, rast, pos, faces).sum(), pos)
    seen = rast[0, ..., 3] > 0
    expect(bool(seen[SIDE // 2, SIDE // 2] and not seen[0, 0]), "the triangle is in a wrong place")
    expect(bool(torch.isfinite(slope).all() and slope.any()), "it has no usable gradient")
    return int(seen.sum())


def grid_point(backend: str, device) -> str:
    """One point in a hash grid: the torch reference's value, and weights of each level that sum to 1."""
    import torch

    from sdtool.shapes.hashgrid import HashGrid

    def values(kind: str, place) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        grid = HashGrid(levels=4, log2_table=10, backend=kind, generator=generator).to(place)
        out = grid(torch.tensor([POINT], device=place))
        (slope,) = torch.autograd.grad(out.sum(), grid.table)
        return out.detach().cpu(), slope.cpu()

    (value, slope), (expected, _) = values(backend, device), values("torch", "cpu")
    expect(torch.allclose(value, expected, atol=1e-7), "its value is not the reference's")
    total = float(slope.sum())
    expect(abs(total - value.numel()) < 1e-3, f"its gradient sums to {total}, not {value.numel()}")
    return f"a point and its gradient on {device}"


def _raster() -> str:
    return f"a triangle with gradients: {triangle_seen('cpu')} of {SIDE * SIDE} pixels"


def _text() -> str:
    import torch

    from sdtool.priors.bundled import TINY
    from sdtool.priors.cards import base_folder
    from sdtool.priors.text import load_text_encoder

    encoder = load_text_encoder(base_folder(TINY), torch.float32)
    with torch.no_grad():
        corgi, duck = encoder(["a corgi", "a duck"])
    expect(bool(torch.isfinite(corgi).all()), "its embeddings are not finite")
    expect(not torch.equal(corgi, duck), "it tells no corgi from a duck")
    return f"two prompts, {corgi.shape[0]} × {corgi.shape[1]} numbers each"


def _unet_step(prior, blank, c2w=None) -> None:
    """Find the noise in a blank image, in one step. The schedule alone, without the UNet, misses 0.9."""
    import torch

    noise = torch.randn(blank.shape, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([len(prior.alphas_cumprod) // 10])
    with torch.no_grad():
        x = prior.add_noise(blank, noise, t)
        found = prior.predict_noise(x, t, prior.encode_text(["a corgi"]), c2w)
    missed = float((found - noise).norm() / noise.norm())
    expect(missed < 0.7, f"its UNet misses {missed:.2f} of the noise in a blank image")


def _base() -> str:
    import torch

    from sdtool.priors.bundled import TINY
    from sdtool.priors.loading import load_base

    prior = load_base(TINY)
    with torch.no_grad():
        blank = prior.encode_image(torch.ones(1, 4 if prior.takes_maps else 3, 32, 32))
        picture = prior.decode_image(blank)
    expect(float(picture.mean()) > 0.9, "white does not stay white through its VAE")
    _unet_step(prior, blank)
    return f"a UNet step, and a picture of {picture.shape[-1]}² through its VAE"


def _agp() -> str:
    import torch

    from sdtool.priors.bundled import TINY
    from sdtool.priors.loading import load_agp

    prior = load_agp(TINY)
    side = prior.sample_size
    nothing = torch.tensor([0.0, 0.0, 0.0, -1.0]).view(1, 4, 1, 1).expand(1, 4, side, side)
    camera = torch.eye(4)
    camera[2, 3] = 1.5
    _unet_step(prior, prior.encode_map(nothing), camera[None])
    return f"a UNet step with a camera, on a map of {side}²"


def _meshes() -> str:
    import numpy as np

    from sdtool.geometry.meshes import Mesh
    from sdtool.meshfiles import load_mesh, write_glb

    v_pos = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    mesh = Mesh(v_pos, np.array([[0, 1, 2]], np.int32))
    with tempfile.TemporaryDirectory() as folder:
        glb, obj = Path(folder, "triangle.glb"), Path(folder, "triangle.obj")
        write_glb(glb, mesh)
        obj.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", encoding="utf-8")
        for path in (glb, obj):
            again = load_mesh(path)
            same = np.array_equal(again.v_pos[again.t_pos_idx], v_pos[mesh.t_pos_idx])
            expect(same, f"{path.name} came back as another triangle")
    return "a triangle to GLB and back, and from OBJ"


def _export() -> str:
    import numpy as np
    from trimesh.creation import icosphere

    from sdtool.exporting.decimation import decimate
    from sdtool.exporting.unwrapping import unwrap
    from sdtool.geometry.meshes import Mesh

    ball = icosphere(subdivisions=2)
    mesh = Mesh(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces, np.int32))
    coarse = decimate(mesh, 80)
    count = len(coarse.t_pos_idx)
    expect(20 <= count <= 100, f"320 faces were reduced to {count}, not to about 80")
    _, uv, faces = unwrap(coarse, 64)
    expect(len(faces) == count and 0 <= uv.min() and uv.max() <= 1, "its texture map is wrong")
    return f"a ball of 320 faces reduced to {count} and unwrapped"


def _processes() -> str:
    from sdtool.runtime.engine import map_items

    found = dict(map_items(abs, [-1, -2], workers=2, timeout=60))
    expect(found == {-1: 1, -2: 2}, f"they answer {found}")
    return "two worker processes"


CORE = (
    Check("raster-numba", _raster, core=True),
    Check("hashgrid-torch", lambda: grid_point("torch", "cpu"), core=True),
    Check("hashgrid-numba", lambda: grid_point("numba", "cpu"), core=True),
    Check("text-encoder", _text, core=True),
    Check("tiny-base", _base, core=True),
    Check("tiny-agp", _agp, core=True),
    Check("meshes", _meshes, core=True),
    Check("export", _export, core=True),
    Check("processes", _processes, core=True),
)
"""Each must work, or sdtool is broken here."""
