"""`sdtool evaluate` as it is used: good and bad models in folders, verdicts, rates, what goes wrong."""

import json
import math
import re
import shutil

import numpy as np
import pytest
from caption_models import write_clip
from export_samples import write_run
from measure_samples import fake

from sdtool.cli import run as sdtool
from sdtool.evaluating import thresholds
from sdtool.evaluating.assets import category_of, find_assets
from sdtool.evaluating.measuring import JUDGE, Eyes, measure
from sdtool.evaluating.results import Evaluated, Finding, Rate, headline, rates, recognised
from sdtool.evaluating.samples import sample
from sdtool.evaluating.viewnet import ViewNet, load_judge
from sdtool.meshfiles import write_glb
from sdtool.toyverse import janus
from sdtool.toyverse.designs import Design
from sdtool.toyverse.toys import build

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_toys")]


def toy(category, flaw="", seed=0):
    rng = np.random.default_rng(seed)
    mesh = build(rng, Design(category, "red"))
    return janus.spoil(rng, mesh, flaw) if flaw else mesh


def save(path, mesh, prompt=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_glb(path, mesh, name=path.stem, extras={"prompt": prompt} if prompt else {})


def evaluate(capsys, *arguments):
    """(exit code, stdout, stderr) of `sdtool evaluate …`."""
    code = sdtool(["evaluate", *map(str, arguments)])
    return code, *capsys.readouterr()


def assets_of(report):
    return {
        one["name"]: one for one in json.loads((report / "evaluation.json").read_text())["assets"]
    }


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two methods: one makes sound models, the other Janus ones."""
    root = tmp_path_factory.mktemp("models")
    for number, name in enumerate(("corgi", "horse", "elephant", "duck", "chair")):
        save(root / "sound" / f"{name}.glb", toy(name, seed=number), f"a red {name}")
        save(root / "janus" / f"{name}.glb", toy(name, "mirrored", number), f"a red {name}")
    save(root / "janus" / "heads.glb", toy("corgi", "second-head"), "a corgi wearing a hat")
    save(root / "sound" / "ball.glb", toy("ball"), "a ball")
    save(root / "sound" / "banana.glb", toy("teapot"), "a banana")
    return root


@pytest.fixture(scope="module")
def report(models, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports") / "report"
    assert sdtool(["evaluate", str(models), "--out", str(out), "--human"]) == 0
    return out


@pytest.mark.slow
def test_sound_models_are_consistent_and_janus_models_are_not(report):
    found = assets_of(report)
    assert len({one["path"] for one in found.values()}) == 8  # names occur with both methods
    by_path = json.loads((report / "evaluation.json").read_text())["assets"]
    for one in by_path:
        if one["name"] in ("corgi", "horse", "elephant", "duck", "chair", "heads"):
            expected = "consistent" if one["method"] == "sound" else "inconsistent"
            assert one["verdict"] == expected, (one["path"], one["findings"])
    assert found["heads"]["reasons"]


def test_what_has_no_sides_does_not_count_and_what_is_unknown_does(report):
    found = assets_of(report)
    assert found["ball"]["verdict"] == "not applicable"
    assert found["banana"]["verdict"] == "consistent"
    methods = json.loads((report / "evaluation.json").read_text())["methods"]
    assert (methods["sound"]["count"], methods["sound"]["of"]) == (6, 6)
    assert (methods["janus"]["count"], methods["janus"]["of"]) == (0, 6)
    low, high = Rate(6, 6).interval
    assert methods["sound"]["interval"] == pytest.approx([low, high], abs=1e-4)


def test_the_report_holds_pages_pictures_and_the_verdicts_own_rates(report, capsys):
    page = (report / "index.html").read_text()
    assert "a corgi wearing a hat" in page and re.search(r"pictures/[0-9a-f]{16}\.png", page)
    assert (report / "human.html").is_file() and list((report / "human").glob("*.png"))
    assert len(list((report / "pictures").glob("*.png"))) == 13
    told = json.loads((report / "evaluation.json").read_text())
    assert told["recognised"]["sound"]["count"] >= 5 and "recognised as what was asked for" in page
    said = told["calibration"]
    assert said["true_positives"]["of"] > 100 and said["by_kind"].keys() == janus.KINDS.keys()


def test_the_same_command_again_does_nothing(models, report, capsys):
    before = (report / "index.html").stat().st_mtime_ns
    code, out, said = evaluate(capsys, models, "--out", report)
    assert (code, out.strip()) == (0, str(report / "index.html"))
    assert "already evaluated" in said
    assert (report / "index.html").stat().st_mtime_ns == before


def test_an_interrupted_evaluation_goes_on(models, tmp_path, capsys, monkeypatch):
    from sdtool.evaluating import evaluation

    out, calls = tmp_path / "report", []
    whole = evaluation.measure_asset

    def stopped(job, **options):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(job[0])
        return whole(job, **options)

    folder = models / "janus"
    monkeypatch.setattr(evaluation, "measure_asset", stopped)
    assert evaluate(capsys, folder, "--out", out)[0] == 130
    assert len((out / "measured.jsonl").read_text().splitlines()) == 3
    calls.clear()
    monkeypatch.setattr(
        evaluation, "measure_asset", lambda job, **o: (calls.append(job[0]), whole(job, **o))[1]
    )
    with open(out / "measured.jsonl", "ab") as file:
        file.write(b'{"asset":"0123')  # a full disk cut a line short
    assert evaluate(capsys, folder, "--out", out)[0] == 0
    assert len(calls) == 3
    calls.clear()
    shutil.copytree(folder, tmp_path / "more")
    folder = tmp_path / "more"
    out = tmp_path / "other"
    assert evaluate(capsys, folder, "--out", out)[0] == 0 and len(calls) == 6
    pictures = {one.name for one in (out / "pictures").iterdir()}
    one, two, three, *_ = sorted(folder.rglob("*.glb"))
    two.write_bytes(three.read_bytes())
    one.unlink()
    (folder / ".DS_Store").write_bytes(b"looked at")
    (folder / "answers.json").write_text("{}")
    calls.clear()
    code, _, said = evaluate(capsys, folder, "--out", out)
    assert code == 0 and len(calls) == 1
    assert (
        "new, have changed or lack their picture: 1; gone: 2; the others are not measured" in said
    )
    now = {one.name for one in (out / "pictures").iterdir()}
    assert len(now) == 5 and len(now & pictures) == 4
    assert "already evaluated" in evaluate(capsys, folder, "--out", out)[2] and len(calls) == 1
    three.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(
            evaluation, "verdicts", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        assert evaluate(capsys, folder, "--out", out)[0] == 130
    assert not (out / "stage.json").is_file()  # the report is not yet that of what is there
    code, _, said = evaluate(capsys, folder, "--out", out)
    assert code == 0 and "already evaluated" not in said
    assert len(json.loads((out / "evaluation.json").read_text())["assets"]) == 4


def test_what_nobody_looked_at_is_tried_again(models, tmp_path, capsys, monkeypatch):
    from sdtool.errors import ObjectError
    from sdtool.evaluating import evaluation

    out, whole = tmp_path / "report", evaluation.measure_asset
    folder = models / "janus"
    unlucky = sorted(folder.rglob("*.glb"))[0]

    def dies(job, **options):
        if job[1].path == unlucky:
            raise ObjectError("worker-died", "its worker process died")
        return whole(job, **options)

    monkeypatch.setattr(evaluation, "measure_asset", dies)
    code, _, said = evaluate(capsys, folder, "--out", out)
    assert code == 3 and "a fault of sdtool: 1 of these; the same command tries them again" in said
    monkeypatch.setattr(evaluation, "measure_asset", whole)
    assert evaluate(capsys, folder, "--out", out)[0] == 0
    assert "already evaluated" in evaluate(capsys, folder, "--out", out)[2]


def test_overwrite_of_a_stopped_run_keeps_what_is_not_its_own(models, tmp_path, capsys):
    out = tmp_path / "report"
    assert evaluate(capsys, models / "janus", "--out", out)[0] == 0
    (out / "stage.json").rename(out / "stage.partial.json")
    (out / "notes.html").write_bytes(b"of the user")
    assert evaluate(capsys, models / "janus", "--out", out, "--overwrite")[0] == 0
    assert (out / "notes.html").read_bytes() == b"of the user"


def test_lifts_are_found_and_unfinished_ones_count_as_not_consistent(tmp_path, capsys):
    runs = tmp_path / "runs"
    runs.mkdir()
    write_run(runs / "tetrahedron", params={"prompt": "a corgi"})
    shutil.copytree(runs / "tetrahedron", runs / "stopped")
    (runs / "stopped" / "stage.json").rename(runs / "stopped" / "stage.partial.json")
    (runs / "torn").mkdir()
    (runs / "torn" / "model.glb").write_bytes(b"glTF not really")
    code, out, said = evaluate(capsys, runs, "--out", tmp_path / "report")
    assert code == 3
    found = assets_of(tmp_path / "report")
    assert (
        found["stopped"]["verdict"] == "failed" and "unfinished" in found["stopped"]["reasons"][0]
    )
    assert found["model"]["verdict"] == "failed"
    assert found["tetrahedron"]["verdict"] in ("consistent", "inconsistent"), "it was judged"
    assert "stopped" in said and "model.glb" in said


def test_answers_of_a_person_come_into_the_report(models, tmp_path, capsys):
    out = tmp_path / "report"
    folder = models / "sound"
    assert evaluate(capsys, folder, "--out", out, "--human")[0] == 0
    answers = [
        {"path": one["path"], "method": one["method"], "prompt": one["prompt"], "answer": "yes"}
        for one in assets_of(out).values()
    ]
    some = {"sdtool": "0", "sheet": "x", "answers": answers[:-1]}
    (tmp_path / "answers.json").write_text(json.dumps(some))
    code, _, said = evaluate(capsys, folder, "--out", out, "--answers", tmp_path / "answers.json")
    assert code == 0 and "kappa" in (out / "index.html").read_text().lower()
    few = f"by {len(answers) - 1} answers and the verdicts on {len(answers)}"
    assert few in said
    told = json.loads((out / "evaluation.json").read_text())["janus_by_people"]["a person"][
        "methods"
    ]
    assert told["sound"]["share"] == 0 and told["sound"]["of"] == len(answers) > 1
    stale = [{**one, "digest": "0" * 16} for one in answers]
    (tmp_path / "stale.json").write_text(
        json.dumps({"sdtool": "0", "sheet": "x", "answers": stale})
    )
    code, _, said = evaluate(capsys, folder, "--out", out, "--answers", tmp_path / "stale.json")
    assert code == 1 and "has another picture now; make and answer a new sheet" in said
    (tmp_path / "wrong.json").write_text("[]")
    code, _, said = evaluate(capsys, folder, "--out", out, "--answers", tmp_path / "wrong.json")
    assert code == 1 and "wrong.json" in said


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda root: root / "nowhere", "does not exist"),
        (lambda root: (root / "empty").mkdir() or root / "empty", "neither a lift nor a model"),
    ],
)
def test_wrong_input_is_named(tmp_path, capsys, make, word):
    code, out, said = evaluate(capsys, make(tmp_path), "--out", tmp_path / "report")
    assert code == 1 and out == "" and word in said
    assert not (tmp_path / "report").exists()


def test_clip_looks_too(models, tmp_path, capsys):
    """A CLIP of random weights: its numbers mean nothing, but they are those of CLIP."""
    clip = write_clip(tmp_path / "clip")
    out = tmp_path / "report"
    assert evaluate(capsys, models / "janus" / "corgi.glb", "--out", out, "--clip", clip)[0] == 0
    findings = {f["measure"]: f for f in assets_of(out)["corgi"]["findings"]}
    assert -100 <= findings["CLIP score"]["value"] <= 100
    assert findings["CLIP rank of its prompt"]["value"] == 1  # the only prompt
    assert 0 <= findings["CLIP sides"]["value"] <= 1
    assert findings["CLIP sides"]["passes"] is None


# What methods, kinds and rates are


def test_evaluation_json_holds_no_nan():
    from sdtool.evaluating.evaluation import summary

    turns = (0.0, math.nan)
    one = Evaluated(
        "x", "m", "x", "", "", "consistent", (), (Finding("sides", math.nan),), "", turns, turns
    )
    told = summary([one], thresholds.load().calibration)
    json.dumps(told, allow_nan=False)
    assert (
        told["assets"][0]["truth"] == [0, None]
        and told["assets"][0]["findings"][0]["value"] is None
    )


def test_methods_are_the_folders(models, tmp_path):
    assert {one.method for one in find_assets([models])} == {"sound", "janus"}
    assert {one.method for one in find_assets([models / "sound"])} == {"sound"}
    single = find_assets([models / "sound" / "ball.glb", models / "sound"])
    assert len(single) == 7, "each once"


@pytest.mark.parametrize(
    "prompt, kind",
    [
        ("a corgi", "corgi"),
        ("a cat wearing a hat", "cat"),
        ("a king with a sword", "king"),
        ("A Golden Teapot", "teapot"),
        ("a palm tree", "palm"),
        ("a brown teddy bear", "teddy"),
        ("a cat bed", "bed"),
        ("a banana", ""),
        ("a corgiish thing", ""),
    ],
)
def test_the_kind_is_read_from_the_prompt(prompt, kind):
    assert category_of(prompt) == kind


def test_a_method_of_which_nothing_counts_is_told_without_a_rate():
    none = [
        Evaluated("x", "m", "x", "", "", verdict) for verdict in ("not applicable", "not judged")
    ]
    assert headline([*none, none[0]], "m") == "m: nothing to count (2 not applicable, 1 not judged)"
    assert str(Rate(0, 0)) == "nothing to count" and "nan" not in str(rates(none))
    some = [*none, Evaluated("y", "m", "y", "", "", "consistent")]
    said = "m: consistent 1 of 1: 100% (21% to 100%)"
    assert headline(some[2:], "m") == said
    assert headline(some, "m") == f"{said}; not counted: 1 not applicable, 1 not judged"


def test_a_method_has_the_name_that_was_given_not_that_of_a_links_target(tmp_path):
    real = tmp_path / "store" / "run7"
    real.mkdir(parents=True)
    (real / "blob.glb").write_bytes(b"x")
    (tmp_path / "ours").symlink_to(real)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "chair.glb").symlink_to(real / "blob.glb")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "mine").symlink_to(real)
    for given, named in (("ours", "ours"), ("theirs", "theirs"), ("all", "mine")):
        (asset,) = find_assets([tmp_path / given])
        assert (asset.method, asset.name) == (named, "chair" if given == "theirs" else "blob")
    (alone,) = find_assets([tmp_path / "theirs" / "chair.glb"])
    assert alone.method == "chair"


def test_rates_leave_out_what_does_not_count():
    verdicts = ["consistent", "inconsistent", "failed", "not applicable", "not judged"]
    some = [Evaluated("x", "m", "x", "", "", verdict) for verdict in verdicts]
    assert rates(some) == {"m": Rate(1, 3)}


def test_what_is_recognised_is_counted_of_kinds_that_the_judge_knows():
    ranks = (1, 1, 7, 0)
    some = [Evaluated("x", "m", "x", "", "", "consistent", rank=rank) for rank in ranks]
    assert recognised(some) == {"m": Rate(2, 3)}
    assert headline(some, "m").endswith(
        "; recognised as what was asked for: 2 of 3: 67% (21% to 94%)"
    )
    assert "recognised" not in headline(some[3:], "m")


# The judge and its calibration


def test_turning_a_model_does_not_change_whether_it_is_sound():
    import torch

    torch.manual_seed(0)
    net, views = ViewNet(["corgi", "cat"]).eval(), torch.rand(2, 12, 64, 64, 4)
    sound, turned = net(views).model, net(views.roll(5, dims=1)).model
    assert torch.allclose(sound, turned, atol=1e-5)
    assert not torch.allclose(sound, net(views.roll(5, dims=2)).model, atol=1e-5)


def test_the_judge_survives_saving_and_a_wrong_folder_is_named(tmp_path):
    from sdtool.errors import InputError

    net, facts = load_judge(JUDGE)
    net.save(tmp_path, {"steps": 1})
    again, _ = load_judge(tmp_path)
    for name, value in net.state_dict().items():
        assert np.array_equal(value.numpy(), again.state_dict()[name].numpy())
    with pytest.raises(InputError, match="judge.json"):
        load_judge(tmp_path / "nowhere")


@pytest.mark.slow
def test_new_toys_confirm_the_bundled_calibration():
    """Toys of seeds that neither training nor calibration saw."""
    lines = thresholds.load()
    kept = {one.measure: one.threshold for one in lines.calibration.measures if one.kept}
    assert "soundness" in kept
    caught, blamed = [], []
    for seed, category in enumerate(("corgi", "horse", "lion", "giraffe", "duck", "chair") * 3):
        for flaw in ("", janus.kinds_for(category)[seed % len(janus.kinds_for(category))]):
            found = sample(np.random.default_rng([77, seed]), category, flaw)
            if found is None:
                continue
            one = measure(found.mesh, "", Eyes())  # its kind says nothing of what is asked here
            if one.told < lines.told or thresholds.sureness(one) < lines.sure:
                continue
            fails = any(thresholds._fails(name, one, line) for name, line in kept.items())
            (caught if flaw else blamed).append(fails)
    assert len(caught) > 8 and len(blamed) > 12
    assert np.mean(caught) > 0.8 and np.mean(blamed) < 0.2


def test_a_measure_that_cannot_tell_them_apart_is_thrown_out():
    cases = [thresholds.Case(k, "toys", "", fake(True, k)) for k in range(200)]
    cases += [thresholds.Case(k, "toys", "mirrored", fake(False, k)) for k in range(200, 400)]
    calibration = thresholds.draw(cases, "").calibration
    kept = {one.measure: one.kept for one in calibration.measures}
    assert kept.pop("view agreement")
    assert set(kept.values()) == {False}, "all others are noise"
    assert "CLIP sides" not in kept, "nobody measured it"
    assert (calibration.caught.count, calibration.caught.of) == (200, 200)
    assert calibration.blamed.share == pytest.approx(thresholds.BLAMED, abs=0.02)
    assert calibration.by_kind["mirrored"].of == 200 and calibration.by_kind["extra-legs"].of == 0
    noise = next(one for one in calibration.measures if one.measure == "repeated parts")
    assert noise.caught.share < 0.1


def test_a_judge_of_ones_own_decides_and_one_without_lines_is_refused(models, tmp_path, capsys):
    own, out = tmp_path / "judge", tmp_path / "report"
    shutil.copytree(JUDGE, own)
    folder = models / "janus"
    lines = json.loads((own / "calibration.json").read_text())
    (own / "calibration.json").write_text(json.dumps(lines | {"told": 1.1}))
    code, _, said = evaluate(capsys, folder, "--judge", own, "--out", out)
    assert code == 0 and "nothing to count" in said  # nothing is told as surely as that
    assert f"--judge {own}" in (out / "index.html").read_text()
    code, _, said = evaluate(capsys, folder, "--out", out)
    assert code == 2 and "was made differently (judge: " in said
    assert "judge: judge in judge (" in said and ") there, bundled judge (" in said
    (own / "calibration.json").unlink()
    code, _, said = evaluate(capsys, folder, "--judge", own, "--out", tmp_path / "none")
    assert code == 1 and "holds no calibration.json" in said and "calibrating --out" in said
    assert not (tmp_path / "none").exists()
