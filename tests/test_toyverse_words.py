"""The Toyverse's words are true: extras, materials and colours are there as names and captions say."""

import json

import numpy as np
import pytest
from assets import EXAMPLE
from toy_samples import GREY, PEOPLE, plain, share_near, visible

from sdtool.captioning.english import with_article
from sdtool.captioning.phrases import caption_from_words
from sdtool.geometry.meshes import merge
from sdtool.io.objects import record_of
from sdtool.toyverse.accessories import EXTRAS
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.designs import draw, parse
from sdtool.toyverse.materials import OWN_COLOUR
from sdtool.toyverse.toys import generate
from sdtool.toyverse.words import COLOURS, Look

WITH_EXTRAS = [(name, extra) for name, entry in CATEGORIES.items() for extra in entry.extras]


# Extras and materials


@pytest.mark.parametrize(("category", "extra"), WITH_EXTRAS)
def test_an_extra_is_there_in_its_colour(category, extra):
    entry, magenta = CATEGORIES[category], np.array((1.0, 0.0, 1.0))
    parts = entry.build(np.random.default_rng(3), Look(GREY, "grey"))
    more = entry.build(np.random.default_rng(3), Look(GREY, "grey", "", "", extra, magenta))
    more_points = sum(len(m.v_pos) for m in more) > sum(len(m.v_pos) for m in parts)
    assert more_points or extra in ("roof", "floats", "cherry", "pot")  # which replace another part
    assert share_near(merge(parts), magenta) == 0
    if extra not in ("armrests", "books"):  # they have the chair's own colour; all colours
        assert share_near(merge(more), magenta, 0.5) > 0.003


@pytest.mark.parametrize("category", [name for name, extra in WITH_EXTRAS if extra == "hat"])
def test_hats_are_on_heads(category):
    """What a hat adds lies above the middle, and all that is highest belongs to it."""
    magenta = np.array((1.0, 0.0, 1.0))
    look = Look(GREY, "grey", "", "", "hat", magenta)
    for k in range(4):
        mesh = merge(CATEGORIES[category].build(np.random.default_rng(k), look))
        hat = mesh.v_color[:, 1] < 0.05  # also its darker band
        hat &= mesh.v_color[:, 0] > 0.3
        low, high = mesh.v_pos[:, 1].min(), mesh.v_pos[:, 1].max()
        middle = mesh.v_pos[hat].mean(axis=0)
        assert middle[1] > low + 0.6 * (high - low)
        assert abs(middle[0]) < 0.01
        if category not in ("corgi", "cat", "horse"):  # whose ears may be higher
            assert mesh.v_pos[hat, 1].max() == high


def test_scarves_are_below_hats_and_above_feet():
    for category in [name for name, extra in WITH_EXTRAS if extra == "scarf"]:
        look = Look(GREY, "grey", "", "", "scarf", np.array((1.0, 0.0, 1.0)))
        mesh = merge(CATEGORIES[category].build(np.random.default_rng(1), look))
        scarf = (mesh.v_color[:, 1] < 0.05) & (mesh.v_color[:, 0] > 0.5)
        low, high = mesh.bounds()
        band = mesh.v_pos[scarf]
        assert low[1] + 0.2 * (high - low)[1] < band[:, 1].mean() < high[1] - 0.1 * (high - low)[1]
        assert np.ptp(band[:, 0]) < (high - low)[0]


def test_materials_change_colours_and_nothing_else():
    for material in ("wooden", "metal", "golden", "glass", "stone", "knitted", "plush"):
        category = next(n for n, e in CATEGORIES.items() if material in e.materials)
        one, other = plain(category, 1), plain(category, 1, material=material)
        np.testing.assert_array_equal(one.v_pos, other.v_pos)
        assert np.abs(one.v_color - other.v_color).mean() > 0.01
    assert set(OWN_COLOUR) <= {m for e in CATEGORIES.values() for m in e.materials}
    gold = plain("corgi", 0, colour="golden", material="golden", says_colour=False)
    red, green, blue = gold.v_color.mean(axis=0)
    assert red > green > 1.5 * blue


@pytest.mark.parametrize("category", CATEGORIES)
def test_colours_of_finished_toys_are_as_named(category):
    """What differs between a red, a blue, a green and a yellow one has those colours."""
    words = ("red", "blue", "green", "yellow")
    hues = np.array([COLOURS[word] for word in words])
    hues -= hues.min(axis=1, keepdims=True)
    hues /= np.linalg.norm(hues, axis=1, keepdims=True)
    for material in ["", *(m for m in CATEGORIES[category].materials if m != "golden")]:
        meshes = [plain(category, 2, colour=word, material=material) for word in words]
        tones = np.stack([m.v_color[m.t_pos_idx].mean(axis=1) for m in meshes])  # (4, F, 3)
        area = visible(meshes[0])
        pairs = [(i, k) for i in range(4) for k in range(i)]
        apart = [np.linalg.norm(tones[i] - tones[k], axis=1) for i, k in pairs]
        changed = np.min(apart, axis=0) > 0.15
        assert area[changed].sum() > 0.25 * area.sum(), material
        for k, tone in enumerate(tones):
            chroma = tone - tone.min(axis=1, keepdims=True)
            right = (chroma @ hues.T).argmax(axis=1) == k
            assert area[changed & right].sum() > 0.7 * area[changed].sum(), (material, words[k])


# Words


@pytest.mark.slow
@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("word", COLOURS)
def test_the_colour_that_is_said_dominates(category, word):
    entry = CATEGORIES[category]
    look = Look(entry.shade(word), word)
    shares = []
    for k in range(2):
        shares.append(share_near(merge(entry.build(np.random.default_rng(k), look)), look.color))
    least = 0.27 if category in PEOPLE else 0.35  # they also have faces, hair and hands
    assert min(shares) > (least if word != "black" else 0.24), shares  # its details are pale


def test_names_are_in_artists_style():
    toys = [generate(3, k) for k in range(300)]
    words = {w.lower() for toy in toys for w in toy.annotation["name"].split()}
    known = {w for c in CATEGORIES.values() for w in (*c.traits, *c.materials, *c.extras)}
    fillers = {"a", "an", "with", "wearing", "holding"}
    assert words <= known | set(COLOURS) | set(CATEGORIES) | fillers
    for toy in toys:
        assert toy.category in toy.annotation["name"].lower().split()
        assert toy.category in [tag["slug"] for tag in toy.annotation["tags"]]
        assert toy.annotation["description"].endswith(".")
    silent = [t for t in toys if not t.design.says_colour]
    assert 0.15 < len(silent) / len(toys) < 0.75


def test_the_table_of_categories_is_sound():
    assert len(CATEGORIES) >= 40
    assert {extra for entry in CATEGORIES.values() for extra in entry.extras} == set(EXTRAS)
    for name, entry in CATEGORIES.items():
        assert entry.colour in COLOURS and name.isalpha()
        words = [*entry.traits, *entry.materials, *entry.extras, *COLOURS]
        assert len(set(words)) == len(words)  # a word has one meaning before and after the name


def test_names_say_what_is_true_and_can_be_asked_for():
    rng = np.random.default_rng(5)
    for _ in range(1000):
        design = draw(rng, list(CATEGORIES))
        asked = parse(design.phrase(), "--only")
        assert asked.phrase() == design.phrase()
        assert design.includes(asked) and asked.colour == design.said_colour
        assert (asked.trait, asked.material, asked.extra) == (
            design.trait, design.material, design.extra,
        )  # fmt: skip


def test_captions_say_what_names_say():
    for k in range(300):
        toy = generate(11, k)
        tags = [tag["slug"] for tag in toy.annotation["tags"]]
        record = {"uid": toy.uid, "name": toy.annotation["name"], "tags": tags}
        record |= {"lvis": [toy.category], "description": toy.annotation["description"]}
        line, _ = caption_from_words(record_of(toy.uid, record))
        assert line["caption"] == with_article(toy.design.phrase())
        said = {word for other in line["alternatives"] for word in other["caption"].split()}
        if toy.design.extra_colour:  # a red hat makes no red corgi
            bare = [
                o["caption"] for o in line["alternatives"] if toy.design.extra not in o["caption"]
            ]
            assert not any(toy.design.extra_colour in text.split() for text in bare)
        assert toy.category in said | set(line["caption"].split())


def test_annotations_have_the_fields_and_types_of_a_real_one():
    if not EXAMPLE.is_file():
        pytest.skip(f"no real annotation at {EXAMPLE}")
    real = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    ours = generate(0, 0).annotation
    assert set(ours) == set(real)
    for key, value in real.items():
        assert type(ours[key]) is type(value), key
    assert set(ours["tags"][0]) == set(real["tags"][0])
    assert set(ours["archives"]["glb"]) == set(real["archives"]["glb"])
