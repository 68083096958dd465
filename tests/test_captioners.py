"""Captioning by models: real classes with random weights, from the pictures to captions.jsonl."""

import json
import os
import threading
import time

import numpy as np
import pytest
import torch
from assets import ASSETS
from caption_models import WORDS, write_blip, write_blip2, write_clip, write_llava, write_siglip
from killed import kill_at

from sdtool.captioning.cap3d import clean_caption, rank_candidates
from sdtool.captioning.method_model import SamplingSettings, caption_by_models
from sdtool.captioning.views import views_around
from sdtool.captioning.vision_models import Captioner, Scorer, _Nucleus
from sdtool.cli import run
from sdtool.errors import InputError, ObjectError
from sdtool.geometry.meshes import Mesh
from sdtool.io.ledger import Ledger
from sdtool.io.objects import iter_objects, object_rng
from sdtool.meshfiles import write_glb
from sdtool.runtime.prefetch import prefetch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a captioner and a scorer."""
    root = tmp_path_factory.mktemp("models")
    return write_blip(root / "blip"), write_clip(root / "clip")


def box(size, color):
    """A box of the given extents; color: sRGB of all of it."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))]
    return Mesh(
        corners * np.array(size, np.float32),
        np.array(faces, np.int32),
        np.tile(np.array(color, np.float32), (8, 1)),
    )


def write_objects(folder, count=5):
    """A listing of boxes; one more object has no file, and one a broken file."""
    folder.mkdir(parents=True)
    rows = []
    for k in range(count):
        color = [(0.9, 0.1, 0.1), (0.1, 0.2, 0.9), (0.2, 0.8, 0.2)][k % 3]
        write_glb(folder / f"{k}.glb", box((1, 1 + 0.3 * k, 0.5), color))
        rows.append({"uid": f"box-{k}", "path": f"{k}.glb", "name": "Red Chair" if not k else "x1"})
    rows.insert(2, {"uid": "nowhere", "path": None, "name": "Old House"})
    rows.insert(3, {"uid": "broken", "path": "broken.glb", "name": "Table"})
    (folder / "broken.glb").write_bytes(b"broken")
    (folder / "objects.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


SMALL = ("--views", 4, "--samples", 3, "--size", 32, "--length", 8, "--batch", 2, "--device", "cpu")


def arguments(objects, out, models, *more):
    blip, clip = models
    named = ("--method", "model", "--captioner", blip, "--clip", clip)
    return ["caption", *map(str, (objects, "--out", out, *named, *SMALL, *more))]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# What models say


@pytest.mark.parametrize(
    "said, caption",
    [
        ("there is a 3d model of a red chair on a white background", "a red chair"),
        ("a 3d rendering of a wooden table with four legs", "a wooden table with four legs"),
        ("a close up of a small figurine of a dragon", "a small figurine of a dragon"),
        ("arafed image of a house with a red roof", "a house with a red roof"),
        ("arafed chair with a cushion", "a chair with a cushion"),
        ("a low poly model of an old car", "an old car"),
        ("this is a picture of a lamp in front of a white background", "a lamp"),
        ("a cat is sitting on a white surface", "a cat"),
        ("The image shows a blue mug. It stands on a table.", "a blue mug"),
        ("A sword with a golden hilt, isolated on white", "a sword with a golden hilt"),
        ("a red red red chair", "a red chair"),
        ("a chair with a table and a chair with a table", "a chair with a table"),
        ("a dog and a dog and a dog", "a dog"),
        ("a yo-yo", "a yo-yo"),
        ("wooden chair", "a wooden chair"),
        ("glasses", "glasses"),
        ("people in a boat", "people in a boat"),
        ("a black chair with a black seat", "a black chair with a black seat"),
        ("a bird standing on a tree branch", "a bird standing on a tree branch"),
        ("a white cup with a handle , in 3d", "a white cup with a handle"),
        ("a rendering of a 3d model of a chair", "a chair"),
        ("a 3d model of a", ""),
        ("3d model", ""),
        ("there is", ""),
        ("", ""),
        ("the", ""),
        (". . .", ""),
    ],
)
def test_what_a_model_says_is_cleaned(said, caption):
    assert clean_caption(said) == caption


def test_clean_text_stays_clean():
    for said in ("a red wooden chair", "an old house with two chimneys", "two cats on a sofa"):
        assert clean_caption(said) == clean_caption(clean_caption(said)) == said


def test_the_view_picks_its_best_and_the_object_the_one_that_fits_all():
    texts = [["a cat", "a dog"], ["a cow", ""], ["", ""]]
    scores = [
        np.array([[0.30, 0.10, 0.00], [0.20, 0.90, 0.90]], np.float32),  # the cat wins view 0
        np.array([[0.40, 0.35, 0.10], [1.00, 1.00, 1.00]], np.float32),  # the cow is alone
        np.ones((2, 3), np.float32),
    ]
    found = rank_candidates(texts, scores)
    assert (found["caption"], found["score"]) == ("a cow", 0.2833)  # (0.40 + 0.35 + 0.10) / 3
    assert found["winners"] == [
        {"caption": "a cow", "score": 0.2833, "view": 1},
        {"caption": "a cat", "score": 0.1333, "view": 0},
    ]
    assert found["candidates"] == [
        {"caption": "a cat", "view": 0, "score": 0.3},
        {"caption": "a dog", "view": 0, "score": 0.2},
        {"caption": "a cow", "view": 1, "score": 0.35},
    ]
    with pytest.raises(ValueError):
        rank_candidates([["", ""]], [np.ones((2, 1), np.float32)])


# Sampling


def draw(logits, uniforms, top_p, temperature=1.0):
    """The tokens that are drawn from one distribution for many uniforms."""
    rows = torch.tensor(logits, dtype=torch.float32).expand(len(uniforms), -1)
    one_hot = _Nucleus(np.asarray(uniforms)[:, None], top_p, temperature)(None, rows)
    assert torch.equal(one_hot.isfinite().sum(-1), torch.ones(len(uniforms), dtype=torch.long))
    return one_hot.argmax(-1).numpy()


def test_nucleus_sampling_draws_from_the_head_of_the_distribution():
    p = np.array([0.05, 0.4, 0.25, 0.3])
    u = (np.arange(10_000) + 0.5) / 10_000
    share = np.bincount(draw(np.log(p), u, 1.0), minlength=4) / 10_000
    np.testing.assert_allclose(share, p, atol=2e-4)
    share = np.bincount(draw(np.log(p), u, 0.69), minlength=4) / 10_000  # 0.4 + 0.3 reach it
    np.testing.assert_allclose(share, [0, 0.4 / 0.7, 0, 0.3 / 0.7], atol=2e-4)
    share = np.bincount(draw(np.log(p), u, 1.0, temperature=0.5), minlength=4) / 10_000
    np.testing.assert_allclose(share, p**2 / (p**2).sum(), atol=2e-4)
    assert set(draw(np.log(p), u, 0.01)) == {1}


def test_the_last_quantile_stays_inside_the_nucleus():
    logits = np.random.default_rng(0).normal(size=5000)
    drawn = draw(logits, [np.nextafter(1, 0), 0.0], 0.9)
    order = np.argsort(-logits)
    p = np.exp(logits[order]) / np.exp(logits).sum()
    size = int((np.cumsum(p) - p < 0.9).sum())
    assert abs(int(np.flatnonzero(order == drawn[0])[0]) - (size - 1)) <= 1
    assert drawn[1] == order[0]


def test_overflow_in_half_precision_still_draws_a_token():
    logits = torch.tensor([[torch.nan] * 4, [0.0, torch.inf, -torch.inf, 1.0]], dtype=torch.float16)
    one_hot = _Nucleus(np.full((2, 1), 0.5), 0.9, 0.7)(None, logits)
    assert one_hot.isfinite().sum(-1).tolist() == [1, 1] and one_hot[1, 1] == 0


@pytest.mark.parametrize("write", [write_blip, write_blip2, write_llava])
def test_any_captioner_says_what_its_numbers_draw(write, tmp_path):
    captioner = Captioner(str(write(tmp_path / "model")), CPU)
    assert captioner.kind in ("blip", "blip-2", "llava")
    assert captioner.chats == (captioner.kind == "llava")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    uniforms = rng.random((3, 4, 6))
    texts = captioner.sample(images, uniforms, 0.95, 1.0)
    assert [len(said) for said in texts] == [4, 4, 4]
    words = {word for said in texts for text in said for word in text.split()}
    assert words and words <= set(WORDS)
    assert all(len(text.split()) <= 6 for said in texts for text in said)
    torch.manual_seed(1)  # the global generator has no say
    assert captioner.sample(images, uniforms, 0.95, 1.0) == texts
    assert captioner.sample(images[1:], uniforms[1:], 0.95, 1.0) == texts[1:]
    uniforms[0, 0] = uniforms[1, 2]
    assert captioner.sample(images, uniforms, 0.95, 1.0)[1:] == texts[1:]


@pytest.mark.parametrize("write", [write_blip, write_blip2, write_llava])
def test_the_captioner_looks_at_its_own_picture(write, tmp_path):
    folder = write(tmp_path / "model")
    captioner = Captioner(str(folder), CPU)
    with torch.no_grad():  # random weights hardly look: make them
        for weight in captioner.model.parameters():
            weight *= 8 if weight.ndim > 1 else 1
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    uniforms = np.random.default_rng(1).random((2, 6, 6))
    uniforms[1] = uniforms[0]
    one, other = captioner.sample(images, uniforms, 1.0, 1.0)
    assert one != other
    assert captioner.sample(images[::-1].copy(), uniforms, 1.0, 1.0) == [other, one]


@pytest.mark.parametrize("write, padding", [(write_clip, True), (write_siglip, "max_length")])
def test_scores_are_the_models_own(write, padding, tmp_path):
    from transformers import AutoModel, AutoProcessor

    folder = write(tmp_path / "model")
    scorer = Scorer(str(folder), CPU)
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    texts = [["a red chair", ""], ["a dog", "a red chair"], []]
    fits = scorer.fit(images, texts)
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    inputs = processor(
        text=["a red chair", "a dog"],
        images=list(images),
        return_tensors="pt",
        padding=padding,
        truncation=True,
        max_length=20,
    )
    with torch.no_grad():
        scaled = model(**inputs).logits_per_text - getattr(model, "logit_bias", 0)
        scaled = scaled / model.logit_scale.exp()
    assert [fit.shape for fit in fits] == [(2, 3), (2, 3), (0, 3)]
    np.testing.assert_allclose(fits[0][0], scaled[0], atol=1e-6)
    np.testing.assert_allclose(fits[1], scaled[[1, 0]], atol=1e-6)
    assert np.ptp(fits[1]) > 1e-4 and (fits[0][1] == -1).all()
    long = " ".join(["chair"] * 500)  # cut, not refused
    assert np.isfinite(scorer.fit(images, [[long]])[0]).all()


# Pictures


def test_a_portrait_sees_the_object_whole_from_all_sides(tmp_path):
    for number, size in enumerate([(1, 1, 1), (0.02, 1, 0.02), (1, 0.02, 0.6), (30, 1, 90)]):
        path = tmp_path / f"{number}.glb"
        write_glb(path, box(size, (0.9, 0.1, 0.1)))
        images = views_around(path, views=8, size=64)
        assert images.shape == (8, 64, 64, 3) and images.dtype == np.uint8
        border = np.concatenate(
            [images[:, [0, -1]].reshape(-1, 3), images[:, :, [0, -1]].reshape(-1, 3)]
        )
        assert (border == 255).all(), size  # white around it
        drawn = (images != 255).any(-1)
        assert drawn.any(axis=(1, 2)).all(), size
        assert np.ptp(np.nonzero(drawn.any(0))).max() > 48  # and it fills the frame


def test_a_portrait_has_the_colours_of_the_object(tmp_path):
    write_glb(tmp_path / "box.glb", box((1, 1, 1), (0.8, 0.4, 0.1)))
    middle = views_around(tmp_path / "box.glb", views=4, size=32)[:, 16, 16] / 255
    np.testing.assert_allclose(middle / middle[:, :1], [[1, 0.5, 0.125]] * 4, atol=0.02)
    with pytest.raises(ObjectError) as caught:
        views_around(None)
    assert caught.value.reason == "missing-file"


# The command


def test_the_command_writes_what_clip_scores_highest(tmp_path, models, capsys):
    objects, out = write_objects(tmp_path / "objects"), tmp_path / "out"
    assert run(arguments(objects, out, models, "--workers", 1)) == 3
    assert capsys.readouterr().out == f"{out}\n"
    failures = {line["uid"]: line["reason"] for line in lines(out / "failures.jsonl")}
    assert failures == {"nowhere": "missing-file", "broken": "corrupt-file"}
    found = lines(out / "captions.jsonl")
    assert [line["uid"] for line in found] == [f"box-{k}" for k in range(5)]
    assert (out / "preview.png").read_bytes()[:4] == b"\x89PNG"
    captioner, scorer = Captioner(str(models[0]), CPU), Scorer(str(models[1]), CPU)
    for k, line in enumerate(found):
        images = views_around(objects / f"{k}.glb", 4, 32)
        uniforms = object_rng(0, line["uid"]).random((4, 3, 8))
        said = [
            [clean_caption(t) for t in texts]
            for texts in captioner.sample(images, uniforms, 0.9, 1)
        ]
        assert [c["caption"] for c in line["candidates"]] == [t for s in said for t in s if t]
        fits = [scorer.fit(images, [texts])[0] for texts in said]
        winners = {}
        for view, (texts, fit) in enumerate(zip(said, fits, strict=True)):
            own = [fit[i, view] if text else -9 for i, text in enumerate(texts)]
            if any(texts):
                winners.setdefault(texts[int(np.argmax(own))], fit[int(np.argmax(own))].mean())
        ranked = sorted(winners, key=winners.get, reverse=True)
        others = [o["caption"] for o in line["alternatives"] if o["source"] == "blip"]
        assert [line["caption"], *others] == ranked
        assert line["score"] == pytest.approx(winners[ranked[0]], abs=1e-4)
        assert line["source"] == "blip"
        assert line["models"] == {"captioner": str(models[0]), "clip": str(models[1])}
    assert found[0]["annotation"] == "Red Chair"  # the artist's words stay at hand
    assert {"caption": "a red chair", "source": "name"} in found[0]["alternatives"]


@pytest.mark.slow
def test_a_rerun_does_nothing_and_another_seed_draws_others(tmp_path, models, capsys):
    objects = write_objects(tmp_path / "objects")
    alone = ("--workers", 1)
    assert run(arguments(objects, tmp_path / "one", models, *alone)) == 3
    old = (tmp_path / "one/captions.jsonl").read_bytes()
    before = (tmp_path / "one/captions.jsonl").stat().st_mtime_ns
    assert run(arguments(objects, tmp_path / "one", models, *alone)) == 3
    assert "already" in capsys.readouterr().err
    assert (tmp_path / "one/captions.jsonl").stat().st_mtime_ns == before
    assert (
        run(arguments(objects, tmp_path / "one", models, *alone, "--seed", 1)) == 2
    )  # other captions
    assert (
        run(arguments(objects, tmp_path / "one", models, *alone, "--seed", 1, "--overwrite")) == 3
    )
    changed = (tmp_path / "one/captions.jsonl").read_bytes()
    (tmp_path / "one/captions.partial").write_bytes(b"0 blip {}\n")  # left by a kill at the end
    assert (
        run(arguments(objects, tmp_path / "one", models, *alone, "--seed", 1, "--overwrite")) == 3
    )
    assert (tmp_path / "one/captions.jsonl").read_bytes() == changed
    assert changed != old
    assert not list(tmp_path.rglob("*.partial*"))


def test_ranks_and_half_precision(tmp_path, models, capsys):
    objects, out = write_objects(tmp_path / "objects"), tmp_path / "out"
    for rank in (0, 1):
        options = ("--rank", rank, "--world-size", 2, "--precision", "bf16", "--workers", 1)
        assert run(arguments(objects, out, models, *options)) == 3
    uids = [[x["uid"] for x in lines(out / f"rank-0000{k}/captions.jsonl")] for k in (0, 1)]
    assert uids == [["box-0", "box-2", "box-4"], ["box-1", "box-3"]]
    capsys.readouterr()


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_bytes(tmp_path, models, capsys):
    objects = write_objects(tmp_path / "objects", 24)
    assert run(arguments(objects, tmp_path / "whole", models, "--workers", 1)) == 3
    out = tmp_path / "killed"
    kill_at(arguments(objects, out, models, "--workers", 2), "captioning", 7)
    ledger = out / "captions.partial"
    assert not (out / "stage.json").exists()
    with open(ledger, "r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 30)  # cut short, in the middle of a block
    before = ledger.read_bytes()
    assert 0 < before.count(b"\n") < 26
    assert run(arguments(objects, out, models, "--workers", 1)) == 3
    for name in ("captions.jsonl", "failures.jsonl", "preview.png"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    capsys.readouterr()


@pytest.mark.parametrize("write", [write_clip, write_siglip])
def test_a_long_text_keeps_its_ending(write, tmp_path):
    """CLIP that looks for front and back would compare a long prompt with itself."""
    scorer = Scorer(str(write(tmp_path / "model")), CPU)
    assert scorer.fitted("a box", ", front view") == "a box, front view"
    sides = [scorer.fitted("a red box " * 90, f", {side} view") for side in ("front", "back")]
    assert sides[0].endswith(", front view") and sides[0].startswith("a ")
    places = scorer.model.config.text_config.max_position_embeddings
    assert all(len(scorer.processor.tokenizer(side).input_ids) <= places for side in sides)


def test_finished_objects_are_not_asked_again(tmp_path, models):
    objects = write_objects(tmp_path / "objects")
    rows = list(enumerate(iter_objects(objects)))
    captioner, scorer = Captioner(str(models[0]), CPU), Scorer(str(models[1]), CPU)
    asked, sample = [], captioner.sample
    captioner.sample = lambda images, *rest: asked.append(len(images)) or sample(images, *rest)
    settings = SamplingSettings(views=2, size=32, samples=1, length=6)

    def caption(count):
        ledger = Ledger(tmp_path / "ledger")
        caption_by_models(
            lambda: iter(rows), 7, ledger, captioner, scorer, settings, 0, 2, {"workers": 1}
        )
        assert ledger.count == 7
        ledger.close()
        return [text for _, text in Ledger(tmp_path / "ledger").entries()]

    whole = caption(7)
    assert asked == [4, 4, 2]  # boxes 0, 1; nothing of two bad files; boxes 2, 3; box 4
    kept = (tmp_path / "ledger").read_bytes().split(b"\n")[:5]
    (tmp_path / "ledger").write_bytes(b"\n".join(kept) + b"\n6 bl")
    asked.clear()
    assert caption(7) == whole
    assert asked == [4, 2]  # box 3 in the company of box 2, as before


@pytest.mark.slow
def test_a_model_that_is_not_here_is_one_sentence(tmp_path, models, capsys, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    objects, out = write_objects(tmp_path / "objects"), tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    for captioner, clip, word in (
        ("nobody/nothing-of-this-name", models[1], "nobody/nothing-of-this-name is not on this"),
        (models[0], "nobody/no-clip", "scorer nobody/no-clip is not on this machine"),
        (tmp_path / "absent", models[1], "is not a folder"),
        (empty, models[1], f"{empty} cannot be loaded as a captioner"),
        (models[1], models[1], "cannot be loaded as a captioner"),
        (models[0], models[0], "lacks weights that a scorer needs"),
    ):
        code = run(arguments(objects, out, (captioner, clip)))
        captured = capsys.readouterr()
        said = [line for line in captured.err.splitlines() if line.startswith("sdtool: ")]
        assert (code, captured.out) == (1, "") and len(said) == 1 and word in said[0], captured.err
    assert (
        run(arguments(objects, out, models, "--workers", 1)) == 3
    )  # and nothing stands in the way


@pytest.mark.skipif(not ASSETS.is_dir(), reason=f"no real assets at {ASSETS}")
def test_real_objects(tmp_path, models, capsys):
    out = tmp_path / "out"
    assert run(arguments(ASSETS / "objaverse", out, models, "--workers", 1)) == 0
    assert len(lines(out / "captions.jsonl")) == 4
    capsys.readouterr()


# Working ahead, and the ledger


def test_a_producer_works_ahead_but_not_far():
    drawn, five, over = [], threading.Event(), threading.Event()

    def numbers():
        try:
            for k in range(100):
                drawn.append(k)
                if len(drawn) == 5:
                    five.set()
                yield k
        finally:
            over.set()

    found = prefetch(numbers(), depth=3)
    assert next(found) == 0
    five.wait()
    time.sleep(0.05)
    assert len(drawn) == 5  # one taken, three ready, one in hand
    found.close()
    over.wait()
    assert list(prefetch(iter(range(50)))) == list(range(50))


def test_what_a_producer_raises_is_raised_to_its_consumer():
    def broken():
        yield 1
        raise InputError("no more")

    found = prefetch(broken())
    assert next(found) == 1
    with pytest.raises(InputError, match="no more"):
        next(found)


def test_a_ledger_keeps_order_and_drops_what_was_cut(tmp_path):
    ledger = Ledger(tmp_path / "l")
    ledger.add_line(5, "e", {"source": "name", "caption": "Ünï \ud83d"})
    with ledger.gathering():
        ledger.add_line(1, "a", ObjectError("timeout", "slow"))
        ledger.add_line(3, "c", {"source": "tags"})
    ledger.close()
    with open(tmp_path / "l", "ab") as file:
        file.write(b'4 name {"source": "na')
    ledger = Ledger(tmp_path / "l")
    assert ledger.count == 3 and 4 not in ledger and 3 in ledger and 99 not in ledger
    ledger.add_line(0, "z", {"source": "lvis"})
    entries = [(kind, json.loads(text)) for kind, text in ledger.entries()]
    assert entries == [
        ("lvis", {"source": "lvis"}),
        ("failed", {"uid": "a", "reason": "timeout", "message": "slow"}),
        ("tags", {"source": "tags"}),
        ("name", {"source": "name", "caption": "Ünï \ud83d"}),
    ]
