"""The recipe of version e78a945 for the tiny priors, kept so that its successors can be measured against it.

One process, two passes of each prior, no TorchScript, noise levels drawn uniformly up to a falling end.
"""

from sdtool.io import toml
from sdtool.lifting.config import LiftPlan, Phase, settings_of

# Noise levels end at 0.4, not lower: the last details of so small a prior are lumps, not parts.
# Smoothness of the geometry phase, measured on a corgi: faces lean 7° from their vertices' normals
# instead of 12°, at the same loss of the AGP.
REFERENCE = LiftPlan(
    phases=(
        Phase(
            "coarse",
            "density",
            steps=300,
            lr=0.07,
            size=32,
            lambda_ori=(0.0, 0.05),
            t_high=(0.98, 0.4),
            smooth=1.0,
        ),
        Phase(
            "geometry",
            "surface",
            steps=150,
            lr=0.003,
            lambda_ori=(0.1, 0.1),
            scale_ori=7.5,
            t_high=(0.98, 0.4),
            smooth=1000.0,
        ),
        # only high noise levels know the colour of the whole; low ones keep whatever it is
        Phase(
            "color",
            "color",
            steps=200,
            lr=0.1,
            size=128,
            sees="rgb",
            lambda_align=(0.0, 0.0),
            scale_ori=5.0,
            t_low=0.3,
            t_high=(0.98, 0.98),
            smooth=1000.0,
        ),
    ),
    processes=1,
    passes=2,
    calls="eager",
)

NERF_REFERENCE = LiftPlan(
    phases=(
        Phase(
            "coarse",
            "radiance",
            steps=200,
            lr=0.01,
            size=32,
            sees="rgb",
            lambda_ori=(0.0, 0.1),
            scale_ori=7.5,
            t_high=(0.98, 0.4),
            orient=(0.1, 10.0),
        ),
        Phase(
            "fine",
            "radiance",
            steps=150,
            lr=0.005,
            views=2,
            size=64,
            sees="rgb",
            scale_ori=5.0,
            t_low=0.3,
            t_high=(0.98, 0.98),
            lambda_align=(0.5, 0.5),
            orient=(10.0, 10.0),
        ),
    ),
    tet_resolution=80,
    samples=64,
    finest=64,
    processes=1,
    passes=2,
    calls="eager",
)

PLANS = {"dmtet": REFERENCE, "nerf": NERF_REFERENCE}


def as_toml(rep: str) -> str:
    """The recipe of a representation for `sdtool lift --config`: every setting, and no colour prior."""
    options = {"rep": rep, "color-prior": "none", "set": settings_of(PLANS[rep])}
    return "\n".join(toml.tables("lift", options)) + "\n"
