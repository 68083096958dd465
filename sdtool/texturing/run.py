"""One mesh, from its file to a directory with its painted copy: a lift whose shape is given."""

import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from sdtool.errors import UsageError
from sdtool.lifting.config import LiftPlan
from sdtool.lifting.presets import PRESETS, lit_by, painted_as, with_color_prior
from sdtool.lifting.run import Lift
from sdtool.texturing.mesh_scene import MeshScene

PICTURES = ("views.png", "turntable.webp")
SETTINGS = ("log2_table", "metallic", "processes", "passes", "calls")
"""Of a plan, beside those of its phase: the others are about shapes."""
NOT_RECORDED = ("rep", "lambda_ori", "lambda_align", "perp_neg")


def plan_for(preset: str, appearance: str, color: bool, environment: str) -> LiftPlan:
    """The last phase of a preset for surfaces, and nothing before it. appearance: "" for the preset's own.
    color: whether a colour prior guides plain colours. UsageError where these do not go together."""
    chosen = PRESETS["dmtet"][preset]
    chosen = replace(chosen, phases=chosen.phases[-1:])
    chosen = painted_as(chosen, appearance) if appearance else chosen
    chosen = with_color_prior(chosen) if color else chosen
    return lit_by(chosen, environment)


def check_settings(settings: list[str]) -> None:
    """UsageError for a setting of a plan that is about shapes, not about what covers them."""
    for setting in settings:
        name = setting.partition("=")[0].strip()
        if "." not in name and name not in SETTINGS:
            said = f"{name} is not one of {', '.join(SETTINGS)} (a phase's settings: color.steps)"
            raise UsageError(f"--set {setting}: {said}", f"--set {setting}")


@dataclass(frozen=True)
class Texturing(Lift):
    """What to paint and how. Called with a prompt and a directory, it does so.

    mesh: a glTF file or an OBJ. yaw: degrees by which it is turned about +Y for the priors.
    texture_size: pixels a side. The rest is as `Lift` has it.
    """

    mesh: Path = Path()
    yaw: float = 0.0
    texture_size: int = 1024

    stage: ClassVar[str] = "texture"
    verbs: ClassVar[tuple[str, str]] = ("painting", "painted")

    @cached_property
    def made_of(self) -> MeshScene:
        """The mesh, read once."""
        return MeshScene(self.mesh, self.yaw, self.texture_size)

    @property
    def is_pbr(self) -> bool:
        """Whether it gets a physically based material."""
        return self.plan.phases[-1].scene == "material"

    @property
    def outputs(self) -> tuple[str, ...]:
        """The painted file, what belongs to it, and the pictures."""
        return (*self.made_of.model.outputs(self.is_pbr), *PICTURES)

    def representation(self) -> Any:
        """The mesh; said before any work is what becomes of its texture coordinates."""
        made = self.made_of
        layouts, reasons = made.laid_out
        for name, reason in zip(made.model.sheets, reasons, strict=True):
            done = f"unwrapped anew, for {reason}" if reason else "its texture coordinates stay"
            print(f"{self.mesh}, {name}: {done}", file=sys.stderr)
        return made

    def params(self, prompt: str) -> dict[str, Any]:
        """What the stage's record keeps."""
        found = super().params(prompt)
        settings = found["settings"]
        kept = {k: v for k, v in settings.items() if k in (*SETTINGS, "environment", "phases")}
        found = {k: v for k, v in found.items() if k not in NOT_RECORDED}
        return found | {
            "settings": kept,
            "mesh": self.mesh.name,
            "yaw": self.yaw,
            "texture_size": self.texture_size,
        }

    def inputs(self) -> dict[str, Path | None]:
        """What it is made from, as far as that lies on this disk."""
        found = super().inputs()
        found.pop("init")
        return {"mesh": self.mesh, **found}
