"""What a step of `--rep nerf` should cost with Stable Diffusion 2.1 in half precision: counted, not fitted.

    python -m sdtool.bench.gpu.nerf_memory

prints the table of docs/gpu.md. Bytes of the render are those of live tensors on a CPU, where a test counts
them again; bytes and operations of the priors are counted on networks without values. On the one GPU that was
tried peaks were 5 to 6% lower, and the priors took 2.4 to 5 times as many seconds (docs/gpu.md).
"""

from typing import NamedTuple

from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.presets import NERF_PAPER
from sdtool.shapes.hashgrid_layout import layout

HELD, PEAK = {False: 388, True: 759}, {False: 524, True: 836}
"""Bytes a sample, without and with normals: from the render to the backward pass, and at most."""

LISTED, PIXEL = 12, {False: 284, True: 332}
"""Bytes a sample that is listed only, as in parts; bytes a ray, of the pictures' graph, as above."""

TABLES = 9
"""The hash table, its two moments, a copy of all three in case of a rollback, and three gradients."""

UNET, VAE = 865.9e6, 83.7e6
"""Weights of Stable Diffusion 2.1, two bytes each; the text encoder has gone before the first step."""

PICTURE, LATENT = 1.73e9, 68e6
"""Bytes a picture of 512×512 that is encoded with gradients, and a latent in the UNet, without them."""

PICTURE_WORK, LATENT_WORK = 2.27e12, 0.804e12
"""Floating-point operations of the same: the picture forward and backward, the latent forward."""

SAMPLE_TRAFFIC, STEP_TRAFFIC = 7e3, 16
"""Bytes read and written for a sample, forward and backward, and for a step that is looked at: estimates."""

OPERATIONS, BANDWIDTH = 4e14, 1.7e12
"""A second, of an H100 that reaches 40% of its operations in half precision and half of its bandwidth."""

HIT, DEEP, WITHIN = 0.3, 0.083, 0.55
"""Of a finished object: share of the rays that meet it; share of the steps of the cube's diagonal which
they see; and the mean share of those steps that rays take in the cube."""


class Cost(NamedTuple):
    """Of one step. samples: of a finished object. parts: in which they are rendered. Bytes: weights of the
    priors; shape, with its optimiser; render, held or at most; priors, activations; peak: of everything.
    Floating-point operations: work, of the priors. traffic: bytes that the render moves."""

    samples: float
    parts: int
    weights: float
    shape: float
    render: float
    priors: float
    peak: float
    work: float
    traffic: float

    def seconds(self, operations: float = OPERATIONS, bandwidth: float = BANDWIDTH) -> float:
        """With so many operations and bytes a second."""
        return self.work / operations + self.traffic / bandwidth


def with_normals(phase: Phase) -> bool:
    """Whether some step of the phase needs normals."""
    return phase.orient != (0.0, 0.0) or phase.shading[1] + phase.shading[2] > 0


def render_bytes(phase: Phase, samples: float, at_once: float = 0) -> tuple[float, float]:
    """What `samples` of a step hold until the backward pass, and what they need at most in it.

    at_once: samples of the largest part, if they are rendered in parts.
    """
    normals, rays = with_normals(phase), phase.views * phase.size**2
    pixels = PIXEL[normals] * rays
    if at_once:
        listed = LISTED * samples + pixels
        return listed, listed + PEAK[normals] * at_once
    return HELD[normals] * samples + pixels, PEAK[normals] * samples + pixels


def shape_bytes(plan: LiftPlan) -> float:
    """The hash table's, with its optimiser; the perceptrons are nothing beside it."""
    scale = (plan.finest / 16) ** (1 / (plan.levels - 1))
    last = layout(plan.levels, plan.log2_table, 16, scale)[-1]
    return TABLES * 4 * 2 * (last.offset + last.size)


def cost(plan: LiftPlan, phase: Phase, samples: float | None = None) -> Cost:
    """A step of a radiance field's phase. samples: that it renders, or a finished object's.

    The pictures' graph in the VAE and the samples' live together until the backward pass reaches the
    render; then the VAE's has gone.
    """
    views, rays = phase.views, phase.views * phase.size**2
    looked = rays * plan.samples * WITHIN
    samples = rays * HIT * plan.samples * DEEP if samples is None else samples
    budget = phase.samples_budget or samples
    parts = max(1, -int(-samples // budget))
    held, most = render_bytes(phase, samples, budget if parts > 1 else 0)
    weights, shape = 2 * (2 * UNET + VAE), shape_bytes(plan)
    priors = views * PICTURE + 2 * views * LATENT
    peak = weights + shape + max(held + priors, most)
    again = 1.4 if parts > 1 else 1.0
    return Cost(
        samples,
        parts,
        weights,
        shape,
        max(held, most),
        priors,
        peak,
        2 * 2 * views * LATENT_WORK + views * PICTURE_WORK,
        again * samples * SAMPLE_TRAFFIC + looked * STEP_TRAFFIC,
    )


def table(plan: LiftPlan) -> list[str]:
    """Lines of Markdown: each phase with a finished object, a full budget, and every step of all rays."""
    lines = [
        "| phase | samples a step | parts | samples | VAE, UNets | peak | seconds a step | hours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for phase in plan.phases:
        every = phase.views * phase.size**2 * plan.samples * WITHIN
        cases = {"a finished object": None, "a full budget": phase.samples_budget, "fog": every}
        for name, samples in cases.items():
            one = cost(plan, phase, samples)
            numbers = (one.render, one.priors, one.peak)
            hours = f"{one.seconds() * phase.steps / 3600:.2f}" if samples is None else ""
            lines.append(
                f"| {phase.name}, {name} | {one.samples / 1e6:.1f} million | {one.parts} | "
                + " | ".join(f"{number / 1e9:.1f} GB" for number in numbers)
                + f" | {one.seconds():.2f} | {hours} |"
            )
    return lines


if __name__ == "__main__":
    print(*table(NERF_PAPER), sep="\n")
