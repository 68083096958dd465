"""The Toyverse: facts of shape and orientation, words that are true, the layout on disk."""

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from assets import EXAMPLE
from sdtool.stages.toyverse import toyverse

from sdtool.errors import ObjectError, UsageError
from sdtool.glb import read_glb
from sdtool.meshes import Mesh
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.primitives import box, ellipsoid, lathe, slab, tube
from sdtool.toyverse.spoiled import KINDS, point_cloud
from sdtool.toyverse.toys import generate, make
from sdtool.toyverse.words import COLOURS, Look

FOUR_LEGGED = ["corgi", "cat", "horse", "elephant", "rabbit"]
LEGS_BELOW = [*FOUR_LEGGED, "chair", "table"]
EARED = FOUR_LEGGED
SYMMETRIC = [*FOUR_LEGGED, "bird", "fish", "chair", "teapot", "car", "airplane", "boat", "robot"]
GREY = np.full(3, 0.5)


def samples(category: str, count: int = 12) -> list[Mesh]:
    return [make(np.random.default_rng([7, k]), category)[0] for k in range(count)]


def centred(mesh: Mesh) -> np.ndarray:
    return mesh.v_pos - mesh.bounds().mean(axis=0)


def overlap(mesh: Mesh, signs: tuple[int, int, int]) -> float:
    """Intersection over union of surface voxels of the mesh and its mirror image."""
    points = point_cloud(np.random.default_rng(0), mesh, 20000).v_pos
    low, high = mesh.bounds()
    points = (points - (low + high) / 2) / (high - low).max()
    one, other = (
        set(map(tuple, np.floor(p * 16).astype(int))) for p in (points, points * np.array(signs))
    )
    return len(one & other) / len(one | other)


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
    key, back = (set(map(tuple, e)) for e in (edges, edges[:, ::-1]))
    return len(key) == len(edges) and key == back


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
    plate = slab([(0, 0), (0, 1), (1, 1), (1, 0)], -0.5, 0.5, GREY)
    assert volume(plate) == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_part_is_closed_and_looks_outward(category):
    entry = CATEGORIES[category]
    for trait in ("", *entry.traits):
        look = Look(GREY, "grey", "", trait)
        for k in range(4):
            for number, part in enumerate(entry.build(np.random.default_rng(k), look)):
                assert is_closed(part), (trait, number)
                assert volume(part) > 0, (trait, number)


# Shape and orientation


@pytest.mark.parametrize("category", CATEGORIES)
def test_toys_are_small_meshes_that_stand_on_the_ground(category):
    for mesh in samples(category):
        assert 300 <= len(mesh.t_pos_idx) <= 4000
        assert mesh.v_color.shape == mesh.v_pos.shape
        assert 0 <= mesh.v_color.min() and mesh.v_color.max() <= 1
        low, high = mesh.bounds()
        np.testing.assert_allclose([low[1], *(low + high)[[0, 2]]], 0, atol=1e-5)


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
    for mesh in samples("house"):  # the chimney is behind, the door reaches out in front
        points = centred(mesh)
        assert points[points[:, 1].argmax(), 2] < 0


def test_birds_look_toward_plus_z():
    for mesh in samples("bird"):
        points = centred(mesh)
        assert points[points[:, 1].argmax(), 2] > 0


# Words


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("word", COLOURS)
def test_the_colour_that_is_said_dominates(category, word):
    entry = CATEGORIES[category]
    look = Look(entry.shade(word), word)
    shares = []
    for k in range(3):
        total = own = 0.0
        for part in entry.build(np.random.default_rng(k), look):
            a, b, c = (part.v_pos[part.t_pos_idx[:, i]] for i in range(3))
            area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
            color = part.v_color[part.t_pos_idx].mean(axis=1)
            near = np.linalg.norm(color - look.color, axis=1) < 0.25
            total, own = total + area.sum(), own + area[near].sum()
        shares.append(own / total)
    assert min(shares) > 0.35, shares


def test_names_are_in_artists_style():
    toys = [generate(3, k) for k in range(300)]
    words = {w.lower() for toy in toys for w in toy.annotation["name"].split()}
    known = {w for c in CATEGORIES.values() for w in (*c.traits, *c.materials)}
    assert words <= known | set(COLOURS) | set(CATEGORIES)
    for toy in toys:
        assert toy.annotation["name"].lower().endswith(toy.category)
        assert toy.category in [tag["slug"] for tag in toy.annotation["tags"]]
        assert toy.annotation["description"].endswith(".")
    corgis = [t.annotation["name"] for t in toys if t.category == "corgi"]
    silent = [n for n in corgis if not set(n.lower().split()) & set(COLOURS)]
    assert 0.15 < len(silent) / len(corgis) < 0.75


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
    out, whole, count = tmp_path / "killed", tmp_path / "whole", 400
    code = (
        "from pathlib import Path; from sdtool.stages.toyverse import toyverse; "
        f"toyverse(out=Path({str(out)!r}), count={count}, seed=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while len(list(out.rglob("*.glb"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 20 <= len(list(out.rglob("*.glb"))) < count
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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "--count 0"),
        ({"bad_share": 1.5}, "--bad-share 1.5"),
        ({"seed": -1}, "--seed -1"),
        ({"categories": "corgi,unicorn"}, "unicorn.*corgi, cat, horse"),
    ],
)
def test_wrong_options_name_themselves(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        toyverse(out=tmp_path / "objs", **options)
    assert not (tmp_path / "objs").exists()
