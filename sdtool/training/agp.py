"""The training of an AGP: objects held out, texts encoded once, and exams at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from sdtool.io.words import counted
from sdtool.priors.agp import fresh_agp, plain_agp
from sdtool.priors.lora import fresh_adapter, hold_base_in
from sdtool.priors.prior import Prior
from sdtool.training.data import PromptTable, Views, counts, held_out
from sdtool.training.distributed import Processes
from sdtool.training.exam import Exam, draw_exam, in_words, take_exam
from sdtool.training.exam_curves import note_exams
from sdtool.training.finetune import finetune, say_cut_captions
from sdtool.training.log import last_step
from sdtool.training.preflight import check_numbers, check_size, say_odd
from sdtool.training.samples import Row, agp_rows, grid_cost, sample_prompts
from sdtool.training.settings import NO_END, TrainingSettings
from sdtool.training.text_cache import encode_texts

MAPS = ("ccm",)


@dataclass(frozen=True)
class ExamSettings:
    """On what an AGP is examined.

    maps: in each exam. category_of: uid → the prompt of its category. folders: CCMs for exams beside
    the one on held-out objects; captions: uid → prompts of the objects in them.
    """

    maps: int
    category_of: dict[str, str]
    folders: list[Path]
    captions: dict[str, list[str]]


@dataclass(frozen=True)
class AgpData:
    """What an AGP learns from, and what it is examined on.

    views: to train on; held_out: of the objects kept back. camera: how all cameras were drawn. exams:
    by name, on held-out objects and on other collections. uncaptioned: how many objects have no
    caption. said: sentences about what was left out.
    """

    views: Views
    held_out: Views
    camera: dict
    exams: dict[str, Exam]
    uncaptioned: int = 0
    said: tuple[str, ...] = ()

    @property
    def facts(self) -> dict:
        """How much there is to train on."""
        views, held = self.views, self.held_out
        return {"maps": len(views), "objects": len(views.uids), "held_out": len(held.uids)}


@dataclass(frozen=True)
class TrainedAgp:
    """An AGP, facts of its training for its card, what was measured in each exam, and how many objects
    were left out for want of a caption."""

    prior: Prior
    facts: dict
    exams: dict[str, dict]
    uncaptioned: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """What the stage's record counts."""
        return counts(self.facts["objects"], self.facts["maps"], self.uncaptioned)


def read_agp_data(
    folders: list[Path],
    captions: dict[str, list[str]],
    base: Prior,
    exams: ExamSettings,
    batch: int,
    generator: torch.Generator,
    processes: Processes,
) -> AgpData:
    """The CCMs in `folders` with their captions (uid → prompts), one object in twenty held out.

    base: or the AGP to go on from. batch: maps of a step. generator: draws the exams. UsageError if the maps
    are not of the base's size, InputError if one holds no numbers; says what is odd (`preflight`).
    """
    everything = Views(folders, MAPS, captions)
    if missing := everything.say_uncaptioned():
        processes.say(missing)
    check_size(everything, base.sample_size, f"{base.name} works on", "ccm", "--base")
    unseen = held_out(everything.drawn)
    check_numbers(everything, processes)
    views = Views(folders, MAPS, captions, keep=lambda uid: uid not in unseen)
    held = Views(folders, MAPS, captions, keep=lambda uid: uid in unseen)
    say_odd(views, batch, processes)
    trained, camera = set(views.uids), views.camera
    kinds, count = exams.category_of, exams.maps
    said: list[str] = []
    known = "among those to train on; name a folder of others with --exam-on"
    drawn = {"held-out objects": draw_exam(held, captions, kinds, count, generator)}
    for folder in exams.folders:
        others = Views([folder], MAPS, exams.captions, lambda uid: uid not in trained, known)
        said.append(others.say_uncaptioned() and f"{folder}: {others.say_uncaptioned()}")
        drawn[str(folder)] = draw_exam(others, exams.captions, kinds, count, generator)
    return AgpData(
        views, held, camera, drawn, len(everything.uncaptioned), tuple(filter(None, said))
    )


def train_agp(
    base: Prior,
    folders: list[Path],
    captions: dict[str, list[str]],
    settings: TrainingSettings,
    exams: ExamSettings,
    out: Path,
    *,
    shown: list[str],
    text_cache: float,
    seed: int,
    processes: Processes,
    ready: Callable[[], None] = lambda: None,
    start: Prior | None = None,
    lora: int = 0,
) -> TrainedAgp:
    """Train an AGP of `base` on the CCMs in `folders`, and examine it in the main process.

    captions: uid → prompts. shown: prompts of the sample grids; captions of held-out objects if there
    are none; unused where the settings draw no grid. text_cache: GB of disk for encoded texts. ready:
    called when all inputs have been read, before anything is written. start: an AGP of this base to go on
    from. lora: the rank of adapters that are trained in the place of the UNet, which `start` must have too.
    """
    ask = torch.Generator().manual_seed(seed)
    data = read_agp_data(folders, captions, start or base, exams, settings.batch, ask, processes)
    for sentence in data.said:
        processes.say(sentence)
    prompts = PromptTable(data.views, captions, ("",))
    if unknown := {word for text in shown for word in base.unknown_words(text)}:
        processes.say(f"the base has never met: {', '.join(sorted(unknown))}")
    say_cut_captions(base.text_encoder, prompts.table, processes)
    draws = settings.sample_every > 0
    shown = (shown or sample_prompts(captions, data.held_out.uids)) if draws else []
    generator = torch.Generator().manual_seed(seed)
    prior = _begun(base, start, lora, generator)
    if lora and settings.mixed_precision == "bf16":
        hold_base_in(prior, torch.bfloat16)  # as which it computes anyway
    del base  # its UNet is not needed any more
    ready()

    asked = [text for exam in data.exams.values() for text in exam.prompts]
    encoded = encode_texts(  # before the UNet comes to the device
        prior,
        [*prompts.table, *shown, *asked],  # the table first, so that its numbers hold
        out,
        processes=processes,
        limit=int(text_cache * 1e9),
        dtype=torch.bfloat16 if settings.mixed_precision != "no" else None,
    )
    facts = data.facts
    said = f"{counted(facts['maps'], 'map')} of {counted(facts['objects'], 'object')}"
    said += f", {counted(len(prompts.table), 'prompt')}; {counted(facts['held_out'], 'object')} held out"
    said += f"; on {processes.device.type}"
    processes.say(said + (f" × {processes.size}" if processes.size > 1 else ""))
    processes.say(_cost(len(shown), list(data.exams.values())))

    def examine(step: int) -> dict[str, float]:
        same = torch.Generator().manual_seed(seed)  # each time the same noise, for curves
        with processes.autocast():
            found = {name: take_exam(prior, e, encoded, same) for name, e in data.exams.items()}
        return note_exams(out, step, found)

    def rows() -> list[Row]:
        return agp_rows(prior, shown, encoded, data.camera, seed=seed, processes=processes)

    loss = finetune(
        prior,
        data.views,
        prompts,
        settings,
        out,
        seed=seed,
        processes=processes,
        rows=rows,
        lookup=encoded.lookup,
        examine=examine,
        passes=partial(_passes, settings, len(shown), list(data.exams.values())),
    )
    measured = {}
    for name, exam in data.exams.items() if processes.is_main else ():
        with processes.autocast():
            measured[name] = take_exam(prior, exam, encoded, ask)
        processes.say(f"{name}: {in_words(measured[name])}")
    if settings.exam_every and measured:
        note_exams(out, last_step(out), measured)
    facts = data.facts | {"loss": round(loss, 5), "camera": data.camera}
    facts |= {"steps": last_step(out)} if settings.until else {}
    return TrainedAgp(prior, facts, measured, data.uncaptioned)


def _begun(base: Prior, start: Prior | None, lora: int, generator: torch.Generator) -> Prior:
    """What is trained: an AGP or its adapters, from the base or from `start`."""
    if lora:
        return fresh_adapter(base, lora, generator) if start is None else start
    return fresh_agp(base, generator) if start is None else plain_agp(start)


def _passes(settings: TrainingSettings, shown: int, exams: list[Exam], done: int) -> int:
    """What looks at the result cost after `done` steps, in passes of one map; where the time ends it, the one
    at the end."""

    def looks(every: int) -> int:
        return -(-settings.steps // every) - done // every if settings.steps < NO_END else 0

    grids = looks(settings.sample_every) if shown else 0
    taken = looks(settings.exam_every) if settings.exam_every else 1
    return grids * grid_cost(shown)[0] + max(1, taken) * sum(exam.passes for exam in exams)


def _cost(shown: int, exams: list[Exam]) -> str:
    """What looking at the result costs, in passes of one map through the UNet."""
    grid = f"each sample grid is {grid_cost(shown)[1]}" if shown else "no sample grids"
    passes = sum(exam.passes for exam in exams)
    return f"{grid}; the exam{'s' if len(exams) > 1 else ''} at the end: {passes:,} passes"
