"""The mesh of a file as a scene of one phase: what `sdtool.lifting.run` asks of a representation."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from sdtool.errors import InputError, ObjectError
from sdtool.exporting.decimation import decimate
from sdtool.geometry.cameras import ViewRange, rotate_y
from sdtool.geometry.meshes import Mesh
from sdtool.io.files import atomic_path
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.dmtet import painted_scene
from sdtool.lifting.painting import PaintedScene
from sdtool.lifting.scenes import Scene
from sdtool.meshfiles import load_mesh
from sdtool.texturing.baking import bake_sheet
from sdtool.texturing.gltf_model import GltfModel
from sdtool.texturing.layouts import lay_out
from sdtool.texturing.obj_model import ObjModel
from sdtool.texturing.pieces import Layout, Model, Paint, canonical

MOST_FACES = 200_000
"""Of what priors look at, every copy counted: a larger mesh is shown to them with fewer faces. The textures
are painted on all."""


@dataclass(frozen=True)
class MeshScene:
    """A model, where its pieces stand, and their layouts; its functions are those of a representation.

    path: .glb, .vrm, .gltf or .obj. yaw: degrees, see `sdtool.texturing.pieces.canonical`. size: pixels a
    side of each texture.
    """

    path: Path
    yaw: float
    size: int

    @cached_property
    def model(self) -> Model:
        """The file, read. InputError if it cannot be painted."""
        try:
            return ObjModel(self.path) if self.is_obj else GltfModel(self.path)
        except ObjectError as error:
            raise InputError(f"{error}") from None

    @property
    def is_obj(self) -> bool:
        """Whether the file is an OBJ."""
        return self.path.suffix.lower() == ".obj"

    @cached_property
    def places(self) -> list[np.ndarray]:
        """Of each piece (N, V, 3) float32: where it stands for the priors; first where it is painted."""
        try:
            return canonical(self.model.pieces, self.yaw, str(self.path))
        except ObjectError as error:
            raise InputError(f"{error}") from None

    @property
    def own(self) -> list[np.ndarray]:
        """Of each piece (V, 3) float32: where it is painted."""
        return [places[0] for places in self.places]

    @cached_property
    def laid_out(self) -> tuple[list[Layout], list[str]]:
        """The layouts, and for each sheet why it is new, "" if it is not. InputError if there can be none."""
        try:
            return lay_out(self.model.pieces, self.own, len(self.model.sheets), self.size)
        except ObjectError as error:
            raise InputError(
                f"{self.path} cannot be painted: {error}; give it texture coordinates that do not "
                "overlap, or take a larger --texture-size"
            ) from None

    # A representation's functions

    def first_scene(self, plan: LiftPlan, device: torch.device) -> Scene:
        """The mesh, unpainted."""
        v_pos, v_asked, faces = self._seen()
        phase = plan.phases[0]
        scene = painted_scene(phase, v_pos.to(device), faces.to(device), plan)
        scene.v_asked, scene.two_sided = v_asked.to(device), True
        scene.with_ccm = phase.guide == "color" or max(phase.lambda_align) > 0
        return scene

    def restored_scene(
        self, number: int, tensors: dict[str, torch.Tensor], plan: LiftPlan, device: torch.device
    ) -> Scene:
        """The mesh as far as it had been painted."""
        scene = self.first_scene(plan, device)
        scene.load_state_dict(tensors)
        return scene

    def rehearsal_scene(
        self, previous: Scene | None, phase: Phase, plan: LiftPlan, device: torch.device
    ) -> Scene:
        """The mesh itself is what is heavy."""
        return self.first_scene(plan, device)

    @torch.no_grad()
    def finished(self, scene: PaintedScene, view_range: ViewRange, out: Path) -> Mesh:
        """Bake every sheet, write the file and what lies beside it into `out`; the mesh that a reader finds
        there, turned by yaw."""
        files = self.model.painted(self.laid_out[0], self.paints(scene))
        for name, data in reversed(files.items()):
            with atomic_path(out / name) as temporary:
                temporary.write_bytes(data)
        mesh = load_mesh(out / next(iter(files)), textures=True, normals=False)
        return mesh.with_positions(rotate_y(mesh.v_pos, np.radians(self.yaw)))

    def paints(self, scene: PaintedScene) -> list[Paint]:
        """The images of every sheet."""
        model, (layouts, _) = self.model, self.laid_out
        paints = []
        for sheet, cutout in enumerate(model.cutouts):
            here = [k for k, piece in enumerate(model.pieces) if piece.sheet == sheet]
            pieces, own = [model.pieces[k] for k in here], [self.own[k] for k in here]
            some = [layouts[k] for k in here]
            paints.append(bake_sheet(scene, pieces, own, some, self.size, cutout))
        return paints

    def _seen(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(V, 3) positions, (V, 3) where colours are looked up, (F, 3) int32 faces, of all places."""
        pieces = self.model.pieces
        total = sum(
            len(p.faces) * len(places) for p, places in zip(pieces, self.places, strict=True)
        )
        stand, look, faces, start = [], [], [], 0
        for piece, places in zip(pieces, self.places, strict=True):
            kept, corners = _fewer(places[0], piece.faces, MOST_FACES / total)
            for place in places:
                stand.append(place[kept])
                look.append(places[0][kept])
                faces.append(corners + start)
                start += len(kept)
        joined = [np.concatenate(some) for some in (stand, look, faces)]
        return tuple(torch.from_numpy(one) for one in joined)  # type: ignore[return-value]


def _fewer(v_pos: np.ndarray, faces: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """(W,) the vertices of (V, 3) that are kept, and (F, 3) int32 faces of them: all that faces use, or so
    many that about a share below 1 of the faces is left."""
    kept, corners = np.unique(faces, return_inverse=True)
    corners = corners.reshape(-1, 3).astype(np.int32)
    if share >= 1:
        return kept, corners
    places, point = np.unique(v_pos[kept] + np.float32(0), axis=0, return_inverse=True)
    welded = Mesh(places, point.reshape(-1)[corners].astype(np.int32))
    coarse = decimate(welded, max(4, int(share * len(faces))))
    if not len(coarse.t_pos_idx):
        return kept, corners
    from scipy.spatial import cKDTree

    nearest = cKDTree(v_pos[kept]).query(coarse.v_pos)[1]
    return kept[nearest], coarse.t_pos_idx
