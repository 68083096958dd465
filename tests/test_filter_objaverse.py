"""filter-objaverse through the command line, on a small collection in Objaverse's layout."""

import json

import pytest
from assets import EXAMPLE
from collection_samples import annotation, write_collection, write_json_gz

from sdtool.annotations import Collection
from sdtool.cli import run
from sdtool.filter_rules import DEFAULT_RULES, phrases, plain, read_rules

# uid → (annotation, the default rules that it meets)
OBJECTS = {
    "good": (annotation("good", "Red Chair", ["chair", "interior"]), []),
    "Base62UidOfTwentySevenChars": (annotation("Base62UidOfTwentySevenChars"), []),
    "cloud": (annotation("cloud", tags=["Point-Cloud"]), ["point-cloud"]),
    "scan": (annotation("scan", "Statue (Photogrammetry)"), ["scan"]),
    "scan2": (annotation("scan2", tags=["3d-scan", "lidar"]), ["point-cloud", "scan"]),
    "low": (annotation("low", tags=["low_poly"]), ["low-poly"]),
    "low2": (annotation("low2", "LowPolyTree_01"), ["low-poly"]),
    "scene": (annotation("scene", categories=["Places & Travel"]), ["scene"]),
    "scene2": (annotation("scene2", "Small Forest Scene"), ["scene"]),
    "pack": (annotation("pack", "Medieval Props Pack"), ["collection"]),
    "side": (annotation("side", "Purple Horse Z-Up"), ["orientation"]),
    "wip": (annotation("wip", "Dragon [WIP]"), ["unfinished"]),
    "few": (annotation("few", faces=12), ["few-faces"]),
    "empty": (annotation("empty", faces=0), ["few-faces"]),
    "many": (annotation("many", faces=1_000_001), ["many-faces"]),
    "adult": (annotation("adult", isAgeRestricted=True), ["age-restricted"]),
    "gone": (annotation("gone"), ["no-file"]),
    "moving": (annotation("moving", animationCount=2), []),
    "backpack": (annotation("backpack", "Backpack and scanner"), []),  # parts of words do not count
}


@pytest.fixture
def collection(tmp_path):
    annotations = [a for a, _ in OBJECTS.values()]
    return write_collection(
        tmp_path / "objs", annotations, lvis={"chair": ["good"]}, absent=["gone"]
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def command(capsys, *arguments):
    """(exit code, stdout, stderr) of one command line."""
    code = run(["filter-objaverse", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_each_object_meets_its_rules_and_no_other(collection, tmp_path, capsys):
    out = tmp_path / "filtered"
    code, stdout, _ = command(capsys, collection, "--out", out)
    assert (code, stdout) == (0, f"{out}\n")
    rejected = {line["uid"]: line["rules"] for line in lines(out / "rejected.jsonl")}
    kept = {line["uid"] for line in lines(out / "objects.jsonl")}
    assert rejected == {uid: rules for uid, (_, rules) in OBJECTS.items() if rules}
    assert kept == {uid for uid, (_, rules) in OBJECTS.items() if not rules}
    active = {rule.name for rule in read_rules(DEFAULT_RULES)}
    assert {rule for rules in rejected.values() for rule in rules} == active


def test_objects_jsonl_says_what_later_stages_need(collection, tmp_path, capsys):
    command(capsys, collection, "--out", tmp_path / "filtered")
    record = next(r for r in lines(tmp_path / "filtered/objects.jsonl") if r["uid"] == "good")
    assert record["path"] == str(collection.resolve() / "glbs/000-000/good.glb")
    assert record["name"] == "Red Chair" and record["tags"] == ["chair", "interior"]
    assert record["lvis"] == ["chair"] and record["categories"] == []
    assert (record["license"], record["faces"]) == ("by", 1000)


def test_counts_tell_rules_alone_and_after_the_others(collection, tmp_path, capsys):
    out = tmp_path / "filtered"
    _, _, stderr = command(capsys, collection, "--out", out)
    counts = json.loads((out / "stage.json").read_text())["counts"]
    good = sum(not rules for _, rules in OBJECTS.values())
    assert (counts["seen"], counts["ok"], counts["failed"]) == (len(OBJECTS), good, 0)
    assert counts["rejected"] == len(OBJECTS) - good
    assert (counts["removed by scan"], counts["removed only by scan"]) == (2, 1)
    assert (counts["removed by point-cloud"], counts["removed only by point-cloud"]) == (2, 1)
    row = next(line.split() for line in stderr.splitlines() if " scan " in line)
    assert [word for word in row if word.isdigit()] == ["2", "1"]


def test_rerun_is_a_no_op_until_something_changes(collection, tmp_path, capsys):
    out = tmp_path / "filtered"
    command(capsys, collection, "--out", out)
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    code, stdout, stderr = command(capsys, collection, "--out", out)
    assert (code, stdout) == (0, f"{out}\n") and "already" in stderr
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before
    (collection / "glbs/000-000/gone.glb").write_bytes(b"glTF")  # downloaded since
    code, stdout, stderr = command(capsys, collection, "--out", out)
    assert (code, stdout) == (2, "") and "source has changed" in stderr
    assert command(capsys, collection, "--out", out, "--overwrite")[0] == 0
    assert "gone" in [line["uid"] for line in lines(out / "objects.jsonl")]


def test_an_interrupted_run_is_completed(collection, tmp_path, capsys, monkeypatch):
    out = tmp_path / "filtered"
    records = Collection.records

    def stop_half_way(self):
        for number, item in enumerate(records(self)):
            if number == 5:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(Collection, "records", stop_half_way)
    assert command(capsys, collection, "--out", out)[0] == 130
    assert not (out / "stage.json").exists() and not (out / "objects.jsonl").exists()
    monkeypatch.undo()
    assert command(capsys, collection, "--out", out)[0] == 0
    assert len(lines(out / "objects.jsonl")) + len(lines(out / "rejected.jsonl")) == len(OBJECTS)
    assert sorted(p.name for p in out.iterdir()) == [
        "objects.jsonl", "rejected.jsonl", "rules.toml", "stage.json",
    ]  # fmt: skip


def test_rules_of_ones_own(collection, tmp_path, capsys):
    rules = tmp_path / "my.toml"
    rules.write_text(
        '[[rule]]\nname = "no chairs"\ncategories = ["Chair"]\n'
        '[[rule]]\nname = "still"\nanimated = true\n'
        '[[rule]]\nname = "asleep"\nenabled = false\nmore_faces_than = 1\n'
    )
    code, stdout, _ = command(
        capsys, collection, "--out", tmp_path / "f", "--rules", rules, "--json"
    )
    assert code == 0
    counts = json.loads(stdout)["counts"]
    assert (counts["removed by no chairs"], counts["removed by still"]) == (1, 1)
    assert counts["rejected"] == 2 and "removed by asleep" not in counts
    assert (tmp_path / "f/rules.toml").read_text() == rules.read_text()


def test_printed_rules_can_be_given_back(collection, tmp_path, capsys):
    code, printed, _ = command(capsys, "--print-rules")
    assert code == 0 and printed == DEFAULT_RULES.read_text()
    (tmp_path / "my.toml").write_text(printed)
    assert read_rules(tmp_path / "my.toml") == read_rules(DEFAULT_RULES)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ('[[rule]]\nname = "a"\ntag = ["x"]\n', "tag = "),
        ('[[rule]]\nname = "a"\ntags = "x"\n', "tags = "),
        ('[[rule]]\nname = "a"\nfewer_faces_than = "9"\n', "fewer_faces_than"),
        ('[[rule]]\nname = "a"\n', "no test"),
        ("[[rule]]\ntags = []\n", "rule 1 has no name"),
        ('[[rule]]\nname = "a"\nno_file = true\n' * 2, "two rules named a"),
        ("faces = 3\n", "[[rule]]"),
        ("", "[[rule]]"),
        ("[[rule\n", "cannot be read"),
    ],
)
def test_rules_that_make_no_sense_are_named(collection, tmp_path, capsys, text, complaint):
    rules = tmp_path / "my.toml"
    rules.write_text(text)
    code, stdout, stderr = command(capsys, collection, "--out", tmp_path / "f", "--rules", rules)
    assert (code, stdout) == (1, "") and complaint in stderr and str(rules) in stderr
    assert not (tmp_path / "f").exists()


def test_a_source_that_is_no_collection(tmp_path, capsys):
    out = tmp_path / "f"
    code, _, stderr = command(capsys, tmp_path / "absent", "--out", out)
    assert code == 1 and "object-paths.json.gz" in stderr
    code, _, stderr = command(capsys, tmp_path, "--out", out)
    assert code == 1 and "object-paths.json.gz" in stderr and "metadata" in stderr
    write_json_gz(tmp_path / "object-paths.json.gz", {})
    code, _, stderr = command(capsys, tmp_path, "--out", out)
    assert code == 1 and "has no metadata" in stderr
    assert command(capsys)[0] == 2 and command(capsys, tmp_path)[0] == 2
    assert not out.exists()


def test_a_damaged_shard_is_named_and_nothing_is_called_done(collection, tmp_path, capsys):
    shard = collection / "metadata/000-001.json.gz"
    shard.write_bytes(shard.read_bytes()[:-20])
    code, stdout, stderr = command(capsys, collection, "--out", tmp_path / "f")
    assert (code, stdout) == (1, "") and str(shard) in stderr
    assert not (tmp_path / "f/stage.json").exists()


def test_half_an_emoji_in_a_name_does_not_end_the_run(tmp_path, capsys):
    good, bad = annotation("a", "Chair \ud83d"), annotation("b", "Scan \ud83d")
    root, out = write_collection(tmp_path / "objs", [good, bad]), tmp_path / "f"
    assert command(capsys, root, "--out", out)[0] == 0
    assert [line["name"] for line in lines(out / "objects.jsonl")] == ["Chair \ud83d"]
    assert [line["name"] for line in lines(out / "rejected.jsonl")] == ["Scan \ud83d"]


def test_one_bad_annotation_does_not_end_the_run(tmp_path, capsys):
    annotations = [annotation("a"), annotation("b", tags=[]), annotation("c")]
    annotations[1].update(tags=None, categories="none", archives=None, faceCount="many", name=None)
    root = write_collection(tmp_path / "objs", annotations, shards=1)
    write_json_gz(root / "metadata/000-001.json.gz", {"d": "not an annotation"})
    out = tmp_path / "f"
    code, stdout, stderr = command(capsys, root, "--out", out)
    assert (code, stdout) == (3, f"{out}\n") and "failures.jsonl" in stderr
    assert [line["uid"] for line in lines(out / "objects.jsonl")] == ["a", "b", "c"]
    assert [(f["uid"], f["reason"]) for f in lines(out / "failures.jsonl")] == [
        ("d", "bad-annotation")
    ]
    assert command(capsys, root, "--out", out)[0] == 3


def test_paths_outside_the_collection_are_not_followed(tmp_path):
    root = write_collection(tmp_path / "objs", [annotation(uid) for uid in "abc"])
    (tmp_path / "secret.glb").write_bytes(b"glTF")
    paths = {"a": "../secret.glb", "b": str(tmp_path / "secret.glb"), "c": "glbs/000-000/c.glb"}
    write_json_gz(root / "object-paths.json.gz", paths)
    found = {record["uid"]: record["path"] for record in Collection(root).records()}
    assert found["a"] is None and found["b"] is None
    assert found["c"] == str(root.resolve() / "glbs/000-000/c.glb")


def test_the_folder_of_the_objaverse_package_is_found(tmp_path):
    write_collection(tmp_path / "hf-objaverse-v1", [annotation("a")])
    assert [record["uid"] for record in Collection(tmp_path).records()] == ["a"]


def test_every_spoiled_toy_is_found_and_no_good_one(tmp_path, capsys):
    from sdtool.toyverse.toys import generate

    out = tmp_path / "objs"
    assert run(["toyverse", "--out", str(out), "--count", "80", "--bad-share", "0.5"]) == 0
    toys = [generate(0, index, bad_share=0.5) for index in range(80)]
    command(capsys, out, "--out", tmp_path / "f")
    kept = {line["uid"] for line in lines(tmp_path / "f/objects.jsonl")}
    assert kept == {toy.uid for toy in toys if not toy.spoiled}
    assert len({toy.spoiled for toy in toys}) == 7  # every kind of flaw was there, and none


def test_words_are_compared_whole_and_without_punctuation():
    assert plain("Low-Poly") == plain("low_poly") == plain("LOW POLY") == "lowpoly"
    assert {"work", "workinprogress", "inprogressv2"} <= phrases("Work in progress v2")
    assert "pack" not in phrases("Backpack") and "lowpoly" in phrases("MyLowPoly")


@pytest.mark.skipif(not EXAMPLE.is_file(), reason=f"no real annotation at {EXAMPLE}")
def test_a_real_annotation_is_understood(tmp_path):
    real = json.loads(EXAMPLE.read_text())
    record = next(Collection(write_collection(tmp_path / "objs", [real])).records())
    assert record["name"] == "Iain_Dawson_Kew_Road_Formby"
    assert record["tags"] == ["stair", "staircase", "staircon"]
    assert record["faces"] == 14337 and record["license"] == "by"
