"""Half of a batch is computed by another process: the same bits, whatever becomes of that process."""

import os
import select
import subprocess
import sys
import threading
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from weakref import WeakKeyDictionary

import pytest
import torch

from sdtool.lifting import second_core
from sdtool.priors import pairs, split
from sdtool.priors import traced as records
from sdtool.priors.agp import fresh_agp
from sdtool.priors.fresh import fresh_base
from sdtool.priors.traced import traced

ROWS = 5


@pytest.fixture(scope="module")
def priors():
    base = fresh_base(["a red corgi"], size=16, width=8)
    agp = fresh_agp(base, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    for parameter in agp.unet.class_embedding.parameters():  # else it would ignore its cameras
        parameter.data.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return base, agp


@pytest.fixture
def in_a_thread(priors, monkeypatch):
    """Helpers are threads of this process, and hold these priors."""

    def popen(command, **_):
        ends = [os.dup(int(number)) for number in command[-2:]]
        thread = threading.Thread(target=split.serve, args=ends, daemon=True)
        thread.start()
        return SimpleNamespace(kill=lambda: None, wait=lambda *_: 0)

    monkeypatch.setattr(split.subprocess, "Popen", popen)
    monkeypatch.setattr(pairs, "load_pair", lambda *_: priors)


def asked(prior, rows=ROWS):
    """The noise that a prior predicts for random rows."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(rows, 4, 16, 16, generator=generator)
    t = torch.randint(0, 1000, (rows,), generator=generator)
    text = prior.encode_text(["a red corgi"]).expand(rows, -1, -1)
    with torch.no_grad():
        return prior.predict_noise(x, t, text, torch.randn(rows, 4, 4, generator=generator))


@pytest.mark.slow
@pytest.mark.parametrize("is_traced", [False, True])
@pytest.mark.parametrize("which", [0, 1])
def test_a_helper_gives_the_bits_that_would_be_computed_here(
    priors, which, is_traced, in_a_thread, monkeypatch
):
    monkeypatch.setattr(records, "RECORD_AT", 1)
    prior, whole = priors[which], asked(priors[which])
    recorded = partial(traced, *priors) if is_traced else nullcontext
    with recorded(), split.split(priors, None, 1) as alone:
        here = asked(prior)
        for _ in range(4):  # TorchScript looks at its first calls before it decides how to compute
            assert torch.equal(asked(prior), here)
    helper = split.Helper()
    helper.load("a base", "an AGP", "", torch.float32, 1, is_traced)
    assert helper.wait_until_ready(60)
    with recorded(), split.split(priors, helper, 1) as halves:
        there = asked(prior)
        one = asked(prior, 1)
    assert (alone.asked, halves.asked) == (0, 1)  # one row is not split
    assert torch.equal(here, there) and torch.allclose(here, whole, atol=1e-5)
    assert torch.allclose(one, asked(prior, 1), atol=1e-5)
    assert torch.equal(asked(prior), whole)  # afterwards all is as before


def test_a_helper_that_fails_is_said_once_and_costs_nothing(priors, in_a_thread, capsys):
    with split.split(priors, None, 1):
        here = asked(priors[0])
    helper = split.Helper()
    helper.load("a base", "an AGP", "", torch.float32, 1)
    assert helper.wait_until_ready(60)
    with split.split(priors, helper, 1) as halves:
        asked(priors[0])
        helper._say([7, {}, ["float32", [1], 0]])  # it holds no such prior, and ends
        assert torch.equal(asked(priors[0]), here) and torch.equal(asked(priors[0]), here)
    assert halves.asked == 1 and not helper.is_alive
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "IndexError" in said and "going on without" in said


@pytest.mark.parametrize("program", ["/bin/false", "/nowhere/python"])
def test_a_helper_that_cannot_start_is_said(program, priors, monkeypatch, capsys):
    monkeypatch.setattr(split.sys, "executable", program)
    helper = split.Helper()
    helper.load("tiny", "tiny", "", torch.float32, 1)
    assert not helper.wait_until_ready(60)
    assert "going on without" in capsys.readouterr().err
    with split.split(priors, helper, 1) as halves:
        asked(priors[0])
    assert halves.asked == 0


def test_what_does_not_fit_into_the_shared_memory_is_computed_here(
    priors, in_a_thread, monkeypatch
):
    monkeypatch.setattr(split, "ROOM", 1 << 12)
    helper = split.Helper()
    helper.load("a base", "an AGP", "", torch.float32, 1)
    assert helper.wait_until_ready(60)
    with split.split(priors, helper, 1) as halves:
        asked(priors[1])
    assert halves.asked == 0


@pytest.mark.slow
@pytest.mark.parametrize("halves", [False, True])
def test_a_recorded_prior_answers_with_the_bits_of_itself(priors, monkeypatch, halves):
    monkeypatch.setattr(records, "RECORD_AT", 3)
    monkeypatch.setattr(records, "_records", WeakKeyDictionary())
    for prior in priors:
        with split.split(priors, None, 1) if halves else nullcontext():
            whole = [asked(prior, rows) for rows in (1, 3)]
        with traced(prior), split.split(priors, None, 1) if halves else nullcontext():
            unet = prior.unet.unet if halves else prior.unet
            for calls in range(1, 6):
                for rows, wanted in zip((1, 3), whole, strict=True):
                    assert torch.equal(asked(prior, rows), wanted), calls
                assert bool(unet.found) == (calls >= 3) or halves
            recorded = len(unet.found)
            assert recorded >= 2
            x = torch.zeros(1, 4, 16, 16, requires_grad=True)
            text = prior.encode_text(["a red corgi"])
            prior.predict_noise(x, torch.tensor([5]), text, torch.eye(4)[None]).sum().backward()
            assert x.grad is not None and len(unet.found) == recorded


def test_a_trainers_gradients_are_never_split(priors):
    with split.split(priors, None, 1):
        x = torch.zeros(2, 4, 16, 16, requires_grad=True)
        text = priors[0].encode_text(["a red corgi"]).expand(2, -1, -1)
        priors[0].predict_noise(x, torch.tensor([5, 5]), text).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize(
    ("device", "processes", "cores", "worker", "wanted"),
    [
        ("cpu", 2, 2, False, True),
        ("cpu", 1, 2, False, False),
        ("cpu", 2, 1, False, False),
        ("cpu", 2, 2, True, False),
        ("meta", 2, 2, False, False),
    ],
)
def test_who_may_split(device, processes, cores, worker, wanted, monkeypatch):
    monkeypatch.setattr(second_core, "available_cores", lambda: cores)
    monkeypatch.setattr(second_core, "is_worker", lambda: worker)
    assert second_core.may_split(device, processes) is wanted


def test_what_is_small():
    assert split.is_small(SimpleNamespace(unet=torch.nn.Linear(1000, 1000)))
    assert not split.is_small(SimpleNamespace(unet=torch.nn.Linear(6000, 6000, device="meta")))


ENDS = """
import sys
from sdtool.priors.split import Helper
helper = Helper()
print(helper.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_helper_ends_with_its_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", ENDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    watched = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    assert select.select([watched], [], [], 120)[0]  # readable once the process has ended
    os.close(watched)


def test_records_of_a_unet_are_made_once_for_all_lifts(priors, monkeypatch):
    monkeypatch.setattr(records, "RECORD_AT", 1)
    monkeypatch.setattr(records, "_records", WeakKeyDictionary())
    kept = []
    for _ in range(2):
        with traced(priors[0]):
            asked(priors[0])
            kept.append(len(priors[0].unet.found))
    assert kept[0] == kept[1] >= 1
