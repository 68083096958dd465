"""What covers the mesh of a lift, in its `material.safetensors`: each kind is stored and read here.

    v_color (V, 3) float32                  vertex colours, sRGB; always there, and what is left alone
    color.grids.0, … (1, 3, n, n, n)        a colour field, level after level
    material.*, metadata "material"         a physically based material: its state, and its options
    radiance.*, metadata "radiance"         a radiance field likewise; "level": its surface's raw density

Metadata "half" is half a side of the cube that a field fills. A `stored_…` function returns tensors and
metadata for `sdtool.lifting.lift_files.write_lift`.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdtool.errors import InputError
from sdtool.geometry.meshes import Mesh, linear_to_srgb, srgb_to_linear
from sdtool.geometry.surfaces import Material, Surface, plain_surface

if TYPE_CHECKING:
    import torch

    from sdtool.shapes import material as pbr
    from sdtool.shapes.nerf import RadianceField

MATERIAL = "material.safetensors"
COLOR, GRID = "v_color", "color.grids.{}"

Stored = tuple[dict[str, "torch.Tensor"], dict[str, str]]
Inside = Callable[[np.ndarray], np.ndarray]
"""Points (P, 3) float32 → (P,), positive within the body."""


def read_material(
    run: Path, mesh: Mesh, tensors: dict[str, np.ndarray], metadata: dict[str, str]
) -> tuple[Material, Inside | None]:
    """What covers the mesh of the lift in `run`, and its inside if it has a density.

    InputError if it is damaged.
    """
    if "half" not in metadata:
        return vertex_material(mesh), None
    if "radiance" in metadata:
        return _read_radiance(run, tensors, metadata)
    if "material" in metadata:
        return _read_pbr(run, tensors, metadata), None
    return _read_color_field(run, tensors, float(metadata["half"])), None


def spoiled(run: Path, what: str) -> InputError:
    """The error of a lift that is damaged."""
    return InputError(f"{what}; lift it again: sdtool lift … --out {run} --overwrite")


# Vertex colours


def vertex_material(mesh: Mesh) -> Material:
    """The vertex colours of a mesh at the closest point of its surface, blended as light, as glTF does."""
    from sdtool.geometry.closest import ClosestPoint

    assert mesh.v_color is not None  # a lift's mesh is coloured
    closest = None
    linear = srgb_to_linear(mesh.v_color)

    def material(points: np.ndarray) -> Surface:
        nonlocal closest
        closest = closest or ClosestPoint(mesh)
        return plain_surface(linear_to_srgb(closest.interpolate(linear, *closest(points))))

    return material


# A colour field


def stored_color_field(grids: "Iterable[torch.Tensor]", half_extent: float) -> Stored:
    """Of the levels (1, 3, n, n, n) of a `GridPyramid` over the cube ±half_extent."""
    tensors = {GRID.format(level): grid for level, grid in enumerate(grids)}
    return tensors, {"half": str(half_extent)}


def _read_color_field(run: Path, tensors: dict[str, np.ndarray], half_extent: float) -> Material:
    import torch

    from sdtool.shapes.grids import GridPyramid, sample_grid

    grids: list[np.ndarray] = []
    while (name := GRID.format(len(grids))) in tensors:
        grids.append(tensors[name])
        if grids[-1].ndim != 5 or grids[-1].shape[:2] != (1, 3) or not np.isfinite(grids[-1]).all():
            raise spoiled(run, f"{run / MATERIAL} has a damaged {name}")
    if not grids:
        raise spoiled(run, f"{run / MATERIAL} holds no {name}")
    with torch.no_grad():
        field = GridPyramid(tuple(grid.shape[-1] for grid in grids), 3, half_extent)
        for parameter, grid in zip(field.grids, grids, strict=True):
            parameter.copy_(torch.from_numpy(grid))
        composed = field.composed()

    def material(points: np.ndarray) -> Surface:
        raw = sample_grid(composed, torch.from_numpy(np.ascontiguousarray(points)), half_extent)
        return plain_surface(torch.sigmoid(raw).numpy())

    return material


# A physically based material


def stored_pbr(
    material: "pbr.Material", half_extent: float, options: Mapping[str, object]
) -> Stored:
    """Of a `hash_material` that was made with `options`."""
    metadata = {"half": str(half_extent), "material": json.dumps(options)}
    return _state("material", material), metadata


def _read_pbr(run: Path, tensors: dict[str, np.ndarray], metadata: dict) -> Material:
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


# A radiance field


def stored_radiance(field: "RadianceField", options: Mapping[str, object], level: float) -> Stored:
    """Of a `hash_radiance` that was made with `options`. level: the raw density of its surface."""
    metadata = {
        "half": str(field.half_extent),
        "radiance": json.dumps(options),
        "level": str(level),
    }
    return _state("radiance", field), metadata


def _read_radiance(
    run: Path, tensors: dict[str, np.ndarray], metadata: dict
) -> tuple[Material, Inside]:
    """The colours of a NeRF lift, and how far its density is above its surface's."""
    import torch

    from sdtool.shapes.nerf import hash_radiance

    field = _restored(run, hash_radiance, "radiance", tensors, metadata)
    try:
        level = float(metadata["level"])
    except (ValueError, KeyError):
        raise spoiled(run, f"{run / MATERIAL} does not say where its surface is") from None

    @torch.no_grad()
    def material(points: np.ndarray) -> Surface:
        return plain_surface(field(torch.from_numpy(np.ascontiguousarray(points)))[1].numpy())

    @torch.no_grad()
    def inside(points: np.ndarray) -> np.ndarray:
        return field.raw(torch.from_numpy(np.ascontiguousarray(points))).numpy() - level

    return material, inside


# The state of a module, under a prefix


def _state(name: str, module: "torch.nn.Module") -> dict[str, "torch.Tensor"]:
    return {f"{name}.{key}": value for key, value in module.state_dict().items()}


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
        raise spoiled(run, f"{run / MATERIAL} holds a damaged {name} ({reason})") from None
    return made
