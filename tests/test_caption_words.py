"""The words of captions: English, and what is left of artists' names, tags and sentences."""

import pytest
from caption_samples import caption, record

from sdtool.captioning.english import describe, noun_phrase, phrasings, singular, with_article
from sdtool.captioning.names import clean_name, clean_tag, first_sentence
from sdtool.captioning.phrases import thing_among

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


def test_the_same_words_can_be_said_in_ways():
    assert phrasings(["small", "red", "wooden"], "chair") == [
        "a small red wooden chair",
        "a small red chair made of wood",
        "a small wooden chair in red",
    ]
    assert phrasings(["small", "red", "old"], "chair")[2] == "a red chair, small and old"
    assert phrasings([], "mug") == ["a mug"]
    assert describe(["blue", "red", "old"], "car") == "an old blue and red car"


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
