"""What is said of the data before a training starts: counts of what is odd, refusals of what cannot go on."""

import json

import numpy as np
import pytest
import torch
from prior_samples import write_views
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from sdtool.cli import run
from sdtool.errors import InputError, UsageError
from sdtool.priors.fresh import fresh_base
from sdtool.training.agp import ExamSettings, read_agp_data
from sdtool.training.data import Views, held_out
from sdtool.training.distributed import Processes
from sdtool.training.preflight import check_numbers, check_size, damaged, not_finite, say_odd

NAME = "views-00000.safetensors"


@pytest.fixture(scope="module")
def base():
    return fresh_base(["a red disc"], size=16, width=8)


def spoiled(views, folder, *places):
    """A copy of the shard in which (what, row, value) are put into the fifth number of that row."""
    tensors = load_file(views / NAME)
    with safe_open(views / NAME, "np") as file:
        texts = file.metadata()
    for what, row, value in places:
        tensors[what][row].flat[5] = value
    folder.mkdir()
    save_file(tensors, folder / NAME, texts)
    return folder


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_what_is_no_number_is_found_and_nothing_else(kind):
    table = np.full((9, 3), np.finfo(kind).max, kind)
    table[0, 0], table[3, 1], table[8] = -np.finfo(kind).max, np.finfo(kind).tiny, 0
    assert not_finite(table) == []
    table[2, 2], table[5, 0], table[8, 1] = np.nan, np.inf, -np.inf
    assert not_finite(table) == [2, 5, 8]


def test_damage_is_counted_and_named_before_the_training(views, captions, tmp_path):
    # rows 4k to 4k + 3 are object k's; its prompts are those of `captions`
    folder = spoiled(
        views,
        tmp_path / "bad",
        ("ccm", 9, np.nan),
        ("ccm", 10, np.inf),
        ("c2w", 20, np.nan),
        ("rgb", 0, np.nan),  # of a map that is not used here
    )
    data, alone = Views([folder], ("ccm",), captions), Processes("cpu")
    found = [(uid, what) for _, uid, what in damaged(data)]
    assert found == [("object-2", "map"), ("object-2", "map"), ("object-5", "camera")]
    said = (
        "2 maps of 32 and 1 camera of 32 hold what is no number .* of 2 objects: object-2 in "
        f"{NAME}, object-5 in {NAME}; remove 1 shard of 1, first .*{NAME}, and render again"
    )
    with pytest.raises(InputError, match=said):
        check_numbers(data, alone)
    some = {uid: texts for uid, texts in captions.items() if uid not in ("object-2", "object-5")}
    check_numbers(Views([folder], ("ccm",), some), alone)  # what is not trained on may be damaged


@pytest.mark.parametrize("stage", ["train-vae", "train-base", "finetune-agp"])
def test_a_training_on_damaged_maps_writes_nothing(stage, views, tmp_path, capsys):
    what = "ccm" if stage == "finetune-agp" else "normal"
    folder, out = spoiled(views, tmp_path / "bad", (what, 31, np.nan)), tmp_path / "out"
    command = [stage, str(folder), "--out", str(out), "--device", "cpu", "--steps", "1"]
    command += [] if stage == "train-vae" else ["--captions", str(views)]
    if stage == "finetune-agp":
        folder = write_views(tmp_path / "size", size=32)  # the bundled base's
        command[1] = str(spoiled(folder, tmp_path / "bad32", (what, 31, np.nan)))
    assert run(command) == 1
    assert "1 map of " in (said := capsys.readouterr().err) and "of 1 object: object-7 in" in said
    assert not list(out.glob("**/*.safetensors"))


def test_a_batch_larger_than_the_data_and_one_object_are_told(views, captions, capsys):
    data, alone = Views([views], ("ccm",), captions), Processes("cpu")
    say_odd(data, 32, alone)
    assert capsys.readouterr().err == ""
    say_odd(data, 33, alone)
    said = (
        "--batch 33 is more than the 32 maps of 8 objects: a step takes some of them several times"
    )
    assert capsys.readouterr().err == said + "\n"
    say_odd(Views([views], ("ccm",), {"object-3": ["a disc"]}), 4, alone)
    assert "one object only to train on, object-3, with 4 maps" in capsys.readouterr().err


def test_maps_of_another_size_are_counted(views, captions):
    data = Views([views], ("rgb", "normal"), captions)
    check_size(data, 16, "it draws", "VIEWS")
    with pytest.raises(UsageError, match="the 64 maps of 8 objects are 16×16, but it draws 32×32"):
        check_size(data, 32, "it draws", "VIEWS")


def test_captions_of_other_objects_are_counted(views):
    with pytest.raises(InputError, match="8 objects are rendered, 0 of them have a caption"):
        Views([views], ("ccm",), {"someone": ["a dog"]})


def agp_data(folder, captions, base, others=()):
    exams = ExamSettings(4, {}, list(others), captions)
    generator = torch.Generator().manual_seed(0)
    return read_agp_data([folder], captions, base, exams, 8, generator, Processes("cpu"))


def test_an_exam_on_what_is_trained_on_is_refused_as_such(views, captions, base, tmp_path):
    data = agp_data(views, captions, base)
    tensors = load_file(views / NAME)
    rows = ~np.isin(tensors["object"], [int(uid[-1]) for uid in data.held_out.drawn])
    uids = json.dumps([f"object-{k}" for k in range(8)])
    save_file(
        {name: value[rows] for name, value in tensors.items()}, tmp_path / NAME, {"uids": uids}
    )
    with pytest.raises(InputError) as raised:
        agp_data(views, captions, base, [tmp_path])
    said = "each object with a caption is among those to train on; name a folder of others with --exam-on"
    assert str(raised.value) == f"{tmp_path}: {said}"


def test_one_captioned_object_cannot_be_held_out_and_the_others_are_counted(
    views, captions, base, capsys
):
    with pytest.raises(InputError, match="two objects or more .* and 1 is there"):
        agp_data(views, {"object-4": captions["object-4"]}, base)
    assert "7 of 8 rendered objects have no caption and are left out" in capsys.readouterr().err


def test_an_object_that_could_not_be_rendered_is_not_held_out(views, captions, base, tmp_path):
    tensors, names = load_file(views / NAME), [f"object-{k}" for k in range(8)]
    # the only one of nine whose hash says that it is kept back; it has no views
    failed = next(uid for uid in map(str, range(999)) if held_out([*names, uid]) == {uid})
    uids = [*names, failed]
    save_file(tensors, tmp_path / NAME, {"uids": json.dumps(uids)})
    data = agp_data(tmp_path, captions | {failed: ["a ghost"]}, base)
    assert len(data.held_out) == 4 and failed not in data.held_out.drawn
