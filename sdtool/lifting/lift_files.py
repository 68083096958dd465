"""The files of a lift: `shape.safetensors` and `material.safetensors`, and the record beside them.

shape.safetensors      v_pos (V, 3) float32, t_pos_idx (F, 3) int32
material.safetensors   v_color (V, 3) float32 sRGB, and a finer material: see `lift_materials`
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from sdtool.errors import InputError, ObjectError
from sdtool.geometry.meshes import Mesh, face_normals, validate
from sdtool.geometry.surfaces import Material
from sdtool.io.files import read_json, write_tensors
from sdtool.io.folders import MESH_SUFFIXES
from sdtool.io.names import natural
from sdtool.io.stage_record import DONE, PARTIAL
from sdtool.io.words import counted
from sdtool.lifting.lift_materials import COLOR, MATERIAL, Inside, Stored, read_material, spoiled

if TYPE_CHECKING:
    import torch

MESH_FILE = f"a mesh file ({' '.join(MESH_SUFFIXES)})"
SHAPE = "shape.safetensors"
POSITIONS, FACES = "v_pos", "t_pos_idx"


@dataclass(frozen=True)
class LiftResult:
    """A lift's result in the lift's own size and place: `mesh` with vertex colours, and `material`,
    which is finer than the vertices where the lift has a field; and the lift's stage record. inside:
    where the body is, if the lift has a density.
    """

    mesh: Mesh
    record: dict[str, Any]
    material: Material
    inside: Inside | None = None

    @property
    def params(self) -> dict[str, Any]:
        """The lift's parameters: prompt, seed, agp, base, preset, …"""
        return self.record["params"]


def write_lift(
    out: Path,
    v_pos: "torch.Tensor",
    t_pos_idx: "torch.Tensor",
    v_color: "torch.Tensor",
    stored: Stored,
) -> Mesh:
    """Write shape and material; return the coloured mesh.

    v_pos (V, 3), t_pos_idx (F, 3) int32, v_color (V, 3) sRGB. stored: what covers it, by a function of
    `sdtool.lifting.lift_materials`. VanishedError if the surface is empty or not finite.
    """
    from sdtool.lifting.scenes import VanishedError  # here: who reads a lift needs no renderer

    positions, faces, color = (a.detach().cpu().numpy() for a in (v_pos, t_pos_idx, v_color))
    color = color.astype(np.float32)
    mesh = Mesh(positions, faces, color)
    finite = np.isfinite(mesh.v_pos).all() and np.isfinite(face_normals(mesh)).all()
    if len(faces) == 0 or not finite:
        what = "not finite" if len(faces) else "empty"
        raise VanishedError(f"the finished surface is {what}; try another --seed with --overwrite")
    write_tensors(out / SHAPE, {POSITIONS: mesh.v_pos, FACES: mesh.t_pos_idx}, {})
    tensors, metadata = stored
    field = {name: value.detach().cpu().numpy() for name, value in tensors.items()}
    write_tensors(out / MATERIAL, {COLOR: color, **field}, metadata)
    return mesh


def read_lift(run: str | Path) -> LiftResult:
    """Read the directory of a finished `sdtool lift`.

    InputError if it is none, is not finished, or holds a broken, empty or non-finite shape.
    """
    run = Path(run)
    record = _record(run)
    (shape, _), (material, metadata) = _tensors(run / SHAPE), _tensors(run / MATERIAL)
    v_pos = _array(run / SHAPE, shape, POSITIONS, "f")
    faces = _array(run / SHAPE, shape, FACES, "i")
    color = _array(run / MATERIAL, material, COLOR, "f").astype(np.float32)
    if len(color) != len(v_pos):
        raise spoiled(run, f"{len(color)} colours for {len(v_pos)} vertices")
    try:
        mesh = Mesh(v_pos.astype(np.float32), faces.astype(np.int32), color)
        validate(mesh, str(run / SHAPE))
    except ObjectError as error:
        raise spoiled(run, str(error)) from None
    if not np.isfinite(color[np.unique(mesh.t_pos_idx)]).all():
        raise spoiled(run, f"{run / MATERIAL} has NaN or infinite colours")
    return LiftResult(mesh, record, *read_material(run, mesh, material, metadata))


def lifts_in(folder: Path) -> list[Path]:
    """The directories of finished lifts that lie in a folder, as `sdtool lift --prompts` makes them, by name
    (2 before 10)."""
    found = [path for path in folder.iterdir() if (path / DONE).is_file() and _is_lift(path)]
    return sorted(found, key=lambda path: natural(path.name))


def _is_lift(run: Path) -> bool:
    try:
        record = read_json(run / DONE)
    except InputError:
        return False
    return isinstance(record, dict) and record.get("stage") == "lift"


def _record(run: Path) -> dict[str, Any]:
    """The stage record of a finished lift in `run`."""
    cure = f'make it with: sdtool lift "a corgi" --out {run}'
    if run.exists() and not run.is_dir():
        raise InputError(f"{run} is neither the directory of a lift nor {MESH_FILE}")
    if not run.is_dir():
        if run.suffix.lower() in MESH_SUFFIXES:
            raise InputError(f"{run} does not exist; name the directory of a lift or {MESH_FILE}")
        raise InputError(f"{run} does not exist; name the directory of a lift, or {cure}")
    if not (run / DONE).is_file():
        if (run / PARTIAL).is_file():
            prompt = read_json(run / PARTIAL).get("params", {}).get("prompt", "…")
            raise InputError(
                f'{run} is an unfinished lift of "{prompt}"; the sdtool lift command that began it '
                "continues it"
            )
        if lifts := lifts_in(run):
            some = counted(len(lifts), "lift")
            raise InputError(
                f"{run} holds {some}, and is none; name one of them, such as {lifts[0]}"
            )
        cure = "name another directory" if any(run.iterdir()) else cure
        raise InputError(f"{run} is not a finished lift (it holds no {DONE}); {cure}")
    record = read_json(run / DONE)
    stage = record.get("stage") if isinstance(record, dict) else None
    if stage != "lift" or not isinstance(record.get("params"), dict):
        if stage == "texture":
            names = [Path(str(name)) for name in record.get("outputs", [])]
            painted = [run / name for name in names if name.suffix.lower() in MESH_SUFFIXES]
            such = f", {painted[0]}" if painted else ""
            raise InputError(f"{run} was written by texture; name the painted file in it{such}")
        made = f"was written by {stage}" if stage else f"holds a {DONE} of another kind"
        raise InputError(f"{run} {made}, not by lift; {cure}")
    return record


def _tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a safetensors file, and its metadata."""
    if not path.is_file():
        raise spoiled(path.parent, f"{path} is missing")
    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError, TypeError) as error:
        raise spoiled(path.parent, f"{path} cannot be read ({error})") from None


def _array(path: Path, tensors: dict[str, np.ndarray], name: str, kind: str) -> np.ndarray:
    """The (n, 3) tensor `name`, of floating ("f") or integer ("i") numbers."""
    array = tensors.get(name)
    if array is None or array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind != kind:
        raise spoiled(path.parent, f"{path} holds no tensor {name} of three columns")
    return array
