"""The last phase: a frozen mesh and what covers it, lit. Plain colours, or a physically based material."""

from abc import abstractmethod

import numpy as np
import torch

from sdtool.geometry.cameras import world_to_clip
from sdtool.geometry.ccm import canonical_coordinates, encode_map
from sdtool.lifting.lift_materials import Stored, stored_color_field, stored_pbr
from sdtool.lifting.scenes import Penalty, Scene
from sdtool.rendering.environment import Environment
from sdtool.rendering.pbr import perturbed_normal, shade_pbr, tone
from sdtool.rendering.raster import interpolate, rasterize
from sdtool.rendering.shading import headlight, shade
from sdtool.shapes.dmtet import normals
from sdtool.shapes.grids import GridPyramid, sample_grid, total_variation
from sdtool.shapes.material import Material, MaterialOptions, hash_material


class PaintedScene(Scene):
    """A frozen mesh: v_pos (V, 3) float32, t_pos_idx (F, 3) int32. Subclasses say what colour it has.

    with_ccm: in training, render its canonical coordinates too, for a colour prior. v_asked: (V, 3) places
    at which vertices look their colours up, if not where they stand: copies of a part look the same. No
    part of the state. two_sided: faces are lit from whichever side they are seen.
    """

    v_pos: torch.Tensor
    t_pos_idx: torch.Tensor
    with_ccm = False
    v_asked: torch.Tensor | None = None
    two_sided = False

    def __init__(self, v_pos: torch.Tensor, t_pos_idx: torch.Tensor, half_extent: float):
        super().__init__()
        self.register_buffer("v_pos", v_pos.detach().clone())
        self.register_buffer("t_pos_idx", t_pos_idx.clone())
        self.half_extent = half_extent

    def render(self, c2w, fov, size, generator=None) -> dict[str, torch.Tensor]:
        """The map "rgb" (N, 4, size, size) from cameras c2w (N, 4, 4); and "ccm", likewise, if asked for."""
        matrix = torch.from_numpy(world_to_clip(c2w, fov))
        matrix = matrix.to(self.v_pos.device, non_blocking=True)
        ones = torch.ones_like(self.v_pos[:, :1])
        clip = torch.cat([self.v_pos, ones], dim=1) @ matrix.transpose(1, 2)
        rast = rasterize(clip, self.t_pos_idx, (size, size))
        asked = [] if self.v_asked is None else [self.v_asked]
        attributes = torch.cat([self.v_pos, normals(self.v_pos, self.t_pos_idx), *asked], dim=1)
        position, normal, *places = interpolate(attributes, rast, self.t_pos_idx).split(3, dim=-1)
        seen = rast[..., 3] > 0
        where = torch.nonzero(seen, as_tuple=True)
        unit = torch.nn.functional.normalize(normal[where], dim=-1)
        points = position[where]
        if self.two_sided:
            unit = _toward(unit, points, where[0], c2w)
        place = places[0][where] if places else points
        lit = self.lit(points, place, unit, where[0], c2w, generator)
        color = torch.zeros_like(position).index_put(where, lit)
        coverage = seen[..., None].to(color.dtype)
        maps = {"rgb": encode_map(color, coverage).movedim(-1, 1)}
        if self.with_ccm and generator is not None:
            low, high = self.v_pos.amin(0), self.v_pos.amax(0)
            ccm = encode_map(canonical_coordinates(position, low, high), coverage)
            maps["ccm"] = ccm.movedim(-1, 1)
        return maps

    @abstractmethod
    def lit(self, points, place, normal, view, c2w, generator) -> torch.Tensor:
        """(P, 3) sRGB-encoded colours that points (P, 3) with unit normals send to the cameras
        c2w[view]; place: (P, 3) where their colours are looked up; view: (P,) int64."""

    @abstractmethod
    def color_at(self, points: torch.Tensor) -> torch.Tensor:
        """(P, 3) sRGB-encoded base colour in (0, 1) at positions (P, 3)."""

    @abstractmethod
    def stored(self) -> Stored:
        """Tensors and metadata of what covers the mesh."""

    def penalties(self) -> dict[str, Penalty]:
        """Scalars that a phase may weigh in."""
        return {}


class ColorScene(PaintedScene):
    """A colour pyramid, lit by the headlight of the tiny prior's own pictures. finest: its cells a side."""

    def __init__(
        self, v_pos: torch.Tensor, t_pos_idx: torch.Tensor, half_extent: float, finest: int = 48
    ):
        super().__init__(v_pos, t_pos_idx, half_extent)
        levels = tuple(finest // share for share in (8, 4, 2, 1))
        self.field = GridPyramid(levels, 3, half_extent)
        self.composed: torch.Tensor | None = None  # the field's values, of the last render

    def lit(self, points, place, normal, view, c2w, generator) -> torch.Tensor:
        light = torch.from_numpy(headlight(c2w)).to(points.device, non_blocking=True)[view]
        self.composed = self.field.composed()
        return shade(self._color_at(place, self.composed), normal, light)

    def color_at(self, points: torch.Tensor) -> torch.Tensor:
        return self._color_at(points, self.field.composed())

    def _color_at(self, points: torch.Tensor, composed: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(sample_grid(composed, points, self.half_extent))

    def stored(self) -> Stored:
        return stored_color_field(self.field.grids, self.half_extent)

    def penalties(self) -> dict[str, Penalty]:
        """ "smooth": mean squared difference of neighbouring cells."""
        composed = self.field.composed() if self.composed is None else self.composed
        return {"smooth": lambda: total_variation(composed)}


class MaterialScene(PaintedScene):
    """Base colour, roughness, metal and relief from a hash grid, under an environment's light
    (Fantasia3D's appearance). In training the environment is turned at random."""

    def __init__(
        self,
        v_pos: torch.Tensor,
        t_pos_idx: torch.Tensor,
        half_extent: float,
        environment: Environment,
        options: MaterialOptions,
    ):
        super().__init__(v_pos, t_pos_idx, half_extent)
        self.environment, self.options = environment.to(v_pos.device), options
        self.material: Material = hash_material(half_extent, **options, device=v_pos.device)

    def lit(self, points, place, normal, view, c2w, generator) -> torch.Tensor:
        made = self.material(place)
        eyes = torch.from_numpy(np.ascontiguousarray(c2w[:, :3, 3]))
        eye = eyes.to(points.device, non_blocking=True)[view]
        away = torch.nn.functional.normalize(eye - points, dim=-1)
        light = self.environment
        if generator is not None:
            light = light.turned(float(torch.rand((), generator=generator)) * 2 * np.pi)
        tilted = perturbed_normal(normal, made.detail)
        color = made.base_color, made.roughness, made.metallic
        return tone(shade_pbr(*color, tilted, away, light))

    def color_at(self, points: torch.Tensor) -> torch.Tensor:
        return self.material(points).base_color

    def stored(self) -> Stored:
        return stored_pbr(self.material, self.half_extent, self.options)


def _toward(
    normal: torch.Tensor, points: torch.Tensor, view: torch.Tensor, c2w: np.ndarray
) -> torch.Tensor:
    """Unit normals (P, 3) at points (P, 3), turned over where they look away from their camera c2w[view]."""
    eye = torch.from_numpy(np.ascontiguousarray(c2w[:, :3, 3], np.float32)).to(points.device)[view]
    away = (normal * (eye - points)).sum(dim=-1, keepdim=True) < 0
    return torch.where(away, -normal, normal)
