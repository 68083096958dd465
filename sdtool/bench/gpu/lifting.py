"""A lift as `sdtool lift` runs it, in this process, so that its memory can be seen."""

from pathlib import Path

from sdtool.bench.gpu.setup import Setup
from sdtool.lifting.config import override
from sdtool.lifting.lift_priors import HALF, forget_priors
from sdtool.lifting.presets import PRESETS
from sdtool.lifting.run import Lift

PROMPT = "a corgi"


def lift(
    setup: Setup,
    rep: str,
    preset: str,
    settings: list[str],
    out: Path,
    *,
    agp: str = "tiny",
    base: str = "",
) -> dict:
    """Lift a corgi into `out`, in the precision that the command takes by itself; returns its summary."""
    lifting = Lift(
        rep=rep,
        agp=agp,
        base=base,
        preset=preset,
        plan=override(PRESETS[rep][preset], settings),
        lambda_ori=1.0,
        lambda_align=1.0,
        scale=1.0,
        by_view=None,
        negative="",
        seed=0,
        overwrite=False,
        device=setup.device,
        precision="fp32" if setup.is_cpu else HALF,
    )
    try:
        return lifting((PROMPT, out)).summary
    finally:
        forget_priors()
