"""examples/cluster.sh from a toy collection to GLB files, with stand-ins for SLURM that run its jobs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from served import run_served

from sdtool import cli
from sdtool.io.files import read_json
from sdtool.io.rank_folders import stage_folders
from sdtool.meshfiles import read_glb
from sdtool.priors.loading import load_agp

SCRIPT = Path(__file__).parent.parent / "examples" / "cluster.sh"
pytestmark = pytest.mark.slow

# Runs a job at once as SLURM would: a copy of the script, its own variables, after its dependencies.
SBATCH = """
import os, shutil, subprocess, sys
from pathlib import Path

KNOWN = "parsable job-name output dependency kill-on-invalid-dep ntasks nodes cpus-per-task gres array"
KNOWN = {*KNOWN.split(), "time", "mem", "mem-per-cpu"}
words = sys.argv[1:]
options = {}
while words[0].startswith("--"):
    name, _, value = words.pop(0)[2:].partition("=")
    assert name in KNOWN, name
    options[name] = value
spool = Path(os.environ["SPOOL"])
number = str(len(list(spool.glob("*.sh"))) + 1)
shutil.copy(words[0], spool / f"{number}.sh")
kind, _, jobs = options.get("dependency", "afterok:").partition(":")
assert kind == "afterok"
before = [(spool / job).read_text() for job in jobs.split(":") if job]
state, first, last = "done", 0, 0
if "array" in options:
    first, last = map(int, options["array"].split("-"))
for task in range(first, last + 1):
    if any(one != "done" for one in before):
        state = "cancelled"
    elif words[1] in os.environ.get("NODE_FAILS_IN", "").split():
        state = "failed"
    else:
        env = dict(os.environ, SLURM_JOB_ID=number, SLURM_PROCID="0", SLURM_ARRAY_TASK_ID=str(task))
        env |= {"SLURM_NTASKS": options["ntasks"]}
        with open(options["output"].replace("%j", f"{number}_{task}"), "w") as log:
            command = ["bash", spool / f"{number}.sh", *words[1:]]
            code = subprocess.run(command, env=env, stdout=log, stderr=log).returncode
        state = "failed" if code else state
(spool / number).write_text(state)
(spool / "states").open("a").write(f"{words[1]} {state}\\n")
print(f"{number};toys")
"""

# Runs a command in several tasks at once; ends with the largest of their exit codes.
SRUN = """
import os, subprocess, sys

words = sys.argv[1:]
options = {}
while words[0].startswith("--"):
    name, _, value = words.pop(0)[2:].partition("=")
    assert name in ("ntasks", "cpus-per-task"), name
    options[name] = value
count = int(options["ntasks"])
assert count == int(os.environ["SLURM_NTASKS"])
envs = [dict(os.environ, SLURM_PROCID=str(rank)) for rank in range(count)]
tasks = [subprocess.Popen(words, env=env) for env in envs]
sys.exit(max(task.wait() for task in tasks))
"""

SMALL = """
[filter-objaverse]
inspect = true
workers = 1
[render-ccm]
views = 2
size = 32
distance = 1.8
supersample = 1
workers = 1
[caption]
workers = 1
[finetune-agp]
base = "tiny"
steps = 1
batch = 2
exam = 2
sample-prompt = ["a corgi"]
sample-every = 0
device = "cpu"
[lift]
preset = "preview"
device = "cpu"
[lift.set]
tet_resolution = 16
samples = 16
[lift.set.coarse]
steps = 8
views = 1
[lift.set.geometry]
steps = 1
views = 1
[lift.set.color]
steps = 1
views = 1
[export]
texture-size = 64
"""


@pytest.fixture
def cluster(tmp_path):
    """A function that runs the script in a folder with a collection; it returns the jobs' states.

    here: stages that this process runs.
    """
    place = tmp_path / "bin"
    for folder in (place, tmp_path / "spool"):
        folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN)):
        (place / name).write_text(f"#!{sys.executable}\n{text}")
        (place / name).chmod(0o755)
    path = [str(place), str(Path(sys.executable).parent), os.environ["PATH"]]

    def submit(here=("lift", "export"), **variables):
        env = os.environ | {"PATH": os.pathsep.join(path), "SPOOL": str(tmp_path / "spool")}
        env |= {"OUT": "out", "COLLECTION": "objs", "PROMPTS": "wishes.txt", "OMP_NUM_THREADS": "1"}
        env |= {"TASKS": "2", "CPUS": "1", "GPUS": "2", "LIFTS": "3"}
        states = tmp_path / "spool" / "states"
        states.unlink(missing_ok=True)
        command = ["bash", SCRIPT]
        done = run_served(command, tmp_path, env | variables, stages=here)
        logs = [f"{p.name}:\n{p.read_text()}" for p in (tmp_path / "out" / "logs").glob("*")]
        assert (done.returncode, done.stdout) == (0, "out\n"), done.stderr
        said = states.read_text().splitlines()
        return dict(line.split() for line in said), "\n".join(logs)

    return submit


STEPS = ["filter", "render", "caption", "train", "lift", "export"]


def test_from_a_collection_to_glb_files_over_a_failed_node(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    toys = ["--count", "5", "--bad-share", "0", "--categories", "corgi,chair"]
    assert cli.run(["toyverse", "--out", "objs", *toys]) == 0
    broken = next(Path("objs").rglob("*.glb"))
    broken.write_bytes(broken.read_bytes()[:2000])
    Path("wishes.txt").write_text("a corgi  # the first\na red chair\n")  # and three jobs
    Path("small.toml").write_text(SMALL)

    states, logs = cluster(CONFIG="small.toml", NODE_FAILS_IN="train")
    rest = {"train": "failed", "lift": "cancelled", "export": "cancelled"}
    assert states == dict.fromkeys(STEPS[:3], "done") | rest, logs
    assert {p.name for p in Path("out").iterdir()} == {"logs", "filtered", "ccm", "captions"}
    before = {p: p.stat().st_mtime_ns for name in ("filtered", "ccm", "captions")
              for p in Path("out", name).rglob("*") if p.is_file()}  # fmt: skip

    done = ("filter-objaverse", "render-ccm", "caption")  # their tasks have nothing left to do
    states, logs = cluster((*done, "lift", "export"), CONFIG="small.toml")
    assert states == dict.fromkeys(STEPS, "done"), logs
    assert {p: p.stat().st_mtime_ns for p in before} == before
    for name in ("ccm", "captions"):
        folders = stage_folders(f"out/{name}")
        assert [folder.name for folder in folders] == ["rank-00000", "rank-00001"]
        assert sum(read_json(f / "stage.json")["counts"]["ok"] for f in folders) == 4
    assert load_agp("out/agp").has_camera
    record = read_json(Path("out/agp/stage.json"))
    assert (record["params"]["steps"], record["counts"]["maps"]) == (1, 6)  # one object is held out
    lifts = {p.parent.name: read_json(p) for p in Path("out/runs").glob("*/*/stage.json")}
    assert {name: one["params"]["prompt"] for name, one in lifts.items()} == {
        "a-corgi": "a corgi",
        "a-red-chair": "a red chair",
    }
    assert all(one["priors"]["agp"] == "out/agp" for one in lifts.values())
    models = sorted(Path("out/models").glob("*.glb"))
    assert [p.name for p in models] == ["0-a-corgi.glb", "1-a-red-chair.glb"]
    for model in models:
        low, high = read_glb(model).bounds()
        assert (high - low).max() == pytest.approx(1)


def test_the_options_that_it_writes_fit_every_stage(cluster, tmp_path, capsys):
    states, _ = cluster(NODE_FAILS_IN="filter")
    assert states == dict.fromkeys(STEPS, "cancelled") | {"filter": "failed"}
    config = tmp_path / "out" / "cluster.toml"
    for stage in cli.STAGES:
        assert cli.run([stage, "--config", str(config), "--print-config"]) == 0
        if stage == "finetune-agp":
            assert "steps = 20000" in capsys.readouterr().out
    config.write_text("# mine\n")
    cluster(NODE_FAILS_IN="filter")
    assert config.read_text() == "# mine\n"


def test_it_is_bash_and_knows_its_steps(tmp_path):
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0
    done = subprocess.run(["bash", SCRIPT, "fly"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and "fly" in done.stderr
    variables = dict(os.environ, CONFIG="absent.toml")
    done = subprocess.run(
        ["bash", SCRIPT], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "") and "absent.toml" in done.stderr
    absent = dict(os.environ, PATH="/usr/bin:/bin")  # no sbatch: it must not go on
    done = subprocess.run(
        ["bash", SCRIPT], cwd=tmp_path, env=absent, capture_output=True, text=True
    )
    assert done.returncode != 0 and done.stdout == "" and done.stderr.count("sbatch") == 1
