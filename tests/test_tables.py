"""Tables of others, joined by uid: `filter-objaverse --table`, its rules and the ready ones."""

import csv
import gzip
import json
from types import SimpleNamespace

import pytest
from collection_samples import annotation, write_collection

from sdtool.bench.corpus import write_corpus
from sdtool.cli import run
from sdtool.errors import InputError, UsageError
from sdtool.filtering.joining import join, parse_tables
from sdtool.filtering.parquet import write_parquet
from sdtool.filtering.rules import SHIPPED, choose_rules, read_rules
from sdtool.filtering.table_files import read_table, uid_in
from sdtool.filtering.values import WRONG, as_name, as_number, as_truth

UIDS = [f"{number:032x}" for number in range(6)]
PAGE = "https://sketchfab.com/3d-models/"


@pytest.fixture
def collection(tmp_path):
    return write_collection(tmp_path / "objs", [annotation(uid) for uid in UIDS])


@pytest.fixture
def command(capsys):
    def call(*arguments):
        workers = [] if "--print-rules" in arguments else ["--workers", "1"]
        code = run(["filter-objaverse", *map(str, arguments), *workers])
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=" ".join(captured.err.split()))

    return call


def write_rules(path, *lines):
    path.write_text('[[rule]]\nname = "mine"\n' + "\n".join(lines) + "\n")
    return path


def kept(out):
    return sorted(UIDS.index(json.loads(line)["uid"]) for line in (out / "objects.jsonl").open())


# Reading


TABLE = [(UIDS[0], 2.5, "a; b"), (UIDS[1], None, 'say "x"')]


def as_csv(path, rows, divide=",", **options):
    with open(path, "w", newline="", **options) as file:
        csv.writer(file, delimiter=divide).writerows([("UID", "score", "note"), *rows])


def as_objects(rows):
    return [dict(zip(("UID", "score", "note"), row, strict=True)) for row in rows]


def write_table(path):
    if path.suffix == ".csv":
        as_csv(path, TABLE, ";", encoding="utf-8-sig")
    elif path.suffix == ".tsv":
        as_csv(path, TABLE, "\t", encoding="utf-16")
    elif path.suffix == ".json":
        path.write_text(json.dumps(as_objects(TABLE), indent=1))
    elif path.suffix == ".gz":
        text = "".join(json.dumps(row) + "\n" for row in as_objects(TABLE))
        path.write_bytes(gzip.compress(text.encode()))
    else:
        pytest.importorskip("pyarrow")
        write_parquet(path, as_objects(TABLE))


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.json", "t.jsonl.gz", "t.parquet"])
def test_every_format_says_the_same(tmp_path, name):
    write_table(tmp_path / name)
    rows = list(read_table(tmp_path / name))
    assert [uid for uid, _ in rows] == UIDS[:2]
    assert [as_number(row["score"]) for _, row in rows] == [2.5, None]
    assert [row["note"] for _, row in rows] == ["a; b", 'say "x"']


@pytest.mark.parametrize(
    ("cell", "uid"),
    [
        (UIDS[3], UIDS[3]),
        (f"glbs/000-023/{UIDS[3]}.glb", UIDS[3]),
        (f"{PAGE}{UIDS[3]}", UIDS[3]),
        (f"{PAGE}a-red-chair-{UIDS[3]}/?utm=1", UIDS[3]),
        ("https://github.com/a/b/raw/chair.glb", ""),
        (" toy-0001 ", "toy-0001"),
        (7, "7"),
        (None, ""),
    ],
)
def test_a_uid_is_found_in_whatever_names_the_object(cell, uid):
    assert uid_in(cell) == uid


def test_json_may_be_a_dictionary_a_list_of_uids_or_an_index(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps({uid: {"score": n} for n, uid in enumerate(UIDS)}))
    assert list(read_table(path))[2] == (UIDS[2], {"score": 2})
    path.write_text(json.dumps(UIDS))
    assert list(read_table(path)) == [(uid, {}) for uid in UIDS]
    path.write_text(json.dumps({"0/10010": f"000-000/{UIDS[4]}.glb"}))
    assert list(read_table(path)) == [(UIDS[4], {"value": "0/10010"})]
    path.write_text(json.dumps({UIDS[5]: 90.0}))
    assert list(read_table(path)) == [(UIDS[5], {"value": 90.0})]


def test_rows_of_other_sites_are_known_by_their_sha256(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"{'a' * 64},{PAGE}{UIDS[2]}", f"{'b' * 64},https://github.com/a/b/raw/chair.glb"]
    path.write_text("\n".join(["sha256,file_identifier", *rows]))
    assert [uid for uid, _ in read_table(path)] == [UIDS[2], "b" * 64]


def test_a_csv_without_a_head_is_known_by_its_uids(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(f"000-005,{UIDS[0]}\n000-058,{UIDS[1]}\n")
    rows = list(read_table(path))
    assert rows[1] == (UIDS[1], {"column1": "000-058", "uid": UIDS[1]})
    assert [uid for uid, _ in rows] == UIDS[:2]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "name,score\na,1\n", "no column of uids, by one of the names uid,"),
        ("t.csv", f"uid,score\n{UIDS[0]},1,2\n", "row 2 has 3 cells for 2 columns"),
        ("t.csv", "uid,score,score\na,1,2\n", "two columns named score; rename one"),
        (
            "t.csv",
            'uid,said\na,"one\nb,two\nc,three\n',
            r"cannot be read after row 1 \(unexpected end",
        ),
        ("t.json", '[{"uid": "a"}', "is not valid JSON"),
        ("t.jsonl", '{"uid": "a"}\n{"uid"\n', "line 2 is not valid JSON"),
        ("t.parquet", "PAR", "cannot be read as Parquet"),
        ("t.xlsx", "", "ends in none of .csv, .tsv"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path, name, text, said):
    if name == "t.parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"{name}.*{said}"):
        list(read_table(tmp_path / name))


def test_values_are_what_they_say():
    assert [as_number(v) for v in (2, "2.5", " -1 ", "", None, "NaN", float("nan"))] == [
        2, 2.5, -1, None, None, None, None,
    ]  # fmt: skip
    assert [as_number(v) for v in (True, "high", [1])] == [WRONG] * 3
    assert [as_truth(v) for v in (True, "False", "yes", 0, "1", "", None)] == [
        True, False, True, False, True, None, None,
    ]  # fmt: skip
    assert as_truth("maybe") is as_truth(2) is WRONG
    assert as_name("2.0") == as_name(2) and as_name("Poor-quality ") == "poor-quality"
    assert as_name(True) == "true" and as_name("") is None


# Rules


@pytest.mark.parametrize(
    ("test", "left"),
    [
        ("below = { score = 2 }", [1, 2, 3, 4, 5]),  # who has no score is not below
        ("above = { score = 2 }", [0, 1, 3, 4, 5]),
        ('true = ["flat"]', [0, 2, 3, 4, 5]),
        ('false = ["flat"]', [1, 3, 4, 5]),
        ('one_of = { kind = ["CHAIR", 7] }', [1, 3, 4, 5]),
        ('false = ["listed"]', [0, 1, 2, 3]),
        ('effect = "require"\nabove = { score = 0.5 }', [1, 2]),
        ('effect = "require"\ntrue = ["listed"]', [0, 1, 2, 3]),
        ('effect = "require"\nbelow = { score = 1 }\nlicenses = ["cc0"]', [0]),
    ],
)
def test_columns_are_fields_of_rules(collection, command, tmp_path, test, left):
    (tmp_path / "t.csv").write_text(
        f"uid,score,flat,kind\n{UIDS[0]},0.25,no,chair\n{UIDS[1]},2,Yes,\n{UIDS[2]},3,0,7.0\n"
        f"{UIDS[3]},,,\n"
    )
    rules = write_rules(tmp_path / "r.toml", test)
    out = tmp_path / "f"
    done = command(collection, "--table", tmp_path / "t.csv", "--rules", rules, "--out", out)
    assert done.code == 0 and kept(out) == left, done.err
    assert "t.csv has a row of 4 of them" in done.err
    counts = json.loads((out / "stage.json").read_text())["counts"]
    assert counts["removed by mine"] == 6 - len(left) and counts["with a row in t.csv"] == 4


def test_a_prefix_tells_two_tables_apart(collection, command, tmp_path):
    for name, score in (("a.csv", 1), ("b.csv", 5)):
        (tmp_path / name).write_text(f"uid,score\n{UIDS[0]},{score}\n{UIDS[2]},{6 - score}\n")
    tables = ("--table", tmp_path / "a.csv", "--table", f"{tmp_path}/b.csv:bb")
    rules = write_rules(tmp_path / "r.toml", "below = { bb.score = 2, score = 0 }")
    out = tmp_path / "f"
    assert command(collection, *tables, "--rules", rules, "--out", out).code == 0
    assert kept(out) == [0, 1, 3, 4, 5]
    plain = ("--table", tmp_path / "a.csv", "--table", tmp_path / "b.csv")
    rules = write_rules(tmp_path / "r.toml", "below = { score = 2 }")
    done = command(collection, *plain, "--rules", rules, "--dry-run")
    assert done.code == 1 and "score is a column of a.csv and b.csv; give one a prefix" in done.err


def test_explain_shows_the_rows_and_what_they_meet(collection, command, tmp_path):
    (tmp_path / "t.csv").write_text(f"uid,score,is_scene\n{UIDS[0]},1,true\n")
    rules = write_rules(tmp_path / "r.toml", 'below = { score = 2 }\ntrue = ["is_scene"]')
    options = ("--table", tmp_path / "t.csv", "--rules", rules, "--explain")
    done = command(collection, *options, UIDS[0])
    assert "is removed by mine mine (remove): score = 1 is below 2; is_scene is true" in done.err
    assert f"t.csv: listed = true, uid = {UIDS[0]}, score = 1, is_scene = true" in done.err
    done = command(collection, *options, UIDS[1])
    assert "is kept" in done.err and "t.csv: has no row of it" in done.err


def test_of_repeated_rows_the_last_holds_and_they_are_counted(collection, command, tmp_path):
    (tmp_path / "t.csv").write_text(f"uid,score\n{UIDS[0]},1\n{UIDS[0]},5\n{UIDS[2]},x\n,4\n")
    rules = write_rules(tmp_path / "r.toml", "below = { score = 2 }")
    done = command(collection, "--table", tmp_path / "t.csv", "--rules", rules, "--dry-run")
    assert "6 of 6 objects kept" in done.err
    assert "1 repeated uid; the last row of each holds" in done.err
    assert "of no object, and left out: 1 of 4 rows" in done.err
    assert "1 values of score are no number, such as x; they count as not known" in done.err


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (
            "below = { scor = 2 }",
            "rule mine: no table has the column scor; t.csv has uid, score, k",
        ),
        ("below = { kind = 2 }", "kind is compared as a number, and none of its 2 values is one"),
        ('true = ["kind"]', "kind is compared as a truth, and none of its 2 values is one, such"),
        ('one_of = { kind = "a" }', "should be a list of texts"),
        ('true = "kind"', "is not understood"),
        ("below = { score = nan }", "nan } is not understood"),
    ],
)
def test_a_rule_that_a_table_cannot_answer_is_an_error(collection, command, tmp_path, test, said):
    (tmp_path / "t.csv").write_text(f"uid,score,kind\n{UIDS[0]},1,a\n{UIDS[1]},2,b\n")
    rules = write_rules(tmp_path / "r.toml", test)
    done = command(collection, "--table", tmp_path / "t.csv", "--rules", rules, "--dry-run")
    assert done.code == 1 and said in done.err


def test_columns_without_a_table_are_an_error(collection, command, tmp_path):
    rules = write_rules(tmp_path / "r.toml", "below = { score = 2 }")
    done = command(collection, "--rules", rules, "--dry-run")
    assert done.code == 1 and "score is not understood" in done.err and "--table FILE" in done.err


def test_a_column_that_sdtool_has_itself_is_said_to_be_hidden(tmp_path):
    (tmp_path / "t.csv").write_text(f"uid,faces,score\n{UIDS[0]},1,1\n")
    rules = read_rules(write_rules(tmp_path / "r.toml", "below = { faces = 2, score = 0 }"))
    (note,) = join(parse_tables([str(tmp_path / "t.csv")]), rules, tmp_path / "p").notes
    assert "faces in rules means what sdtool knows" in note


def test_the_second_pass_joins_too(command, tmp_path):
    from trimesh.creation import icosphere

    (tmp_path / "objs").mkdir()
    for uid in UIDS[:2]:
        icosphere().export(tmp_path / "objs" / f"{uid}.stl")
    (tmp_path / "t.json").write_text(json.dumps([UIDS[0]]))
    rules = write_rules(tmp_path / "r.toml", 'effect = "require"\ntrue = ["listed"]')
    options = ("--table", tmp_path / "t.json", "--rules", rules, "--inspect")
    assert command(tmp_path / "objs", *options, "--out", tmp_path / "f").code == 0
    assert kept(tmp_path / "f") == [0]


def test_a_changed_table_is_another_input(collection, command, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(UIDS))
    options = (collection, "--table", tmp_path / "t.json", "--out", tmp_path / "f")
    assert command(*options).code == 0 and "already" in command(*options).err
    (tmp_path / "t.json").write_text(json.dumps(UIDS[:2]))
    done = command(*options)
    assert done.code == 2 and "its input has changed: table t.json" in done.err


def test_two_tables_need_two_names():
    assert [t.prefix for t in parse_tables(["a.csv", "a.csv:x", "b:c/d.csv"])] == ["", "x", ""]
    with pytest.raises(UsageError, match="two tables have the name a.csv"):
        parse_tables(["x/a.csv", "y/a.csv"])


@pytest.mark.parametrize("prefix, said", [("", "is empty"), ("1x", "1x is no word")])
def test_a_prefix_that_is_no_name_is_said(tmp_path, monkeypatch, prefix, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("uid,score\n")
    with pytest.raises(UsageError, match=f"the prefix {said}.*; write a.csv, or a.csv:PREFIX"):
        parse_tables([f"a.csv:{prefix}"])
    (tmp_path / f"a.csv:{prefix}").write_text("uid,score\n")  # unless a file has that very name
    assert parse_tables([f"a.csv:{prefix}"])[0].prefix == ""


# Ready rules, on small tables in the layouts that were published


def write_published(folder, name):
    """A table as `name` publishes it, and what its rules leave of UIDS: (path, numbers)."""
    if name == "objaverse-plus-plus":
        keys = ("UID", "score", "is_multi_object", "is_scene", "is_transparent", "density")
        values = [
            (3, "false", "false", "true"), (1, "false", "false", "false"),
            (2, "true", "false", "false"), (2, "false", "true", "false"),
        ]  # fmt: skip
        rows = [(uid, *v, "mid") for uid, v in zip(UIDS, values, strict=False)]
        path = folder / "annotated.json"
        path.write_text(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
        return path, [0, 4, 5]
    if name == "trellis-500k":
        path = folder / "ObjaverseXL_sketchfab.csv"
        captions = '"[""a chair, red"", ""a chair""]"'
        lines = [f"{n:064x},{PAGE}{UIDS[n]},{5 + 0.4 * n},{captions}" for n in (0, 2, 3)]
        path.write_text("\n".join(["sha256,file_identifier,aesthetic_score,captions", *lines]))
        return path, [2, 3]
    if name == "objaverse-filter":
        path = folder / "kiuisobj_v1_merged_80K.csv"
        path.write_text(f"000-005,{UIDS[1]}\n000-058,{UIDS[4]}\n")
        return f"{path}:lgm", [1, 4]
    labels = ["Animals", "Poor-quality", "Buildings&&Outdoor", "Furnitures"]
    path = folder / "category_annotation.json"
    pairs = zip(UIDS, labels, strict=False)
    path.write_text(
        json.dumps([{"object_index": f"{u}.glb", "label": label} for u, label in pairs])
    )
    return path, [0, 3, 4, 5]


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "default"])
def test_ready_rules_fit_the_published_tables(collection, command, tmp_path, name):
    path, left = write_published(tmp_path, name)
    options = ("--table", path, "--rules", f"default,{name}", "--out", tmp_path / "f")
    done = command(collection, *options)
    assert done.code == 0 and kept(tmp_path / "f") == left, done.err
    text = (tmp_path / "f" / "rules.toml").read_text()
    assert 'name = "scan"' in text and SHIPPED[name].read_text() in text
    assert command("--rules", f"default,{name}", "--print-rules").out == text


def test_rules_are_named_or_files(tmp_path):
    mine = write_rules(tmp_path / "my.toml", 'tags = ["a"]')
    assert choose_rules(f"default, {mine}") == [SHIPPED["default"], mine]
    with pytest.raises(UsageError, match="defualt is neither a file of rules nor one of default,"):
        choose_rules("defualt")


@pytest.mark.slow
def test_the_table_of_rules_adds_up_on_a_made_corpus(command, tmp_path):
    """Every object is kept, rejected or failed, and each rule's counts are those of its own tests."""
    root = tmp_path / "objs"
    write_corpus(root, 1600, files=False)
    paths = json.loads(gzip.decompress((root / "object-paths.json.gz").read_bytes()))
    labels = ["Animals"] * 6 + ["Poor-quality"] * 2 + ["Buildings&&Outdoor"] * 2
    known = [uid for n, uid in enumerate(paths) if n % 4]
    path = tmp_path / "category_annotation.json"
    rows = [{"object_index": f"{uid}.glb", "label": labels[n % 10]} for n, uid in enumerate(known)]
    path.write_text(json.dumps(rows))
    rules = tmp_path / "r.toml"
    rules.write_text(SHIPPED["default"].read_text().replace("has_file = false", 'uids = ["none"]'))
    options = ("--table", path, "--rules", f"{rules},g-objaverse", "--out", tmp_path / "f")
    assert command(root, *options).code == 0
    counts = json.loads((tmp_path / "f" / "stage.json").read_text())["counts"]
    assert counts["seen"] == 1600 == counts["ok"] + counts["rejected"] + counts["failed"]
    assert counts["with a row in category_annotation.json"] == len(known)
    rejected = [json.loads(line)["rules"] for line in (tmp_path / "f" / "rejected.jsonl").open()]
    assert len(rejected) == counts["rejected"]
    for name in ("g-poor-quality", "g-outdoor", "scan", "few-faces"):
        assert counts[f"removed by {name}"] == sum(name in met for met in rejected) > 0
        assert counts[f"removed only by {name}"] == sum(met == [name] for met in rejected)
    assert counts["removed by g-poor-quality"] == sum(r["label"] == labels[6] for r in rows)


def test_all_ready_rules_go_together(collection, command, tmp_path):
    names = [name for name in SHIPPED if name != "default"]
    tables = [part for name in names for part in ("--table", write_published(tmp_path, name)[0])]
    done = command(collection, *tables, "--rules", ",".join(SHIPPED), "--dry-run")
    assert done.code == 0 and "0 of 6 objects kept" in done.err  # none is in all four
