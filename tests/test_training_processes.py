"""Training by two processes of `accelerate launch` (gloo, CPU): the same as by one."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import torch
from killed import kill_at
from prior_samples import write_views
from safetensors.torch import load_file

from sdtool import cli
from sdtool.io.captions import read_captions
from sdtool.io.files import read_json, read_jsonl
from sdtool.priors.fresh import fresh_base, save_base
from sdtool.priors.loading import load_agp
from sdtool.training.identification import turntable_cameras

# On CPUs too: `--cpu` would start one process only, or ask for MPI.
LAUNCH = [
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m"]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Arguments of finetune-agp: flat shapes, and a base that has learned nothing."""
    folder = tmp_path_factory.mktemp("inputs")
    views = write_views(folder / "views")
    captions = sorted({text for texts in read_captions(views).values() for text in texts})
    save_base(fresh_base(captions, size=16, width=8), folder / "base", facts={})
    options = ["--base", str(folder / "base"), "--captions", str(views), "--batch", "8"]
    options += ["--warmup", "2", "--exam", "2", "--checkpoint-every", "4", "--sample-every", "5"]
    options += ["--sample-prompt", "a red disc"]
    return ["finetune-agp", str(views), *options, "--half-resolution", "0.5", "--device", "cpu"]


class Finished(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def sdtool(tmp_path, monkeypatch, capsys):
    """A function that runs the command in `tmp_path`: here, or `launched` in two processes."""
    monkeypatch.chdir(tmp_path)

    def run(arguments, out, *options, launched=False):
        words = [*arguments, "--out", out, *options]
        if launched:
            command = [sys.executable, "-m", *LAUNCH, "sdtool.cli", *words]
            return subprocess.run(command, capture_output=True, text=True, timeout=1800)
        capsys.readouterr()
        return Finished(cli.run(words), *capsys.readouterr())

    return run


def guess(folder: Path) -> torch.Tensor:
    """What an AGP predicts of a fixed noisy map from eight sides."""
    prior, generator = load_agp(folder), torch.Generator().manual_seed(1)
    x = torch.randn(8, 4, 16, 16, generator=generator)
    with torch.no_grad():
        text = prior.encode_text(["a red disc"] * 8)
        return prior.predict(x, torch.arange(8) * 120, text, turntable_cameras())


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_two_processes_train_what_one_does(inputs, sdtool, tmp_path):
    plain = sdtool(inputs, "one", "--steps", "10")
    assert plain.returncode == 0, plain.stderr
    both = sdtool(inputs, "two", "--steps", "10", "--accumulate", "2", launched=True)
    assert both.returncode == 0, both.stderr
    assert (plain.stdout, both.stdout) == ("one\n", "two\n")  # one process speaks
    assert both.stderr.count("1 object held out; on cpu × 2") == 1
    assert files(tmp_path / "two") == files(tmp_path / "one")
    one, two = guess(tmp_path / "one"), guess(tmp_path / "two")
    assert torch.allclose(one, two, atol=2e-3)
    fresh = sdtool(inputs, "short", "--steps", "1")
    assert fresh.returncode == 0 and (one - guess(tmp_path / "short")).abs().mean() > 0.02
    logs = [list(read_jsonl(tmp_path / name / "log.jsonl"))[-1] for name in ("one", "two")]
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-3)
    assert logs[0]["gradient"] == pytest.approx(logs[1]["gradient"], rel=1e-2)
    for key in ("held_out", "maps", "objects"):
        assert (
            read_json(tmp_path / "two" / "agp.json")[key]
            == read_json(tmp_path / "one" / "agp.json")[key]
        )


def test_an_error_is_told_once_and_ends_both(inputs, sdtool, tmp_path):
    odd = sdtool(inputs, "odd", "--accumulate", "8", launched=True)
    assert odd.returncode != 0
    assert odd.stderr.count("cannot be shared by 2 processes with --accumulate 8") == 1
    assert not (tmp_path / "odd").exists()


def kill_at_the_first_checkpoint(command, cwd):
    """Start a command, and kill -9 it and its children once `out` holds a checkpoint."""
    with open(cwd / "log", "w") as log:
        started = subprocess.Popen([*command, "--out", "out"], cwd=cwd, stderr=log)
        launcher = psutil.Process(started.pid)
        while started.poll() is None and not list(cwd.glob("out/checkpoint-*.safetensors")):
            time.sleep(0.01)
        children = launcher.children(recursive=True)
        for process in [*children, launcher]:
            process.kill()
        psutil.wait_procs(children)  # they hold the directory to their very end
    assert started.wait() == -signal.SIGKILL, (cwd / "log").read_text()
    assert not (cwd / "out" / "agp.json").exists()


def test_a_run_killed_by_force_ends_with_the_same_bits(inputs, sdtool, tmp_path):
    more = ["--steps", "12", "--accumulate", "2", "--camera-jitter", "3", "--decay", "cosine"]
    kill_at([*inputs, *more, "--out", "out"], "training", 6, cwd=tmp_path)
    assert list(tmp_path.glob("out/checkpoint-*.safetensors"))
    rest = sdtool(inputs, "out", *more)
    assert rest.returncode == 0 and "continuing after step" in rest.stderr, rest.stderr
    whole = sdtool(inputs, "whole", *more)
    assert whole.returncode == 0, whole.stderr
    weights = "unet/diffusion_pytorch_model.safetensors"
    one, two = (load_file(tmp_path / name / weights) for name in ("out", "whole"))
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    cards = [read_json(tmp_path / name / "agp.json") for name in ("out", "whole")]
    assert cards[0] == cards[1]  # the measures too


def test_what_two_processes_began_one_ends(inputs, sdtool, tmp_path):
    more = ["--steps", "60", "--sample-every", "30"]
    command = [sys.executable, "-m", *LAUNCH, "sdtool.cli", *inputs, *more]
    kill_at_the_first_checkpoint(command, tmp_path)
    rest = sdtool(inputs, "out", *more)
    assert rest.returncode == 0 and "continuing after step" in rest.stderr, rest.stderr
    lines = list(read_jsonl(tmp_path / "out" / "log.jsonl"))
    assert [line["step"] for line in lines] == [50, 60]
    assert not list(tmp_path.glob("out/*.cache")) and not list(tmp_path.glob("out/.*"))
    again = sdtool(inputs, "out", *more, launched=True)
    assert (again.returncode, again.stdout) == (0, "out\n")
    assert again.stderr.count("already done") == 1
