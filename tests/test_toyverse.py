"""The Toyverse: what seed, number and wishes make, bad objects, and the layout on disk."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from killed import kill_at
from sdtool.stages.toyverse import toyverse
from toy_samples import share_near

from sdtool import cli
from sdtool.errors import ObjectError, UsageError
from sdtool.meshfiles import read_glb
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.designs import parse
from sdtool.toyverse.materials import UNPAINTED
from sdtool.toyverse.spoiled import KINDS
from sdtool.toyverse.toys import generate
from sdtool.toyverse.words import COLOURS

# What is made


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
