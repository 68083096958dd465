"""Captions from an artist's words, and the stage that writes them."""

import json
import os

import pytest
from assets import ASSETS, EXAMPLE
from collection_samples import annotation, write_collection
from glb_samples import container
from killed import kill_at

from sdtool.captioning.english import describe, noun_phrase, phrasings, singular, with_article
from sdtool.captioning.file_words import FileWords, read_file_words
from sdtool.captioning.names import clean_name, clean_tag, first_sentence
from sdtool.captioning.phrases import caption_from_words, thing_among
from sdtool.cli import run
from sdtool.errors import ObjectError
from sdtool.io.objects import record_of


def record(name="", tags=(), categories=(), **more):
    return {"uid": "u", "name": name, "tags": list(tags), "categories": list(categories), **more}


def captioned(item, words=None, seed=0):
    """(line, whether it is sure) of the object that a line of a listing describes."""
    return caption_from_words(record_of(item["uid"], item), words, seed)


def caption(item, words=None, seed=0):
    return captioned(item, words, seed)[0]


# English


@pytest.mark.parametrize(
    "words, phrase",
    [
        ("chair", "a chair"),
        ("old car", "an old car"),
        ("umbrella", "an umbrella"),
        ("unicorn", "a unicorn"),
        ("uninhabited island", "an uninhabited island"),
        ("hourglass", "an hourglass"),
        ("european bison", "a european bison"),
        ("f-16 jet", "an f-16 jet"),
        ("u-boat", "a u-boat"),
        ("8-bit hero", "an 8-bit hero"),
        ("scissors", "scissors"),
        ("bus", "a bus"),
        ("glass dress", "a glass dress"),
        ("statues of a man", "statues of a man"),
        ("man with glasses", "a man with glasses"),
        ("", ""),
    ],
)
def test_articles(words, phrase):
    assert with_article(words) == phrase


def test_determiners_stay_and_possessives_go():
    assert noun_phrase("the thinker") == "the thinker"
    assert noun_phrase("two old cats") == "two old cats"
    assert noun_phrase("my old cat") == "an old cat"


def test_singulars():
    words = ["chairs", "berries", "boxes", "bus", "glass", "horses", "scissors", "cat"]
    assert [singular(word) for word in words] == [
        "chair", "berry", "box", "bus", "glass", "horse", "scissors", "cat",
    ]  # fmt: skip


def test_adjectives_stand_in_english_order():
    assert describe(["wooden", "red", "old", "small"], "chair") == "a small old red wooden chair"


# Names


@pytest.mark.parametrize(
    "name, clean",
    [
        ("Red Wooden Chair", "Red Wooden Chair"),
        ("Chair_v2_FINAL.blend", "Chair"),
        ("RED WOODEN CHAIR (free download)", "Red Wooden Chair"),
        ("WoodenChair01.fbx", "Wooden Chair"),
        ("Low Poly Tree - Free 3D Model", "Tree"),
        ("Sofa | PBR | Game-Ready", "Sofa"),
        ("#3December #owl Sleepy Owl", "Sleepy Owl"),
        ("VW Beetle 1965", "VW Beetle"),
        ("T-34 Tank", "T-34 Tank"),
        ("Chair &amp; Table ver. 1.2", "Chair and Table"),
        ("3D model of an Apple", "an Apple"),
        ("0290737f64b14b08b87faa644580f3a9", ""),
        ("untitled_03", ""),
        ("https://example.org/chair", ""),
        ("🔥🔥 DRAGON 🔥🔥", "Dragon"),
        # Talk about the file, the work and the shop
        ("3D Scan - Elephant skull", "Elephant skull"),
        ("Low Poly Bird (Animated)", "Bird"),
        ("WIP - Character", "Character"),
        ("Stylized Tree Pack Vol.2", "Stylized Tree"),
        ("Week 3 Homework", ""),
        ("Homework 4: Spaceship", "Spaceship"),
        ("My First Model", ""),
        ("Assignment 3 – Barrel", "Barrel"),
        ("Sculptjanuary 2021 Day 12: Octopus King", "Octopus King"),
        ("Daily #45 Sad Robot", "Sad Robot"),
        ("Sketchfab Weekly Challenge: Bridge", "Bridge"),
        ("Medieval Sword | FREE | Game Ready | 4K PBR", "Medieval Sword"),
        ("low poly car game asset free download 2020 (no textures)", "car"),
        ("Head sculpt for 3D print", "Head sculpt"),
        ("Character for VRChat", "Character"),
        ("3D printed Vase", "Vase"),
        ("Please like & subscribe", ""),
        ("Buy on CGTrader link in description", ""),
        ("thing for my brother", ""),
        ("$5 Low Poly Gun", "Gun"),
        ("Wooden Crate - 1024 tris", "Wooden Crate"),
        ("Backpack, rigged & animated", "Backpack"),
        ("@artist commission", ""),
        ("The Thinker by Rodin", "The Thinker"),
        ("Chair by John Doe", "Chair"),
        ("HOUSE BY THE SEA", "House By The Sea"),
        # What programs and cameras call files
        ("Room_01", "Room"),
        ("SM_Crate_01", "Crate"),
        ("T_Barrel_A", "Barrel"),
        ("Chair_LOD0", "Chair"),
        ("chair_low", "chair"),
        ("Rock.001", "Rock"),
        ("Tree#3", "Tree"),
        ("Horse_Statue.stl", "Horse Statue"),
        ("vase2.blend1", "vase"),
        ("20190412_Church", "Church"),
        ("Copy of Chair", "Chair"),
        ("Chair copy 2", "Chair"),
        ("Copy of Smashing Bombul-Gaaris", ""),
        ("NewPart1", ""),
        ("Assembly2", ""),
        ("IMG_4321", ""),
        ("Scan 2 12 2019", ""),
        ("Untitled (1)", ""),
        ("pCube1", ""),
        ("polySurface12", ""),
        ("asdfghjkl", ""),
        ("aaaa", ""),
        ("!!!!", ""),
        # Spelling
        ("red-chair", "red chair"),
        ("X-wing", "X-wing"),
        ("AK-47", "Ak-47"),
        ("lion-crushing-a-serpent", "lion crushing a serpent"),
        ("Low-Poly House w/ garden", "House with garden"),
        ("Cat&Dog", "Cat and Dog"),
        ("Sofa 2m x 1m", "Sofa"),
        ("Chair H 80cm", "Chair"),
        ("St. Paul's Cathedral", "St Paul's Cathedral"),
        ("Ｆｕｌｌｗｉｄｔｈ Ｓｗｏｒｄ", "Fullwidth Sword"),
        ("Mickey Mouse!!!", "Mickey Mouse"),
        ("Chair... again", "Chair"),
        ("Mech (WIP", "Mech"),
        ("🔥🔥🔥", ""),
        ("x" * 100_000, ""),
    ],
)
def test_names_are_cleaned(name, clean):
    assert clean_name(name) == clean


@pytest.mark.parametrize(
    "item, expected, source",
    [
        (record("Red Wooden Chair", ["chair", "red"]), "a red wooden chair", "name"),
        (record("School Bus", ["yellow"]), "a school bus", "name"),
        (record("Iain_Dawson_Kew_Road", ["stair", "staircase"]), "a stair", "tags"),
        (record("untitled.fbx", ["3d", "blender", "red", "low-poly", "mug"]), "a red mug", "tags"),
        (
            record("DSC_0042", ["old", "wooden", "small", "boats"]),
            "a small old wooden boat",
            "tags",
        ),
        (record("Скамейка", ["bench", "park"]), "a bench", "tags"),
        # An LVIS category was checked by people: it outweighs a name that does not say it.
        (record("Corolla '98", ["toyota"], lvis=["car_(automobile)"]), "a car", "lvis"),
        (record("Zx81", [], lvis=["computer_keyboard"]), "a computer keyboard", "lvis"),
        (record("untitled", [], ["furniture-home"]), "a piece of furniture", "category"),
        (record("untitled", ["blender"], ["Animals & Pets"]), "an animal", "category"),
        (record("untitled", [], ["wooden-spoon"]), "a wooden spoon", "category"),
    ],
)
def test_caption_and_where_it_comes_from(item, expected, source):
    found = caption(item)
    assert (found["caption"], found["source"]) == (expected, source)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("SM_Chair_Wood_Red_01", "a red wooden chair"),
        ("building-small-a", "a small building"),
        ("Chair small red", "a small red chair"),
        ("Blood orange", "a blood orange"),
        ("Iron Man", "an iron man"),
        ("An old house", "an old house"),
        ("2 chairs and a table", "chairs and a table"),
        ("Rodin's Thinker", "rodin's thinker"),
        ("Sci-Fi crate", "a sci-fi crate"),
        ("Ruined walls", "ruined walls"),
        ("Passarela", "a passarela"),
        ("F-16", "an f-16"),
    ],
)
def test_a_bare_name_becomes_a_prompt(name, expected):
    assert caption(record(name))["caption"] == expected


def test_a_name_in_letters_that_the_prior_cannot_read_is_not_the_caption():
    for name in ("Дом", "椅子", "CTS 212-1"):
        with pytest.raises(ObjectError):
            caption(record(name))
        assert caption(record(name, ["house"]))["caption"] == "a house"


def test_tags_say_what_the_thing_is():
    assert thing_among(["medieval", "weapon", "sword"], []) == "sword"
    assert thing_among(["architecture", "building", "house", "old"], []) == "house"
    assert thing_among(["art", "nature", "tree", "wood"], []) == "tree"
    assert thing_among(["pikachu", "pokemon"], []) == "pikachu"
    assert thing_among(["chairs", "table"], ["two", "chairs"]) == "chair"
    assert caption(record("x1", ["animal", "nature"]))["caption"] == "an animal"
    assert caption(record("x1", ["blue", "red", "car"]))["alternatives"][-1]["caption"] == "a car"
    assert [clean_tag(t) for t in ("Low-Poly", "sci_fi", "game-ready", "3D", "Oak Tree")] == [
        "", "sci-fi", "", "", "oak tree",
    ]  # fmt: skip


def test_the_same_words_can_be_said_in_ways():
    assert phrasings(["small", "red", "wooden"], "chair") == [
        "a small red wooden chair",
        "a small red chair made of wood",
        "a small wooden chair in red",
    ]
    assert phrasings(["small", "red", "old"], "chair")[2] == "a red chair, small and old"
    assert phrasings([], "mug") == ["a mug"]
    assert describe(["blue", "red", "old"], "car") == "an old blue and red car"


def test_phrasing_varies_from_object_to_object_and_follows_from_seed_and_uid():
    def said(uid, seed=0):
        tags = ["chair", "old", "small", "red", "wooden"]
        return caption({**record("asset_07", tags), "uid": uid}, seed=seed)["caption"]

    uids = [f"object-{k}" for k in range(200)]
    first = [said(uid) for uid in uids]
    assert [said(uid) for uid in reversed(uids)] == first[::-1]
    counts = {text: first.count(text) for text in first}
    assert len(counts) == 4 and all("chair" in text and "red" in text for text in counts)
    assert 70 < counts["a small old red wooden chair"] < 130  # half of the time
    assert [said(uid, seed=1) for uid in uids] != first


def test_a_file_speaks_where_the_annotation_does_not():
    title, parts = (
        FileWords(title="Old Bicycle"),
        FileWords(parts=("gizmo", "front wheel", "handlebars")),
    )
    assert caption(record("0290737f64b14b08"), title)["caption"] == "an old bicycle"
    found = caption(record("untitled"), parts)
    assert (found["caption"], found["source"]) == ("a front wheel", "parts")
    assert caption(record("untitled", ["chair"]), parts)["caption"] == "a chair"
    line, is_sure = captioned(record("untitled", [], ["furniture-home"]))
    assert line["caption"] == "a piece of furniture" and not is_sure
    traits = FileWords(traits=("red", "wooden"))
    said = caption(record("asset_07", ["chair", "blue"]), traits)
    assert "blue" in said["caption"] and "wood" in said["caption"] and "red" not in said["caption"]


def test_toy_gets_its_name_its_parts_and_its_bare_noun():
    tags = ["chair", "furniture", "red", "wooden", "tall", "toy"]
    text = "A tall red wooden chair with four legs."
    for lvis in (["chair"], []):
        item = record(
            "Tall Red Wooden Chair", tags, ["furniture-home"], description=text, lvis=lvis
        )
        found = caption(item)
        assert found["caption"] == "a tall red wooden chair"
        assert found["annotation"] == "Tall Red Wooden Chair"
        assert [other["caption"] for other in found["alternatives"]] == [
            "a red chair", "a chair", "a tall red wooden chair with four legs",
        ]  # fmt: skip


def test_no_prompt_is_said_twice():
    found = caption(record("Corgi", ["corgi", "dog"], lvis=["corgi"]))
    assert found["caption"] == "a corgi" and found["alternatives"] == []


def test_an_object_without_words_is_refused_by_name():
    for item in (
        record(),
        record("untitled_03.fbx", ["3d", "blender"]),
        {"uid": "u", "tags": None},
    ):
        with pytest.raises(ObjectError) as caught:
            caption(item)
        assert caught.value.reason == "no-words"


@pytest.mark.parametrize(
    "description, sentence",
    [
        ("A red chair with a tall back. Made in Blender.", "a red chair with a tall back"),
        ("This is an old <b>steam engine</b> from York", "an old steam engine from York"),
        ("http://staircon.com/ <br>Export by <b>Alan Grice</b>", ""),
        ("A free model for your game!", ""),
        ("Follow me", ""),
        ("", ""),
    ],
)
def test_first_sentence_only_if_it_is_a_noun_phrase(description, sentence):
    assert first_sentence(description) == sentence


# Words in files


def glb(tmp_path, name="a.glb", **tree):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(container({"asset": {"version": "2.0"}, **tree}))
    return path


def material(name="", factor=None, textured=False):
    surface = {"baseColorFactor": factor} if factor else {}
    surface |= {"baseColorTexture": {"index": 0}} if textured else {}
    return {"name": name, "pbrMetallicRoughness": surface}


def test_words_in_a_glb(tmp_path):
    extras = {"title": "FREE Wooden_Chair.fbx", "author": "Somebody"}
    names = ["Sketchfab_model", "3ce9cd28ecb2487580735ddf4fc0c2f5.dxf.cleaner", "RootNode"]
    names += ["Front_wheel_17", "Object_4", "Cube.001", "polySurface3", "Front_wheel_18"]
    path = glb(
        tmp_path,
        asset={"version": "2.0", "extras": extras},
        scenes=[{"name": "Sketchfab_Scene"}],
        nodes=[{"name": name} for name in names],
        meshes=[{"name": "Handlebars_33"}, {}],
        materials=[material("Dark_Wood"), material("wood.002")],
    )
    assert read_file_words(path) == FileWords(
        "Wooden Chair", ("front wheel", "handlebars"), ("wooden",)
    )


@pytest.mark.parametrize(
    "materials, traits",
    [
        ([material("red paint")], ("red",)),
        ([material("red"), material("blue")], ()),
        ([material("M1", [0.8, 0.02, 0.02, 1])], ("red",)),
        ([material("M1", [0.02, 0.1, 0.8, 1]), material("M2", [0.03, 0.1, 0.7, 1])], ("blue",)),
        ([material("M1", [0.8, 0.02, 0.02, 1]), material("M2", [0.9, 0.9, 0.9, 1])], ()),
        ([material("M1", [0.8, 0.8, 0.8, 1])], ()),
        ([material("M1", [0.8, 0.02, 0.02, 1], textured=True)], ()),
        ([material("glass"), material("rubber")], ()),
        ([material("x", ["?", None, {}])], ()),
        ([], ()),
    ],
)
def test_materials_give_a_colour_only_if_they_agree(tmp_path, materials, traits):
    assert read_file_words(glb(tmp_path, materials=materials)).traits == traits


def test_a_glb_of_wrong_types_has_no_words(tmp_path):
    tree = {"scenes": 5, "nodes": [7, None, {"name": ["x"]}], "meshes": {}, "materials": [[]]}
    assert read_file_words(glb(tmp_path, **tree)) == FileWords()
    assert read_file_words(tmp_path / "a.obj") == FileWords()


def test_files_that_cannot_be_read_have_a_reason(tmp_path):
    broken = {
        "missing-file": tmp_path / "absent.glb",
        "corrupt-file": tmp_path / "text.glb",
        "unreadable-file": tmp_path / "folder.glb",
    }
    broken["corrupt-file"].write_bytes(b"no GLB at all, only text")
    broken["unreadable-file"].mkdir()
    cut = tmp_path / "cut.glb"
    cut.write_bytes(glb(tmp_path, nodes=[{"name": "a"}]).read_bytes()[:40])
    huge = tmp_path / "huge.glb"
    huge.write_bytes(b"glTF" + bytes([2, 0, 0, 0]) + b"\xff" * 8 + b"JSON{}")
    nested = tmp_path / "nested.glb"
    nested.write_bytes(container(b"[" * 100_000))
    for path, reason in (
        *((path, reason) for reason, path in broken.items()),
        (cut, "truncated-file"),
        (huge, "too-large"),
        (nested, "corrupt-file"),
        (None, "missing-file"),
    ):
        with pytest.raises(ObjectError) as caught:
            read_file_words(path)
        assert caught.value.reason == reason, path


# The stage


@pytest.fixture
def objects(tmp_path):
    path = tmp_path / "filtered" / "objects.jsonl"
    path.parent.mkdir()
    items = [
        {**record("Red Chair", ["chair"], lvis=["chair"]), "uid": "a", "path": "a.glb"},
        {**record("untitled", ["mug", "blue"]), "uid": "b", "path": "b.glb"},
    ]
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def command(capsys, *arguments):
    """(exit code, stdout, stderr) of one command line."""
    code = run(["caption", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_stage_writes_a_line_for_each_object_and_a_rerun_does_nothing(objects, tmp_path, capsys):
    out = tmp_path / "captions"
    code, stdout, _ = command(capsys, objects, "--out", out)
    assert (code, stdout) == (0, f"{out}\n")
    assert {line["uid"]: line["caption"] for line in lines(out / "captions.jsonl")} == {
        "a": "a red chair",
        "b": "a blue mug",
    }
    before = (out / "captions.jsonl").stat().st_mtime_ns
    code, stdout, stderr = command(capsys, objects, "--out", out)
    assert (code, stdout) == (0, f"{out}\n") and "already" in stderr
    assert (out / "captions.jsonl").stat().st_mtime_ns == before
    with open(objects, "a") as file:
        file.write(json.dumps({**record("Lamp"), "uid": "c", "path": "c.glb"}) + "\n")
    assert command(capsys, objects, "--out", out)[0] == 2
    assert command(capsys, objects, "--out", out, "--overwrite")[0] == 0
    assert len(lines(out / "captions.jsonl")) == 3


def test_stage_takes_the_filters_folder_or_meshes(objects, tmp_path, capsys):
    code, stdout, _ = command(capsys, objects.parent, "--out", tmp_path / "c", "--json")
    assert code == 0 and json.loads(stdout)["counts"]["ok"] == 2
    meshes = tmp_path / "meshes" / "kitchen"
    meshes.mkdir(parents=True)
    (meshes / "blue-teapot.glb").write_bytes(b"not read")
    assert command(capsys, meshes.parent, "--out", tmp_path / "d")[0] == 0
    (line,) = lines(tmp_path / "d/captions.jsonl")
    assert (line["uid"], line["caption"]) == ("blue-teapot", "a blue teapot")


def test_stage_takes_an_unfiltered_collection(tmp_path, capsys):
    root = write_collection(tmp_path / "objs", [annotation("u1", "Red Chair"), annotation("u2")])
    assert command(capsys, root, "--out", tmp_path / "c")[0] == 0
    found = {line["uid"]: line["caption"] for line in lines(tmp_path / "c/captions.jsonl")}
    assert found == {"u1": "a red chair", "u2": "a wooden chair"}


def test_an_object_without_words_does_not_end_the_run(objects, tmp_path, capsys):
    with open(objects, "a") as file:
        for uid, path in (("c", "c.glb"), ("d", None), ("e", "e.glb")):
            file.write(json.dumps({**record("03"), "uid": uid, "path": path}) + "\n")
    (objects.parent / "e.glb").write_bytes(container({"asset": {"version": "2.0"}}))
    out = tmp_path / "captions"
    assert command(capsys, objects, "--out", out)[0] == 3
    failures = {f["uid"]: f["reason"] for f in lines(out / "failures.jsonl")}
    assert failures == {"c": "missing-file", "d": "missing-file", "e": "no-words"}
    assert len(lines(out / "captions.jsonl")) == 2
    assert command(capsys, objects, "--out", out)[0] == 3  # and again, as recorded


def test_bad_input_is_named(objects, tmp_path, capsys):
    out = tmp_path / "captions"
    code, stdout, stderr = command(capsys, tmp_path / "absent", "--out", out)
    assert (code, stdout) == (1, "") and "absent" in stderr
    objects.write_text('{"uid": "a", "path": "a.glb"}\nnot json\n')
    code, _, stderr = command(capsys, objects, "--out", out)
    assert code == 1 and "line 2" in stderr
    assert command(capsys, objects, "--out", out, "--method", "guess")[0] == 2
    assert command(capsys, objects)[0] == 2
    assert not out.exists()


def test_a_folder_of_meshes_speaks_through_its_files(tmp_path, capsys):
    asset = {"version": "2.0", "extras": {"title": "Red Bicycle"}}
    glb(tmp_path, "meshes/0290737f64b14b08b87faa644580f3a9.glb", asset=asset)
    glb(tmp_path, "meshes/blue-teapot.glb", asset=asset)
    for mode, expected, code in (
        ("when-needed", ["a red bicycle", "a blue teapot"], 0),
        ("never", ["a blue teapot"], 3),
        ("always", ["a red bicycle", "a blue teapot"], 0),
    ):
        out = tmp_path / mode
        assert command(capsys, tmp_path / "meshes", "--out", out, "--files", mode)[0] == code
        assert [line["caption"] for line in lines(out / "captions.jsonl")] == expected
    by_uid = {line["uid"]: line for line in lines(tmp_path / "always/captions.jsonl")}
    assert by_uid["blue-teapot"]["alternatives"][0]["caption"] == "a red bicycle"
    assert not list(tmp_path.rglob("*.partial*"))


def test_worker_processes_say_the_same(tmp_path, capsys, monkeypatch):
    import sdtool.captioning.method_offline

    for k in range(12):
        asset = {"version": "2.0", "extras": {"title": f"{'Red' if k % 2 else 'Old'} Bicycle"}}
        glb(tmp_path, f"meshes/{k:08x}.glb", asset=asset)
    (tmp_path / "meshes/00000003.glb").write_bytes(b"broken")
    assert command(capsys, tmp_path / "meshes", "--out", tmp_path / "one")[0] == 3
    monkeypatch.setattr(sdtool.captioning.method_offline, "FEW", 0)
    options = ("--out", tmp_path / "two", "--workers", "2")
    assert command(capsys, tmp_path / "meshes", *options)[0] == 3
    for name in ("captions.jsonl", "failures.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert len(lines(tmp_path / "one/captions.jsonl")) == 11


def test_ranks_share_the_work(objects, tmp_path, capsys):
    with open(objects, "a") as file:
        file.write(json.dumps({**record("Old Lamp"), "uid": "c", "path": "c.glb"}) + "\n")
    out = tmp_path / "captions"
    for rank in (1, 0):
        options = ("--rank", rank, "--world-size", 2)
        code, stdout, _ = command(capsys, objects, "--out", out, *options)
        assert (code, stdout) == (0, f"{out / f'rank-0000{rank}'}\n")
    found = [[x["uid"] for x in lines(out / f"rank-0000{k}/captions.jsonl")] for k in (0, 1)]
    assert found == [["a", "c"], ["b"]]
    assert command(capsys, objects, "--out", out, "--rank", 2, "--world-size", 2)[0] == 2


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_bytes(tmp_path, capsys):
    names = ["Red Chair", "untitled_03", "Old House", "asset_07", "Дом"]
    listing = tmp_path / "objects.jsonl"
    with open(listing, "w") as file:
        for k in range(2_500):
            tags = ["mug", "red", "wooden"] if k % 3 else []
            item = {**record(names[k % 5], tags), "uid": f"{k:06d}", "path": None}
            file.write(json.dumps(item) + "\n")
    arguments = ["caption", str(listing), "--out"]
    alone = ["--workers", "1"]
    assert run([*arguments, str(tmp_path / "whole"), *alone]) == 3
    out = tmp_path / "killed"
    kill_at([*arguments, out, "--workers", "2"], "captioning", 1500)
    ledger = out / "captions.partial"
    assert ledger.is_file() and not (out / "stage.json").exists()
    ready = ledger.read_bytes()
    with open(ledger, "r+b") as file:
        file.truncate(len(ready) - 7)  # and the disk lost a little
    before = ledger.read_bytes().count(b"\n")
    assert 0 < before < 2_500
    assert run([*arguments, str(out), *alone]) == 3
    capsys.readouterr()
    for name in ("captions.jsonl", "failures.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not ledger.exists() and "captions.partial" not in os.listdir(out)


# Real objects


@pytest.mark.skipif(not ASSETS.is_dir(), reason=f"no real assets at {ASSETS}")
def test_real_objects(tmp_path, capsys):
    assert command(capsys, ASSETS, "--out", tmp_path / "c")[0] == 3
    found = {line["uid"]: line["caption"] for line in lines(tmp_path / "c/captions.jsonl")}
    assert found["0290737f64b14b08b87faa644580f3a9"] == "a passarela"
    assert found["822202b6b8594342b632b0a39432642a"] == "a bike"
    assert found["building-small-a"] == "a small building"
    (failure,) = lines(tmp_path / "c/failures.jsonl")  # "CTS 212-1", a tile
    assert (failure["uid"][:4], failure["reason"]) == ("e2ec", "no-words")


@pytest.mark.skipif(not EXAMPLE.is_file(), reason=f"no real annotation at {EXAMPLE}")
def test_a_real_annotation(tmp_path, capsys):
    root = write_collection(tmp_path / "objs", [json.loads(EXAMPLE.read_text(encoding="utf-8"))])
    assert command(capsys, root, "--out", tmp_path / "c")[0] == 0
    (line,) = lines(tmp_path / "c/captions.jsonl")
    assert (line["caption"], line["source"]) == ("a stair", "tags")
    assert line["annotation"] == "Iain Dawson Kew Road Formby"
