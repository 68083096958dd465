"""Reading a finished lift: the mesh it made, its material and what it was asked for."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from sdtool.errors import InputError, ObjectError
from sdtool.geometry.meshes import Mesh, linear_to_srgb, srgb_to_linear, validate
from sdtool.geometry.surfaces import Material, Surface, plain_surface
from sdtool.io.files import read_json
from sdtool.io.stage_record import DONE, PARTIAL

SHAPE, MATERIAL = "shape.safetensors", "material.safetensors"
GRID = "color.grids.{}"  # level after level of the colour field


@dataclass(frozen=True)
class Lifted:
    """A lift's result in the lift's own size and place: `mesh` with vertex colours, and `material`,
    which is finer than the vertices where the lift has a field; and the lift's stage record. inside:
    points (P, 3) float32 → (P,) positive within the body, if the lift has a density.
    """

    mesh: Mesh
    record: dict[str, Any]
    material: Material
    inside: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def params(self) -> dict[str, Any]:
        """The lift's parameters: prompt, seed, agp, base, preset, …"""
        return self.record["params"]


def read_lift(run: str | Path) -> Lifted:
    """Read the directory of a finished `sdtool lift`.

    InputError if it is none, is not finished, or holds a broken, empty or non-finite shape.
    """
    run = Path(run)
    record = _record(run)
    (shape, _), (material, metadata) = _tensors(run / SHAPE), _tensors(run / MATERIAL)
    v_pos = _array(run / SHAPE, shape, "v_pos", "f")
    faces = _array(run / SHAPE, shape, "t_pos_idx", "i")
    color = _array(run / MATERIAL, material, "v_color", "f")
    if len(color) != len(v_pos):
        raise _spoiled(run, f"{len(color)} colours for {len(v_pos)} vertices")
    try:
        mesh = Mesh(v_pos.astype(np.float32), faces.astype(np.int32), color.astype(np.float32))
        validate(mesh, str(run / SHAPE))
    except ObjectError as error:
        raise _spoiled(run, str(error)) from None
    if not np.isfinite(mesh.v_color[np.unique(mesh.t_pos_idx)]).all():
        raise _spoiled(run, f"{run / MATERIAL} has NaN or infinite colours")
    if "half" not in metadata:
        return Lifted(mesh, record, vertex_material(mesh))
    if "radiance" in metadata:
        return Lifted(mesh, record, *_radiance(run, material, metadata))
    if "material" in metadata:
        return Lifted(mesh, record, _stored_material(run, material, metadata))
    grids = []
    while (name := GRID.format(len(grids))) in material:
        grids.append(material[name])
        if grids[-1].ndim != 5 or grids[-1].shape[:2] != (1, 3) or not np.isfinite(grids[-1]).all():
            raise _spoiled(run, f"{run / MATERIAL} has a damaged {name}")
    return Lifted(mesh, record, field_material(grids, float(metadata["half"])))


def field_material(grids: list[np.ndarray], half_extent: float) -> Material:
    """The base colour of a `GridPyramid` with levels (1, 3, n, n, n) over the cube ±half_extent."""
    import torch

    from sdtool.shapes.grids import GridPyramid, sample_grid

    with torch.no_grad():
        field = GridPyramid(tuple(grid.shape[-1] for grid in grids), 3, half_extent)
        for parameter, grid in zip(field.grids, grids, strict=True):
            parameter.copy_(torch.from_numpy(grid))
        composed = field.composed()

    def material(points: np.ndarray) -> Surface:
        raw = sample_grid(composed, torch.from_numpy(np.ascontiguousarray(points)), half_extent)
        return plain_surface(torch.sigmoid(raw).numpy())

    return material


def _stored_material(run: Path, tensors: dict[str, np.ndarray], metadata: dict) -> Material:
    """The physically based material of a lift."""
    import torch

    from sdtool.shapes.material import hash_material

    made = _restored(run, hash_material, "material", tensors, metadata)

    @torch.no_grad()
    def material(points: np.ndarray) -> Surface:
        values = made(torch.from_numpy(np.ascontiguousarray(points)))
        return Surface(
            values.base_color.numpy(),
            values.roughness[:, 0].numpy(),
            values.metallic[:, 0].numpy(),
            values.detail.numpy() if made.detail else None,
        )

    return material


def _radiance(
    run: Path, tensors: dict[str, np.ndarray], metadata: dict
) -> tuple[Material, Callable[[np.ndarray], np.ndarray]]:
    """The colours of a NeRF lift, and how far its density is above its surface's."""
    import torch

    from sdtool.shapes.nerf import hash_radiance

    field = _restored(run, hash_radiance, "radiance", tensors, metadata)
    try:
        level = float(metadata["level"])
    except (ValueError, KeyError):
        raise _spoiled(run, f"{run / MATERIAL} does not say where its surface is") from None

    @torch.no_grad()
    def material(points: np.ndarray) -> Surface:
        return plain_surface(field(torch.from_numpy(np.ascontiguousarray(points)))[1].numpy())

    @torch.no_grad()
    def inside(points: np.ndarray) -> np.ndarray:
        return field.raw(torch.from_numpy(np.ascontiguousarray(points))).numpy() - level

    return material, inside


def _restored(
    run: Path, make: Callable, name: str, tensors: dict[str, np.ndarray], metadata: dict
) -> Any:
    """What `make` makes of the options in `metadata[name]`, with the tensors that begin with `name`."""
    import torch

    prefix = f"{name}."
    state = {
        key.removeprefix(prefix): torch.from_numpy(value)
        for key, value in tensors.items()
        if key.startswith(prefix)
    }
    try:
        made = make(float(metadata["half"]), **json.loads(metadata[name]))
        made.load_state_dict(state)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise _spoiled(run, f"{run / MATERIAL} holds a damaged {name} ({reason})") from None
    return made


def vertex_material(mesh: Mesh) -> Material:
    """The vertex colours of a mesh at the closest point of its surface, blended as light, as glTF does."""
    from sdtool.geometry.closest import ClosestPoint

    closest = None
    linear = srgb_to_linear(mesh.v_color)

    def material(points: np.ndarray) -> Surface:
        nonlocal closest
        closest = closest or ClosestPoint(mesh)
        return plain_surface(linear_to_srgb(closest.interpolate(linear, *closest(points))))

    return material


def _record(run: Path) -> dict[str, Any]:
    """The stage record of a finished lift in `run`."""
    cure = f'make it with: sdtool lift "a corgi" --out {run}'
    if not run.is_dir():
        kind = "is not a directory" if run.exists() else "does not exist"
        raise InputError(f"{run} {kind}; name the directory of a lift, or {cure}")
    if not (run / DONE).is_file():
        if (run / PARTIAL).is_file():
            prompt = read_json(run / PARTIAL).get("params", {}).get("prompt", "…")
            raise InputError(
                f'{run} is an unfinished lift of "{prompt}"; the sdtool lift command that began it '
                "continues it"
            )
        raise InputError(f"{run} is not a finished lift (it holds no {DONE}); {cure}")
    record = read_json(run / DONE)
    stage = record.get("stage") if isinstance(record, dict) else None
    if stage != "lift" or not isinstance(record.get("params"), dict):
        made = f"was written by {stage}" if stage else f"holds a {DONE} of another kind"
        raise InputError(f"{run} {made}, not by lift; {cure}")
    return record


def _tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a safetensors file, and its metadata."""
    if not path.is_file():
        raise _spoiled(path.parent, f"{path} is missing")
    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError, TypeError) as error:
        raise _spoiled(path.parent, f"{path} cannot be read ({error})") from None


def _array(path: Path, tensors: dict[str, np.ndarray], name: str, kind: str) -> np.ndarray:
    """The (n, 3) tensor `name`, of floating ("f") or integer ("i") numbers."""
    array = tensors.get(name)
    if array is None or array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind != kind:
        raise _spoiled(path.parent, f"{path} holds no tensor {name} of three columns")
    return array


def _spoiled(run: Path, what: str) -> InputError:
    return InputError(f"{what}; lift it again: sdtool lift … --out {run} --overwrite")
