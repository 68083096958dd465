"""The presets: the phases of each representation, tuned for a prior; and starts and appearances."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from sdtool.errors import UsageError
from sdtool.lifting.config import LiftPlan, Phase


def _in_steps(plan: LiftPlan, steps: tuple[int, ...]) -> tuple[Phase, ...]:
    """A plan's phases in so many steps each."""
    return tuple(
        replace(phase, steps=count) for phase, count in zip(plan.phases, steps, strict=True)
    )


# Noise levels end at 0.4, not lower: the last details of so small a prior are lumps, not parts.
# Smoothness of the geometry phase, measured on a corgi: faces lean 7° from their vertices' normals
# instead of 12°, at the same loss of the AGP. Learning rates of 0.1 and 0.0045 instead of 0.07 and 0.003 let
# half the steps do. The base weighs little beside the AGP and costs more (its pictures pass a VAE). The form
# is found without guidance, which takes one pass; the phase after it guides for what is fine: slats, ears.
TINY_CPU = LiftPlan(
    phases=(
        Phase(
            "coarse",
            "density",
            steps=120,
            lr=0.1,
            size=32,
            lambda_ori=(0.0, 0.05),
            scale_align=1.0,
            t_high=(0.98, 0.4),
            ori_every=4,
            smooth=1.0,
        ),
        Phase(
            "geometry",
            "surface",
            steps=60,
            lr=0.0045,
            lambda_ori=(0.1, 0.1),
            scale_ori=7.5,
            scale_align=5.0,
            t_high=(0.98, 0.4),
            ori_every=4,
            smooth=1000.0,
        ),
        # only high noise levels know the colour of the whole; low ones keep whatever it is
        Phase(
            "color",
            "color",
            steps=80,
            lr=0.15,
            size=128,
            sees="rgb",
            lambda_align=(0.0, 0.0),
            scale_ori=5.0,
            t_low=0.3,
            t_high=(0.98, 0.98),
            smooth=1000.0,
        ),
    )
)

PREVIEW = replace(
    TINY_CPU,
    phases=_in_steps(TINY_CPU, (80, 20, 40)),
    tet_resolution=32,
    samples=32,
)

# Fantasia3D's phases with the AGP beside them, for Stable Diffusion 2.1. The AGP leads for a quarter of
# the coarse phase, as in the paper's own NeRF pipeline, and weighs half in the fine one.
PAPER = LiftPlan(
    phases=(
        Phase(
            "coarse",
            "surface",
            steps=1500,
            lr=0.001,
            size=512,
            sees="normal_latent",
            # Fantasia3D, dataset_mesh.py: every view's normals, about x and then y, until coarse_iter
            normal_turn=180.0,
            turns="view",
            lambda_ori=(0.0, 1.0),
            scale_ori=100.0,
            scale_align=50.0,
            t_high=(0.5, 0.5),
        ),
        Phase(
            "fine",
            "surface",
            steps=1500,
            lr=0.001,
            size=512,
            lambda_align=(0.5, 0.5),
            scale_ori=100.0,
            scale_align=50.0,
            t_high=(0.5, 0.5),
            weighting="sqrt_alpha",
            subdivide=1,
        ),
        Phase(
            "material",
            "material",
            steps=2000,
            lr=0.01,
            size=512,
            sees="rgb",
            lambda_align=(0.0, 0.0),
            # Fantasia3D, fovy_range; camera_random_jitter 0.2 at distance 3. Where the AGP looks on,
            # cameras stay as it was trained (SweetDreamer's camera_perturb is 0 too).
            fov=(25.71, 45.0),
            shift=0.2 / 3,
            scale_ori=50.0,  # Fantasia3D's appearance on one GPU; it uses 100 on eight
            # Fantasia3D, early_time_step_range and late_time_step_range: up to 0.98 for 300 of 2000
            # steps, then 0.5. It jumps there; ours falls to it. Beyond, colours over-saturate.
            t_high=(0.98, 0.5),
            t_until=0.15,
            weighting="sqrt_alpha",  # Fantasia3D, sds_weight_strategy 0: √ᾱ(1 − ᾱ)
        ),
    ),
    init="ellipsoid",
    tet_resolution=64,
    sdf_table=19,  # Fantasia3D, dmtet_network.py: log2_hashmap_size, as of the material
    log2_table=19,
    metallic=0.0,
)

# The radiance field is one scene throughout; what changes is its size and who leads. Where the base does not
# look, only coordinates are rendered; normals are what costs most.
NERF_TINY_CPU = LiftPlan(
    phases=(
        Phase(
            "coarse",
            "radiance",
            steps=105,
            lr=0.015,
            size=32,
            sees="rgb",
            lambda_ori=(0.0, 0.1),
            scale_ori=7.5,
            scale_align=1.0,
            t_high=(0.98, 0.4),
            ori_every=3,
            orient=(0.1, 10.0),
        ),
        Phase(
            "fine",
            "radiance",
            steps=65,
            lr=0.0105,
            views=2,
            size=64,
            sees="rgb",
            scale_ori=5.0,
            scale_align=5.0,
            t_low=0.3,
            t_high=(0.98, 0.98),
            lambda_align=(0.5, 0.5),
            ori_every=2,
            orient=(10.0, 10.0),
        ),
    ),
    tet_resolution=80,
    samples=64,
    finest=64,
    levels=8,
    skip_from=16,
)

NERF_PREVIEW = replace(
    NERF_TINY_CPU,
    phases=_in_steps(NERF_TINY_CPU, (80, 40)),
    tet_resolution=48,
)

# SweetDreamer's NeRF pipeline: the AGP alone leads for a quarter with weight 20, then both; then large
# pictures. Settings of the authors' published configuration, for Stable Diffusion instead of IF.
NERF_PAPER = LiftPlan(
    phases=(
        Phase(
            "coarse",
            "radiance",
            steps=6000,
            lr=0.01,  # authors' optimizer: AdamW with torch's decay; encoding 0.01, networks 0.001
            lr_network=0.001,
            decay=0.01,
            views=8,
            fov=(35.0, 45.0),  # authors' stage 1, fovy_range
            sees="rgb",
            lambda_ori=(0.0, 1.0),
            lambda_align=(20.0, 1.0),
            scale_ori=20.0,
            scale_align=20.0,
            rescale=0.5,  # authors' guidance files, of the base alone
            t_high=(0.98, 0.5),
            t_until=5 / 6,  # authors' stage 1: by step 5001 of 6000
            shading=(1.0, 0.0, 0.0),  # authors' stage 1: material no-material, the albedo alone
            orient=(10.0, 1000.0),  # authors' stage 1, lambda_orient: over 5000 of 6000 steps
            orient_until=5 / 6,
            orient_over="hits",  # authors' sweetdreamer.py divides by the rays of opacity above 0
            samples_budget=1 << 21,  # 1.8 GB beside eight pictures in the VAE (docs/gpu.md)
            least_transmittance=1e-4,  # nerfacc's early_stop_eps, which the authors leave as it is
            least_alpha=0.01,  # authors' nerf_volume_renderer.py, prune_alpha_threshold
        ),
        Phase(
            "fine",
            "radiance",
            steps=10000,
            lr=0.01,  # authors' optimizer: AdamW with torch's decay; encoding 0.01, networks 0.001
            lr_network=0.001,
            decay=0.01,
            views=2,
            fov=(44.0, 46.0),  # authors' stage 2
            size=512,
            sees="rgb",
            lambda_align=(0.5, 0.5),
            scale_ori=100.0,  # authors' stage 2, guidance_scale, for both priors
            scale_align=100.0,
            rescale=0.5,  # authors' guidance files, of the base alone
            t_high=(0.98, 0.5),
            t_until=0.4,  # authors' stage 2: by step 4001 of 10000
            shading=(1.0, 0.0, 0.0),
            orient=(10.0, 1000.0),  # authors' stage 2 begins anew: over 4000 of 10000 steps
            orient_until=0.4,
            orient_over="hits",
            samples_budget=1 << 22,  # 3.5 GB beside two pictures
            least_transmittance=1e-4,
            least_alpha=0.01,
        ),
    ),
    tet_resolution=128,
    samples=512,
    log2_table=19,
)

# The phases of a surface, of splats: the same noise levels and weights. Splats need no finer pictures for
# their colours than the priors see, and their changes have units of their own.
GAUSSIANS_TINY_CPU = replace(
    TINY_CPU,
    phases=(
        TINY_CPU.phases[0],
        replace(TINY_CPU.phases[1], scene="gaussians", lr=0.01, smooth=4000.0),
        replace(TINY_CPU.phases[2], size=64),
    ),
    tet_resolution=64,
)

GAUSSIANS_PREVIEW = replace(
    GAUSSIANS_TINY_CPU,
    phases=_in_steps(GAUSSIANS_TINY_CPU, (80, 20, 40)),
    tet_resolution=48,
    samples=32,
    splats=4000,
)

COLORS: dict[str, dict[str, Any]] = {
    "color": {
        "guide": "color",
        "lr": 0.05,
        "scale_ori": 3.0,
        "t_low": 0.02,
        "t_high": (0.98, 0.15),
        "t_until": 0.9,
        "smooth": 10.0,
        "color_grid": 64,
    },
    "radiance": {"guide": "color", "lambda_ori": (3.0, 3.0), "t_low": 0.1, "t_high": (0.98, 0.6)},
}
"""Scene of the last phase → what a colour prior changes in it."""

PRESETS = {
    "dmtet": {
        "tiny-cpu": TINY_CPU,
        "preview": PREVIEW,
        "paper": PAPER,
    },
    "nerf": {
        "tiny-cpu": NERF_TINY_CPU,
        "preview": NERF_PREVIEW,
        "paper": NERF_PAPER,
    },
    "gaussians": {"tiny-cpu": GAUSSIANS_TINY_CPU, "preview": GAUSSIANS_PREVIEW},
}
"""Representation → name → plan."""

APPEARANCES: dict[str, tuple[str, float | None]] = {
    "color": ("color", None),
    "pbr": ("material", 0.01),
}
"""Name → scene of the last phase, and its learning rate; None keeps the plan's."""


def with_color_prior(plan: LiftPlan) -> LiftPlan:
    """The plan for a colour prior: it guides a mesh's plain colours in the base's place, from high noise to
    low; and the fine phase of a radiance field, beside the AGP. Materials are left to the base."""
    phases = list(plan.phases)
    last = phases[-1]
    phases[-1] = replace(last, **COLORS.get(last.scene, {}))
    return replace(plan, phases=tuple(phases))


def distilled_by(plan: LiftPlan, name: str) -> LiftPlan:
    """The plan with another way to distil the scores in all phases (`sdtool.lifting.distillation.NAMES`)."""
    return replace(plan, phases=tuple(replace(phase, distill=name) for phase in plan.phases))


def is_of_splats(plan: LiftPlan) -> bool:
    """Whether a plan ends with 3D Gaussians."""
    return any(phase.scene == "gaussians" for phase in plan.phases)


def starting_from(plan: LiftPlan, init: str) -> LiftPlan:
    """The plan with another start. Where that is a surface, phases of the density work on it instead,
    at the pace of the plan's first surface phase."""
    if plan.phases[0].scene == "radiance":
        if init == plan.init:
            return plan
        raise UsageError(
            f"--init {init}: a radiance field starts from its own blob; use --rep dmtet", "--init"
        )
    if is_of_splats(plan):
        if init == plan.init:
            return plan
        said = f"--init {init}: splats are seeded on the coarse density; use --rep dmtet"
        raise UsageError(said, "--init")
    if init == "density" and plan.phases[0].scene != "density":
        raise UsageError("--init density: this preset's phases work on surfaces only", "--init")
    surface = next(phase for phase in plan.phases if phase.scene == "surface")
    phases = [
        replace(phase, scene="surface", lr=surface.lr, smooth=surface.smooth, size=surface.size)
        if init != "density" and phase.scene == "density"
        else phase
        for phase in plan.phases
    ]
    return replace(plan, init=init, phases=tuple(phases))


def lit_by(plan: LiftPlan, environment: str) -> LiftPlan:
    """The plan with its material lit by "neutral" or by an .hdr file. UsageError if it has no material, or
    there is no such file."""
    if environment != "neutral":
        if plan.phases[-1].scene != "material":
            said = "--environment lights a material only; add --appearance pbr"
            raise UsageError(said, "--environment")
        if not Path(environment).is_file():
            said = f"--environment {environment} is no file; name an .hdr picture, or neutral"
            raise UsageError(said, "--environment")
    return replace(plan, environment=environment)


def painted_as(plan: LiftPlan, appearance: str) -> LiftPlan:
    """The plan with plain colours ("color") or a physically based material ("pbr") at its end."""
    if plan.phases[-1].scene == "radiance":
        raise UsageError(
            f"--appearance {appearance}: a radiance field has colours of its own", "--appearance"
        )
    if is_of_splats(plan):
        said = f"--appearance {appearance}: splats have plain colours of their own"
        raise UsageError(said, "--appearance")
    scene, lr = APPEARANCES[appearance]
    phases = [
        replace(phase, scene=scene, lr=phase.lr if lr is None else lr)
        if phase.scene in ("color", "material")
        else phase
        for phase in plan.phases
    ]
    return replace(plan, phases=tuple(phases))
