"""Training data: views of shards, captions, prompts, objects that are held out, embeddings of texts."""

import json
import re

import numpy as np
import pytest
import torch
from prior_samples import write_views
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from sdtool.errors import InputError
from sdtool.io.captions import read_captions
from sdtool.priors.fresh import fresh_base
from sdtool.training.data import PromptTable, Views, held_out
from sdtool.training.distributed import Processes
from sdtool.training.text_cache import clear_embeddings, embeddings


def test_objects_without_a_caption_are_counted_and_named(views, captions):
    some = {uid: captions[uid] for uid in ("object-1", "object-6")}
    data = Views([views], ("ccm",), some)
    assert data.uncaptioned == [f"object-{k}" for k in (0, 2, 3, 4, 5, 7)]
    said = (
        "6 of 8 rendered objects have no caption and are left out: object-0, object-2, object-3, …"
    )
    assert data.say_uncaptioned() == said
    all_but_one = {uid: captions[uid] for uid in captions if uid != "object-5"}
    said = "1 of 8 rendered objects has no caption and is left out: object-5"
    assert Views([views], ("ccm",), all_but_one).say_uncaptioned() == said
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


def test_why_nothing_is_left_is_said(views, captions, tmp_path):
    def why(*arguments):
        with pytest.raises(InputError) as raised:
            Views(*arguments)
        return str(raised.value).partition(": ")[2]

    for known in (captions, None):  # as of train-vae
        assert (
            why([views], ("albedo",), known)
            == "no view has a map (albedo); render with --maps albedo"
        )
    assert why([views], ("ccm",), {"someone-else": ["a dog"]}) == (
        "no view has a caption (8 objects are rendered, 0 of them have a caption); caption the same objects"
    )
    refused = why([views], ("ccm",), captions, lambda uid: False, "trained on; name others")
    assert refused == "each object with a caption is trained on; name others"
    tensors = load_file(views / "views-00000.safetensors")
    del tensors["ccm"]
    uids = json.dumps([f"new-{k}" for k in range(8)])
    save_file(tensors, tmp_path / "views-00000.safetensors", metadata={"uids": uids})
    assert why([views, tmp_path], ("ccm",), {"new-3": ["a dog"]}) == (
        "no view has both a map (ccm) and a caption (16 objects are rendered, 1 of them have a caption); "
        "render with --maps ccm, and caption the same objects"
    )
    none = {name: value[:0] for name, value in tensors.items()}
    save_file(none, tmp_path / "views-00000.safetensors", metadata={"uids": uids})
    said = why([tmp_path], ("rgb",), captions)
    assert said == "no object could be rendered; failures.jsonl there says why"


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
    said = "150 prompts would take less than 0.1 GB: each batch is encoded anew"  # 1.8 MB
    assert said in capsys.readouterr().err
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
