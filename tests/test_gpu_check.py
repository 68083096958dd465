"""`make gpu-check`: what fails is recorded and the rest goes on; its page; its parts on the CPU."""

import json
import subprocess
import sys

import pytest
import torch
from pretended_checks import (
    check,
    crashes,
    dies,
    good,
    hangs,
    lacks,
    machine,
    needs_memory,
    no_machine,
    own_error,
    raises,
    wrong,
)

from sdtool.bench.gpu import (
    command,
    hash_grids,
    marches,
    page,
    paper_lifts,
    rasterisers,
    running,
    training,
)
from sdtool.bench.gpu.checks import CHECKS
from sdtool.bench.gpu.command import gpu_check
from sdtool.bench.gpu.figures import Figure, Sheet, short
from sdtool.bench.gpu.machine import device_for
from sdtool.bench.gpu.running import Outcome, run_checks
from sdtool.bench.gpu.setup import Setup
from sdtool.bench.training import ALONE, OURS, STOCK
from sdtool.errors import SdtoolError, UsageError
from sdtool.geometry.cameras import ViewRange
from sdtool.lifting import loop
from sdtool.lifting.config import Phase
from sdtool.lifting.scenes import DensityScene
from sdtool.rendering.steps import Steps


def sheet(goals=True):
    """A sheet, and the list of figures that it fills."""
    found = []
    return Sheet(found.append, goals), found


def verdicts(found):
    return [figure.verdict for figure in found]


# Figures


def test_figures_are_judged():
    on, found = sheet()
    on.note("words", "two views")
    on.at_most("error", 0.1, 0.2)
    on.at_most("error", float("nan"), 0.2)
    on.at_least("share", 94.9, 95, "%")
    on.within("legs", 4, 4, 4)
    on.holds("closed", False)
    assert verdicts(found) == ["", "right", "wrong", "missed", "right", "wrong"]
    assert found[3].wanted == "≥ 95 %" and found[4].wanted == "4" and found[2].value == "nan"
    json.dumps([figure.value for figure in found], allow_nan=False)


def test_at_reduced_size_goals_are_not_judged_but_what_must_hold_is():
    on, found = sheet(goals=Setup("cuda", True, None).judges_goals)
    on.at_most("memory", 30.0, 24.0, "GB", goal=True)
    on.at_most("error", 30.0, 24.0)
    assert verdicts(found) == ["", "wrong"]
    assert Setup("cuda:1", False, None).judges_goals and not Setup("cpu", False, None).judges_goals


def test_values_are_short():
    shown = [short(v) for v in (True, "x", 81920, 0.0, 12345.6, 3.14159, 2.2e-7)]
    assert shown == ["yes", "x", "81,920", "0", "12,346", "3.14", "2.2e-07"]


# Running


def test_whatever_fails_is_recorded_and_the_others_run(tmp_path):
    bad = [raises, needs_memory, own_error, lacks, wrong, dies, crashes]
    checks = [check(run) for kind in bad for run in (kind, good)]
    seen = []
    outcomes = run_checks(
        checks,
        Setup("cpu", True, tmp_path),
        machine,
        seconds=600,
        log=tmp_path / "log",
        on_change=lambda about, so_far: seen.append((about["name"], so_far[-1].state)),
    )
    assert [outcome.check for outcome in outcomes] == checks
    assert {outcome.state for outcome in outcomes[1::2]} == {"passed"}
    errors = {o.check.name: (o.state, o.error) for o in outcomes[::2]}
    assert errors == {
        "raises": ("failed", "ValueError: this went wrong"),
        "needs_memory": (
            "failed",
            "MemoryError: CUDA out of memory. Tried to allocate 20 GiB",
        ),
        "own_error": ("failed", "a folder is missing"),
        "lacks": ("skipped", "the package warp is not installed"),
        "wrong": ("failed", "not all is as it must be"),
        "dies": ("failed", "its process died (exit code 9), perhaps for want of memory"),
        "crashes": ("failed", "its process crashed (SIGSEGV, Segmentation fault)"),
    }
    assert [figure.name for figure in outcomes[0].figures] == ["before"]
    assert [figure.name for figure in outcomes[8].figures] == ["error", "after"]
    assert ("a pretended GPU", "running") in seen  # figures are there before the end
    log = (tmp_path / "log").read_text()
    assert "and more about it" in log and "Traceback" in log
    assert "Fatal Python error: Segmentation fault" in log and "in crashes" in log


def test_a_check_that_hangs_costs_its_share(tmp_path):
    checks = [check(hangs, share=0.002), check(good)]
    options = {"log": tmp_path / "log", "on_change": lambda *_: None}
    first, second = run_checks(
        checks, Setup("cpu", True, tmp_path), machine, seconds=1000, **options
    )
    assert (first.state, first.error) == ("failed", "it took longer than 2 s")
    assert second.state == "passed"


def test_when_the_time_is_over_no_check_is_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "LEAST", 1e9)
    options = {"log": tmp_path / "log", "on_change": lambda *_: None}
    (late,) = run_checks(
        [check(good)], Setup("cpu", True, tmp_path), machine, seconds=600, **options
    )
    assert (late.state, late.error) == ("not run", "the 600 s were over") and not late.is_sound


def test_without_its_device_nothing_is_checked(tmp_path):
    with pytest.raises(UsageError, match="there is none"):
        run_checks(
            [check(good)],
            Setup("cpu", True, tmp_path),
            no_machine,
            seconds=600,
            log=tmp_path / "log",
            on_change=lambda *_: None,
        )


def test_without_a_gpu_one_sentence_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no GPU that torch can use .* --device cpu --small"):
        command.gpu_check(["--out", str(tmp_path / "out")])
    with pytest.raises(UsageError, match="takes hours at full size; add --small"):
        command.gpu_check(["--out", str(tmp_path / "out"), "--device", "cpu"])
    assert not (tmp_path / "out").exists() and device_for("cpu") == "cpu"


def test_all_checks_together_have_a_page_and_a_code(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "CHECKS", {"good": check(good), "wrong": check(wrong)})
    monkeypatch.setattr(command, "describe", machine)
    given = ["--out", str(tmp_path), "--device", "cpu", "--small"]
    assert command.gpu_check([*given, "--only", "good"]) == 0
    assert command.gpu_check(given) == 1
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / page.PAGE}\n" * 2
    assert "wrong: failed after" in said.err and "(error)" in said.err
    record = json.loads((tmp_path / page.JSON).read_text())
    assert record["sound"] is False and record["name"] == "a pretended GPU"
    assert [c["state"] for c in record["checks"]] == ["passed", "failed"]
    assert record["checks"][1]["figures"][0] == {
        "name": "error", "value": 2.0, "unit": "", "wanted": "≤ 1", "verdict": "wrong",
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {page.JSON, page.PAGE, page.LOG}


def test_the_page_says_what_is_wrong_and_which_goals_are_missed():
    figures = [
        Figure("a|b", 0.5, "GB", "≤ 1 GB", "wrong"),
        Figure("speed", 1.2, "×", "≥ 1.3 ×", "missed"),
        Figure("share", 96.0, "%", "≥ 95 %", "reached"),
    ]
    done = [
        Outcome(check(good), "passed", 3.2),
        Outcome(check(wrong), "failed", 1.0, "out of memory", figures),
    ]
    found = {"name": "H100", "device": "cuda", "memory": 80 * 2**30, "driver": "580.1"}
    text = page.page(found | {"versions": {"torch": "2.13", "nvdiffrast": None}}, done)
    assert "memory 80 GB, driver 580.1, torch 2.13\n" in text and "nvdiffrast" not in text
    assert "Not in order: wrong. 1 of 2 goals are reached." in text
    assert "| wrong | **failed**: out of memory, 1 goal missed | 1 |" in text
    assert "| a\\|b | 0.5 GB | ≤ 1 GB | **wrong** |" in text
    assert "| speed | 1.2 × | ≥ 1.3 × | **missed** |" in text


# Its parts can find something


def test_another_picture_is_found_wrong():
    right = torch.zeros(1, 8, 8, 4)
    right[:, 2:6, 2:6] = torch.tensor([0.2, 0.3, 0.5, 1.0])
    bounds = rasterisers.BOUNDS["warp"]
    for change, expected in (
        (lambda image: image, ["right", "right", ""]),
        (lambda image: image.roll(1, dims=1), ["wrong", "right", ""]),
        (lambda image: image * torch.tensor([1, 1, 1.1, 1]), ["right", "wrong", ""]),
        (lambda image: image * 0, ["wrong", "wrong", ""]),
    ):
        on, found = sheet()
        rasterisers._visibility(on, "x", change(right.clone()), right, bounds)
        assert verdicts(found) == expected


def test_another_gradient_is_found_wrong(monkeypatch, tmp_path):
    names = (*hash_grids.PARTS, *hash_grids.SECOND)

    def derivatives(backend, place, count, options):
        ours = {name: torch.ones(5) for name in names}
        if backend == "warp":
            ours["second, in the table"] = torch.tensor([1.0, 1, 1, 1, 0])
        return ours

    monkeypatch.setattr(hash_grids, "derivatives", derivatives)
    monkeypatch.setattr(hash_grids, "backends", lambda place: ["torch", "warp"])
    on, found = sheet()
    hash_grids.compare(Setup("cpu", True, tmp_path), on)
    wrong = [figure.name for figure in found if figure.verdict == "wrong"]
    assert wrong == [f"{kind}, warp: second, in the table" for kind in hash_grids.GRIDS]


def test_a_tinycudann_that_crashes_costs_no_other_figures(monkeypatch, tmp_path):
    def apart(function, backend, device, seconds):
        assert (function, backend, device) == (hash_grids.tried, "tinycudann", "meta")
        raise SdtoolError("its process crashed (SIGSEGV, Segmentation fault)")

    found_by = dict.fromkeys((*hash_grids.PARTS, *hash_grids.SECOND), torch.ones(5))
    monkeypatch.setattr(hash_grids, "apart", apart)
    monkeypatch.setattr(hash_grids, "derivatives", lambda *_: found_by)
    monkeypatch.setattr(hash_grids.hashgrid_tinycudann, "is_installed", lambda: True)
    monkeypatch.setattr(hash_grids.warp_module, "runs_on", lambda device: True)
    monkeypatch.delenv("SDTOOL_HASH_GRID", raising=False)
    hash_grids.against_tinycudann.cache_clear()
    on, found = sheet()
    hash_grids.compare(Setup("meta", True, tmp_path), on)
    hash_grids.against_tinycudann.cache_clear()
    values = {figure.name: (figure.value, figure.verdict) for figure in found}
    assert values["backends"] == ("torch, warp", "")
    assert values["taken by auto"] == ("warp", "")
    assert values["tinycudann gives a value and its derivatives"] == (False, "wrong")
    assert values["tinycudann"][0] == "its process crashed (SIGSEGV, Segmentation fault)"
    assert values["of fields, warp: values"] == (0.0, "right")


def test_what_gpu_check_tries_of_a_hash_grid_is_there(monkeypatch):
    asked, derivatives = [], hash_grids.derivatives

    def noted(*given):
        asked.append(derivatives(*given))
        return asked[-1]

    monkeypatch.setattr(hash_grids, "derivatives", noted)
    hash_grids.tried("torch", "cpu")
    (found,) = asked
    assert set(found) == {*hash_grids.PARTS, *hash_grids.SECOND}
    assert all(value.isfinite().all() and value.any() for value in found.values())
    forward = hash_grids.HashGrid.forward
    monkeypatch.setattr(hash_grids.HashGrid, "forward", lambda *given: forward(*given).detach())
    with pytest.raises(RuntimeError, match="does not require grad"):
        hash_grids.tried("torch", "cpu")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda found: found._replace(depth=found.depth + 1e-3), ["right", "wrong"]),
        (lambda found: Steps(*(column[9:] for column in found)), ["wrong", "right"]),
    ],
)
def test_other_samples_of_a_ray_are_found_wrong(change, expected, monkeypatch, tmp_path):
    right = marches.march_visible

    def march_visible(*given, backend):
        found = right(*given, backend="torch")
        return found if backend == "torch" else change(found)

    monkeypatch.setattr(marches, "march_visible", march_visible)
    monkeypatch.setattr(marches, "backends", lambda place: ["torch", "warp"])
    on, found = sheet()
    marches.compare(Setup("cpu", True, tmp_path), on)
    assert verdicts(found) == ["right", "right", *expected]


class Towards:
    """Priors that want the maps to be some noise, and count how often they are asked."""

    device, asked = torch.device("cpu"), 0

    def base_weight(self, phase, progress):
        return 1.0

    def loss(self, maps, c2w, phase, progress, strength, generator):
        self.asked += 1
        target = torch.randn(maps["ccm"].shape, generator=generator)
        return (maps["ccm"] - target).square().sum() + maps["normal"].sum(), {}


def test_a_step_that_is_cut_in_two_is_the_same_step():
    phase = Phase("coarse", "density", steps=9, lr=0.1, views=2, size=8, smooth=1.0)
    scenes, spent, priors = [], paper_lifts.Spent(), Towards()
    for cut in (False, True):
        scene = DensityScene(0.6, 8)
        given = scene, priors, phase, ViewRange(), loop.new_optimiser(scene, phase), 0
        for step in range(2):
            if cut:
                paper_lifts.cut_step(*given, step, spent)
            else:
                paper_lifts.whole_step(*given, step)
        scenes.append(scene)
    whole, cut = (scene.state_dict() for scene in scenes)
    assert priors.asked == 4 and 0 < spent.share < 1
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=1e-4, atol=1e-5)
    fresh = DensityScene(0.6, 8).state_dict()
    assert any(not torch.equal(value, fresh[name]) for name, value in whole.items())


def test_the_largest_batch_that_fits_is_measured(monkeypatch, tmp_path):
    tried = []

    def compared(prior, processes, given, folder):
        tried.append(given.batch)
        assert (given.channels, given.latent) == (320, 64)
        if given.batch > 24:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {ALONE: (1.0, 2**30), OURS: (1.04, 2**31), STOCK: (1.3, 2**31)}

    class Agp:
        class unet:
            config = {"block_out_channels": (320, 640), "sample_size": 64}

    monkeypatch.setattr(training.training, "compared", compared)
    monkeypatch.setattr(training, "load_agp", lambda *_: Agp())
    monkeypatch.setattr(training, "pipelines", lambda setup: (None, None))
    on, found = sheet()
    training.measure(Setup("cpu", False, tmp_path), on)
    table = {figure.name: figure for figure in found}
    assert tried == [64, 48, 32, 24] and table["batch"].value == 24
    assert table["finetune-agp: samples a second"].value == pytest.approx(24 / 1.04)
    assert table["finetune-agp, of the UNet alone"].verdict == "reached"  # 96%
    assert table["finetune-agp, against the stock loop"].verdict == "missed"  # 1.25
    monkeypatch.setattr(training, "BATCHES", (64, 48))
    with pytest.raises(RuntimeError, match="even at a batch of 48"):
        training.measure(Setup("cpu", False, tmp_path), on)


# The whole


@pytest.mark.slow
def test_the_command_checks_all_on_a_cpu(tmp_path):
    arguments = ["--out", str(tmp_path), "--device", "cpu", "--small"]
    done = subprocess.run(
        [sys.executable, "-m", "sdtool.bench", "gpu", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / page.PAGE}\n"
    record = json.loads((tmp_path / page.JSON).read_text())
    assert [one["name"] for one in record["checks"]] == list(CHECKS)
    assert {one["state"] for one in record["checks"]} == {"passed"} and record["sound"]
    assert all(len(one["figures"]) >= 3 for one in record["checks"])
    assert {f["verdict"] for one in record["checks"] for f in one["figures"]} == {"", "right"}
    paper = {f["name"]: f["value"] for f in record["checks"][-2]["figures"]}
    assert record["checks"][-2]["name"] == "paper-nerf" and paper["fine: samples a step"] > 0
    text = (tmp_path / page.PAGE).read_text()
    assert all(f"\n## {one.title}\n" in text for one in CHECKS.values())
    assert {path.name for path in tmp_path.iterdir()} == {page.JSON, page.PAGE, page.LOG}


def test_an_option_that_is_wrong_has_the_code_of_wrong_usage(tmp_path):
    command_line = [sys.executable, "-m", "sdtool.bench", "gpu", "--out", str(tmp_path / "out")]
    done = subprocess.run([*command_line, "--device", "cpu"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("bench: --device cpu takes hours")
    assert not done.stdout
    (tmp_path / "file").touch()
    for options, said in (
        (["--small", "--out", str(tmp_path / "file")], "file cannot be made a directory"),
        (["--small", "--minutes", "nan"], "--minutes nan is no time"),
        (["--small", "--minutes", "-1"], "--minutes -1 is no time"),
    ):
        with pytest.raises(UsageError, match=said):
            gpu_check(["--out", str(tmp_path / "out"), "--device", "cpu", *options])
