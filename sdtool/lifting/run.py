"""One lift, from a prompt to its directory: load the priors, run the phases, write the result."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, ClassVar

import torch

from sdtool.errors import (
    InputError,
    MissingDependencyError,
    ObjectError,
    SdtoolError,
    UsageError,
)
from sdtool.geometry.cameras import ViewRange
from sdtool.io import lock, stage_record
from sdtool.io.words import counted
from sdtool.lifting import (
    best_of,
    dmtet,
    gaussians,
    lift_priors,
    loop,
    nerf,
    pictures,
    second_core,
    vsd,
)
from sdtool.lifting.best_of import Judge
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.initial import STARTS, check_start
from sdtool.lifting.lift_files import SHAPE
from sdtool.lifting.lift_materials import MATERIAL
from sdtool.lifting.splat_file import SPLATS
from sdtool.priors.split import Helper, is_small
from sdtool.priors.traced import traced
from sdtool.runtime.progress import progress

REPRESENTATIONS = {"dmtet": dmtet, "nerf": nerf, "gaussians": gaussians}
OUTPUTS = (SHAPE, MATERIAL, "views.png", "turntable.webp")


@dataclass(frozen=True)
class Lift:
    """What to lift and how. Called, it does so; it may be sent to another process.

    agp: a folder, or tiny. base: likewise, or a hub id; "" for the AGP's own. lambda_ori,
    lambda_align, scale: factors on the weights and the guidance scales of the plan. by_view: name the
    side in the prompt; None for bases of an open vocabulary only. perp_neg: by Perp-Neg. device: where
    everything is computed. precision: of the priors' weights, a name of
    `sdtool.runtime.devices.PRECISIONS`, or `lift_priors.HALF`. color: a colour prior, for the phases that
    have it as their guide: a folder, or tiny; "" for none. asked: whether a user named the precision: what
    was finished in another one is then not what was asked for.
    best_of: seeds that begin, from `seed` on, of which the best is finished; judge: by what, see `best_of`.
    """

    rep: str
    agp: str
    base: str
    preset: str
    plan: LiftPlan
    lambda_ori: float
    lambda_align: float
    scale: float
    by_view: bool | None
    negative: str
    seed: int
    overwrite: bool
    device: str = "cpu"
    precision: str = "fp32"
    perp_neg: bool = False
    color: str = ""
    asked: bool = False
    best_of: int = 1
    judge: Judge | None = None

    stage: ClassVar[str] = "lift"
    verbs: ClassVar[tuple[str, str]] = ("lifting", "lifted")

    @property
    def outputs(self) -> tuple[str, ...]:
        """The files that it ends with, beside previews and log."""
        return (*OUTPUTS, SPLATS) if self.rep == "gaussians" else OUTPUTS

    def representation(self) -> Any:
        """The module, or what has its functions, that makes the scenes of the phases."""
        return REPRESENTATIONS[self.rep]

    def __call__(self, job: tuple[str, Path]) -> stage_record.Result:
        """Lift a prompt into a directory; `job` is both."""
        prompt, out = job
        check_start(self.plan.init)
        vsd.check(self.plan.phases)
        record = stage_record.begin(
            out,
            self.stage,
            params=self.params(prompt),
            inputs=self.inputs(),
            overwrite=self.overwrite,
            owned=("previews/*.png", *self.outputs, *best_of.OUTPUTS),
            patient=True,
        )
        if record.is_done:
            made = record.recorded("precision")
            if self.asked and made and made != self.precision:
                raise UsageError(
                    f"{out} was made differently (precision: {made} there, {self.precision} now); "
                    "choose another --out or add --overwrite",
                    "--precision",
                )
            models = [name for name in self.outputs if Path(name).suffix not in (".png", ".webp")]
            if lost := [name for name in models if not (out / name).exists()]:
                said = f"{out} was finished, but {lost[0]} in it is gone"
                raise ObjectError("lost-result", f"{said}; --overwrite makes it again")
            print(f"{out} is already {self.verbs[1]}; --overwrite redoes it", file=sys.stderr)
            return record.result()
        return _lift(record, self, prompt)

    def params(self, prompt: str) -> dict[str, Any]:
        """What the stage's record keeps of a prompt's lift."""
        more: dict[str, Any] = {"color_prior": self.color} if self.color else {}
        if self.best_of > 1:
            more |= {"best_of": self.best_of, "choose_by": "judge" if self.judge else "priors"}
        return {
            "prompt": prompt,
            "rep": self.rep,
            "agp": self.agp,
            "base": self.base,
            "preset": self.preset,
            "settings": asdict(self.plan),
            "scale": self.scale,
            "lambda_ori": self.lambda_ori,
            "lambda_align": self.lambda_align,
            "by_view": self.by_view,
            "negative": self.negative,
            "perp_neg": self.perp_neg,
            "seed": self.seed,
            **more,
        }

    def inputs(self) -> dict[str, Path | None]:
        """What it is made from, as far as that lies on this disk."""
        init = self.plan.init if self.plan.init not in STARTS else ""
        given = {"agp": self.agp, "base": self.base, "init": init}
        given |= {"color-prior": self.color} if self.color else {}
        given["environment"] = self.plan.environment
        return {k: Path(v) if v and Path(v).exists() else None for k, v in given.items()}


def lift_one(lifting: Lift, job: tuple[str, Path]) -> stage_record.Result:
    """Like `lifting(job)`, but what concerns this prompt alone becomes an ObjectError."""
    try:
        return lifting(job)
    except (ObjectError, InputError, MissingDependencyError):
        raise
    except SdtoolError as error:
        raise ObjectError("not-lifted", str(error)) from None
    finally:
        lock.release_all()


def _lift(record: stage_record.StageRecord, lifting: Lift, prompt: str) -> stage_record.Result:
    """Load the priors, choose the seed, run the phases, write shape, material and pictures."""
    began = time.monotonic()
    out, plan, rep, seed = record.out, lifting.plan, lifting.representation(), lifting.seed
    splits = second_core.may_split(lifting.device, plan.processes)
    helper = second_core.begin() if splits and plan.steps >= second_core.FEWEST else None
    base, view_range = lift_priors.checked(lifting)
    guidance = lift_priors.loaded(record, lifting, base, prompt, rep, view_range)
    saved = loop.load(out)
    begun = saved is not None  # not what a candidate of this command will have left
    with _quicker(lifting, base, guidance, splits, helper):
        if lifting.best_of > 1:
            seeds = tuple(range(seed, seed + lifting.best_of))
            of = best_of.Choice(out, prompt, rep, plan, guidance, view_range, seeds, lifting.judge)
            seed = best_of.seed_of(of, _shows_bars())
            saved, record.head["seed"] = loop.load(out), seed
        if saved:
            number, step = saved[0]["phase"], saved[0]["step"]
            loop.trim_log(out / "log.jsonl", plan, number, step)
            if begun:
                said = f"continuing at the {plan.phases[number].name} phase, step {step}"
                print(said, file=sys.stderr)
        scene, spent = _run_phases(lifting, prompt, out, rep, guidance, view_range, seed, saved)
    mesh = rep.finished(scene, view_range, out)
    pictures.contact_sheet(mesh, view_range, out / "views.png", prompt)
    pictures.spin(mesh, view_range, out / "turntable.webp")
    counts = {"ok": 1, "failed": 0, "faces": len(mesh.t_pos_idx), "steps": plan.steps}
    chosen = best_of.OUTPUTS if lifting.best_of > 1 else ()
    result = record.finish(
        counts=counts, outputs=[*lifting.outputs, "previews", "log.jsonl", *chosen]
    )
    (out / loop.CHECKPOINT).unlink(missing_ok=True)
    result.summary["seconds"] = {k: round(v, 2) for k, v in spent.items()}
    result.summary["seconds"]["total"] = round(time.monotonic() - began, 2)
    return result


def _shows_bars() -> bool:
    """Whether there are progress bars: those of workers would overwrite one another."""
    return parent_process() is None


@contextmanager
def _quicker(
    lifting: Lift, base: str, guidance: Guidance, splits: bool, helper: Helper | None
) -> Iterator[None]:
    """While it lasts, calls of small priors on a CPU are recorded, and in two processes, as the plan says."""
    priors = [guidance.base, guidance.agp, *([guidance.color] if lifting.color else [])]
    are_small = guidance.device.type == "cpu" and all(map(is_small, priors))
    with ExitStack() as during:
        if is_traced := are_small and lifting.plan.calls == "traced":
            during.enter_context(traced(*priors))
        if splits and are_small:
            names = base, lifting.agp, lifting.color
            during.enter_context(second_core.halves(priors, names, helper, is_traced))
        elif helper is not None:
            second_core.end()
        yield


def _run_phases(
    lifting: Lift,
    prompt: str,
    out: Path,
    rep: Any,
    guidance: Guidance,
    view_range: ViewRange,
    seed: int,
    saved: tuple | None,
) -> tuple[Any, dict[str, float]]:
    """Run the plan, from a checkpoint or the beginning, with previews. The last scene, and the seconds by
    what they were spent on."""
    plan = lifting.plan
    number, step, strength, adam, scene = _start(saved, rep, plan, guidance.device)
    before = [sum(phase.steps for phase in plan.phases[:k]) for k in range(len(plan.phases))]
    spent: dict[str, float] = {}
    newest: Path | None = None  # picture
    title, ready = f'{lifting.verbs[0]} "{prompt}"', before[number] + step
    with progress(title, plan.steps, "steps", done=ready, shown=_shows_bars()) as bar:
        for index, phase in enumerate(plan.phases[number:], start=number):
            if index > number:
                scene, step, strength, adam = rep.next_scene(scene, phase, plan), 0, 1.0, None
            bar.message(f"{phase.name}: {counted(phase.steps - step, 'step')}")

            def show(done: int, loss: float | None, scene=scene, phase=phase, index=index) -> None:
                nonlocal newest
                if pictures.is_due(done, phase.steps, index == 0):
                    newest = out / "previews" / f"{phase.name}-{done:04d}.png"
                    pictures.preview(scene, view_range, newest, f"{prompt}, {phase.name} {done}")
                said = "" if loss is None else f", loss {loss:.1f}"
                note = f"{phase.name}{said}{f', {newest}' if newest else ''}"
                bar.move_to(before[index] + done, note)

            clock = loop.optimise(
                scene, guidance, phase, _cameras(lifting, phase, view_range), number=index,
                seed=seed, start=step, adam=adam, strength=strength, out=out, on_step=show,
            )  # fmt: skip
            for key, seconds in clock.spent.items():
                spent[key] = spent.get(key, 0.0) + seconds
    return scene, spent


def _start(saved: tuple | None, rep: Any, plan: LiftPlan, device: torch.device) -> tuple:
    """Phase, step, factor on the guidance, Adam's state and scene to go on with: of a checkpoint, or new."""
    if saved is None:
        return 0, 0, 1.0, None, rep.first_scene(plan, device)
    place, tensors, adam = saved
    scene = rep.restored_scene(place["phase"], tensors, plan, device)
    return place["phase"], place["step"], place["strength"], adam, scene


def _cameras(lifting: Lift, phase: Phase, view_range: ViewRange) -> ViewRange:
    """Where a phase's cameras stand: as the AGP's did, or, where it has no say, as the colour prior's."""
    if phase.guide == "color" and lifting.color and phase.lambda_align == (0.0, 0.0):
        from sdtool.priors.cards import color_camera_of

        return color_camera_of(lifting.color)
    return view_range
