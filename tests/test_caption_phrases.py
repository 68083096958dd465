"""Captions: which words of an annotation and of its file are said of an object, and how."""

import pytest
from caption_samples import caption, captioned, glb, record
from glb_samples import container

from sdtool.captioning.file_words import FileWords, read_file_words
from sdtool.errors import ObjectError

# What is said


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


# Words in files


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
