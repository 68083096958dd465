"""filter-objaverse through the command line: annotations, rules, rerun and resume.

Files that are fetched or inspected have tests of their own.
"""

import json

import pytest
from assets import EXAMPLE
from collection_samples import annotation, write_collection, write_json_gz
from killed import kill_at

from sdtool.bench.corpus import write_corpus
from sdtool.cli import run
from sdtool.filtering.matching import RuleMatcher
from sdtool.filtering.rules import DEFAULT_RULES, phrases, plain, read_rules
from sdtool.filtering.sources import Source
from sdtool.io.objaverse import Collection
from sdtool.io.objaverse_annotations import read_annotations
from sdtool.io.objects import ObjectRecord

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
    "heavy": (annotation("heavy", bytes=500_000_001), ["large-file"]),
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
    active = {rule.name for rule in read_rules(DEFAULT_RULES) if not rule.only_measured}
    assert {rule for rules in rejected.values() for rule in rules} == active


def test_objects_jsonl_says_what_later_stages_need(collection, tmp_path, capsys):
    command(capsys, collection, "--out", tmp_path / "filtered")
    record = next(r for r in lines(tmp_path / "filtered/objects.jsonl") if r["uid"] == "good")
    assert record["path"] == str(collection.resolve() / "glbs/000-000/good.glb")
    assert record["name"] == "Red Chair" and record["tags"] == ["chair", "interior"]
    assert record["lvis"] == ["chair"] and record["categories"] == []
    assert (record["license"], record["faces"], record["vertices"]) == ("by", 1000, 502)
    assert (record["bytes"], record["animations"]) == (40_000, 0)


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
    assert (code, stdout) == (2, "") and "files on disk" in stderr
    assert command(capsys, collection, "--out", out, "--overwrite")[0] == 0
    assert "gone" in [line["uid"] for line in lines(out / "objects.jsonl")]
    write_json_gz(collection / "metadata/000-002.json.gz", {})
    code, stdout, stderr = command(capsys, collection, "--out", out)
    assert (code, stdout) == (2, "") and "its input has changed: metadata" in stderr


def test_the_result_does_not_depend_on_the_number_of_processes(collection, tmp_path, capsys):
    for workers in (1, 3):
        code, _, _ = command(
            capsys, collection, "--out", tmp_path / f"{workers}", "--workers", workers
        )
        assert code == 0
    for name in ("objects.jsonl", "rejected.jsonl"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()
    assert not (tmp_path / "3/parts").exists()


@pytest.mark.slow
def test_a_killed_run_is_continued_and_nothing_done_twice(tmp_path, capsys):
    root, out, calm = tmp_path / "corpus", tmp_path / "f", tmp_path / "calm"
    write_corpus(root, 16_000, files=False)
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "scan"\ntags = ["scan"]\n')
    arguments = (root, "--rules", rules, "--workers", 2)
    assert command(capsys, *arguments, "--out", calm)[0] == 0

    def done():
        return sorted((out / "parts").glob("*.tally.json"))

    kill_at(["filter-objaverse", *arguments, "--out", out], "filtering", 5 * 100)
    assert 5 <= len(done()) < 160 and not (out / "objects.jsonl").exists()
    marked = done()[2].with_name(done()[2].name.replace("tally.json", "objects.jsonl"))
    with open(marked, "a") as file:
        file.write('{"uid": "this part was not made again"}\n')
    assert command(capsys, *arguments, "--out", out)[0] == 0
    found, expected = lines(out / "objects.jsonl"), lines(calm / "objects.jsonl")
    mark = {"uid": "this part was not made again"}
    assert mark in found and [line for line in found if line != mark] == expected
    assert (out / "rejected.jsonl").read_bytes() == (calm / "rejected.jsonl").read_bytes()
    records = [json.loads((folder / "stage.json").read_text()) for folder in (out, calm)]
    assert records[0]["counts"] == records[1]["counts"] and records[0]["counts"]["seen"] == 16_000
    assert sorted(p.name for p in out.iterdir()) == [
        "objects.jsonl", "rejected.jsonl", "rules.toml", "stage.json",
    ]  # fmt: skip


def test_an_unfinished_run_of_other_rules_is_not_mixed_in(collection, tmp_path, capsys):
    out, rules = tmp_path / "f", tmp_path / "my.toml"
    shard = collection / "metadata/000-001.json.gz"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-20])  # the first shard is done, the second stops the run
    assert command(capsys, collection, "--out", out, "--workers", 1)[0] == 1
    assert list((out / "parts").glob("*.tally.json"))
    shard.write_bytes(whole)
    rules.write_text('[[rule]]\nname = "all"\nabove = { faces = -1 }\n')
    code, _, stderr = command(capsys, collection, "--out", out, "--rules", rules)
    assert code == 2 and "--overwrite" in stderr
    assert command(capsys, collection, "--out", out, "--rules", rules, "--overwrite")[0] == 0
    assert lines(out / "objects.jsonl") == [] and len(lines(out / "rejected.jsonl")) == len(OBJECTS)


# Rules


def with_rules(tmp_path, text):
    path = tmp_path / "my.toml"
    path.write_text(text)
    return path


def test_rules_of_ones_own(collection, tmp_path, capsys):
    rules = with_rules(
        tmp_path,
        '[[rule]]\nname = "no chairs"\nlvis = ["Chair"]\n'
        '[[rule]]\nname = "still"\nabove = { animations = 0 }\n'
        '[[rule]]\nname = "asleep"\nenabled = false\nabove = { faces = 1 }\n',
    )
    code, stdout, _ = command(
        capsys, collection, "--out", tmp_path / "f", "--rules", rules, "--json"
    )
    assert code == 0
    counts = json.loads(stdout)["counts"]
    assert (counts["removed by no chairs"], counts["removed by still"]) == (1, 1)
    assert counts["rejected"] == 2 and "removed by asleep" not in counts
    assert (tmp_path / "f/rules.toml").read_text() == rules.read_text()


def test_required_and_kept_objects(tmp_path, capsys):
    annotations = [
        annotation("free", license="cc0"),
        annotation("sold", license="by-nc"),
        annotation("saved", tags=["scan"], license="by-nc"),
        annotation("listed", tags=["scan"], license="cc0"),
        annotation("absent", license="by-nc"),
        annotation("unknown", license=None),
    ]
    root = write_collection(
        tmp_path / "objs", annotations, lvis={"cup": ["saved", "absent"]}, absent=["absent"]
    )
    rules = with_rules(
        tmp_path,
        '[[rule]]\nname = "free"\neffect = "require"\nlicenses = ["CC0", "by"]\n'
        '[[rule]]\nname = "scan"\ntags = ["scan"]\n'
        '[[rule]]\nname = "good"\neffect = "keep"\nin_lvis = true\nuids = ["listed"]\n'
        '[[rule]]\nname = "gone"\nhas_file = false\n',
    )
    out = tmp_path / "f"
    code, stdout, stderr = command(capsys, root, "--out", out, "--rules", rules, "--json")
    assert code == 0 and "good (keeps)" in stderr
    assert {line["uid"] for line in lines(out / "objects.jsonl")} == {"free", "saved", "listed"}
    assert {line["uid"]: line["rules"] for line in lines(out / "rejected.jsonl")} == {
        "sold": ["free"],
        "unknown": ["free"],
        "absent": ["free", "gone"],  # without a file there is nothing to keep
    }
    counts = json.loads(stdout)["counts"]
    assert (counts["kept by good"], counts["kept only by good"]) == (3, 2)
    assert (counts["removed by free"], counts["removed only by free"]) == (4, 2)
    assert (counts["removed by scan"], counts["removed only by scan"]) == (2, 0)
    assert (counts["removed by gone"], counts["removed only by gone"]) == (1, 1)


def test_ranges_leave_out_what_is_not_known(tmp_path, capsys):
    sizes = {"small": 10, "right": 100, "large": 1000, "unknown": None}
    annotations = [annotation(uid, faces=faces) for uid, faces in sizes.items()]
    root = write_collection(tmp_path / "objs", annotations)
    text = '[[rule]]\nname = "size"\nbelow = { faces = 100 }\nabove = { faces = 100, vertices = 1e9 }\n'
    rules, out = with_rules(tmp_path, text), tmp_path / "f"
    assert command(capsys, root, "--out", out, "--rules", rules)[0] == 0
    assert {line["uid"] for line in lines(out / "objects.jsonl")} == {"right", "unknown"}


def test_the_fast_matcher_agrees_with_the_plain_reading_of_the_rules(tmp_path):
    write_corpus(tmp_path, 3200, files=False)
    rules = read_rules(DEFAULT_RULES)
    matcher, seen = RuleMatcher(rules), 0
    for unit in Source(tmp_path).units():
        for record in unit.read():
            found = matcher.bits(record, False)
            seen = seen | found
            expected = [bool(rule.hits(record, False, None)) for rule in rules]
            assert [bool(found >> n & 1) for n in range(len(rules))] == expected
    assert bin(seen).count("1") >= 10  # most rules were met


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
        ('[[rule]]\nname = "a"\nbelow = { faces = "9" }\n', "faces = '9'"),
        ('[[rule]]\nname = "a"\nabove = { fases = 9 }\n', "fases"),
        ('[[rule]]\nname = "a"\nbelow = 9\n', "below = 9"),
        ('[[rule]]\nname = "a"\nhas_file = "no"\n', "has_file"),
        ('[[rule]]\nname = "a"\neffect = "drop"\nhas_file = false\n', "effect = 'drop'"),
        ('[[rule]]\nname = "a"\nenabled = 1\nhas_file = false\n', "enabled = 1"),
        ('[[rule]]\nname = "a"\ntags = ["-"]\n', "no test"),
        ('[[rule]]\nname = "a"\n', "no test"),
        ("[[rule]]\ntags = []\n", "rule 1 has no name"),
        ('[[rule]]\nname = "a"\nhas_file = true\n' * 2, "two rules named a"),
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
    out, root = tmp_path / "f", tmp_path / "objs"
    code, _, stderr = command(capsys, root, "--out", out)
    assert code == 1 and f"{root} does not exist" in stderr
    root.mkdir()
    code, _, stderr = command(capsys, root, "--out", out)
    assert code == 1 and "holds no annotations" in stderr and "objaverse package" in stderr
    write_json_gz(root / "object-paths.json.gz", {})
    code, _, stderr = command(capsys, root, "--out", out)
    assert code == 1 and "has no metadata" in stderr
    (root / "object-paths.json.gz").unlink()
    write_json_gz(root / "metadata/000-000.json.gz", {})
    code, _, stderr = command(capsys, root, "--out", out)
    assert code == 1 and "has no object-paths.json.gz" in stderr
    code, _, stderr = command(capsys, __file__, "--out", out)
    assert code == 1 and "no JSON file" in stderr
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "SOURCE"),
        (["x"], "--out"),
        (["x", "--dry-run", "--inspect"], "--inspect"),
        (["x", "--dry-run", "--fetch"], "--fetch"),
        (["x", "--out", "y", "--mirror", "z"], "--fetch"),
        (["x", "--out", "y", "--workers", "-1"], "--workers"),
    ],
)
def test_wrong_usage(capsys, tmp_path, monkeypatch, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = command(capsys, *arguments)
    assert (code, stdout) == (2, "") and complaint in stderr


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
    root = write_collection(tmp_path / "objs", [annotation(uid) for uid in "abcd"])
    (tmp_path / "secret.glb").write_bytes(b"glTF")
    paths = {"a": "../secret.glb", "b": str(tmp_path / "secret.glb"), "c": "glbs/000-000/c.glb"}
    paths["d"] = None
    write_json_gz(root / "object-paths.json.gz", paths)
    found = {record.uid: record.path for record in Collection(root).records()}
    assert found["a"] is None and found["b"] is None and found["d"] is None
    assert found["c"] == str(root.resolve() / "glbs/000-000/c.glb")


def test_the_folder_of_the_objaverse_package_is_found(tmp_path):
    write_collection(tmp_path / "hf-objaverse-v1", [annotation("a")])
    assert [record.uid for record in Collection(tmp_path).records()] == ["a"]


def test_every_spoiled_toy_is_found_and_no_good_one(tmp_path, capsys):
    from sdtool.toyverse.toys import generate

    out = tmp_path / "objs"
    assert run(["toyverse", "--out", str(out), "--count", "80", "--bad-share", "0.5"]) == 0
    toys = [generate(0, index, bad_share=0.5) for index in range(80)]
    command(capsys, out, "--out", tmp_path / "f")
    kept = {line["uid"] for line in lines(tmp_path / "f/objects.jsonl")}
    assert kept == {toy.uid for toy in toys if not toy.spoiled}
    assert len({toy.spoiled for toy in toys}) == 7  # every kind of flaw was there, and none


# One object, and no files


def test_explain_says_which_tests_are_met(collection, tmp_path, capsys):
    code, stdout, stderr = command(capsys, collection, "--explain", "scan2")
    assert (code, stdout) == (0, f"{collection.resolve()}/glbs/000-000/scan2.glb\n")
    assert "is removed by point-cloud, scan" in stderr
    assert 'scan (remove): tags has "3d-scan"' in stderr and 'tags has "lidar"' in stderr
    code, _, stderr = command(capsys, collection, "--explain", "low2")
    assert code == 0 and 'the name "LowPolyTree_01" holds "lowpoly"' in stderr
    code, _, stderr = command(capsys, collection, "--explain", "many")
    assert code == 0 and "faces = 1,000,001 is above 1,000,000" in stderr
    code, stdout, stderr = command(capsys, collection, "--explain", "good", "--json")
    assert code == 0 and '"Red Chair" is kept' in stderr and "no rule" in stderr
    said = json.loads(stdout)
    assert said["kept"] and said["rules"] == [] and said["object"]["lvis"] == ["chair"]
    code, stdout, stderr = command(capsys, collection, "--explain", "nobody")
    assert (code, stdout) == (1, "") and "has no object nobody" in stderr


def test_explain_a_required_rule(collection, tmp_path, capsys):
    text = (
        '[[rule]]\nname = "mine"\neffect = "require"\nuids = ["good"]\nabove = { faces = 5000 }\n'
    )
    rules = with_rules(tmp_path, text)
    code, stdout, stderr = command(
        capsys, collection, "--explain", "low", "--rules", rules, "--json"
    )
    assert code == 0 and "meets none of: uids among 1 given, faces above 5,000" in stderr
    assert json.loads(stdout)["rules"] == [{"rule": "mine", "effect": "require", "tests": []}]


def test_every_explanation_agrees_with_the_run(collection, tmp_path, capsys):
    command(capsys, collection, "--out", tmp_path / "f")
    rejected = {line["uid"]: line["rules"] for line in lines(tmp_path / "f/rejected.jsonl")}
    for uid in OBJECTS:
        _, stdout, _ = command(capsys, collection, "--explain", uid, "--json")
        said = json.loads(stdout)
        assert [rule["rule"] for rule in said["rules"]] == rejected.get(uid, [])
        assert said["kept"] is (uid not in rejected)


def test_a_dry_run_shows_the_table_and_writes_nothing(collection, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, stdout, stderr = command(capsys, collection, "--dry-run", "--json")
    assert code == 0 and sorted(tmp_path.rglob("*")) == before
    _, written, table = command(capsys, collection, "--out", tmp_path / "f", "--json")
    assert json.loads(stdout)["counts"] == json.loads(written)["counts"] and stderr == table


# Words, and a real annotation


def test_words_are_compared_whole_and_without_punctuation():
    assert plain("Low-Poly") == plain("low_poly") == plain("LOW POLY") == "lowpoly"
    assert {"work", "workinprogress", "inprogressv2"} <= phrases("Work in progress v2")
    assert "pack" not in phrases("Backpack") and "lowpoly" in phrases("MyLowPoly")


@pytest.mark.skipif(not EXAMPLE.is_file(), reason=f"no real annotation at {EXAMPLE}")
def test_a_real_annotation_is_understood(tmp_path):
    real = json.loads(EXAMPLE.read_text())
    root = write_collection(tmp_path / "objs", [real])
    record = next(Collection(root).records()).as_dict()
    assert record["name"] == "Iain_Dawson_Kew_Road_Formby"
    assert record["tags"] == ["stair", "staircase", "staircon"]
    assert record["faces"] == 14337 and record["license"] == "by"
    assert record["bytes"] == 1546940 and record["vertices"] == 19008
    (fast,) = read_annotations(json.dumps({real["uid"]: real}).encode(), "fast")
    (slow,) = read_annotations(json.dumps({real["uid"]: {**real, "name": None}}).encode(), "slow")
    slow.name = fast.name
    assert isinstance(fast, ObjectRecord) and fast.as_dict() == slow.as_dict()
    assert fast.as_dict() == {**record, "path": None}
