"""The priors of a lift: refused before they are loaded, with the prompt, in a precision that holds."""

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sdtool.errors import SdtoolError, UsageError
from sdtool.geometry.cameras import ViewRange
from sdtool.io.stage_record import StageRecord
from sdtool.lifting import loop, second_core
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.presets import PRESETS
from sdtool.lifting.rehearsal import is_light, rehearse
from sdtool.priors.fitting import say_cut
from sdtool.runtime.devices import PRECISIONS

if TYPE_CHECKING:
    from sdtool.lifting.run import Lift

HALF = "half"
"""fp16, whose guidance errs less, or bf16 where the rehearsal shows that fp16 overflows."""
_overflowing: set[tuple[str, str]] = set()
"""Bases and AGPs for which this process has found that out."""


def checked(lifting: "Lift") -> tuple[str, ViewRange]:
    """The base that is meant, and where the AGP's cameras stood. What is no prior is refused here, before any
    is loaded."""
    from sdtool.priors.cards import base_folder, base_of, camera_of, color_camera_of

    base, view_range = lifting.base or base_of(lifting.agp), camera_of(lifting.agp)
    if lifting.base:
        base_folder(lifting.base)
    if lifting.color:
        color_camera_of(lifting.color)
    return base, view_range


def loaded(
    record: StageRecord, lifting: "Lift", base: str, prompt: str, rep: Any, view_range: ViewRange
) -> Guidance:
    """The priors with the prompt's embeddings. The record says which they are, and is cleared for the lift.

    The phases of a lift that is to begin are rehearsed (`sdtool.lifting.rehearsal`), unless it is known that
    they fit. If fp16 overflows there, and `HALF` was asked for, the priors are loaded again as bf16.
    """
    from sdtool.priors.bundled import TINY

    precision = _first_precision(lifting, base)
    guidance = _guidance(lifting, base, prompt, precision)
    record.head["priors"] = {"agp": lifting.agp, "base": base}
    record.head["priors"] |= {"color": lifting.color} if lifting.color else {}
    record.head["device"] = str(guidance.device)
    if unknown := guidance.base.unknown_words(prompt):
        print(f"the prior has never met: {', '.join(unknown)}", file=sys.stderr)
    record.clear()
    undecided = lifting.precision == HALF and precision == "fp16"
    smallest = PRESETS[lifting.rep]["preview"]
    is_bundled = base == lifting.agp == TINY and lifting.color in ("", TINY)
    is_known = is_bundled and guidance.device.type == "cpu" and is_light(lifting.plan)
    is_begun = (record.out / loop.CHECKPOINT).is_file()
    while not (is_begun or is_known) or undecided:
        overflow = rehearse(rep, lifting.plan, guidance, view_range, smallest)
        if not overflow:
            break
        del guidance  # its priors go before the next ones take memory
        _overflows(lifting, base, overflow, precision)
        guidance = _guidance(lifting, base, prompt, precision := "bf16")
    record.head["precision"] = precision
    return guidance


@lru_cache(1)
def _priors(base: str, agp: str, color: str, device: str, precision: str) -> tuple:
    """Base, AGP and colour prior (or None); those of the last call are kept for the next prompt."""
    from sdtool.priors.pairs import load_painter, load_pair

    dtype = PRECISIONS[precision]
    return *load_pair(base, agp, device, dtype), load_painter(color, device, dtype)


def _guidance(lifting: "Lift", base: str, prompt: str, precision: str) -> Guidance:
    """The priors with the prompt's embeddings; their text encoders are gone again."""
    from sdtool.priors.pairs import text_encoders

    prior, geometric, color = _priors(base, lifting.agp, lifting.color, lifting.device, precision)
    open_words = prior.vocabulary is None
    with text_encoders(prior, geometric, *([color] if color else [])):
        guidance = Guidance(
            prior,
            geometric,
            prompt,
            lifting.lambda_ori,
            lifting.lambda_align,
            lifting.scale,
            open_words if lifting.by_view is None else lifting.by_view,
            lifting.negative,
            open_words,
            lifting.perp_neg,
            color,
            lifting.plan.passes == 1,
        )
        unwanted = "--negative" if lifting.negative else "the default of --negative"
        cuts = (guidance.cut, "the prompt"), (guidance.cut_negative, unwanted)
        window = min(prior.text_encoder.length, geometric.text_encoder.length)
    for cut, whose in cuts:
        if cut:
            print(say_cut(cut, whose, window), file=sys.stderr)
    return guidance


def _first_precision(lifting: "Lift", base: str) -> str:
    """The precision to begin with: `HALF` is fp16 as long as nothing speaks against it."""
    if lifting.precision != HALF:
        return lifting.precision
    return "bf16" if (base, lifting.agp) in _overflowing else "fp16"


def _overflows(lifting: "Lift", base: str, phase: str, precision: str) -> None:
    """Say that fp16 overflows in a phase, and forget the priors; an error where bf16 would not help."""
    if precision != "fp16":
        raise SdtoolError(
            f"in the {phase} phase the priors give numbers that are not finite, in {precision}; check the "
            f"weights of the base {base} and the AGP {lifting.agp}"
        )
    if lifting.precision != HALF:
        raise UsageError(
            f"with --precision fp16 the priors overflow in the {phase} phase; use --precision bf16",
            "--precision",
        )
    print(f"fp16 overflows in the {phase} phase: the priors are bf16", file=sys.stderr)
    _overflowing.add((base, lifting.agp))
    _priors.cache_clear()


def forget_priors() -> None:
    """Let go of the priors that were kept for the next prompt."""
    _priors.cache_clear()
    second_core.end()
