"""What filter-objaverse reads besides a collection: JSON in every form, long or short, and meshes."""

import gzip
import json

import numpy as np
import pytest
from collection_samples import annotation, write_collection

from sdtool.cli import run
from sdtool.filtering import sources
from sdtool.geometry.meshes import Mesh
from sdtool.io.objaverse import read_blocks
from sdtool.meshfiles import write_glb

TRIANGLE = Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
RULES = '[[rule]]\nname = "scan"\ntags = ["scan"]\n'


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def filtered(tmp_path, capsys):
    """A function: (source, …) → (exit code, objects, rejected, failures, stderr) of a filter run."""
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)

    def do(source, *more, out="f"):
        folder = tmp_path / out
        arguments = [source, "--out", folder, "--rules", rules, "--workers", 1, *more]
        code = run(["filter-objaverse", *map(str, arguments)])
        names = ("objects.jsonl", "rejected.jsonl", "failures.jsonl")
        found = [lines(folder / n) if (folder / n).is_file() else [] for n in names]
        return code, *found, capsys.readouterr().err

    return do


def uids(records):
    return [record["uid"] for record in records]


ANNOTATIONS = [annotation(f"u{n}", tags=["scan"] if n % 3 == 0 else ["cup"]) for n in range(20)]
KEPT = [f"u{n}" for n in range(20) if n % 3]


def as_lines(annotations):
    return "".join(json.dumps(a) + "\n" for a in annotations)


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.json", json.dumps({a["uid"]: a for a in ANNOTATIONS})),
        ("a.json", json.dumps(ANNOTATIONS, indent=2)),
        ("a.jsonl", as_lines(ANNOTATIONS)),
        ("a.jsonl", "\ufeff\n" + as_lines(ANNOTATIONS).replace("\n", "\r\n\n").rstrip()),
        ("a.ndjson", as_lines(ANNOTATIONS)),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_json_in_every_form(tmp_path, filtered, monkeypatch, name, text, packed, streamed):
    if streamed:  # as a file too long to be read whole
        monkeypatch.setattr(sources, "WHOLE", (0, 0))
        monkeypatch.setattr("sdtool.io.objaverse.BLOCK", 1500)
    raw = text.encode()
    path = tmp_path / (name + ".gz" if packed else name)
    path.write_bytes(gzip.compress(raw) if packed else raw)
    code, objects, rejected, failures, _ = filtered(path)
    assert (code, uids(objects), failures) == (0, KEPT, [])
    assert uids(rejected) == [a["uid"] for a in ANNOTATIONS if a["uid"] not in KEPT]


def test_a_folder_of_json_files_is_read_in_order(tmp_path, filtered):
    root = tmp_path / "annotations"
    root.mkdir()
    (root / "b.json").write_text(json.dumps(ANNOTATIONS[10:]))
    (root / "a.jsonl.gz").write_bytes(gzip.compress(as_lines(ANNOTATIONS[:10]).encode()))
    (root / "stage.json").write_text("{}")
    assert uids(filtered(root)[1]) == KEPT


def test_a_single_annotation_is_an_object(tmp_path, filtered):
    (tmp_path / "one.json").write_text(json.dumps(ANNOTATIONS[1]))
    assert uids(filtered(tmp_path / "one.json")[1]) == ["u1"]


def test_filters_can_be_chained_and_nothing_is_lost(tmp_path, filtered):
    code, objects, *_ = filtered(write_collection(tmp_path / "objs", ANNOTATIONS))
    extended = [{**line, "mine": {"rating": n}} for n, line in enumerate(objects)]
    listing = tmp_path / "listing"
    listing.mkdir()
    (listing / "objects.jsonl").write_text(as_lines(extended))
    for source, out in ((listing, "g"), (listing / "objects.jsonl", "h")):
        assert filtered(source, out=out)[1] == extended
    (tmp_path / "rules.toml").write_text(
        '[[rule]]\nname = "few"\nbelow = { bytes = 40_001 }\nhas_file = false\n'
    )
    assert len(filtered(listing, out="i")[2]) == len(KEPT)  # what the lines say is judged


def test_measures_of_a_wrong_type_are_not_known(tmp_path, filtered):
    line = {"uid": "x", "path": None, "readable": "no", "triangles": "many", "width": 2}
    (tmp_path / "a.jsonl").write_text(as_lines([line]))
    (tmp_path / "rules.toml").write_text(
        '[[rule]]\nname = "few"\nbelow = { triangles = 60 }\nreadable = false\n'
        '[[rule]]\nname = "wide"\nabove = { width = 1 }\n'
    )
    assert filtered(tmp_path / "a.jsonl")[2] == [{"uid": "x", "name": "", "rules": ["wide"]}]


def test_paths_in_lines_are_relative_to_their_file(tmp_path, filtered):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/objects.jsonl").write_text(
        as_lines([{"uid": "x", "path": "../meshes/x.glb"}, {"uid": "y", "path": None}])
    )
    objects = filtered(tmp_path / "a")[1]
    assert [line["path"] for line in objects] == [str(tmp_path / "meshes/x.glb"), None]


def test_a_folder_of_meshes_with_few_annotations(tmp_path, filtered):
    root = tmp_path / "meshes"
    for name in ("u1", "u2", "u3", "Oak_Scan"):
        (root / "sub").mkdir(parents=True, exist_ok=True)
        write_glb(root / "sub" / f"{name}.glb", TRIANGLE)
    (root / "annotations.json").write_text(json.dumps(ANNOTATIONS[1:4]))
    (tmp_path / "rules.toml").write_text(RULES.replace("tags", 'words = ["scan"]\ntags'))
    code, objects, rejected, _, _ = filtered(root)
    assert code == 0 and uids(objects) == ["u1", "u2"]
    assert [line["path"] for line in objects] == [f"{root}/sub/u1.glb", f"{root}/sub/u2.glb"]
    assert rejected == [
        {"uid": "u3", "name": "Wooden Chair", "rules": ["scan"]},
        {"uid": "Oak_Scan", "name": "Oak_Scan", "rules": ["scan"]},
    ]


def test_annotations_find_their_meshes_beside_them(tmp_path, filtered):
    write_glb(tmp_path / "u1.glb", TRIANGLE)
    (tmp_path / "a.jsonl").write_text(as_lines(ANNOTATIONS[1:3]))
    paths = {line["uid"]: line["path"] for line in filtered(tmp_path / "a.jsonl")[1]}
    assert paths == {"u1": f"{tmp_path}/u1.glb", "u2": None}


def test_a_bad_line_is_one_failure(tmp_path, filtered):
    path = tmp_path / "a.jsonl"
    good = as_lines(ANNOTATIONS[1:3])
    path.write_text(good + '{"uid": "u5"\n[1]\n{"name": "nobody"}\n' + as_lines(ANNOTATIONS[4:5]))
    code, objects, _, failures, _ = filtered(path)
    assert code == 3 and uids(objects) == ["u1", "u2", "u4"]
    assert {line["reason"] for line in failures} == {"bad-annotation"}
    assert uids(failures) == [f"{path}, line {n}" for n in (3, 4, 5)]


def test_the_same_uid_twice_is_kept_once(tmp_path, filtered):
    path = tmp_path / "a.jsonl"
    path.write_text(as_lines([*ANNOTATIONS[1:3], {**ANNOTATIONS[1], "name": "Other"}]))
    code, objects, _, failures, _ = filtered(path)
    assert code == 3 and [(o["uid"], o["name"]) for o in objects] == [
        ("u1", "Wooden Chair"),
        ("u2", "Wooden Chair"),
    ]
    assert [(f["uid"], f["reason"]) for f in failures] == [("u1", "repeated-uid")]


@pytest.mark.parametrize(
    "name, content, complaint",
    [
        ("a.json", b'{"u": {}', "is damaged"),
        ("a.json", b"7", "should hold a JSON object or list"),
        ("a.json.gz", gzip.compress(b"{}", mtime=0)[:-3], "is damaged"),
        ("a.jsonl.gz", b"not gzip", "is damaged"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_damaged_files_are_named(
    tmp_path, filtered, monkeypatch, name, content, complaint, streamed
):
    if streamed:
        monkeypatch.setattr(sources, "WHOLE", (0, 0))
    (tmp_path / name).write_bytes(content)
    code, objects, _, _, stderr = filtered(tmp_path / name)
    assert code == 1 and not objects and complaint in stderr and str(tmp_path / name) in stderr


def random_value(rng, depth=0):
    """Any JSON value, with brackets and quotation marks in its texts."""
    letters = 'a"\\{}[],: \né'
    text = "".join(letters[i] for i in rng.integers(0, len(letters), rng.integers(0, 8)))
    kind = rng.integers(0, 7)
    if depth > 3 or kind < 3:
        return [text, 1.5, None][kind % 3]
    if kind < 5:
        return {f"{text}{n}": random_value(rng, depth + 1) for n in range(rng.integers(0, 4))}
    return [random_value(rng, depth + 1) for _ in range(rng.integers(0, 4))]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_long_json_is_cut_between_entries(tmp_path, indent, ascii_only):
    rng = np.random.default_rng(0)
    for trial in range(150):
        count = rng.integers(0, 9)
        entries = [
            {"v": random_value(rng)} if rng.random() < 0.8 else random_value(rng)
            for _ in range(count)
        ]
        whole = {f'k"{n}': entry for n, entry in enumerate(entries)} if trial % 2 else entries
        text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only).encode() + b"\n"
        size = int(rng.integers(1, 60))
        blocks = (text[start : start + size] for start in range(0, len(text), size))
        pieces = [json.loads(piece) for piece in sources.json_entries(blocks, "text")]
        joined = {} if trial % 2 else []
        for piece in pieces:
            joined.update(piece) if trial % 2 else joined.extend(piece)
        assert joined == whole


def test_a_long_file_is_never_in_memory_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "WHOLE", (0, 0))
    text = json.dumps({a["uid"]: a for a in ANNOTATIONS})
    (tmp_path / "a.json").write_text(text)
    monkeypatch.setattr("sdtool.io.objaverse.BLOCK", 1500)
    assert max(map(len, read_blocks(tmp_path / "a.json"))) == 1500
    units = list(sources.Source(tmp_path / "a.json").units())
    assert len(units) > 3 and max(len(unit.text) for unit in units) < 3000
    assert [unit.number for unit in units] == list(range(len(units)))
