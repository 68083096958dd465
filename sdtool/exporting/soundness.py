"""Whether a body can be printed, in plain words: is it closed, and how thick is its thinnest part?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdtool.geometry.edges import edge_faults
from sdtool.geometry.meshes import Mesh
from sdtool.geometry.parts import connected_parts
from sdtool.geometry.thickness import THINNEST, Thickness, thickness

FINEST = 0.8  # millimetres: two lines of the usual nozzle of 0.4 mm


@dataclass(frozen=True)
class Soundness:
    """Of a body. size: (3,) along its axes; lengths are in millimetres if `sized`, else in its own units.

    holes: edges where a face's neighbour is missing or turned the other way. crowded: edges of more than
    two faces. parts: what does not hang together by vertices. volume: of what the faces enclose.
    """

    size: tuple[float, float, float]
    sized: bool
    holes: int
    crowded: int
    parts: int
    volume: float
    walls: Thickness

    @property
    def watertight(self) -> bool:
        """Whether every face has a neighbour across each of its edges, turned as it is."""
        return self.holes == 0

    def facts(self) -> dict[str, Any]:
        """For JSON. Lengths are null where no ray found a wall."""
        lengths = {"thinnest": self.walls.thinnest, "usual": self.walls.usual}
        return {
            "unit": "mm" if self.sized else "",
            "size": list(self.size),
            "watertight": self.watertight,
            "open_edges": self.holes,
            "crowded_edges": self.crowded,
            "parts": self.parts,
            "volume": self.volume,
            **{name: value if np.isfinite(value) else None for name, value in lengths.items()},
            "no_wall": self.walls.open,
        }

    def lines(self) -> list[str]:
        """For people."""
        unit = " mm" if self.sized else ""
        wide, high, deep = (f"{side:.4g}" for side in self.size)
        parts = "one part" if self.parts == 1 else f"{self.parts} parts"
        said = [f"size: {wide} × {high} × {deep}{unit} (width, height, depth), {parts}"]
        if self.watertight:
            also = f", though {self.crowded} edges have more than two faces" if self.crowded else ""
            said.append(f"watertight: yes{also}")
        else:
            said.append(f"watertight: no, {self.holes} edges lie open; --repair closes what it can")
        thin = max(self.walls.thinnest, 0.0)
        if not np.isfinite(thin):
            return [*said, "thinnest part: unknown, for the surface has no inside"]
        amount = f"{thin:.0f}" if thin >= 10 else f"{thin:.2g}"
        words = f"thinnest part: {amount}{unit} ({THINNEST:g}% of the surface is thinner)"
        if self.walls.open > 0.01:
            words += f"; {self.walls.open:.0%} of the surface has nothing behind it"
        if self.sized and thin < FINEST:
            words += f"; a nozzle of 0.4 mm wants {FINEST:g} mm"
        return [*said, words]


def soundness(mesh: Mesh, unit: float | None) -> Soundness:
    """Look at a mesh. unit: millimetres in one of its units, or None if it has no size of its own."""
    factor = unit or 1.0
    v_pos = mesh.v_pos.astype(np.float64)
    holes, crowded = edge_faults(mesh.t_pos_idx)
    a, b, c = (v_pos[mesh.t_pos_idx[:, k]] for k in range(3))
    volume = float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
    used = np.unique(mesh.t_pos_idx)
    unused = len(v_pos) - len(used)
    parts = connected_parts(mesh.t_pos_idx, len(v_pos))[0] - unused
    low, high = mesh.bounds().astype(np.float64)
    wide, tall, deep = ((high - low) * factor).tolist()
    found = thickness(mesh, np.random.default_rng(0))
    walls = Thickness(found.thinnest * factor, found.usual * factor, found.open)
    return Soundness(
        (wide, tall, deep), unit is not None, holes, crowded, parts, volume * factor**3, walls
    )
