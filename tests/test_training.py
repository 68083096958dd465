"""Training data, the loop and its exact restart, and the commands that use them."""

import json
import re
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from prior_samples import write_views
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch

from sdtool.cli import run
from sdtool.errors import InputError, SdtoolError, UsageError
from sdtool.io.captions import read_captions
from sdtool.io.files import read_json, read_jsonl, write_jsonl
from sdtool.io.stage_record import begin
from sdtool.priors.fresh import fresh_base
from sdtool.priors.loading import load_agp, load_base
from sdtool.runtime.ranks import Ranks
from sdtool.training.checkpoints import clear_checkpoints, last_checkpoint
from sdtool.training.data import PromptTable, Views, held_out
from sdtool.training.distributed import Processes
from sdtool.training.identification import turntable_cameras
from sdtool.training.loop import draw_times, seeded_noise, to_device, train
from sdtool.training.settings import TrainingSettings
from sdtool.training.text_cache import clear_embeddings, embeddings


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    return write_views(tmp_path_factory.mktemp("views"))


@pytest.fixture(scope="module")
def captions(views):
    return read_captions(views)


# Data


def test_objects_without_a_caption_are_counted_and_named(views, captions):
    some = {uid: captions[uid] for uid in ("object-1", "object-6")}
    data = Views([views], ("ccm",), some)
    assert data.uncaptioned == [f"object-{k}" for k in (0, 2, 3, 4, 5, 7)]
    said = (
        "6 of 8 rendered objects have no caption and are left out: object-0, object-2, object-3, …"
    )
    assert data.say_uncaptioned() == said
    for everything in (captions, None):
        assert Views([views], ("ccm",), everything).say_uncaptioned() == ""


@pytest.mark.parametrize("what, value", [("ccm", np.nan), ("ccm", np.inf), ("c2w", np.nan)])
def test_a_shard_that_holds_no_numbers_is_named_with_the_object(
    views, captions, tmp_path, what, value
):
    damaged = tmp_path / "views-00000.safetensors"
    tensors = load_file(views / damaged.name)
    with safe_open(views / damaged.name, "np") as file:
        texts = file.metadata()
    row = int(np.flatnonzero(tensors["object"] == 2)[1])
    tensors[what][row].flat[5] = value
    save_file(tensors, damaged, texts)
    data = Views([tmp_path], ("ccm",), captions)
    rows = np.flatnonzero([data.uids[k] != "object-2" for k in data.object])
    data.maps(rows), data.cameras(rows)
    with pytest.raises(InputError, match="views-00000.safetensors is damaged: .* object-2 .*NaN"):
        (data.maps if what == "ccm" else data.cameras)(np.arange(len(data)))


def test_rows_are_what_the_shards_hold(views, captions, tmp_path):
    data = Views([views], ("rgb", "normal"), captions)
    assert len(data) == 2 * 8 * 4 and data.size == 16
    raw = load_file(views / "views-00000.safetensors")
    index = np.array([3, 40, 5])  # rows 0–31 are rgb, 32–63 are the normals of the same views
    expected = np.stack([raw["rgb"][3], raw["normal"][8], raw["rgb"][5]])
    assert np.array_equal(data.maps(index).numpy(), expected.astype(np.float32))
    assert np.array_equal(data.cameras(index).numpy(), raw["c2w"][[3, 8, 5]])
    assert [data.uids[k] for k in data.object[index]] == ["object-0", "object-2", "object-1"]
    second = write_views(tmp_path / "more", objects=2, seed=1)
    assert len(Views([views, second], ("ccm",), captions)) == 8 * 4 + 2 * 4


def test_views_without_caption_or_refused_are_left_out(views, captions):
    some = {uid: captions[uid] for uid in ("object-1", "object-6")}
    data = Views([views], ("ccm",), some)
    assert data.uids == ["object-1", "object-6"] and len(data) == 8
    assert len(Views([views], ("ccm",), some, keep=lambda uid: uid != "object-1")) == 4
    with pytest.raises(InputError, match="albedo"):
        Views([views], ("albedo",), captions)
    with pytest.raises(InputError, match="caption"):
        Views([views], ("ccm",), {"someone-else": ["a dog"]})


def test_broken_data_is_named(views, captions, tmp_path):
    with pytest.raises(InputError, match="no shards"):
        Views([tmp_path], ("ccm",), captions)
    shard = tmp_path / "views-00000.safetensors"
    whole = (views / shard.name).read_bytes()
    for content in (b"", b"\xff" * 64, whole[:300], whole[: len(whole) // 2]):
        shard.write_bytes(content)
        with pytest.raises(InputError, match="views-00000.*render it again"):
            Views([tmp_path], ("ccm",), captions)
    tensors = load_file(views / shard.name)
    tensors["object"] = tensors["object"] + 7
    save_file(tensors, shard, metadata={"uids": json.dumps([f"object-{k}" for k in range(8)])})
    with pytest.raises(InputError, match="outside its list of 8"):
        Views([tmp_path], ("ccm",), captions)
    write_views(tmp_path, size=32)
    with pytest.raises(InputError, match=r"different sizes \[16, 32\]"):
        Views([views, tmp_path], ("ccm",), captions)


def test_shards_of_different_cameras_are_refused_where_cameras_count(views, captions, tmp_path):
    def written(name, camera):
        write_views(tmp_path / name, objects=2)
        shard = tmp_path / name / "views-00000.safetensors"
        uids = json.dumps(["object-0", "object-1"])
        save_file(load_file(shard), shard, metadata={"uids": uids, "camera": json.dumps(camera)})
        return tmp_path / name

    near, far = written("near", {"distance": 1.5}), written("far", {"distance": 3.0})
    same = written("same", {"distance": 1.5})
    assert Views([near, same], ("ccm",), captions).camera == {"distance": 1.5}
    for folders, complaint in (
        ([near, same, far], "far.*near.*3.0.*1.5"),
        ([views, far], "unsaid"),
    ):
        data = Views(folders, ("ccm",), captions)
        with pytest.raises(InputError, match=f"{complaint}.*render them alike"):
            _ = data.camera


@pytest.mark.parametrize(
    "wrong",
    [
        {"uid": 7},
        {"uid": ["b"]},
        {"caption": {"en": "a dog"}},
        {"annotation": 3},
        {"alternatives": [5]},
        {"alternatives": [{"caption": 5}]},
        {"alternatives": 5},
    ],
)
def test_a_caption_that_is_no_text_is_named(tmp_path, wrong):
    lines = [{"uid": "a", "caption": "a cat"}, {"uid": "b", "caption": "a dog", **wrong}]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    uid = re.escape(str(lines[1]["uid"]))
    with pytest.raises(InputError, match=rf"captions.jsonl, caption 2 \(uid {uid}\).* text"):
        read_captions(tmp_path)


def test_captions_join_every_wording_once(tmp_path):
    lines = [
        {"uid": "a", "caption": "a cat", "annotation": "Cat!", "alternatives": ["a cat", "kitty"]},
        {"uid": "b", "caption": "", "annotation": "only a name", "alternatives": None},
        {"uid": "c", "caption": None},
    ]
    path = tmp_path / "captions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    expected = {"a": ["a cat", "Cat!", "kitty"], "b": ["only a name"]}
    assert read_captions(path) == read_captions(tmp_path) == expected


def test_prompts_are_switched_and_dropped_at_random(views, captions):
    data = Views([views], ("rgb", "normal"), captions)
    prompts = PromptTable(data, captions, ("", ", normal map"))
    index = np.repeat([0, 32], 5000)  # object-0 in colour, and its normals
    numbers = prompts.draw(data, index, 0.1, torch.Generator().manual_seed(0))
    drawn = [prompts.table[k] for k in numbers.tolist()]
    share = {text: drawn[:5000].count(text) / 5000 for text in set(drawn[:5000])}
    assert share.pop("") == pytest.approx(0.1, abs=0.02)
    assert share.pop("a red disc") == pytest.approx(0.45, abs=0.03)
    assert share.pop("disc no. 0") == pytest.approx(0.225, abs=0.03)
    assert share.pop("some red thing") == pytest.approx(0.225, abs=0.03)
    assert not share
    assert {text.endswith(", normal map") for text in drawn[5000:] if text} == {True}


def test_the_held_out_objects_stay_the_same_in_a_larger_collection():
    small, large = [f"u{k}" for k in range(500)], [f"u{k}" for k in range(4000)]
    assert len(held_out(large)) == pytest.approx(200, abs=45)
    assert held_out(small) == held_out(large) & set(small)
    assert len(held_out(["a", "b"])) == 1
    with pytest.raises(InputError, match="two objects"):
        held_out(["alone"])


def test_embeddings_are_the_same_from_a_file_or_encoded_anew(tmp_path, capsys):
    prompts, numbers = ["", "a red disc", "a blue square"] * 50, torch.tensor([149, 0, 2])
    prior, alone = fresh_base(["a red disc"], size=16, width=8), Processes("cpu")
    expected = prior.encode_text([prompts[k] for k in numbers])
    each = embeddings(prior, prompts, tmp_path, processes=alone, limit=1000)
    assert torch.allclose(each(numbers), expected, atol=1e-6) and prior.text is not None
    assert "each batch is encoded anew" in capsys.readouterr().err
    encoder = prior.text
    cached = embeddings(prior, prompts, tmp_path, processes=alone)
    assert torch.allclose(cached(numbers), expected, atol=1e-6) and prior.text is None
    (file,) = tmp_path.glob("text-*.cache")
    assert file.stat().st_size == 150 * 24 * 128 * 4

    stamp, prior.text = file.stat().st_mtime_ns, encoder
    again = embeddings(prior, prompts, tmp_path, processes=alone)
    assert torch.equal(again(numbers), cached(numbers)) and file.stat().st_mtime_ns == stamp
    prior.text = encoder
    half = embeddings(prior, prompts, tmp_path, processes=alone, dtype=torch.bfloat16)
    assert torch.equal(half(numbers), cached(numbers).bfloat16().float())
    clear_embeddings(tmp_path)
    assert not list(tmp_path.iterdir())


# The loop


def test_the_learning_rate_warms_up_and_falls():
    settings = TrainingSettings(steps=1000, lr=1.0, warmup=100)
    assert [settings.learning_rate(s) for s in (0, 49, 99, 699, 700, 999)] == [
        0.01,
        0.5,
        1.0,
        1.0,
        0.2,
        0.2,
    ]
    for decay, expected in (
        ("cosine", [1.0, 0.75, 0.5]),  # (1 + cos(π/3)) / 2 = 0.75
        ("linear", [1.0, 2 / 3, 0.5]),
        ("constant", [1.0, 1.0, 1.0]),
    ):
        settings = TrainingSettings(steps=900, lr=1.0, warmup=0, decay=decay)
        assert [settings.learning_rate(s) for s in (0, 300, 450)] == pytest.approx(expected), decay


def test_a_batch_that_cannot_be_shared_is_blamed_on_its_options():
    settings = TrainingSettings(steps=1, batch=8, accumulate=2)
    settings.check(4)  # 8 = 4 processes · 2 parts
    with pytest.raises(UsageError, match="multiple of 6") as raised:
        settings.check(3)
    assert raised.value.options == ("--batch", "--accumulate")


def start(views, captions, seed=0):
    """The first arguments of `train`, and its `embed`, always the same for the same seed."""
    data = Views([views], ("rgb", "normal"), captions)
    prompts = PromptTable(data, captions, ("", ", normal map"))
    prior = fresh_base(prompts.table, size=16, width=8, seed=seed)

    def choose(generator, count):
        index = torch.randint(len(data), (count,), generator=generator)
        return index, prompts.draw(data, index.numpy(), 0.1, generator)

    def load(index, numbers):
        return data.maps(index.numpy()), numbers, None, None

    def embed(numbers):
        return prior.encode_text([prompts.table[k] for k in numbers.tolist()])

    return (prior, {"unet": prior.unet, "text": prior.text.model}, choose, load), embed


class Killed(Exception):
    pass


def dying(arguments, after):
    """The arguments of `train`, which fail at the batch number `after`, from 0."""
    prior, trained, choose, load = arguments
    calls = iter(range(1000))

    def wrapped(generator, count):
        if next(calls) == after:
            raise Killed
        return choose(generator, count)

    return prior, trained, wrapped, load


def assert_equal(one, two, **tolerance):
    """The same parameters, to the bit unless a tolerance is given."""
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.allclose(a, b, **tolerance) if tolerance else torch.equal(a, b), name


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"accumulate": 2, "optimizer": "adafactor"}])
def test_a_killed_run_continues_bit_for_bit(views, captions, tmp_path, more):
    settings = TrainingSettings(
        steps=12, batch=4, warmup=4, half_resolution=0.4, checkpoint_every=3, sample_every=4, **more
    )
    whole, embed = start(views, captions)
    seen = []
    train(*whole, settings, tmp_path / "a", seed=3, embed=embed, sample=seen.append)
    assert seen == [4, 8, 12]

    # Dies after 5 steps, with the first 3 kept; then after 4 more, with 6 kept. Later starts have
    # other weights, which the checkpoint must replace.
    for after, weights in ((5, 0), (4, 98)):
        parts, embed = start(views, captions, seed=weights)
        with pytest.raises(Killed):
            train(*dying(parts, after), settings, tmp_path / "b", seed=3, embed=embed)
    names = sorted(path.name for path in (tmp_path / "b").glob("checkpoint*"))
    assert names == ["checkpoint-000003.safetensors", "checkpoint-000006.safetensors"]
    parts, embed = start(views, captions, seed=99)
    train(*parts, settings, tmp_path / "b", seed=3, embed=embed)
    assert_equal(whole[0], parts[0])
    logs = [next(iter(read_jsonl(tmp_path / n / "log.jsonl"))) for n in "ab"]
    assert logs[0]["loss"] == logs[1]["loss"] and logs[0]["gradient"] == logs[1]["gradient"]
    assert len(list((tmp_path / "b").glob("checkpoint*"))) == 2
    clear_checkpoints(tmp_path / "b")
    assert not list((tmp_path / "b").glob("checkpoint*"))


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    views, captions, tmp_path, capsys
):
    settings = TrainingSettings(steps=9, batch=2, checkpoint_every=2, keep_checkpoints=3)
    whole, embed = start(views, captions)
    train(*whole, settings, tmp_path, seed=0, embed=embed)
    paths = sorted(tmp_path.glob("checkpoint*"))
    assert [path.name[11:17] for path in paths] == ["000004", "000006", "000008"]
    paths[2].write_bytes(paths[2].read_bytes()[:5000])  # cut short
    content = bytearray(paths[1].read_bytes())
    content[-1000] ^= 1  # one bit of a weight
    paths[1].write_bytes(content)
    parts, embed = start(views, captions, seed=5)
    train(*parts, settings, tmp_path, seed=0, embed=embed)
    said = capsys.readouterr().err
    assert "checkpoint-000008.safetensors is damaged" in said
    assert "checkpoint-000006.safetensors is damaged (its digest differs)" in said
    assert "continuing after step 4 of 9" in said
    assert_equal(whole[0], parts[0])
    for path in tmp_path.glob("checkpoint*"):
        path.write_bytes(b"")
    assert last_checkpoint(tmp_path, lambda text: None) is None
    assert not list(tmp_path.glob("checkpoint*"))


@torch.no_grad()
def predictions(prior):
    """What a prior predicts of fixed noisy maps: weights that cancel out do not show."""
    x = seeded_noise(torch.arange(6), (4, 16, 16), torch.device("cpu"))
    text = prior.encode_text(["a red disc", "", "a blue square"] * 2)
    cameras = turntable_cameras(6) if prior.has_camera else None
    return prior.predict(x, torch.arange(6) * 190, text, cameras)


@pytest.mark.slow
def test_a_batch_taken_in_parts_or_recomputed_gives_the_same(views, captions, tmp_path):
    before, results = predictions(start(views, captions)[0][0]), []
    for k, more in enumerate(({}, {"accumulate": 4}, {"gradient_checkpointing": True})):
        arguments, embed = start(views, captions)
        settings = TrainingSettings(steps=5, batch=8, warmup=1, **more)
        loss = train(*arguments, settings, tmp_path / str(k), seed=1, embed=embed)
        results.append((predictions(arguments[0]), loss))
    (whole, loss), *others = results
    assert (whole - before).abs().mean() > 0.05
    for there, loss_there in others:
        assert loss_there == pytest.approx(loss, rel=1e-4)
        assert torch.allclose(there, whole, atol=2e-3)


def test_noise_belongs_to_its_sample(views):
    seeds = torch.tensor([5, 2**61, 7])
    noise = seeded_noise(seeds, (4, 16, 16), torch.device("cpu"))
    assert torch.equal(noise[1:], seeded_noise(seeds[1:], (4, 16, 16), torch.device("cpu")))
    assert noise.mean().item() == pytest.approx(0, abs=0.1)
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert not torch.allclose(noise[0], noise[2])


def test_what_lies_on_a_device_is_not_pinned(monkeypatch):
    """ "cuda" and "cuda:0" differ, though texts may lie on the one and be wanted on the other."""
    there, pinned = torch.zeros(2, device="meta"), []
    assert to_device(there, torch.device("meta", 0)).device.type == "meta"
    assert to_device(there, there.device) is there
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: pinned.append(x.device.type) or x)
    here = torch.zeros(2)
    assert to_device(here, torch.device("meta")).device.type == "meta" and pinned == ["cpu"]
    assert to_device(here, torch.device("cpu")) is here and pinned == ["cpu"]


def test_the_average_and_not_the_last_weights_are_the_result(views, captions, tmp_path):
    arguments, embed = start(views, captions)
    prior = arguments[0]
    before = {name: value.clone() for name, value in prior.named_parameters()}
    train(*arguments, TrainingSettings(steps=1, batch=4, ema=1.0), tmp_path, seed=0, embed=embed)
    name = "unet.conv_in.weight"
    moved = dict(prior.named_parameters())[name] - before[name]
    # AdamW's first step moves each weight by about lr = 1e-3 / 100; the average follows by 9/10 of
    # that, since its decay warms up as (1 + step) / (10 + step) = 1/10.
    typical = moved.abs().median().item()
    assert typical == pytest.approx(0.9 * 1e-3 / 100, rel=0.02)


@pytest.mark.slow
def test_training_learns_and_grows(views, captions, tmp_path):
    arguments, embed = start(views, captions)
    prior, _, choose, load = arguments
    generator = torch.Generator().manual_seed(7)
    x, numbers, *_ = load(*choose(generator, 32))
    noise, t = torch.randn(x.shape, generator=generator), torch.arange(0, 992, 31)

    def loss():
        with torch.no_grad():
            guess = prior.predict(prior.add_noise(x, noise, t), t, embed(numbers))
        return torch.nn.functional.mse_loss(guess, prior.target(x, noise, t)).item()

    before = loss()
    settings = TrainingSettings(steps=100, batch=8, lr=2e-3, warmup=10, half_resolution=0.5)
    train(*arguments, settings, tmp_path, seed=0, embed=embed)
    after = loss()
    log = list(read_jsonl(tmp_path / "log.jsonl"))
    assert [(line["step"], line["size"]) for line in log] == [(50, 8), (100, 16)]
    assert log[0]["seconds_left"] > 0 == log[1]["seconds_left"]
    assert after < 0.7 * before
    assert not any(parameter.requires_grad for parameter in prior.parameters())


def test_a_log_line_cut_short_does_not_hinder_a_rerun(views, captions, tmp_path):
    arguments, embed = start(views, captions)
    (tmp_path / "log.jsonl").write_text('{"step": 50, "lo')
    train(*arguments, TrainingSettings(steps=1, batch=2), tmp_path, seed=0, embed=embed)
    assert [line["step"] for line in read_jsonl(tmp_path / "log.jsonl")] == [1]


def test_a_broken_training_says_so(views, captions, tmp_path):
    arguments, embed = start(views, captions)
    settings = TrainingSettings(steps=60, batch=4, lr=1e30, warmup=0, checkpoint_every=4)
    with pytest.raises(SdtoolError, match="broke before step 4.*lower --lr"):
        train(*arguments, settings, tmp_path, seed=0, embed=embed)
    assert not list(tmp_path.glob("checkpoint*"))  # nothing broken is kept
    other = fresh_base(["a"], size=16, width=16)
    arguments, embed = start(views, captions)
    settings = TrainingSettings(steps=3, batch=2, checkpoint_every=2)
    train(*arguments, settings, tmp_path / "x", seed=0, embed=embed)
    with pytest.raises(InputError, match="another model"):
        train(other, {"unet": other.unet}, *arguments[2:], settings, tmp_path / "x", seed=0)


# The commands


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
    assert read_json(base / "stage.json")["counts"] == {"ok": 8, "failed": 0, "maps": 64}
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
    assert "its input captions has changed" in capsys.readouterr().err


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


def test_times_are_uniform_or_of_the_middle():
    alphas = fresh_base(["a red disc"], size=16, width=8).alphas_cumprod
    generator = torch.Generator().manual_seed(0)
    plain = draw_times(alphas, 20000, 0.0, generator)
    assert plain.dtype == torch.int64 and plain.min() == 0 and plain.max() == 999
    assert plain.float().mean() == pytest.approx(499.5, abs=8)
    middle = draw_times(alphas, 20000, 1.0, generator)
    level = torch.logit(alphas.double())[middle]
    assert level.mean() == pytest.approx(-1, abs=0.1) and level.std() == pytest.approx(2, abs=0.1)
    half = draw_times(alphas, 20000, 0.5, generator)
    assert (half > 900).float().mean() == pytest.approx(0.05, abs=0.01)
