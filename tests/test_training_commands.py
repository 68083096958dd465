"""The commands that train: what they write, once, by many ranks or after an interruption, and refuse."""

import json
import shutil
import signal
import threading
import time

import pytest
import torch
from PIL import Image
from prior_samples import write_views
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch

from sdtool.cli import run
from sdtool.io.files import read_json, write_jsonl
from sdtool.io.stage_record import begin
from sdtool.priors.loading import load_agp, load_base
from sdtool.runtime.ranks import Ranks
from sdtool.training.settings import TrainingSettings

SHORT = ["--batch", "4", "--checkpoint-every", "2", "--sample-every", "100", "--device", "cpu"]


@pytest.fixture(scope="module")
def base(views, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "base"
    command = ["train-base", str(views), "--captions", str(views), "--out", str(out)]
    assert run([*command, "--steps", "4", "--width", "8", "--fp16", *SHORT]) == 0
    return out


@pytest.mark.slow
def test_train_base_writes_a_diffusers_folder_once(base, views, capsys):
    prior = load_base(base)
    assert (prior.sample_size, prior.channels, prior.is_latent) == (16, 4, False)
    assert prior.unknown_words("a red disc, normal map") == []
    with safe_open(base / "unet" / "diffusion_pytorch_model.safetensors", "pt") as file:
        assert file.get_tensor("conv_in.weight").dtype == torch.float16
    record = read_json(base / "stage.json")
    assert record["counts"] == {"ok": 8, "failed": 0, "maps": 64}
    assert TrainingSettings(4).params().keys() <= record["params"].keys()
    assert not list(base.glob("checkpoint*")) and not (base / "stage.partial.json").exists()
    assert Image.open(base / "samples" / "step-000004.png").size[0] == 8 * 96
    stamp = (base / "stage.json").stat().st_mtime_ns
    command = ["train-base", str(views), "--captions", str(views), "--out", str(base)]
    command += ["--steps", "4", "--width", "8", "--fp16", *SHORT]
    assert run(command) == 0
    said = capsys.readouterr()
    assert said.out == f"{base}\n" and "already done" in said.err
    assert (base / "stage.json").stat().st_mtime_ns == stamp
    assert run([*command, "--steps", "5"]) == 2
    assert "steps: 4 there, 5 now" in capsys.readouterr().err


@pytest.mark.slow
def test_train_base_says_what_a_grid_costs_and_can_leave_it_out(views, tmp_path, capsys):
    command = ["train-base", str(views), "--captions", str(views), "--steps", "2", "--width", "8"]
    assert run([*command, *SHORT, "--sample-every", "0", "--out", str(tmp_path / "none")]) == 0
    assert "passes of the UNet" not in capsys.readouterr().err
    assert not (tmp_path / "none" / "samples").exists()
    assert "samples" not in read_json(tmp_path / "none" / "stage.json")["outputs"]
    assert run([*command, *SHORT, "--out", str(tmp_path / "grid")]) == 0
    assert "4 prompts × 8 pictures × 20 steps × 2" in (said := capsys.readouterr().err), said
    assert [p.name for p in (tmp_path / "grid" / "samples").iterdir()] == ["step-000002.png"]


@pytest.mark.slow
def test_overwrite_spares_the_result_until_the_inputs_are_read(base, views, tmp_path, capsys):
    out = shutil.copytree(base, tmp_path / "base")
    before = sorted(out.rglob("*"))
    (tmp_path / "captions.jsonl").write_text("")
    command = ["train-base", str(views), "--out", str(out), "--steps", "2", "--width", "8", *SHORT]
    assert run([*command, "--captions", str(tmp_path), "--overwrite"]) == 1
    assert "holds no captions" in capsys.readouterr().err and sorted(out.rglob("*")) == before
    assert run([*command, "--captions", str(views), "--overwrite"]) == 0
    assert [p.name for p in (out / "samples").iterdir()] == ["step-000002.png"]


def split_in_two(views, captions, out):
    """The views and captions of a folder as two ranks would have written them; (views, captions)."""
    raw = load_file(views / "views-00000.safetensors")
    uids = [f"object-{k}" for k in range(8)]
    for rank in (0, 1):
        mine, ranks = raw["object"] % 2 == rank, Ranks(rank, 2)
        folders = [ranks.folder(out / name) for name in ("views", "captions")]
        records = [begin(f, f.parent.name, params=ranks.params()) for f in folders]
        tensors = {name: value[mine] for name, value in raw.items()}
        name = f"views-0000{rank}.safetensors"
        save_file(tensors, folders[0] / name, metadata={"uids": json.dumps(uids)})
        lines = [{"uid": u, "caption": captions[u][0]} for u in uids[rank::2]]
        write_jsonl(folders[1] / "captions.jsonl", lines)
        for record in records:
            record.finish(counts={"ok": 4}, outputs=[])
    return out / "views", out / "captions"


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["train-base", "finetune-agp"])
def test_training_reads_what_many_ranks_wrote(stage, base, views, captions, tmp_path, capsys):
    many, listings = split_in_two(views, captions, tmp_path)
    model = ["--width", "8"] if stage == "train-base" else ["--base", str(base)]
    command = [stage, str(many), "--captions", str(listings), "--out", str(tmp_path / "out")]
    assert run([*command, *model, "--steps", "2", *SHORT]) == 0
    assert "of 8 objects" in (said := capsys.readouterr().err) or "of 7 objects" in said
    record = tmp_path / "captions" / "rank-00001" / "stage.json"
    record.write_text(record.read_text().replace('"ok": 4', '"ok": 5'))
    assert run([*command, *model, "--steps", "2", *SHORT]) == 2
    assert "its input has changed: captions" in capsys.readouterr().err


@pytest.mark.slow
def test_the_first_line_of_a_training_counts_one_as_one(base, tmp_path, capsys):
    size, few = ["--width", "8"], ["--base", str(base), "--sample-every", "0"]
    for objects, stage, more, said in (
        (1, "train-base", size, "2 maps of 1 object, 7 prompts, 16×16"),
        (2, "finetune-agp", few, "1 map of 1 object, 4 prompts; 1 object held out; on cpu"),
        (2, "finetune-color", few, "1 view of 1 object, 4 prompts; 1 object held out; on cpu"),
    ):
        folder = str(write_views(tmp_path / stage, objects=objects, views=1))
        command = [stage, folder, "--captions", folder, "--out", f"{folder}/out", *SHORT, *more]
        assert run([*command, "--steps", "1"]) == 0
        assert said in (told := capsys.readouterr().err), told


@pytest.mark.slow
def test_finetune_agp_then_sample_prior(base, views, tmp_path, capsys):
    out, look = tmp_path / "agp", tmp_path / "look"
    command = ["finetune-agp", str(views), "--captions", str(views / "captions.jsonl")]
    command += ["--base", str(base), "--out", str(out), "--steps", "4", *SHORT]
    assert run(command) == 0
    card = read_json(out / "agp.json")
    assert 0 <= card["view_identification"] <= 1 and card["held_out"] == 1 and card["objects"] == 7
    assert "view identification" in (out / "README.md").read_text()
    assert load_agp(out).has_camera
    assert run(command) == 0 and "already done" in capsys.readouterr().err

    sample = ["sample-prior", "a red zyzzyva", "--agp", str(out), "--out", str(look)]
    sample += ["--steps", "2", "--device", "cpu"]
    assert run(sample) == 0
    said = capsys.readouterr()
    assert said.out == f"{look}\n" and "never met: zyzzyva" in said.err
    sheet = Image.open(look / "samples.png")
    assert sheet.size[0] == 8 * 128 and sheet.text["prompt"] == "a red zyzzyva"
    assert run(sample) == 0 and "already done" in capsys.readouterr().err
    assert run([*sample, "a red disc", "--overwrite"]) == 0
    sheet = Image.open(look / "samples.png")
    assert sheet.size == (16 * 128, 2 * (128 + 14))
    assert sheet.text["prompt"] == "a red zyzzyva; a red disc"


@pytest.mark.slow
def test_an_interrupted_command_continues_to_the_same_result(base, views, tmp_path, capsys):
    def command(out):
        options = ["--base", str(base), "--steps", "40", "--batch", "4", "--checkpoint-every", "5"]
        options += ["--exam", "2", "--sample-every", "0", "--device", "cpu", "--out", str(out)]
        return ["finetune-agp", str(views), "--captions", str(views), *options]

    assert run(command(tmp_path / "whole")) == 0

    def interrupt():
        while not list((tmp_path / "parts").glob("checkpoint-??????.safetensors")):
            time.sleep(0.002)
        signal.raise_signal(signal.SIGINT)  # Ctrl-C, once there is something to continue from

    watcher = threading.Thread(target=interrupt, daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest-xdist ignores it
    watcher.start()
    try:
        assert run(command(tmp_path / "parts")) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    watcher.join()
    assert not (tmp_path / "parts" / "agp.json").exists()
    assert capsys.readouterr().err.endswith("sdtool: stopped; the same command continues\n")
    assert run(command(tmp_path / "parts")) == 0
    assert "continuing after step" in capsys.readouterr().err
    name = "unet/diffusion_pytorch_model.safetensors"
    whole, parts = load_torch(tmp_path / "whole" / name), load_torch(tmp_path / "parts" / name)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.slow
def test_wrong_sizes_and_options_are_named_with_a_cure(base, views, tmp_path, capsys):
    large = write_views(tmp_path / "large", size=32, objects=2, views=1)
    agp = ["finetune-agp", str(large), "--captions", str(large), "--out"]
    assert run([*agp, str(tmp_path / "agp"), "--base", str(base)]) == 2
    assert "render with --size 16" in capsys.readouterr().err
    assert run([*agp, str(tmp_path / "agp"), "--base", str(base), "--decay", "never"]) == 2
    assert "'step', 'cosine'" in capsys.readouterr().err
    assert run([*agp, str(tmp_path / "other"), "--base", str(tmp_path / "nowhere")]) == 1
    assert "not a base prior" in capsys.readouterr().err
    fresh = ["train-base", str(large), "--captions", str(large), "--out", str(tmp_path / "base")]
    assert run([*fresh, "--width", "12"]) == 2
    assert "multiple of 8" in capsys.readouterr().err
    assert run([*fresh, "--device", "abacus"]) == 2
    assert "try cpu" in capsys.readouterr().err
