"""`--rep gaussians`: a density for the coarse phase, then splats on its surface, moved and at last painted.

Their number is fixed when they are seeded, so the optimiser keeps its parameters and nothing is split, cloned
or removed, as Kerbl et al. (2023) do: here the coarse density, not a cloud of points, says where they belong.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from sdtool.geometry.cameras import ViewRange
from sdtool.geometry.meshes import Mesh
from sdtool.lifting import dmtet
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.lift_files import write_lift
from sdtool.lifting.radiance import extent_of
from sdtool.lifting.scenes import DensityScene, Penalty, RunningBox, Scene, density_to_sdf
from sdtool.lifting.splat_file import SPLATS, write_splats
from sdtool.lifting.splat_surface import Splats, color_at, marched, surface_of
from sdtool.rendering.shading import headlight, shade
from sdtool.rendering.splatting import project, rotations, splat
from sdtool.shapes.dmtet import normals
from sdtool.shapes.grids import grid_points

NEIGHBOURS = 8
WIDTH, FLAT = 0.6, 0.3
"""Of a seeded splat: its width as a share of the distance to its neighbours; its thickness, of its width."""


class GaussianScene(Scene):
    """`count` splats. What is optimised are changes, each in units in which one learning rate serves all; in
    a phase of the scene "color" the colours alone.

    Renders "ccm", and if the base looks, "normal" (each splat's shortest axis, outward) and
    "rgb", lit by the headlight as the mean normal of a pixel has it.
    """

    seeds: torch.Tensor
    widths: torch.Tensor
    turns: torch.Tensor
    outward: torch.Tensor
    neighbours: torch.Tensor
    shift: nn.Parameter
    stretch: nn.Parameter
    turn: nn.Parameter
    fade: nn.Parameter
    color: nn.Parameter

    def __init__(self, count: int, plan: LiftPlan, phase: Phase, device: torch.device | str):
        super().__init__()
        self.plan, self.box = plan, RunningBox()
        for name, shape in {"seeds": (3,), "widths": (3,), "turns": (4,), "outward": (3,)}.items():
            self.register_buffer(name, torch.zeros(count, *shape))
        self.register_buffer("neighbours", torch.zeros(count, NEIGHBOURS, dtype=torch.int64))
        shapes = {"shift": 3, "stretch": 3, "turn": 4, "fade": 1, "color": 3}
        is_painted = phase.scene == "color"
        for name, channels in shapes.items():
            moves = (name == "color") == is_painted
            self.register_parameter(name, nn.Parameter(torch.zeros(count, channels), moves))
        self.to(device)

    @property
    def device(self) -> torch.device:
        return self.seeds.device

    def points(self) -> torch.Tensor:
        """(G, 3) centres."""
        return self.seeds + 0.1 * self.shift

    def deviations(self) -> torch.Tensor:
        """(G, 3) standard deviations along each splat's own axes."""
        return self.widths * torch.exp(self.stretch)

    def quaternions(self) -> torch.Tensor:
        """(G, 4), w first, not of length 1."""
        return self.turns + self.turn

    def opacity(self) -> torch.Tensor:
        """(G,) in (0, 1)."""
        return torch.sigmoid(2 + 3 * self.fade[:, 0])

    def albedo(self) -> torch.Tensor:
        """(G, 3) sRGB-encoded colours in (0, 1)."""
        return torch.sigmoid(self.color)

    def axes(self) -> torch.Tensor:
        """(G, 3, 3) M, of covariances M Mᵀ."""
        return rotations(self.quaternions()) * self.deviations()[:, None]

    def normals(self) -> torch.Tensor:
        """(G, 3) unit shortest axes, as they look to the outside of the surface that they were seeded on."""
        shortest = self.deviations().detach().argmin(dim=-1)[:, None, None].expand(-1, 3, 1)
        axis = rotations(self.quaternions()).gather(2, shortest)[..., 0]
        return torch.where((axis.detach() * self.outward).sum(-1, keepdim=True) < 0, -axis, axis)

    @torch.no_grad()
    def splats(self) -> Splats:
        """What is kept of them."""
        found = (
            self.points(), self.normals(), self.albedo(), self.opacity(), self.deviations(),
            self.quaternions(), self.axes(),
        )  # fmt: skip
        return Splats(*(one.cpu() for one in found))

    def render(self, c2w, fov, size, generator=None) -> dict[str, torch.Tensor]:
        points, opacity, axes = self.points(), self.opacity(), self.axes()
        measured = lambda: _bounds(points.detach(), axes.detach(), opacity.detach())  # noqa: E731
        low, high = self.box.update(measured) if generator is not None else self.box.corners
        corner = 2 * (points - low) / (high - low).clamp(min=0.05) - 1
        seen = [torch.ones_like(opacity)[:, None], corner]
        with_all = self.base_looks or generator is None
        seen += [self.albedo(), self.normals()] if with_all else []
        features = torch.cat(seen, dim=1).expand(len(c2w), -1, -1)
        image = splat(project(points, axes, opacity, c2w, fov, size), features, size)
        coverage, ccm = image[..., :1], image[..., 1:4]
        maps = {"ccm": ccm}
        if with_all:
            normal = F.normalize(image[..., 7:], dim=-1, eps=1e-6)
            light = torch.from_numpy(headlight(c2w)).to(self.device, non_blocking=True)
            lit = shade(image[..., 4:7], normal, light[:, None, None])
            maps |= {"normal": normal * coverage, "rgb": 2 * lit - coverage}
        return {
            name: torch.cat([value, 2 * coverage - 1], dim=-1).movedim(-1, 1)
            for name, value in maps.items()
        }

    def penalties(self) -> dict[str, Penalty]:
        """ "smooth": mean squared difference between a splat's changes and those of its neighbours."""

        def smooth() -> torch.Tensor:
            moved = torch.cat([p for p in self.parameters() if p.requires_grad], dim=1)
            # without a gradient in the neighbours, whose sums would depend on the order of threads
            mean = moved.detach()[self.neighbours].mean(dim=1)
            return (moved - mean).square().mean()

        return {"smooth": smooth}

    def extent(self) -> torch.Tensor | None:
        return self.box.corners.sum()


def _bounds(points: torch.Tensor, axes: torch.Tensor, opacity: torch.Tensor) -> torch.Tensor:
    """(2, 3) corners of the box of what is opaque, one standard deviation around each centre."""
    around = axes.square().sum(-1).sqrt()
    return extent_of(torch.cat([points - around, points + around]), torch.cat([opacity, opacity]))


# From one phase to the next


def first_scene(plan: LiftPlan, device: torch.device) -> Scene:
    """A soft blob of density."""
    return DensityScene(plan.half_extent, plan.samples).to(device)


def next_scene(previous: DensityScene | GaussianScene, phase: Phase, plan: LiftPlan) -> Scene:
    """Splats on the density's surface; after that the same splats."""
    if isinstance(previous, DensityScene):
        sdf = density_to_sdf(previous.shape, plan.tet_resolution)
        return seeded(sdf, phase, plan, previous.box.corners.device)
    scene = GaussianScene(len(previous.seeds), plan, phase, previous.device)
    scene.load_state_dict(previous.state_dict())
    return scene


def restored_scene(
    number: int, tensors: dict[str, torch.Tensor], plan: LiftPlan, device: torch.device
) -> Scene:
    """The scene of phase `number` with the tensors of a checkpoint."""
    phase = plan.phases[number]
    if phase.scene == "density":
        scene = first_scene(plan, device)
    else:
        scene = GaussianScene(len(tensors["seeds"]), plan, phase, device)
    scene.load_state_dict(tensors)
    return scene


def rehearsal_scene(
    previous: Scene | None, phase: Phase, plan: LiftPlan, device: torch.device
) -> Scene:
    """A scene as heavy as `phase` may become: a ball that fills the view."""
    if phase.scene == "density":
        return first_scene(plan, device)
    if isinstance(previous, GaussianScene):
        return next_scene(previous, phase, plan)
    points = grid_points(plan.tet_resolution + 1, plan.half_extent)
    return seeded(points.norm(dim=-1) - 0.8 * plan.half_extent, phase, plan, device)


def seeded(sdf: torch.Tensor, phase: Phase, plan: LiftPlan, device: torch.device) -> GaussianScene:
    """`plan.splats` flat splats, spread evenly over the surface of a signed distance (n, n, n)."""
    from scipy.spatial import cKDTree

    v_pos, faces = marched(sdf.cpu(), plan)
    v_normal = normals(v_pos, faces)
    triangles = v_pos[faces.long()].double().numpy()  # (F, 3, 3)
    area = np.linalg.norm(
        np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=-1
    ).cumsum()
    at = (np.arange(plan.splats) + 0.5) / plan.splats * area[-1]  # neighbouring faces in turn
    face = np.searchsorted(area, at).clip(max=len(area) - 1)
    weight = torch.from_numpy(np.random.default_rng(0).dirichlet((1, 1, 1), plan.splats)).float()
    corner = faces.long()[torch.from_numpy(face)]
    seeds = (weight[..., None] * v_pos[corner]).sum(1)
    normal = F.normalize((weight[..., None] * v_normal[corner]).sum(1), dim=-1, eps=1e-6)
    distance, near = cKDTree(seeds.numpy()).query(seeds.numpy(), NEIGHBOURS + 1)
    width = torch.from_numpy(distance[:, 1:].mean(axis=1)).float().clamp(min=1e-4) * WIDTH
    scene = GaussianScene(plan.splats, plan, phase, "cpu")
    scene.seeds.copy_(seeds)
    scene.widths.copy_(width[:, None] * torch.tensor([1.0, 1.0, FLAT]))
    # the turn from +z to the normal, or to its opposite, which is the same splat
    x, y, z = torch.where(normal[:, 2:] < 0, -normal, normal).unbind(-1)
    turns = torch.stack([1 + z, -y, x, torch.zeros_like(x)], dim=-1)
    scene.turns.copy_(F.normalize(turns, dim=-1))
    scene.outward.copy_(normal)
    scene.neighbours.copy_(torch.from_numpy(near[:, 1:].astype(np.int64)))
    return scene.to(device)


def rough_mesh(scene: DensityScene | GaussianScene, plan: LiftPlan, view_range: ViewRange) -> Mesh:
    """The surface of a scene that is half-made. VanishedError if there is none."""
    if isinstance(scene, DensityScene):
        return dmtet.rough_mesh(scene, plan, view_range)
    v_pos, faces = surface_of(scene.splats(), plan)
    return Mesh(v_pos.numpy(), faces.numpy())


def finished(scene: GaussianScene, view_range: ViewRange, out: Path) -> Mesh:
    """Write the splats, their surface, and its colours; see `write_lift`."""
    splats = scene.splats()
    write_splats(out / SPLATS, *(one.numpy() for one in splats[:6]))
    v_pos, faces = surface_of(splats, scene.plan)
    return write_lift(out, v_pos, faces, color_at(splats, v_pos), ({}, {}))
