"""The Toyverse: facts of shape and orientation, words that are true, the layout on disk."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from assets import EXAMPLE
from killed import kill_at
from scipy import ndimage
from sdtool.stages.toyverse import toyverse

from sdtool import cli
from sdtool.captioning.english import with_article
from sdtool.captioning.phrases import caption_from_words
from sdtool.errors import ObjectError, UsageError
from sdtool.geometry.cameras import ViewRange, turntable, world_to_clip
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh, merge
from sdtool.io.objects import record_of
from sdtool.meshfiles import read_glb
from sdtool.rendering.kernels import rasterize_views
from sdtool.toyverse.accessories import EXTRAS
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.designs import Design, draw, parse
from sdtool.toyverse.materials import OWN_COLOUR, UNPAINTED
from sdtool.toyverse.primitives import box, ellipsoid, lathe, ring, slab, tube
from sdtool.toyverse.spoiled import KINDS, point_cloud
from sdtool.toyverse.toys import build, generate
from sdtool.toyverse.words import COLOURS, Look

FOUR_LEGGED = ["corgi", "cat", "horse", "elephant", "rabbit", "bear", "pig", "giraffe", "lion"]
LEGS_BELOW = [*FOUR_LEGGED, "turtle", "chair", "table"]
EARED = [name for name in FOUR_LEGGED if name != "lion"]  # its mane is about as high
PEOPLE = ["farmer", "wizard", "king", "astronaut"]  # a knight's shield is on one side only
SYMMETRIC = [
    *FOUR_LEGGED, "turtle", "dinosaur", "bird", "duck", "penguin", "fish", "chair", "sofa", "bed",
    "bookshelf", "teapot", "car", "truck", "train", "airplane", "helicopter", "boat",
    "hammer", "axe", "flower", *PEOPLE, "robot", "teddy", "snowman",
]  # fmt: skip
ROUND = ["lamp", "lighthouse", "apple", "cake", "burger", "cupcake", "mushroom", "drum", "ball"]
WITH_EXTRAS = [(name, extra) for name, entry in CATEGORIES.items() for extra in entry.extras]
GREY = np.full(3, 0.5)


def plain(category: str, k: int, **words) -> Mesh:
    """One toy of the category with exactly these words."""
    colour = words.pop("colour", CATEGORIES[category].colour)
    extra = words.get("extra")
    if extra and EXTRAS[extra].own is None:
        words["extra_colour"] = "pink" if colour != "pink" else "green"
    return build(np.random.default_rng([7, k]), Design(category, colour, **words))


def samples(category: str, count: int = 12) -> list[Mesh]:
    """Toys without extras; every third has a trait."""
    traits = ["", "", *CATEGORIES[category].traits]
    return [plain(category, k, trait=traits[k % len(traits)]) for k in range(count)]


VIEWS = turntable(4, ViewRange(), elevation=20.0)


def visible(mesh: Mesh) -> np.ndarray:
    """(F,) how many pixels of four views show each face."""
    mesh = to_canonical(mesh)
    matrices = world_to_clip(VIEWS, np.radians(45))
    rast = rasterize_views(mesh.v_pos, mesh.t_pos_idx, matrices, 64, 64)
    return np.bincount(rast[..., 3].astype(int).ravel(), minlength=len(mesh.t_pos_idx) + 1)[1:]


def share_near(mesh: Mesh, color: np.ndarray, within: float = 0.25) -> float:
    """The share of what is seen whose colour is near."""
    area = visible(mesh)
    tone = mesh.v_color[mesh.t_pos_idx].mean(axis=1)
    return float(area[np.linalg.norm(tone - color, axis=1) < within].sum() / area.sum())


def centred(mesh: Mesh) -> np.ndarray:
    return mesh.v_pos - mesh.bounds().mean(axis=0)


def overlap(mesh: Mesh, signs: tuple[int, int, int]) -> float:
    """Intersection over union of surface voxels of the mesh and its mirror image."""
    points = point_cloud(np.random.default_rng(0), mesh, 20000).v_pos
    low, high = mesh.bounds()
    points = (points - (low + high) / 2) / (high - low).max()
    one, other = (
        np.unique(np.floor(p * 16).astype(int) @ (10_000, 100, 1))  # a number for each voxel
        for p in (points, points * np.array(signs))
    )
    return len(np.intersect1d(one, other)) / len(np.union1d(one, other))


def pieces_at(mesh: Mesh, share: float) -> int:
    """How many separate pieces a horizontal cut at `share` of the height meets (by boxes)."""
    low, high = mesh.bounds()
    above = mesh.v_pos[:, 1] > low[1] + share * (high - low)[1]
    corner = above[mesh.t_pos_idx]
    crossing = mesh.t_pos_idx[corner.any(axis=1) & ~corner.all(axis=1)]
    rectangles = [
        np.concatenate([p.min(axis=0), p.max(axis=0)]) for p in mesh.v_pos[crossing][:, :, [0, 2]]
    ]
    merged: list[np.ndarray] = []
    for new in rectangles:
        touching = [m for m in merged if (m[:2] <= new[2:]).all() and (new[:2] <= m[2:]).all()]
        merged = [m for m in merged if not any(m is t for t in touching)]
        lows, highs = [t[:2] for t in touching], [t[2:] for t in touching]
        merged.append(np.concatenate([np.min([new[:2], *lows], 0), np.max([new[2:], *highs], 0)]))
    return len(merged)


def volume(mesh: Mesh) -> float:
    a, b, c = (mesh.v_pos[mesh.t_pos_idx[:, k]].astype(np.float64) for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def is_closed(mesh: Mesh) -> bool:
    """Every edge is run through once in each direction."""
    f = mesh.t_pos_idx
    edges = np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]])
    key, back = (np.unique(e.astype(np.int64) @ (2**31, 1)) for e in (edges, edges[:, ::-1]))
    return len(key) == len(edges) and np.array_equal(key, back)


# Primitives against closed forms


def test_volumes_of_primitives_agree_with_closed_forms():
    sphere = ellipsoid((1, 2, 3), (0.5, 1.0, 2.0), GREY, rings=40, segments=64)
    assert volume(sphere) == pytest.approx(4 / 3 * np.pi * 0.5 * 1.0 * 2.0, rel=0.01)
    cylinder = lathe([(0.5, 0), (0.5, 2)], GREY, segments=128)
    assert volume(cylinder) == pytest.approx(np.pi * 0.5**2 * 2, rel=0.01)
    cone = lathe([(0.5, 0), (0, 3)], GREY, segments=128)
    assert volume(cone) == pytest.approx(np.pi * 0.5**2 * 3 / 3, rel=0.01)
    brick = box((0, 0, 0), (1, 2, 3), GREY, radius=1e-4)
    assert volume(brick) == pytest.approx(1 * 2 * 3, rel=0.01)
    capsule = tube([(0, 0, 0), (0, 2, 0)], 0.5, GREY, segments=64)
    assert volume(capsule) == pytest.approx(np.pi * 0.25 * 2 + 4 / 3 * np.pi * 0.125, rel=0.03)
    torus = ring((0, 1, 0), (2, 2), (0.3, 0.5), GREY, segments=64)  # centroid × area of the section
    assert volume(torus) == pytest.approx(2 * np.pi * 2 * np.pi * 0.3 * 0.5, rel=0.03)
    plate = slab([(0, 0), (0, 1), (1, 1), (1, 0)], -0.5, 0.5, GREY)
    assert volume(plate) == pytest.approx(1.0, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("category", CATEGORIES)
def test_every_part_is_closed_and_looks_outward(category):
    entry = CATEGORIES[category]
    words = [(trait, "") for trait in ("", *entry.traits)] + [("", e) for e in entry.extras]
    for trait, extra in words:
        look = Look(GREY, "grey", "", trait, extra, GREY)
        for k in range(2):
            for number, part in enumerate(entry.build(np.random.default_rng(k), look)):
                assert is_closed(part), (trait, extra, number)
                assert volume(part) > 0, (trait, extra, number)


# Shape and orientation


@pytest.mark.slow
@pytest.mark.parametrize("category", CATEGORIES)
def test_toys_are_small_meshes_that_stand_on_the_ground(category):
    everything = [plain(category, 0, extra=extra) for extra in CATEGORIES[category].extras]
    for mesh in [*samples(category), *everything]:
        assert 300 <= len(mesh.t_pos_idx) <= 6000
        assert mesh.v_color.shape == mesh.v_pos.shape
        assert 0 <= mesh.v_color.min() and mesh.v_color.max() <= 1
        low, high = mesh.bounds()
        np.testing.assert_allclose([low[1], *(low + high)[[0, 2]]], 0, atol=1e-5)
        assert 0.5 < (high - low).max() < 2.6 and (high - low).min() > 0.1


def pieces(mesh: Mesh, cells: int = 40) -> int:
    """How many separate pieces the surface has, if a gap below 1/`cells` of the size is none."""
    points = point_cloud(np.random.default_rng(0), mesh, 60000).v_pos
    points = np.concatenate([points, mesh.v_pos])
    low, high = mesh.bounds()
    grid = np.zeros((cells + 2,) * 3, bool)
    grid[tuple(np.floor((points - low) / (high - low).max() * cells).astype(int).T)] = True
    return ndimage.label(grid, np.ones((3, 3, 3)))[1]


@pytest.mark.slow
@pytest.mark.parametrize("category", CATEGORIES)
def test_all_parts_hold_together(category):
    entry = CATEGORIES[category]
    words = [{}, *({"trait": t} for t in entry.traits), *({"extra": e} for e in entry.extras)]
    for k, own in enumerate(words):
        assert pieces(plain(category, k, **own)) == 1, own


@pytest.mark.parametrize("category", LEGS_BELOW)
def test_a_low_cut_meets_four_legs(category):
    assert [pieces_at(mesh, 0.12) for mesh in samples(category, 8)] == [4] * 8


@pytest.mark.parametrize("category", EARED)
def test_two_ears_are_highest_and_in_front(category):
    for mesh in samples(category):
        points = centred(mesh)
        top = points[points[:, 1] > points[:, 1].max() - 0.03 * np.ptp(points[:, 1])]
        assert (top[:, 2] > 0).all()
        assert top[:, 0].min() < 0 < top[:, 0].max()
        assert np.abs(top[:, 0]).min() > 0.02  # nothing between the two


@pytest.mark.parametrize("category", ROUND)
def test_what_has_no_front_looks_alike_from_all_sides(category):
    for mesh in samples(category, 3):
        assert min(overlap(mesh, (-1, 1, 1)), overlap(mesh, (1, 1, -1))) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("category", SYMMETRIC)
def test_left_mirrors_right_and_front_differs_from_back(category):
    for mesh in samples(category, 4):
        across, along = overlap(mesh, (-1, 1, 1)), overlap(mesh, (1, 1, -1))
        assert across > 0.75
        assert across > along + 0.1, (across, along)


def test_fronts_are_at_plus_z():
    for mesh in samples("chair"):  # the backrest, all that is high, is behind
        points = centred(mesh)
        assert (points[points[:, 1] > 0.3 * np.ptp(points[:, 1]), 2] < 0).all()
    for mesh in samples("mug"):  # the handle makes +X reach farther from the cup's axis
        points = centred(mesh)
        rim = points[points[:, 1] > points[:, 1].max() - 1e-4]
        assert rim[:, 0].mean() < -0.05
    for category in ("airplane", "fish"):  # the tail's fin is the highest point of an airplane
        for mesh in samples(category):
            points = centred(mesh)
            thick = np.abs(points[points[:, 2] > 0.3 * np.ptp(points[:, 2])][:, 0]).max()
            assert thick > 0.05
    for mesh in samples("airplane"):
        points = centred(mesh)
        assert points[points[:, 1].argmax(), 2] < 0
    for mesh in samples("boat"):  # narrow bow, wide stern
        points = centred(mesh)
        bow, stern = (points[s * points[:, 2] > 0.45 * np.ptp(points[:, 2])] for s in (1, -1))
        assert np.ptp(bow[:, 0]) < 0.5 * np.ptp(stern[:, 0])
    for k in range(12):  # the chimney is behind
        points = centred(plain("house", k, extra="chimney"))
        assert points[points[:, 1].argmax(), 2] < 0


@pytest.mark.parametrize("category", ["bird", "duck", "lion", "turtle", "dinosaur", "truck"])
def test_what_is_highest_is_in_front(category):
    """Heads and the cab of a truck (a turtle's shell may rise above its head: not in a short one)."""
    for k in range(12):
        points = centred(plain(category, k))
        low, high = np.ptp(points, axis=0)[2] * np.array([-0.5, 0.5])
        front = points[points[:, 2] > high * 0.35]
        back = points[points[:, 2] < low * 0.6]
        assert front[:, 1].max() > back[:, 1].max()


@pytest.mark.parametrize("category", ["sofa", "bed", "bookshelf", "helicopter"])
def test_backs_and_tails_are_behind(category):
    """A sofa's back, a headboard, a closed side; a helicopter's tail is thin."""
    for k in range(12):
        mesh = plain(category, k)
        points = centred(mesh)
        length, high = np.ptp(points[:, 2]), np.ptp(points[:, 1])
        if category == "helicopter":
            low = points[(points[:, 2] < -0.3 * length) & (points[:, 1] < 0.3 * high)]
            assert np.ptp(low[:, 0]) < 0.4 * np.ptp(points[:, 0])
        elif category == "bookshelf":  # light from the front falls on the dark inside of its back
            behind = mesh.v_color[points[:, 2] < -0.45 * length].mean()
            assert behind < mesh.v_color[points[:, 2] > 0.45 * length].mean()
        else:
            assert points[points[:, 1] > points[:, 1].max() - 0.05 * high, 2].max() < 0.05 * length


@pytest.mark.parametrize("category", ["car", "truck", "bus"])
def test_headlights_are_in_front_and_tail_lights_behind(category):
    for k in range(6):
        mesh = plain(category, k, colour="blue")
        points = centred(mesh)
        for color, side in (((1.0, 0.93, 0.62), 1), ((0.8, 0.1, 0.1), -1)):
            lit = np.linalg.norm(mesh.v_color - color, axis=1) < 0.05
            assert lit.any() and (side * points[lit, 2] > 0.4 * np.ptp(points[:, 2])).all()


def test_a_train_is_narrow_in_front_and_has_its_cab_behind():
    for k in range(6):
        points = centred(plain("train", k))
        high = points[points[:, 1] > 0.1 * np.ptp(points[:, 1])]
        wide = high[np.abs(high[:, 0]) > 0.35 * np.ptp(points[:, 0])]
        assert len(wide) and wide[:, 2].max() < 0


@pytest.mark.parametrize("category", ["house", "castle", "lighthouse", "windmill"])
def test_doors_are_in_front(category):
    """Something as dark brown as a door lies low at +Z, and nothing like it at −Z."""
    for k in range(8):
        mesh = plain(category, k, colour="white")
        points = centred(mesh)
        low = points[:, 1] < -0.15 * np.ptp(points[:, 1])
        brown = (mesh.v_color[:, 0] > mesh.v_color[:, 2] + 0.1) & (mesh.v_color.mean(axis=1) < 0.35)
        assert (points[low & brown, 2] > 0).sum() > 20
        assert not (points[low & brown, 2] < 0).any()


@pytest.mark.parametrize("category", [*PEOPLE, "knight", "teddy", "snowman", "robot", "penguin"])
def test_faces_look_toward_plus_z(category):
    """Around the middle of the head and chest the colours in front are not those behind."""
    for k in range(6):
        mesh = plain(category, k, colour="green")
        points = centred(mesh)
        high = points[:, 1] / np.ptp(points[:, 1])
        band = (high > 0.12) & (high < 0.4) & (np.abs(points[:, 0]) < 0.2)
        front, back = (mesh.v_color[band & (s * points[:, 2] > 0.02)] for s in (1, -1))
        assert np.abs(front.mean(axis=0) - back.mean(axis=0)).sum() > 0.1


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


def test_an_object_depends_on_seed_and_number_only():
    a, b = generate(5, 17), generate(5, 17)
    assert a.uid == b.uid and a.annotation == b.annotation
    np.testing.assert_array_equal(a.mesh.v_pos, b.mesh.v_pos)
    np.testing.assert_array_equal(a.mesh.v_color, b.mesh.v_color)
    others = [generate(5, 18), generate(6, 17)]
    assert len({a.uid, *(o.uid for o in others)}) == 3
    assert all(len(o.uid) == 32 and int(o.uid, 16) for o in others)


def test_what_is_left_out_is_never_made_and_the_rest_stays():
    out = [parse(text, "--leave-out") for text in ("red horse", "brown horse", "corgi with hat")]
    names = ["horse", "corgi"]
    changed = 0
    for k in range(150):
        free = generate(8, k, categories=names)
        toy = generate(8, k, categories=names, leave_out=out)
        assert not any(toy.design.includes(part) for part in out)
        if any(free.design.includes(part) for part in out):
            changed += 1
        else:
            assert toy.design == free.design
            np.testing.assert_array_equal(toy.mesh.v_pos, free.mesh.v_pos)
    assert changed > 20
    spared = {generate(8, k, categories=names, leave_out=out).design.extra for k in range(150)}
    assert "hat" in spared  # on horses


def test_only_what_is_asked_for_is_made_and_said():
    asked = [
        parse(text, "--only") for text in ("blue horse", "corgi with a red hat", "stone house")
    ]
    toys = [generate(8, k, only=asked) for k in range(60)]
    names = {toy.annotation["name"] for toy in toys}
    assert names == {"Blue Horse", "Corgi Wearing A Red Hat", "Stone House"}
    horse = next(toy for toy in toys if toy.category == "horse")
    assert share_near(horse.mesh, np.array(COLOURS["blue"])) > 0.35
    heights = {float(toy.mesh.bounds()[1, 1]) for toy in toys if toy.category == "horse"}
    assert len(heights) > 10  # proportions differ


# Bad objects


def test_bad_objects_are_labelled_as_artists_do():
    toys = [generate(1, k, bad_share=1.0) for k in range(120)]
    assert {toy.spoiled for toy in toys} == set(KINDS)
    for toy in toys:
        slugs = [tag["slug"] for tag in toy.annotation["tags"]]
        assert set(KINDS[toy.spoiled].tags) <= set(slugs)
        assert (toy.mesh is None) == (toy.spoiled == "empty")
        if toy.spoiled == "pointcloud":
            assert len(toy.mesh.t_pos_idx) == 0 and len(toy.mesh.v_pos) > 1000
        if toy.spoiled == "lowpoly":
            assert 4 <= len(toy.mesh.t_pos_idx) < 400


@pytest.mark.slow
def test_the_share_of_extras_is_kept_and_changes_nothing_else():
    toys = {
        share: [
            generate(2, k, categories=["cat", "chair"], extra_share=share).design
            for k in range(100)
        ]
        for share in (0.0, 0.35, 1.0)
    }
    assert not any(design.extra for design in toys[0.0])
    assert 15 < sum(bool(design.extra) for design in toys[0.35]) < 50
    # but for unpainted ones, which have none
    assert all(design.extra or design.material in UNPAINTED for design in toys[1.0])
    said = [(design.category, design.trait, design.material) for design in toys[0.35]]
    assert said == [(design.category, design.trait, design.material) for design in toys[1.0]]


def test_the_bad_share_is_kept():
    assert not any(generate(2, k, bad_share=0.0).spoiled for k in range(100))
    share = sum(bool(generate(2, k, bad_share=0.3).spoiled) for k in range(400)) / 400
    assert 0.2 < share < 0.4


# The stage


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "stage.json"
    }


def read_gz(path: Path):
    return json.loads(gzip.decompress(path.read_bytes()))


def test_the_layout_is_objaverses(tmp_path):
    out = tmp_path / "objs"
    result = toyverse(out=out, count=60, seed=4, bad_share=0.4)
    assert result.path == out and result.failed == 0
    paths = read_gz(out / "object-paths.json.gz")
    shard = read_gz(out / "metadata/000-000.json.gz")
    lvis = read_gz(out / "lvis-annotations.json.gz")
    assert len(paths) == 60 and set(paths) == set(shard)
    good = {uid for uids in lvis.values() for uid in uids}
    assert good < set(paths) and set(lvis) <= set(CATEGORIES)
    for uid, path in paths.items():
        assert path == f"glbs/000-000/{uid}.glb"
        glb = shard[uid]["archives"]["glb"]
        assert (out / path).stat().st_size == glb["size"]
        if glb["faceCount"] == 0:
            with pytest.raises(ObjectError) as caught:
                read_glb(out / path)
            assert caught.value.reason == "no-triangles"
        else:
            assert len(read_glb(out / path).t_pos_idx) == glb["faceCount"]


def test_a_written_toy_reads_back_with_its_colours(tmp_path):
    out = tmp_path / "objs"
    toyverse(out=out, count=3, seed=9, bad_share=0)
    for index in range(3):
        toy = generate(9, index)
        mesh = read_glb(out / f"glbs/000-000/{toy.uid}.glb")
        np.testing.assert_array_equal(mesh.v_pos, toy.mesh.v_pos)
        np.testing.assert_array_equal(mesh.t_pos_idx, toy.mesh.t_pos_idx)
        np.testing.assert_allclose(mesh.v_color, toy.mesh.v_color, atol=1e-3)


def test_rerun_is_a_no_op_and_another_command_is_refused(tmp_path, capsys):
    out = tmp_path / "objs"
    toyverse(out=out, count=5)
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    again = toyverse(out=out, count=5)
    assert again.summary["reused"] and "already" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == times
    with pytest.raises(UsageError, match="--overwrite"):
        toyverse(out=out, count=6)
    (out / "filtered").mkdir()
    (out / "filtered" / "objects.jsonl").write_text("{}")  # what another stage put there
    toyverse(out=out, count=6, overwrite=True)
    assert len(list(out.rglob("*.glb"))) == 6 and (out / "filtered" / "objects.jsonl").exists()


def test_an_overwritten_unfinished_run_leaves_no_objects_behind(tmp_path):
    out = tmp_path / "objs"
    toyverse(out=out, count=5, seed=1)
    (out / "stage.json").rename(out / "stage.partial.json")
    toyverse(out=out, count=2, overwrite=True)
    assert len(list(out.rglob("*.glb"))) == 2


def test_a_killed_run_is_completed_by_the_same_command(tmp_path):
    out, whole, count = tmp_path / "killed", tmp_path / "whole", 60
    kill_at(["toyverse", "--out", out, "--count", count, "--seed", 2], "toyverse", 20)
    assert len(list(out.rglob("*.glb"))) == 20
    assert not (out / "stage.json").exists()
    (out / "glbs/000-000/.half.glb.1.tmp.glb").write_bytes(b"glTF")
    toyverse(out=out, count=count, seed=2)
    toyverse(out=whole, count=count, seed=2)
    assert contents(out) == contents(whole)


def test_a_longer_collection_begins_with_the_shorter_one(tmp_path):
    toyverse(out=tmp_path / "short", count=4)
    toyverse(out=tmp_path / "long", count=8)
    short, long = (read_gz(tmp_path / n / "object-paths.json.gz") for n in ("short", "long"))
    assert short.items() <= long.items()


def test_categories_are_chosen_by_name(tmp_path):
    toyverse(out=tmp_path / "pets", count=20, categories="corgi, cat", bad_share=0)
    assert set(read_gz(tmp_path / "pets/lvis-annotations.json.gz")) == {"corgi", "cat"}


def test_combinations_are_recorded_and_kept_from_the_disk(tmp_path):
    toyverse(out=tmp_path / "seen", count=40, categories="horse", leave_out=["a BLUE horse"])
    record = json.loads((tmp_path / "seen/stage.json").read_text(encoding="utf-8"))
    assert record["params"]["leave_out"] == ["blue horse"] and record["params"]["only"] == []
    shard = read_gz(tmp_path / "seen/metadata/000-000.json.gz")
    assert not any("blue horse" in value["name"].lower() for value in shard.values())
    toyverse(out=tmp_path / "unseen", count=10, only=["blue horse"], bad_share=0)
    shard = read_gz(tmp_path / "unseen/metadata/000-000.json.gz")
    assert {value["name"] for value in shard.values()} == {"Blue Horse"}
    with pytest.raises(UsageError, match="only"):
        toyverse(out=tmp_path / "unseen", count=10, only=["red horse"], bad_share=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"categories": "corgi,unicorn"}, "unicorn.*corgi, cat, horse"),
        ({"leave_out": ["blue unicorn"]}, "--leave-out 'blue unicorn' names no category"),
        (
            {"leave_out": ["striped horse"]},
            "'striped' cannot be said there; a horse may have small",
        ),
        ({"only": ["horse with armrests"]}, "--only.*'armrests'.*hat, scarf, saddle"),
        ({"only": ["corgi with blue"]}, "'blue' cannot be said"),
        ({"only": ["house with a red chimney"]}, "'red' cannot be said"),
        ({"only": ["red golden key"]}, "golden toy has no colour"),
        ({"only": ["corgi"], "categories": "cat"}, "--only names the categories"),
        ({"only": ["blue horse"], "leave_out": ["horse"]}, "leave"),
        ({"only": ["tall blue horse"], "leave_out": ["blue horse"]}, "contradict"),
        ({"categories": "cat", "leave_out": ["cat"]}, "--leave-out leaves no object"),
    ],
)
def test_wrong_options_name_themselves(tmp_path, options, words):
    with pytest.raises(UsageError, match=words) as error:
        toyverse(out=tmp_path / "objs", **options)
    named = {"--" + name.replace("_", "-") for name in options}
    assert error.value.options and set(error.value.options) <= named
    assert not (tmp_path / "objs").exists()


@pytest.mark.parametrize(
    ("option", "value"), [("--count", "0"), ("--bad-share", "1.5"), ("--seed", "-1")]
)
def test_a_number_out_of_bounds_names_its_option(tmp_path, capsys, option, value):
    assert cli.run(["toyverse", "--out", str(tmp_path / "objs"), option, value]) == 2
    assert f"'{option}': Input should be " in capsys.readouterr().err
    assert not (tmp_path / "objs").exists()
