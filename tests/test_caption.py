"""Captions from an artist's words, and the stage that writes them."""

import json

import pytest
from collection_samples import annotation, write_collection

from sdtool.captions import caption, clean_name, first_sentence
from sdtool.cli import run
from sdtool.english import describe, noun_phrase, singular, with_article
from sdtool.errors import ObjectError


def record(name="", tags=(), categories=(), **more):
    return {"uid": "u", "name": name, "tags": list(tags), "categories": list(categories), **more}


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
        ("Chair &amp; Table ver. 1.2", "Chair Table"),
        ("3D model of an Apple", "an Apple"),
        ("0290737f64b14b08b87faa644580f3a9", ""),
        ("untitled_03", ""),
        ("https://example.org/chair", ""),
        ("🔥🔥 DRAGON 🔥🔥", "Dragon"),
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
        (record("Corolla '98", ["toyota"], lvis=["car_(automobile)"]), "a car", "tags"),
        (record("Zx81", [], lvis=["computer_keyboard"]), "a computer keyboard", "category"),
        (record("untitled", [], ["furniture-home"]), "a piece of furniture", "category"),
        (record("untitled", ["blender"], ["Animals & Pets"]), "an animal", "category"),
        (record("untitled", [], ["wooden-spoon"]), "a wooden spoon", "category"),
    ],
)
def test_caption_and_where_it_comes_from(item, expected, source):
    found = caption(item)
    assert (found["caption"], found["source"]) == (expected, source)


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
        file.write(json.dumps({**record("03"), "uid": "c", "path": "c.glb"}) + "\n")
    out = tmp_path / "captions"
    assert command(capsys, objects, "--out", out)[0] == 3
    assert [f["reason"] for f in lines(out / "failures.jsonl")] == ["no-words"]
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
