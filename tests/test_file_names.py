"""Names of files as a person would say them."""

import pytest
from assets import ASSETS

from sdtool.captioning.file_names import plural_of, read_file_name, words_of
from sdtool.captioning.file_words import FileWords
from sdtool.captioning.phrases import caption_from_words
from sdtool.io.objects import ObjectRecord, iter_objects

SAID = {
    # letters and numbers of variants, capitals, endings
    "banner_patternA_red": "a patterned red banner",
    "chair_A_wood": "a wooden chair",
    "SM_Bld_House_01_Door": "a house door",
    "SM_Veh_Car_Police_01": "a police car",
    "stairs_stone-corner": "a stone stairs corner",
    "Rock_Moss_2": "a rock with moss",
    "kitchenCabinetCornerInner": "an inner kitchen cabinet corner",
    "building_A_withoutBase": "a building without a base",
    "crate_broken_A2": "a broken crate",
    "chair01": "a chair",
    "Chair_v2_FINAL.blend": "a chair",
    "banner_red.gltf": "a red banner",
    "SM_Barrel_01": "a barrel",
    "RustyOldCar": "a rusty old car",
    "lampSquareFloor": "a square floor lamp",
    "building-small-a": "a small building",
    # adjectives, and words that become some
    "axe_1handed": "a one-handed axe",
    "table_medium_broken": "a medium-sized broken table",
    "floor_wood_large_dark": "a large dark wooden floor",
    "rug_rectangle_stripes_A": "a rectangular striped rug",
    "chest_gold": "a golden chest",
    "table_low": "a low table",
    "house_low": "a house",  # of few polygons
    "box_stacked": "stacked boxes",
    "wall_Tsplit_sloped": "a sloped T-shaped wall",
    # kinds, and nouns in the order of English
    "car_police": "a police car",
    "car_stationwagon": "a station wagon",
    "chair_stool_wood": "a wooden stool",
    "lamp_table": "a table lamp",
    "table_lamp": "a table lamp",
    "car_door": "a car door",
    "door_handle": "a door handle",
    "tree_pine_large": "a large pine tree",
    "firehydrant": "a fire hydrant",
    "pictureframe_small_C": "a small picture frame",
    # several, and what a thing has
    "arrow_bundle": "a bundle of arrows",
    "barrel_small_stack": "a stack of small barrels",
    "coin_stack_small": "a small stack of coins",
    "plate_food_A": "a plate of food",
    "rubble_large": "a large pile of rubble",
    "sword_shield_broken": "a broken sword and shield",
    "stairs_wall_right": "stairs with a wall on the right",
    "table_long_tablecloth_decorated_A": "a long decorated table with a tablecloth",
    "wall_archedwindow_gated_scaffold": "a wall with a gated arched window and scaffolding",
    "floor_tile_extralarge_grates_open": "an extra-large floor tile with open grates",
    "floor_foundation_front_and_sides": "the front and sides of a floor foundation",
}


@pytest.mark.parametrize("name", SAID)
def test_a_file_s_name_is_said_as_a_person_would(name):
    assert read_file_name(name)[0] == SAID[name]


@pytest.mark.parametrize(
    "name", ["asdf_qwer_2", "Iain_Dawson_Kew_Road_Formby", "0290737f64b14b", "a", ""]
)
def test_a_name_without_a_known_thing_is_left_to_others(name):
    assert read_file_name(name) is None and words_of(name) == ""


def test_a_caption_has_the_full_phrase_the_bare_thing_and_the_maker_s_words():
    line, is_sure = caption_from_words(ObjectRecord("u", "u.glb", "banner_patternA_red"))
    assert (line["caption"], line["annotation"], is_sure) == (
        "a patterned red banner",
        "banner pattern red",
        True,
    )
    assert [one["caption"] for one in line["alternatives"]] == ["a banner"]


def test_tags_that_name_the_thing_speak_before_a_file_s_name():
    line, _ = caption_from_words(ObjectRecord("u", "u.glb", "table_lamp_02", tags=["mug", "red"]))
    assert (line["caption"], line["source"]) == ("a red mug", "tags")
    line, _ = caption_from_words(ObjectRecord("u", "u.glb", "table_lamp_02", tags=["lamp", "red"]))
    assert (line["caption"], line["source"]) == ("a table lamp", "name")  # they speak of one thing


def test_a_title_speaks_before_the_mere_kind_that_a_file_s_name_says():
    words = FileWords(title="Brown Plastic Ball")
    line, is_sure = caption_from_words(ObjectRecord("u", "u.glb", "toy1"), words)
    assert (line["caption"], line["source"], is_sure) == ("a brown plastic ball", "title", True)
    assert caption_from_words(ObjectRecord("u", "u.glb", "toy1"))[1] is False
    assert caption_from_words(ObjectRecord("u", "u.glb", "red_toy1"))[1] is True


def test_plurals():
    words = "box shelf candle berry knife grass key mouse stairs crutch".split()
    said = "boxes shelves candles berries knives grasses keys mice stairs crutches".split()
    assert list(map(plural_of, words)) == said


@pytest.mark.skipif(not (ASSETS / "kaykit").is_dir(), reason="no real collection")
def test_a_real_collection_is_said_whole():
    names = [item.name for item in iter_objects(ASSETS / "kaykit")]
    said = {name: read_file_name(name) for name in names}
    assert len(names) == 329 and None not in said.values()
    for name, (phrase, _) in said.items():
        assert "_" not in phrase and not any(c.isdigit() for c in phrase), name
        words = phrase.replace("T-shaped", "t-shaped").split()
        assert (
            all(len(word) > 1 or word == "a" for word in words)
            and phrase.islower()
            or "T-" in phrase
        )
