"""What a training says of its cost and holds to: memory, time, the end by the clock, too little memory."""

import re
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sdtool.cli import run
from sdtool.errors import SdtoolError
from sdtool.io.captions import read_captions
from sdtool.io.files import read_json, read_jsonl
from sdtool.priors.fresh import fresh_base, save_base
from sdtool.training import forecast, loop
from sdtool.training.agp import _passes
from sdtool.training.checkpoints import last_checkpoint
from sdtool.training.course import Course
from sdtool.training.data import PromptTable, Views
from sdtool.training.distributed import Processes
from sdtool.training.finetune import finetune
from sdtool.training.forecast import Forecast, said_bytes, said_seconds
from sdtool.training.loop import new_optimizer
from sdtool.training.memory import LiveBytes, Peak, held, optimizer_bytes, out_of_memory_named
from sdtool.training.samples import grid_cost
from sdtool.training.settings import NO_END, TrainingSettings


def trained(views, out, **settings):
    """The weights of a small base after a training of these settings."""
    captions = read_captions(views)
    data = Views([views], ("rgb",), captions)
    prior = fresh_base(["a red disc"], size=16, width=8, seed=1)
    given = TrainingSettings(**{"batch": 4, "sample_every": 0, "lr": 1e-3} | settings)
    prompts = PromptTable(data, captions, ("",))
    alone = Processes("cpu")
    told = {"rows": list, "passes": lambda done: 12 - 3 * done}
    finetune(prior, data, prompts, given, out, seed=0, processes=alone, **told)
    return prior.unet.state_dict()


# Memory


@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_the_moments_are_as_large_as_the_optimiser_makes_them(name):
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5, 7))
    values = list(module.parameters())
    optimizer = new_optimizer(values, TrainingSettings(steps=1, optimizer=name))
    module(torch.ones(2, 3, 3, 3)).sum().backward()
    optimizer.step()
    stored = [v for s in optimizer.state.values() for k, v in s.items() if k != "step"]
    assert optimizer_bytes(values, name) == sum(v.numel() * v.element_size() for v in stored)


def test_live_bytes_are_those_that_operators_make():
    x = torch.ones(1000)
    with LiveBytes() as live:
        y = x * 2  # 4000
        z = y + 1  # 8000
        del y
        x.add_(z)  # what was there before does not count
        w = z.view(10, 100)  # nor what shares memory
        w = w * 3  # z and w
        del z, w
        x * 1  # 4000 again
    assert live.peak == 8000


def test_a_real_step_holds_no_more_than_the_model_says_and_not_much_less():
    width, batch, settings = 256, 64, TrainingSettings(steps=1)
    module = nn.Sequential(*(nn.Linear(width, width) for _ in range(4)))
    values = list(module.parameters())
    model = held(module, values, settings)
    weights = 4 * 4 * (width * width + width)
    assert model == (weights, weights, weights, 2 * weights, 0)
    assert held(module, values, settings, processes=2).buckets == weights
    x = torch.ones(batch, width)

    def step():
        module(x).square().mean().backward()

    step()
    with LiveBytes() as rehearsed:
        step()
    optimizer = new_optimizer(values, settings)
    optimizer.step()
    for value in values:
        value.grad = None
    with LiveBytes() as real:  # its moments and weights were there before it
        step()
        optimizer.step()
    foreseen = model.gradients + rehearsed.peak
    assert 0.6 * foreseen < real.peak <= foreseen


def test_the_peak_of_the_process_is_measured():
    peak = Peak(torch.device("cpu"))
    before = peak.bytes()
    torch.ones(20_000_000)  # 80 MB
    if before:  # the system tells
        assert peak.bytes() >= 80e6


# Before the first step and after it


def test_a_rehearsal_says_the_cost_and_changes_no_bit(views, tmp_path, capsys, monkeypatch):
    more = {"steps": 4, "half_resolution": 0.5, "accumulate": 2}
    monkeypatch.setattr(forecast, "FEW", 4)
    with_it = trained(views, tmp_path / "with", **more)
    said = capsys.readouterr().err
    total, *parts = (
        float(n) for n in re.findall(r"(\d[\d.]*) [MG]B", said.split("as rehearsed")[0])
    )
    assert len(parts) == 5 and "activations of 2 maps at a time" in said
    assert sum(parts) == pytest.approx(total, rel=0.01)
    order = ["a step holds", "4 take", "12 passes for grids and exams", "measured: the second"]
    assert [said.index(words) for words in order] == sorted(said.index(words) for words in order)
    monkeypatch.setattr(forecast, "FEW", 5)
    without = trained(views, tmp_path / "without", **more)
    assert "a step holds" not in capsys.readouterr().err
    assert all(torch.equal(without[name], value) for name, value in with_it.items())


def test_of_a_continued_training_what_is_left_is_foretold(views, tmp_path, capsys, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(forecast, "FEW", 1)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", wraps_then(loop.save_checkpoint, killed))
        with pytest.raises(KeyboardInterrupt):
            trained(views, tmp_path, steps=5, checkpoint_every=3)
    assert "in all\n" in capsys.readouterr().err
    ticks = iter(range(10**6))  # a second at every look at the clock
    monkeypatch.setattr(Forecast, "_now", lambda self: float(next(ticks)))
    trained(views, tmp_path, steps=5, checkpoint_every=3)
    said = capsys.readouterr().err
    assert (
        ": 2 take 2 s, and 3 passes for grids and exams 250 ms\n" in said
    )  # 3 · 1 s / (3 · 4 maps)
    assert "so 2.2 s for what is left\n" in said  # two steps, and the passes
    by_clock = TrainingSettings(steps=NO_END, until=1.0)
    told = SimpleNamespace(settings=by_clock, looks=0.0, passes=0, left=NO_END)
    said = Forecast._time(told, seconds=10.0, spent=1800.0)
    assert said == "a step takes about 10 s: 180 fit into what is left of 1 hours"


def test_the_looks_that_are_left_are_counted():
    settings = TrainingSettings(steps=10, sample_every=4, exam_every=5)
    exam = SimpleNamespace(passes=7)
    grid = grid_cost(2)[0]  # grids after steps 4, 8 and 10, exams after 5 and 10
    expected = [3 * grid + 14, 3 * grid + 14, 2 * grid + 14, 2 * grid + 7, grid + 7]
    assert [_passes(settings, 2, [exam], done) for done in (0, 3, 4, 5, 9)] == expected
    assert _passes(replace(settings, exam_every=0), 0, [exam], 9) == 7
    assert _passes(replace(settings, steps=NO_END, until=1.0), 2, [exam], 9) == 7


def test_more_than_is_free_is_told_with_a_cure(views, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(forecast, "free_bytes", lambda device: 1000)
    monkeypatch.setattr(forecast, "FEW", 1)
    trained(views, tmp_path, steps=1, can_save=True)
    said = capsys.readouterr().err
    assert "are free: take a batch in more parts" in said


def test_words_for_bytes_and_times():
    assert [said_bytes(n) for n in (17.25e9, 35.4e6)] == ["17.2 GB", "35.4 MB"]
    assert [said_seconds(s) for s in (0.08, 4.2, 35 * 60, 7800)] == [
        "80 ms",
        "4.2 s",
        "35 min",
        "2 h 10 min",
    ]


# Until the time is up


def test_the_learning_rate_follows_the_time():
    clock = iter([0.0, 900.0, 1800.0, 2700.0, 3600.0])
    settings = TrainingSettings(NO_END, until=1.0, lr=1.0, warmup=0, decay="linear")
    course, rates = Course(settings, clock=lambda: next(clock)), []
    while not course.is_over:
        rates.append(course.learning_rate)
        course.advance()
    assert rates == [1.0, 0.75, 0.5, 0.25] and course.total is None
    later = Course(settings, 40, 1800.0, clock=iter([10.0, 910.0]).__next__)
    assert (later.learning_rate, later.seconds_left(5.0)) == (0.5, 1800.0)
    later.advance()  # 900 s more
    assert (later.learning_rate, later.done) == (0.25, 41)


def test_with_steps_too_what_ends_first_counts():
    settings = TrainingSettings(10, until=1.0, half_resolution=0.5)
    course = Course(settings, 5, clock=lambda: 0.0)
    assert (course.share, course.is_half, course.total) == (0.5, False, 10)
    assert Course(settings, 4, clock=lambda: 0.0).is_half
    assert course.seconds_left(60.0) == 300.0 and not course.is_over
    assert Course(settings, 10, clock=lambda: 0.0).is_over
    assert Course(TrainingSettings(10), 3).share is None


def test_many_processes_end_at_the_same_step():
    asked = []

    def agree(function):
        asked.append(function())
        return 1e9

    settings = TrainingSettings(NO_END, until=1.0)
    course = Course(settings, processes=2, agree=agree, clock=lambda: 0.0)
    steps = 0
    while not course.is_over:
        course.advance()
        steps += 1
    assert (steps, len(asked)) == (10, 1)


def test_a_training_by_the_clock_goes_on_with_the_time_that_is_left(
    views, tmp_path, monkeypatch, capsys
):
    ticks = iter(range(0, 10**6, 600))  # a look at the clock each ten minutes
    monkeypatch.setattr(loop, "Course", partial(Course, clock=lambda: float(next(ticks))))
    monkeypatch.setattr(forecast, "FEW", 10**13)  # no rehearsal
    more = {"steps": NO_END, "until": 1.0, "checkpoint_every": 4, "warmup": 0, "decay": "linear"}

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", wraps_then(loop.save_checkpoint, killed))
        with pytest.raises(KeyboardInterrupt):
            trained(views, tmp_path, **more)
    assert last_checkpoint(tmp_path).name == "checkpoint-000004.safetensors"
    trained(views, tmp_path, **more)
    assert "continuing after step 4, 40 min of 1 hours" in capsys.readouterr().err
    (line,) = read_jsonl(tmp_path / "log.jsonl")  # 40 minutes were spent: two steps remain
    assert (line["step"], line["seconds_left"]) == (6, 0)
    assert line["lr"] == pytest.approx(1e-3 * (1 - 50 / 60), rel=1e-3)


def wraps_then(first, second):
    """A function that calls both."""

    def both(*arguments):
        first(*arguments)
        second()

    return both


def test_finetune_agp_until_writes_how_many_steps_it_took(views, tmp_path, capsys):
    base, out = tmp_path / "base", tmp_path / "agp"
    save_base(fresh_base(["a red disc"], size=16, width=8), base, facts={})
    command = ["finetune-agp", str(views), "--captions", str(views), "--base", str(base)]
    command += ["--out", str(out), "--batch", "4", "--exam", "2", "--sample-every", "0"]
    command += ["--device", "cpu"]
    assert run([*command, "--until", "0"]) == 2
    assert "with --until 0 nothing is learned" in capsys.readouterr().err
    assert run([*command, "--until", "0.0001"]) == 0, capsys.readouterr().err
    assert re.search(r"[\d,]+ fit into 0.0001 hours", capsys.readouterr().err)
    steps = list(read_jsonl(out / "log.jsonl"))[-1]["step"]
    card, record = read_json(out / "agp.json"), read_json(out / "stage.json")["params"]
    assert card["steps"] == steps >= 1 and record["steps"] is None and record["until"] == 0.0001
    assert run([*command, "--until", "0.0001"]) == 0
    assert "already done" in capsys.readouterr().err


# Too little memory


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")]
)
def test_too_little_memory_is_one_sentence_that_names_what_needs_less(error):
    settings = TrainingSettings(steps=1, accumulate=2, can_save=True)
    with pytest.raises(SdtoolError) as told, out_of_memory_named(settings):
        raise error
    assert str(told.value).count(".") == 0
    for option in ("--accumulate 4", "--gradient-checkpointing", "--lora"):
        assert option in str(told.value)


def test_a_cpu_without_memory_is_understood_and_other_errors_stay():
    with pytest.raises(SdtoolError, match=r"lower --batch \(it is 32\)"):
        with out_of_memory_named(TrainingSettings(steps=1)):
            torch.empty(2**50)  # a petabyte
    with pytest.raises(RuntimeError, match="shape"):
        with out_of_memory_named(TrainingSettings(steps=1)):
            raise RuntimeError("a wrong shape")


def test_a_training_without_memory_ends_so(views, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.Objective, "forward", lambda *given: torch.empty(2**50))
    with pytest.raises(SdtoolError, match="needs more memory than there is; take a batch in more"):
        trained(views, tmp_path, steps=2, can_save=True)
