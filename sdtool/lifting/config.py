"""The phases of a lift as plain data, and the presets."""

from dataclasses import dataclass, replace

from sdtool.errors import UsageError


@dataclass(frozen=True)
class Phase:
    """One phase: what is optimised, for how long, and how strongly each prior pulls.

    scene: "density" (coarse), "surface" (DMTet) or "color" (geometry frozen).
    views: cameras a step, spread evenly in azimuth. size: rendered pixels a side, averaged down to
    the prior's own size. sees: what the base prior is shown, "normal" or "rgb". lambda_*: weights of
    the two score-distillation terms, as (first quarter, rest): the AGP may lead alone at first.
    scale_*: classifier-free guidance. t_high: upper end of the noise level at the phase's start and
    end, as a share of the schedule, falling linearly over the first 70%. smooth: weight of the
    scene's own regulariser.
    """

    name: str
    scene: str
    steps: int
    lr: float
    views: int = 4
    size: int = 64
    sees: str = "normal"
    lambda_ori: tuple[float, float] = (1.0, 1.0)
    lambda_align: tuple[float, float] = (1.0, 1.0)
    scale_ori: float = 10.0
    scale_align: float = 10.0
    t_low: float = 0.02
    t_high: tuple[float, float] = (0.98, 0.5)
    weighting: str = "one_minus_alpha"
    smooth: float = 0.0


@dataclass(frozen=True)
class Plan:
    """A whole lift: its phases and the sizes of the two shape grids.

    tet_resolution: cells a side of the tetrahedral grid. samples: along a ray of the density. half:
    half a side of the cube that holds the shape.
    """

    phases: tuple[Phase, ...]
    tet_resolution: int = 48
    samples: int = 48
    half: float = 0.6


# Noise levels end at 0.4, not lower: the last details of so small a prior are lumps, not parts.
TINY_CPU = Plan(
    phases=(
        Phase(
            "coarse",
            "density",
            steps=400,
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
            sees="rgb",
            lambda_align=(0.0, 0.0),
            scale_ori=3.0,
            t_low=0.3,
            t_high=(0.98, 0.98),
        ),
    )
)

PREVIEW = replace(
    TINY_CPU,
    phases=tuple(
        replace(phase, steps=steps)
        for phase, steps in zip(TINY_CPU.phases, (150, 20, 60), strict=True)
    ),
    tet_resolution=32,
    samples=32,
)

PRESETS = {"tiny-cpu": TINY_CPU, "preview": PREVIEW}


def plan(preset: str) -> Plan:
    """The plan of a preset's name; UsageError lists the names."""
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset!r} is not one of {', '.join(PRESETS)}")
    return PRESETS[preset]
