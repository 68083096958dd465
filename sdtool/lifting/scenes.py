"""What a lift optimises, phase after phase. Every scene renders the same maps for the same guidance.

`render(c2w, fov, size, generator)` returns maps (N, 4, size, size) in the form of `sdtool.geometry.ccm`:
"ccm" and "normal" from the geometry scenes here, "rgb" from those of `sdtool.lifting.painting`, all of
them from `sdtool.lifting.radiance`. It reads no value of a tensor, so that nothing waits for the device, but
for the lengths of lists that the shape decides. `penalties()` are scalars of the last render, which a phase
may weigh in, by its fields' names. A scene is a torch module whose `state_dict` is its whole state.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from sdtool.errors import SdtoolError
from sdtool.geometry.cameras import rays_on, world_to_clip
from sdtool.geometry.ccm import canonical_coordinates
from sdtool.geometry.meshes import Mesh
from sdtool.geometry.parts import largest_parts
from sdtool.rendering.raster import antialias, interpolate, rasterize
from sdtool.rendering.volume import render_grid
from sdtool.shapes.density import SHARPNESS, DensityShape
from sdtool.shapes.dmtet import DMTetShape, normals

CURE = "lower --scale or try another --seed, with --overwrite"
BOX_MEMORY, BOX_EVERY = 0.7, 10
THIN = 0.1
"""The density is solid where so thin a layer, in units, stops half of a ray."""

NOISE = 0.02
"""Bodies smaller than this share of the largest are noise. Larger ones are parts: of a lamp, shade and
foot may meet only where no camera looks."""


Penalty = torch.Tensor | Callable[[], torch.Tensor]


class VanishedError(SdtoolError):
    """The shape has become empty."""


class Scene(nn.Module, ABC):
    """What a phase optimises: see above. base_looks: whether the base is asked in this step; else only "ccm"
    is needed of a training's render."""

    base_looks = True

    @abstractmethod
    def render(
        self,
        c2w: np.ndarray,
        fov: float | np.ndarray,
        size: int,
        generator: torch.Generator | None = None,
    ) -> dict[str, torch.Tensor]:
        """The maps by name, from cameras c2w (N, 4, 4). fov: radians, of all views or (N,). generator: in
        training only."""

    @abstractmethod
    def penalties(self) -> dict[str, Penalty]:
        """Scalars that a phase may weigh in, or functions that compute them."""

    def extent(self) -> torch.Tensor | None:
        """A scalar on the device that is not finite once the shape has vanished, if there is one."""
        return None

    def foresee(self, c2w: np.ndarray, fov: float, size: int, generator: torch.Generator) -> str:
        """What a step of a finished object needs, tried and told in words, of a scene made for a rehearsal;
        "" where the scene itself shows it."""
        return ""


class RunningBox(nn.Module):
    """The box that normalises CCMs while the shape drifts: an average, refreshed every few steps.

    steps: how many it has counted; `age` is the same, for checkpoints.
    """

    corners: torch.Tensor
    age: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("corners", torch.zeros(2, 3))
        self.register_buffer("age", torch.zeros((), dtype=torch.int64))
        self.steps = 0

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.steps = int(self.age)

    def update(self, measure) -> torch.Tensor:
        """Count one step; every tenth, mix in `measure()` (2, 3). Returns the corners (2, 3)."""
        if self.steps == 0:
            self.corners.copy_(measure())
        elif self.steps % BOX_EVERY == 0:
            self.corners.lerp_(measure(), 1 - BOX_MEMORY)
        self.age += 1
        self.steps += 1
        return self.corners


class DensityScene(Scene):
    """Coarse phase: a density pyramid, rendered by volume."""

    def __init__(self, half_extent: float, samples: int):
        super().__init__()
        self.shape = DensityShape(half_extent=half_extent)
        self.box = RunningBox()
        self.samples = samples
        self.composed: torch.Tensor | None = None  # the field's values, of the last render

    def render(self, c2w, fov, size, generator=None) -> dict[str, torch.Tensor]:
        low, high = self.box.update(self.shape.bounds) if generator else self.box.corners
        self.composed = self.shape.field.composed()
        slope = self.base_looks or generator is None
        grid = self.shape.maps_grid(self.composed, slope)
        origins, directions = rays_on(grid.device, c2w, fov, size)
        coverage, position, downhill = render_grid(
            grid, self.shape.half_extent, origins, directions, self.samples, generator
        )
        ccm = 2 * (position - low * coverage) / (high - low).clamp(min=0.05) - coverage
        maps = {"ccm": _channels_first(torch.cat([ccm, 2 * coverage - 1], dim=-1))}
        if downhill.shape[-1]:
            normal = torch.nn.functional.normalize(downhill, dim=-1, eps=1e-6) * coverage
            maps["normal"] = _channels_first(torch.cat([normal, 2 * coverage - 1], dim=-1))
        return maps

    def penalties(self) -> dict[str, Penalty]:
        return {"smooth": lambda: self.shape.total_variation(self.composed)}

    def extent(self) -> torch.Tensor | None:
        return self.box.corners.sum()


class SurfaceScene(Scene):
    """Geometry phases: DMTet, rasterised."""

    def __init__(self, shape: DMTetShape):
        super().__init__()
        self.shape = shape
        self.box = RunningBox()
        self.composed: torch.Tensor | None = None  # the field's values, of the last render

    def render(self, c2w, fov, size, generator=None) -> dict[str, torch.Tensor]:
        self.composed = self.shape.field.composed()
        v_pos, faces = self.shape.surface(self.composed)
        if len(faces) == 0:
            raise VanishedError(
                "the surface has vanished; lower --scale or try another --seed with --overwrite"
            )
        used = v_pos.detach()
        measured = torch.stack([used.amin(0), used.amax(0)])
        low, high = self.box.update(lambda: measured) if generator else self.box.corners
        matrix = torch.from_numpy(world_to_clip(c2w, fov)).to(v_pos.device, non_blocking=True)
        clip = torch.cat([v_pos, torch.ones_like(v_pos[:, :1])], dim=1) @ matrix.transpose(1, 2)
        rast = rasterize(clip, faces, (size, size))
        mask = (rast[..., 3:] > 0).to(v_pos.dtype)
        corner = 2 * canonical_coordinates(v_pos, low, high) - 1
        attributes = torch.cat([corner, normals(v_pos, faces)], dim=1)
        image = torch.cat([interpolate(attributes, rast, faces), 2 * mask - 1], dim=-1)
        image = _channels_first(antialias(image, rast, clip, faces))
        ccm, normal = image[:, :3], image[:, 3:]
        return {"ccm": torch.cat([ccm, normal[:, 3:]], dim=1), "normal": normal}

    def penalties(self) -> dict[str, Penalty]:
        return {"smooth": lambda: self.shape.roughness(self.composed)}


def _channels_first(image: torch.Tensor) -> torch.Tensor:
    return image.movedim(-1, 1)


# From one phase to the next


def density_to_sdf(shape: DensityShape, resolution: int) -> torch.Tensor:
    """(n, n, n) signed distance, negative inside, of the density's surface; n = resolution + 1.

    The surface is where the density stops half of a ray over `THIN` units.
    """
    raw, n = shape.raw().detach(), resolution + 1
    raw = torch.nn.functional.interpolate(raw, (n, n, n), mode="trilinear", align_corners=True)
    level = np.log(np.expm1(np.log(2.0) / THIN / SHARPNESS))  # 8 · softplus(level) · thin = ln 2
    return implicit_to_sdf(raw[0, 0].cpu().numpy() - level, shape.half_extent)


def implicit_to_sdf(value: np.ndarray, half_extent: float) -> torch.Tensor:
    """(n, n, n) signed distance, negative inside, of where `value` (n, n, n) is positive, over ±half_extent.

    Bodies of less than `NOISE` of the largest are left out; holes that no ray could see are filled.
    """
    from scipy import ndimage

    value = ndimage.gaussian_filter(value, 0.6)
    solid = value > 0
    solid[[0, -1]] = solid[:, [0, -1]] = solid[:, :, [0, -1]] = False
    labels, count = ndimage.label(solid)
    if count == 0:
        raise VanishedError(f"the coarse phase left nothing; {CURE}")
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    filled = ndimage.binary_fill_holes((sizes >= NOISE * sizes.max())[labels])
    cell = 2 * half_extent / (len(value) - 1)
    outside = ndimage.distance_transform_edt(~filled)
    within = ndimage.distance_transform_edt(filled)
    coarse = np.where(filled, 0.5 - within, outside - 0.5) * cell
    slope = np.linalg.norm(np.gradient(value, cell), axis=0)
    fine = -value / np.maximum(slope, 1e-3)
    near = (np.abs(coarse) < 1.5 * cell) & (np.sign(fine) == np.sign(coarse))
    sdf = np.where(near, np.clip(fine, -1.5 * cell, 1.5 * cell), coarse)
    return torch.from_numpy(sdf.astype(np.float32))


def without_crumbs(
    v_pos: torch.Tensor, t_pos_idx: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A mesh whose vertices are all used, without connected parts of less than `NOISE` of the largest."""
    mesh = Mesh(v_pos.detach().cpu().numpy(), t_pos_idx.cpu().numpy())
    kept = largest_parts(mesh, crumb=NOISE)
    positions, faces = torch.from_numpy(kept.v_pos), torch.from_numpy(kept.t_pos_idx)
    return positions.to(v_pos.device), faces.to(v_pos.device)
