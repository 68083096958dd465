"""A corgi from the bundled prior, lifted on the device and judged as the tests judge the CPU's."""

import numpy as np
import torch

from sdtool.bench.clocks import peak, reset_peak
from sdtool.bench.gpu.figures import Sheet
from sdtool.bench.gpu.lifting import lift
from sdtool.bench.gpu.setup import Setup
from sdtool.evaluating.solids import CORGI, corgi_facts
from sdtool.geometry.meshes import Mesh
from sdtool.lifting.lift_files import read_lift

PRESETS = {"dmtet": "tiny-cpu", "nerf": "preview"}  # those of the tests
SMALL = {
    "dmtet": ("coarse", "geometry", "color"),
    "nerf": ("coarse", "fine"),
}


def lift_corgi(setup: Setup, sheet: Sheet, rep: str) -> None:
    """Lift one; figures of its shape. At reduced size, too few steps for a corgi: only what any result
    must be is asked."""
    device, out = torch.device(setup.device), setup.work / f"corgi-{rep}"
    preset, settings = ("preview", _few(rep)) if setup.small else (PRESETS[rep], [])
    reset_peak(device)
    summary = lift(setup, rep, preset, settings, out)
    sheet.note("preset", preset)
    sheet.note("steps", summary["counts"]["steps"])
    sheet.note("it took, loading and pictures included", summary["seconds"]["total"], "s")
    if not setup.is_cpu:
        sheet.note("peak memory", peak(device) / 2**30, "GB")
    mesh = read_lift(out).mesh  # whole and finite, or it raises
    sheet.note("faces", len(mesh.t_pos_idx))
    sheet.holds("closed", _is_closed(mesh))
    facts = corgi_facts(mesh)
    for name, value in facts.items():
        words = name.replace("_", " ")
        if setup.small or name not in CORGI:
            sheet.note(words, value)
            continue
        low, high = CORGI[name]
        sheet.within(words, value, low, high)


def _few(rep: str) -> list[str]:
    """Settings of a lift of some seconds on a CPU."""
    found = ["tet_resolution=16", "samples=16"]
    for name in SMALL[rep]:
        found += [f"{name}.steps={8 if name == 'coarse' else 1}", f"{name}.views=1"]
    return found


def _is_closed(mesh: Mesh) -> bool:
    """Whether every edge belongs to two faces."""
    faces = mesh.t_pos_idx
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return bool((np.unique(edges, axis=0, return_counts=True)[1] == 2).all())
