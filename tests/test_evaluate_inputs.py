"""evaluate: what is evaluated, and who says what it was made from: tables, lists, extras, names."""

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from shape_samples import box

from sdtool.cli import run as sdtool
from sdtool.errors import InputError
from sdtool.evaluating.assets import Asset, category_of, find_assets, told_apart
from sdtool.evaluating.evaluation import keys_of
from sdtool.evaluating.inputs import gather
from sdtool.evaluating.measuring import Eyes
from sdtool.evaluating.prompts import prompt_in_name, with_prompts
from sdtool.evaluating.table import read_table
from sdtool.meshfiles import write_glb
from sdtool.toyverse.catalogue import CATEGORIES

CUBE = box([0, 0, 0], [1, 1, 1])


def save(path, **extras):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_glb(path, CUBE, extras=extras)
    return path


def known(path, *listed, method="ours"):
    (asset,) = with_prompts([Asset(path, method)], listed)
    return asset.prompt, asset.prompt_from


# Names


@pytest.mark.parametrize(
    "name, prompt",
    [
        ("corgi_01", "a corgi"),
        ("red_chair", "a red chair"),
        ("chair_A_wood", "a wooden chair"),
        ("a-corgi-wearing-a-red-scarf", "a corgi wearing a red scarf"),
        ("A_Blue_Horse_seed3", "a blue horse"),
        ("012_a tall red chair", "a tall red chair"),
        ("an-owl--0a1b2c3d", "an owl"),
        ("a-taxi", "a taxi"),
        ("king", "a king"),
        ("model", ""),
        ("mesh_0001", ""),
        ("a_model", ""),
        ("Cube", ""),
        ("final-output.v2", ""),
        ("suzanne", ""),
        ("00012", ""),
        ("", ""),
    ],
)
def test_a_name_is_a_prompt_if_it_names_a_thing(name, prompt):
    assert prompt_in_name(name) == prompt


def test_every_kind_of_the_toyverse_is_read_from_a_name():
    assert [c for c in CATEGORIES if category_of(prompt_in_name(f"{c}_03")) != c] == []
    assert category_of(prompt_in_name("suzanne")) == category_of(prompt_in_name("a-taxi")) == ""


def test_who_says_what_it_is_in_order(tmp_path):
    plain = save(tmp_path / "ours" / "red_chair_2.glb")
    assert known(plain) == ("a red chair", "file name")
    assert known(plain, "a corgi", "Red chair!") == ("Red chair!", "list")
    told = save(tmp_path / "ours" / "red_chair.glb", prompt="a throne", seed=4)
    assert known(told, "red chair") == ("a throne", "extras")
    (asset,) = with_prompts([Asset(told, "ours", prompt="a stool", prompt_from="table")])
    assert (asset.prompt, asset.prompt_from, asset.seed) == ("a stool", "table", 4)


@pytest.mark.parametrize(
    "name, seed",
    [
        ("corgi_seed3", 3),
        ("a-corgi-seed-10", 10),
        ("A Corgi Seed 07", 7),
        ("seed3", 3),
        ("corgi_seed3--0a1b2c3d", 3),
        ("corgi_3", None),
        ("corgi_seed", None),
        ("corgi_seed3b", None),
        ("corgi_seed3_v2", None),
        ("corgi_linseed3", None),
        (f"corgi_seed{'1' * 19}", None),
    ],
)
def test_a_name_may_end_with_its_seed(tmp_path, name, seed):
    path = save(tmp_path / "ours" / f"{name}.glb")
    for given in (Asset(path, "ours"), Asset(path, "ours", prompt="a cat", prompt_from="table")):
        assert with_prompts([given])[0].seed == seed
    (asset,) = with_prompts([Asset(path, "ours", seed=5)])
    assert asset.seed == 5  # the table's
    told = save(tmp_path / "theirs" / f"{name}.glb", seed=6)
    assert with_prompts([Asset(told, "theirs")])[0].seed == 6  # its extras'


def test_a_folder_names_the_seed_of_a_file_whose_name_says_nothing(tmp_path):
    path = save(tmp_path / "ours" / "a-corgi_seed4" / "mesh.glb")
    (asset,) = with_prompts([Asset(path, "ours")], ["a corgi"])
    assert (asset.prompt, asset.seed) == ("a corgi", 4)


def test_a_folder_speaks_for_a_file_whose_name_says_nothing(tmp_path):
    vague = save(tmp_path / "ours" / "a-red-chair" / "model_0.glb")
    assert known(vague) == ("a red chair", "file name")
    assert known(vague, "a red chair") == ("a red chair", "list")
    sure = save(tmp_path / "ours" / "a-red-chair" / "corgi.glb")
    assert known(sure)[0] == "a corgi"
    assert known(save(tmp_path / "chair" / "model.glb"), method="chair") == ("", "")  # the method


def test_the_extras_of_a_scene_are_heard_and_hostile_ones_are_not(tmp_path):
    path = save(tmp_path / "ours" / "x1.glb")
    data = path.read_bytes()
    length = struct.unpack("<I", data[12:16])[0]
    tree = json.loads(data[20 : 20 + length])

    def rewrite(**changes):
        text = json.dumps(tree | changes).encode()
        text += b" " * (-len(text) % 4)
        rest = data[20 + length :]
        head = struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
        path.write_bytes(head + struct.pack("<I4s", len(text), b"JSON") + text + rest)

    scene = tree["scenes"][0]
    rewrite(scenes=[scene | {"extras": {"prompt": "a throne"}}])
    assert known(path) == ("a throne", "extras")
    for bad in ({"prompt": ["a"]}, {"prompt": " "}, "a throne", 7):
        rewrite(scenes=[scene | {"extras": bad}])
        assert known(path) == ("", "")
    path.write_bytes(b"glTF not really")
    assert known(path) == ("", "")


# Folders and tables


def test_with_the_protocol_each_path_is_a_method(tmp_path):
    for name in ("a/out/a-corgi/mesh.glb", "b/out/s0/corgi.glb", "theirs/corgi.glb"):
        save(tmp_path / name)
    paths = [tmp_path / name for name in ("a/out", "b/out", "theirs")]
    found = find_assets(paths, by_path=True)
    assert [one.method for one in found] == ["a/out", "b/out", "theirs"]
    assert [one.method for one in find_assets(paths)] == ["a-corgi", "s0", "theirs"]
    assert [one.prompt for one in gather(paths, tmp_path / "report", by_path=True)] == [
        "a corgi"
    ] * 3


@pytest.mark.parametrize("given", ["fg fg/a", "fg/a fg", "fg fg/a/corgi.glb", "fg h"])
def test_a_file_of_two_methods_is_refused(given, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(Path("fg/a/corgi.glb"))
    Path("h").mkdir()
    Path("h/corgi.glb").symlink_to("../fg/a/corgi.glb")
    Path("p.txt").write_text("a corgi\n", encoding="utf-8")
    paths = given.split()
    assert sdtool(["evaluate", *paths, "--protocol", "own", "--prompts", "p.txt"]) == 2
    said = capsys.readouterr().err
    assert "fg/a/corgi.glb" in said and "would be a result of two methods" in said
    assert not Path("report").exists()
    assert len(find_assets([Path(path) for path in paths])) == 1  # without it methods are folders
    assert len(find_assets([Path("fg/a"), Path("fg/a/")], by_path=True)) == 1


def test_methods_of_one_name_are_told_apart(tmp_path):
    for name in ("a/x/out/corgi.glb", "b/x/out/corgi.glb", "c/y/cat.glb"):
        save(tmp_path / name)
    paths = [tmp_path / name for name in ("a/x/out", "b/x/out", "c/y")]
    for by_path in (False, True):
        found = find_assets(paths, by_path=by_path)
        assert [one.method for one in found] == ["a/x/out", "b/x/out", "y"]
    table = tmp_path / "results.csv"
    rows = [f"{name}/x/out/corgi.glb,a corgi" for name in "ab"] + ["c/y/cat.glb,a cat"]
    table.write_text("\n".join(["file,prompt", *rows]), encoding="utf-8")
    assert [one.method for one in gather([], tmp_path / "report", table)] == [
        "a/x/out", "b/x/out", "y",
    ]  # fmt: skip
    (alone,) = find_assets([tmp_path / "c" / "y" / "cat.glb"])
    assert alone.method == "cat"


def test_models_that_other_stages_made_are_found_and_a_lift_is_one(tmp_path):
    for name, record in (("tex", '{"stage": "texture"}'), ("game", '{"level": 1}'), ("odd", "[]")):
        save(tmp_path / name / "model.glb")
        (tmp_path / name / "stage.json").write_text(record, encoding="utf-8")
    save(tmp_path / "lift" / "mesh.glb")
    (tmp_path / "lift" / "stage.json").write_text('{"stage": "lift"}', encoding="utf-8")
    found = find_assets([tmp_path])
    assert [one.path.relative_to(tmp_path).as_posix() for one in found] == [
        "game/model.glb", "lift", "odd/model.glb", "tex/model.glb",
    ]  # fmt: skip


def test_a_table_names_files_prompts_methods_and_seeds(tmp_path):
    one, two = save(tmp_path / "models" / "1.glb"), save(tmp_path / "models" / "2.glb")
    table = tmp_path / "results.csv"
    table.write_text(
        'Prompt;file;seed;note\n"a corgi; sitting";models/1.glb;3;x\na cat;models/2.glb\n\n',
        encoding="utf-8-sig",
    )
    found = gather([tmp_path / "models"], tmp_path / "out", table)
    assert [(a.prompt, a.method, a.seed, a.prompt_from) for a in found] == [
        ("a corgi; sitting", "models", 3, "table"),
        ("a cat", "models", None, "table"),
    ]
    table.write_text(f"file,prompt,method\n{one},a corgi,ours\n", encoding="utf-8")
    found = gather([tmp_path / "models"], tmp_path / "out", table)
    assert [(Path(a.path).name, a.method) for a in found] == [
        ("1.glb", "ours"),
        (two.name, "models"),
    ]


@pytest.mark.parametrize(
    "text, told",
    [
        ("path,prompt\n1.glb,a corgi\n", "has no column named file"),
        ("", "is empty; its first row must name the columns"),
        ("\nfile,prompt\n1.glb,a corgi\n", "begins with an empty row"),
        ("file,prompt,method\n1.glb,a,x\n2.glb,b\n", "row 3 has no method, as others have"),
        ("file,prompt,method\n1.glb,a,x\n2.glb,b,\n", "row 3 has no method, as others have"),
        (
            "file,prompt,method\n1.glb,a,ours\n2.glb,b,Ours\n",
            "row 3 has the method 'Ours', which before was 'ours'",
        ),
        ("file,prompt\n", "has no row below its head"),
        ("file,file,prompt\n1.glb,1.glb,x\n", "two columns named file"),
        ("file,prompt\n1.glb,\n", "row 2 has no prompt"),
        ("file,prompt\n,a corgi\n", "row 2 names no file"),
        ("file,prompt\n1.glb,a corgi\n9.glb,a cat\n", "row 3 names 9.glb, which does not exist"),
        ("file,prompt\nt.csv,a cat\n", "row 2 names t.csv, which is neither a model"),
        ("file,prompt\n1.glb,a corgi, sitting\n", "row 2 has more cells than the head"),
        ("file,prompt\n1.glb,a corgi\n./1.glb,a cat\n", "row 3 names the same file as row 2"),
        (
            "file,prompt,seed\n1.glb,a corgi,-1\n",
            "row 2 has the seed '-1', which is no whole number",
        ),
        (
            "file,prompt,seed\n1.glb,a corgi,3.0\n",
            "row 2 has the seed '3.0', which is no whole number",
        ),
        (f"file,prompt,seed\n1.glb,a cat,{'9' * 5000}\n", "row 2 has the seed '9999"),
        (f"file,prompt\n{'x' * 300},a cat\n", "x…, which cannot be read (File name too long)"),
        ('file,prompt\n1.glb,"a red\nchair"\n"a\nb",a cat\n', "row 4 names a b, which does not"),
        ("file,prompt\nd.glb,a cat\n", "row 2 names d.glb, which is neither a model"),
        ("file,prompt\ntexture,a cat\n", "row 2 names texture, which is neither a model"),
        ("file,prompt\ntorn,a cat\n", "row 2 names torn, a folder whose stage record cannot be"),
        ("file,prompt\n" + "1.glb,\n" * 5, "row 4 has no prompt, and 2 more; mend these rows"),
        (
            'file,prompt\n1.glb,"a corgi\n',
            "cannot be read as CSV (row 2: unexpected end of data); close",
        ),
        ('sep=;\nfile;prompt\n1.glb;x\n1.glb;"a "cat"\n', "cannot be read as CSV (row 4: "),
        ("sep=;\nfile;prompt\n1.glb;\n", "row 3 has no prompt"),
        (
            "file,prompt\n1.glb,a corgi\n2.glb,a\udce9\n",
            "(row 3 is not UTF-8); save it as “CSV UTF-8”",
        ),
        (None, "cannot be read as CSV (No such file"),
    ],
)
def test_a_bad_table_is_one_sentence(text, told, tmp_path):
    for name in ("1.glb", "2.glb"):
        save(tmp_path / name)
    (tmp_path / "d.glb").mkdir()
    for name, record in (("texture", '{"stage": "texture"}'), ("torn", "{")):
        save(tmp_path / name / "model.glb")
        (tmp_path / name / "stage.json").write_text(record, encoding="utf-8")
    if text is not None:
        (tmp_path / "t.csv").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError) as error:
        read_table(tmp_path / "t.csv")
    assert told in str(error.value) and str(error.value).startswith("--table")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("head, divide", [("sep=;\r\n", ";"), ("\ufeffsep=,\n", ","), ("", ";")])
def test_excel_may_say_how_it_divides(tmp_path, head, divide):
    save(tmp_path / "1.glb")
    rows = f"file{divide}prompt\n1.glb{divide}a corgi\n"
    (tmp_path / "t.csv").write_text(head + rows, encoding="utf-8", newline="")
    assert [one.prompt for one in read_table(tmp_path / "t.csv")] == ["a corgi"]


def test_seeds_that_are_none_are_ignored_and_named(tmp_path, capsys):
    for number, seed in enumerate((-1, 1 << 63, 1.5, "3", True, (1 << 63) - 1)):
        save(tmp_path / "ours" / f"{number}.glb", seed=seed)
    save(tmp_path / "ours" / "corgi_seed4.glb", seed=-1)
    found = gather([tmp_path / "ours"], tmp_path / "report")
    assert [one.seed for one in found] == [None] * 5 + [(1 << 63) - 1, 4]
    (said,) = capsys.readouterr().err.splitlines()
    assert "from 0 to 2^63 − 1 are ignored, of 6 models (" in said and "0.glb: -1, " in said
    assert said.endswith(", …)")


def test_a_prompt_is_one_line_whoever_says_it(tmp_path):
    save(tmp_path / "1.glb")
    table = tmp_path / "t.csv"
    table.write_text('file,prompt,method\r\n1.glb,"a red\r\n chair ",my\tway\r\n', encoding="utf-8")
    (asset,) = read_table(table)
    assert (asset.prompt, asset.method) == ("a red chair", "my way")
    plain, blanks = (
        save(tmp_path / f"{k}.glb", prompt=p) for k, p in enumerate(("a cat", " a  cat "))
    )
    assert known(plain) == known(blanks) == ("a cat", "extras")
    assert known(save(tmp_path / "red_chair.glb"), "a  red chair") == ("a red chair", "list")


def test_a_table_may_name_lifts_that_stopped(tmp_path):
    for name, mark in (("whole", "stage.json"), ("stopped", "stage.partial.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / mark).write_text('{"stage": "lift", "params": {}}', encoding="utf-8")
    table = tmp_path / "t.csv"
    table.write_text("file,prompt\nwhole,a cat\nstopped,a dog\n", encoding="utf-8")
    found = gather([tmp_path], tmp_path / "out", table)
    assert [(a.prompt, a.unfinished) for a in found] == [("a cat", False), ("a dog", True)]


def test_a_link_to_itself_does_not_stop_a_table(tmp_path):
    save(tmp_path / "models" / "1.glb")
    loop = tmp_path / "models" / "loop.glb"
    loop.symlink_to(loop)
    table = tmp_path / "t.csv"
    table.write_text("file,prompt\nmodels/1.glb,a cat\n", encoding="utf-8")
    found = gather([tmp_path / "models"], tmp_path / "out", table)
    assert [one.path.name for one in found] == ["1.glb", "loop.glb"]


@pytest.mark.parametrize(
    "words, told",
    [
        ((), "name lifts, models or folders"),
        (("m", "--protocol", "own"), "--protocol own needs --prompts"),
        (("m", "--protocol", "open-80", "--prompts", "p.txt"), "has its own list"),
        (("m", "--protocol", "open"), "open-80"),
        (("m", "--answers", "a.json", "--answers", "a.json"), "given twice"),
    ],
)
def test_wrong_usage_is_named(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(Path("m/corgi.glb"))
    Path("p.txt").write_text("a corgi\n", encoding="utf-8")
    Path("a.json").write_text('{"sdtool": "0", "sheet": "x", "answers": []}', encoding="utf-8")
    assert sdtool(["evaluate", *words]) == 2
    assert told in capsys.readouterr().err and not Path("report").exists()


def test_what_lies_in_out_alone_is_no_asset(tmp_path):
    (tmp_path / "a.glb").write_bytes(b"")
    with pytest.raises(InputError, match="left out; choose another --out"):
        find_assets([tmp_path], tmp_path)


def test_a_model_is_known_again_by_what_it_and_the_files_beside_it_hold(tmp_path):
    eyes, path = Eyes(), tmp_path / "ours" / "corgi.gltf"
    whole = save(tmp_path / "corgi.glb").read_bytes()
    length = struct.unpack("<I", whole[12:16])[0]
    tree, data = json.loads(whole[20 : 20 + length]), whole[28 + length :]
    tree["buffers"][0]["uri"] = "corgi.bin"
    path.parent.mkdir()
    path.write_text(json.dumps(tree), encoding="utf-8")
    (tmp_path / "ours" / "corgi.bin").write_bytes(data)

    def key() -> str:
        return keys_of(find_assets([path]), eyes)[0]

    first = key()
    assert first == key()
    (tmp_path / "ours" / "corgi.bin").write_bytes(data[:-4] + b"abcd")  # as many bytes
    assert key() != first
    (tmp_path / "ours" / "corgi.bin").unlink()
    assert key() not in (first, "")
    odd = Asset(Path(os.fsdecode(b"gone-\xff.glb")), "ours")
    assert len({*keys_of([odd], eyes), *keys_of([replace(odd, prompt="a cat")], eyes)}) == 2


def test_a_hundred_thousand_methods_are_told_apart_at_once():
    paths = [Path(f"/runs/{k % 50_000}/{'ab'[k // 50_000]}") for k in range(100_000)]
    found = told_apart(paths)
    assert found[paths[7]] == "7/a" and found[paths[50_007]] == "7/b"
    assert told_apart([Path("/a/x"), Path("/b/x"), Path("/c")]) == {
        Path("/a/x"): "a/x", Path("/b/x"): "b/x", Path("/c"): "c",
    }  # fmt: skip
