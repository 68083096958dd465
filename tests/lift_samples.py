"""Lifts of so few steps that a test can afford them."""

from sdtool.evaluating.solids import CORGI
from sdtool.lifting.config import LiftPlan, Phase

SMALL_PLAN = LiftPlan(
    phases=(
        Phase("coarse", "density", steps=10, lr=0.4, size=32, views=2, lambda_ori=(0.0, 0.3)),
        Phase("geometry", "surface", steps=6, lr=0.002, views=1),
        Phase("color", "color", steps=4, lr=0.05, views=1, sees="rgb", lambda_align=(0.0, 0.0)),
    ),
    tet_resolution=16,
    samples=24,
)
QUICK = ["--preset", "preview", "--set", "tet_resolution=16", "--set", "samples=16"]
QUICK += [part for name, steps in (("coarse", 8), ("geometry", 1), ("color", 1))
          for part in ("--set", f"{name}.steps={steps}", "--set", f"{name}.views=1")]  # fmt: skip


def corgi_faults(facts):
    """Those of `corgi_facts` that are not as `CORGI` says."""
    known = {name: facts[name] for name in CORGI if name in facts}
    return {k: v for k, v in known.items() if not CORGI[k][0] <= v <= CORGI[k][1]}
