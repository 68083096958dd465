"""render-ccm: the same bytes by any number of workers and ranks, run again, and killed at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ccm_samples import QUICK, contents, render, spoil, write_objects
from killed import CODE, kill_at
from shape_samples import icosphere

from sdtool.cli import run
from sdtool.errors import InputError
from sdtool.io.files import read_json
from sdtool.meshfiles import write_glb
from sdtool.training.data import Views

pytestmark = pytest.mark.usefixtures("in_a_folder")


# Workers and ranks


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one():
    write_objects("objs")
    assert render("objs", "--out", "one", "--shard-size", 1) == 0
    arguments = ["objs", "--out", "two", "--shard-size", 1, *QUICK[:-1], 2]
    assert render(*arguments, quick=False) == 0
    assert contents(Path("one")) == contents(Path("two"))


def test_ranks_write_the_shards_of_a_single_run_and_are_read_as_one(capsys, monkeypatch):
    write_objects("objs")
    assert render("objs", "--out", "one", "--shard-size", 1) == 0
    many = ["objs", "--out", "many", "--shard-size", 1, "--world-size", 2]
    assert render(*many, "--rank", 1) == 0
    assert "rank 1 of 2: many/rank-00001" in capsys.readouterr().err
    with pytest.raises(InputError, match="lacks rank 0 of 2"):
        Views([Path("many")], ["ccm"], dict.fromkeys(("ball", "brick", "plank"), ["x"]))
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert render("objs", "--out", "many", "--shard-size", 1) == 0
    shards = {p.name: p.read_bytes() for p in Path("many").glob("rank-*/*.safetensors")}
    assert shards == {p.name: p.read_bytes() for p in Path("one").glob("*.safetensors")}
    captions = {"ball": ["a ball"], "brick": ["a brick"], "plank": ["a plank"]}
    one, both = (Views([Path(n)], ["ccm"], captions) for n in ("one", "many"))
    assert one.uids == both.uids and np.array_equal(one.maps([0, 4, 8]), both.maps([0, 4, 8]))


def test_more_ranks_than_shards_leave_some_with_nothing():
    write_objects("objs")
    assert render("objs", "--out", "out", "--world-size", 2, "--rank", 1) == 0
    assert read_json("out/rank-00001/stage.json")["counts"] == {"ok": 0, "failed": 0, "listed": 3}
    assert render("objs", "--out", "out", "--world-size", 2, "--rank", 0) == 0
    views = Views([Path("out")], ["ccm"], {"ball": ["a ball"]})
    assert len(views) == 3


@pytest.mark.slow
def test_ray_writes_the_same_bytes(monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed")
    spoil(write_objects("objs"))
    assert render("objs", "--out", "one") == 3
    assert render("objs", "--out", "ray", "--engine", "ray", "--workers", 2, *QUICK[:-2],
                  quick=False) == 3  # fmt: skip
    assert contents(Path("one")) == contents(Path("ray"))


# Reruns and kills


def test_a_rerun_does_nothing_and_says_so(capsys):
    write_objects("objs")
    assert render("objs", "--out", "out") == 0
    before = {p: p.stat().st_mtime_ns for p in Path("out").iterdir()}
    capsys.readouterr()
    assert render("objs", "--out", "out", "--workers", 2) == 0  # workers change no result
    stdout, stderr = capsys.readouterr()
    assert stdout == "out\n" and "already rendered" in stderr
    assert {p: p.stat().st_mtime_ns for p in Path("out").iterdir()} == before


def test_a_rerun_with_other_options_is_refused_unless_overwritten(capsys):
    write_objects("objs")
    assert render("objs", "--out", "out") == 0
    assert render("objs", "--out", "out", "--seed", 5) == 2
    assert "seed: 0 there, 5 now" in capsys.readouterr().err
    assert render("objs", "--out", "out", "--seed", 5, "--overwrite") == 0
    assert read_json("out/stage.json")["params"]["seed"] == 5
    write_objects("objs", ["ball"])
    (Path("objs") / "new.glb").write_bytes((Path("objs") / "ball.glb").read_bytes())
    assert render("objs", "--out", "out", "--seed", 5) == 2
    assert "its input has changed: objects" in capsys.readouterr().err


def test_an_overwritten_unfinished_run_renders_every_shard_anew():
    write_objects("objs")
    assert render("objs", "--out", "out", "--shard-size", 1) == 0
    record = read_json("out/stage.json")
    Path("out/stage.json").unlink()  # as if it had been killed
    Path("out/stage.partial.json").write_text(json.dumps({**record, "outputs": []}))
    Path("out/notes.txt").write_text("mine")
    assert render("objs", "--out", "out", "--seed", 5, "--overwrite") == 0
    assert render("objs", "--out", "fresh", "--seed", 5) == 0
    assert {n: b for n, b in contents(Path("out")).items() if n.endswith("s")} == {
        n: b for n, b in contents(Path("fresh")).items() if n.endswith("s")
    }
    assert Path("out/notes.txt").exists()


def test_the_shards_may_lie_in_the_folder_of_the_objects():
    write_objects("objs")
    for _ in range(2):
        assert render("objs", "--out", "objs/ccm") == 0


NOTED = """
import pathlib, sdtool.runtime.progress as ours

class Bar(ours.Bar):
    def advance(self, *args, **options):
        pid = os.getpid()
        pids = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        pathlib.Path("helpers").write_text(pids)
        super().advance(*args, **options)

import os
ours.Bar = Bar
"""


def children(pid):
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_run_is_completed_to_the_same_bytes(workers):
    """kill -9 in the middle; the workers must not outlive it, nor may litter stay behind."""
    count = 60
    ball = icosphere(5)
    for k in range(count):
        write_glb(f"objs/{k:03d}.glb", ball.with_positions(ball.v_pos * [1, 1 + k, 1]))
    (Path("objs") / "000.glb").write_bytes(b"bad")
    arguments = ["render-ccm", "objs", "--shard-size", "1", "--size", "32", "--views", "4"]
    arguments += ["--workers", workers]
    out, code = Path("killed"), NOTED + CODE
    pid = kill_at([*arguments, "--out", "killed"], "rendering", 8, workers_too=False, code=code)
    helpers = [int(pid) for pid in Path("helpers").read_text().split()]
    wait_until(lambda: not any(alive(pid) for pid in helpers))
    assert len(helpers) >= (2 if workers == "2" else 0)
    assert 4 <= len(list(out.glob("ccm-*.safetensors"))) < count
    assert not (out / "stage.json").exists() and (out / "stage.partial.json").exists()
    (out / f".ccm-00059.safetensors.{pid}.tmp.safetensors").write_bytes(b"half")
    finished = {p: p.stat().st_mtime_ns for p in out.glob("ccm-*.safetensors")}
    assert run([*arguments, "--out", "killed"]) == 3
    assert {p: p.stat().st_mtime_ns for p in finished} == finished  # what was there is kept
    assert run([*arguments, "--out", "whole"]) == 3
    assert contents(out) == contents(Path("whole"))
    assert len(list(out.iterdir())) == count + 4 and os.getpid() not in helpers


def settled_objects(folder):
    """The numbers of the objects that a run has finished with, of shards of 16."""
    whole = [int(p.stem[-5:]) * 16 + k for p in Path(folder).glob("ccm-*") for k in range(16)]
    parts = Path(folder).glob("parts/*/[0-9]*")
    return {*whole, *(int(p.parent.name) * 16 + int(p.stem) for p in parts)}


@pytest.mark.slow
def test_many_kills_of_four_workers_change_no_byte():
    """kill -9 at random moments, again and again, among good, broken and slow objects."""
    rng = np.random.default_rng(0)
    ball = icosphere(4)
    for k in range(180):
        write_glb(f"objs/{k:03d}.glb", ball.with_positions(ball.v_pos * [1, 1 + k, 1]))
    for k in range(0, 180, 7):
        (Path("objs") / f"{k:03d}.glb").write_bytes(b"bad")
    arguments = ["render-ccm", "objs", "--shard-size", "16", "--workers", "4"]
    command = [sys.executable, "-m", "sdtool.cli", *arguments, "--out", "killed"]
    before = -1
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda seen=before: len(settled_objects("killed")) > max(seen, 0))
        time.sleep(rng.uniform(0, 0.3))
        helpers = children(process.pid)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        wait_until(lambda pids=helpers: not any(alive(pid) for pid in pids))
        assert len(settled_objects("killed")) > before
        before = len(settled_objects("killed"))
    alone = [*arguments[:-1], "1"]  # which writes the same bytes, as other tests show
    assert run([*alone, "--out", "killed"]) == 3
    assert run([*alone, "--out", "whole"]) == 3
    assert contents(Path("killed")) == contents(Path("whole"))
