"""Measures of meshes against closed forms, and the pass over files through the command line."""

import json

import numpy as np
import pytest
import trimesh
from assets import ASSETS
from collection_samples import annotation, write_collection
from glb_samples import Sample
from killed import kill_at

from sdtool.cli import run
from sdtool.filtering.inspection import inspect_file, measure
from sdtool.filtering.rules import DEFAULT_RULES, MEASURED_FLAGS, MEASURES, read_rules
from sdtool.geometry.meshes import Mesh, merge
from sdtool.meshfiles import load_mesh, write_glb


def mesh_of(shape):
    return Mesh(shape.vertices.astype(np.float32), shape.faces.astype(np.int32))


def soup(mesh):
    """The same surface with three vertices of its own for every triangle, as flat shading has it."""
    count = 3 * len(mesh.t_pos_idx)
    return Mesh(
        mesh.v_pos[mesh.t_pos_idx.reshape(-1)], np.arange(count, dtype=np.int32).reshape(-1, 3)
    )


def box(width, height, depth, x=0.0):
    shape = mesh_of(trimesh.creation.box((width, height, depth)))
    return shape.with_positions(shape.v_pos + np.array([x, 0, 0], np.float32))


def ball(subdivisions=3):
    return mesh_of(trimesh.creation.icosphere(subdivisions))


# Measures


def test_a_box_is_what_it_is():
    found = measure(box(2, 4, 3))
    assert found["triangles"] == 12 and found["components"] == 1 and found["watertight"]
    assert (found["width"], found["height"], found["depth"]) == (2, 4, 3)
    assert (found["degenerate"], found["open_edges"]) == (0, 0)
    assert found["flatness"] == pytest.approx(2 / 4)


@pytest.mark.parametrize("shape", [ball(), box(1, 2, 3), merge([box(1, 1, 1), ball(2)])])
def test_split_vertices_change_nothing(shape):
    assert measure(soup(shape)) == pytest.approx(measure(shape), abs=0.002)  # sampled points differ
    assert measure(soup(shape))["watertight"]


def test_minus_zero_is_the_same_place():
    shape = soup(box(2, 2, 2, x=1.0))
    v_pos = shape.v_pos.copy()
    v_pos[::2][v_pos[::2] == 0] = -0.0
    assert measure(shape.with_positions(v_pos))["watertight"]


def test_a_hole_is_counted_by_its_edges():
    shape = ball()
    found = measure(Mesh(shape.v_pos, shape.t_pos_idx[1:]))
    edges = 3 * len(shape.t_pos_idx) // 2
    assert not found["watertight"] and found["open_edges"] == pytest.approx(3 / edges, rel=1e-5)


def test_three_triangles_at_one_edge_are_not_watertight():
    fin = Mesh(
        np.array([[0, 0, 0], [0, 1, 0], [9, 9, 9]], np.float32), np.array([[0, 1, 2]], np.int32)
    )
    shape = box(2, 2, 2)
    corner = shape.v_pos[shape.t_pos_idx[0]]
    fin = fin.with_positions(np.stack([corner[0], corner[1], fin.v_pos[2]]))
    found = measure(merge([shape, fin]))
    assert not found["watertight"] and found["open_edges"] == pytest.approx(3 / 20)  # 18 + 2 edges


def test_pieces_are_counted_and_unused_vertices_are_not():
    row = merge([box(1, 1, 1, x=2.0 * n) for n in range(7)])
    assert measure(row)["components"] == 7
    touching = merge([box(1, 1, 1, x=float(n)) for n in range(7)])
    assert measure(touching)["components"] == 1
    loose = Mesh(np.concatenate([np.full((5, 3), 9, np.float32), row.v_pos]), row.t_pos_idx + 5)
    assert measure(loose)["components"] == 7 and measure(loose)["width"] == 13


def test_degenerate_triangles_are_a_share():
    shape = box(1, 1, 1)
    collapsed = np.full((4, 3), 2, np.int32)
    in_line = Mesh(
        np.array([[0, 0, 0], [0.5, 0, 0], [0.25, 0, 0]], np.float32), np.array([[0, 1, 2]])
    )
    worse = merge([Mesh(shape.v_pos, np.concatenate([shape.t_pos_idx, collapsed])), in_line])
    assert measure(worse)["degenerate"] == pytest.approx(5 / 17, rel=1e-5)
    lines = Mesh(in_line.v_pos, in_line.t_pos_idx.astype(np.int32))
    assert measure(lines)["degenerate"] == 1 and measure(lines)["flatness"] == 0


def test_flatness_does_not_depend_on_the_pose():
    sheet = box(2, 1, 0.004)
    turn = trimesh.transformations.rotation_matrix(1.0, [1, 2, 3])[:3, :3]
    tilted = sheet.with_positions(sheet.v_pos @ turn.T)
    assert measure(sheet)["flatness"] == pytest.approx(0.002, rel=0.01)
    assert measure(tilted)["flatness"] == pytest.approx(0.002, rel=0.01)


def test_bulk_is_what_the_surface_takes_of_the_longest_side():
    assert measure(ball())["bulk"] == pytest.approx(0.95, abs=0.01)  # a sphere's area is even in x
    for far in (8, 80):
        shape = merge([ball(), box(0.01, 0.01, 0.01, far)])
        side = far + 1.005  # from the ball's far side to the speck's
        assert measure(shape)["bulk"] == pytest.approx(2 * 0.95 / side, rel=0.02)
    other = ball().with_positions(ball().v_pos + np.float32([80, 0, 0]))
    assert measure(merge([ball(), other]))["bulk"] > 0.9  # both are the object


def test_sideways_tells_a_turned_thing():
    """A body with a head at its front mirrors left to right; turned by 90°, front to back."""
    head = box(0.5, 0.5, 0.5)
    animal = merge([box(1, 1, 2), head.with_positions(head.v_pos + np.float32([0, 0.6, 1.2]))])
    x, y, z = animal.v_pos.T
    turned = animal.with_positions(np.stack([z, y, -x], axis=1))
    assert measure(animal)["sideways"] < -0.02 and measure(turned)["sideways"] > 0.02
    assert abs(measure(ball())["sideways"]) < 0.01


@pytest.mark.slow
def test_sideways_has_the_rates_that_the_rules_claim():
    from sdtool.toyverse.toys import generate

    toys = [generate(7, index, bad_share=0.0) for index in range(120)]
    right = np.array([measure(toy.mesh)["sideways"] for toy in toys])
    meshes = [toy.mesh.with_positions(toy.mesh.v_pos @ TURN) for toy in toys]
    turned = np.array([measure(mesh)["sideways"] for mesh in meshes])
    assert (turned > 0.01).mean() == pytest.approx(0.48, abs=0.12)
    suspects = [toy for toy, value in zip(toys, right, strict=True) if value > 0.01]
    one_handed = {"balloon", "flag", "sword", "staff"}
    assert {t.category for t in suspects if t.design.extra not in one_handed} <= {"mug", "key"}
    assert 0 < len(suspects) / len(toys) < 0.15


TURN = np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]], np.float32)  # 90° about y, for row vectors


@pytest.mark.slow
def test_a_million_triangles():
    found = measure(soup(ball(8)))
    assert found["triangles"] == 1_310_720 and found["watertight"] and found["components"] == 1


def test_every_measure_has_a_name_that_rules_know():
    assert set(measure(ball())) == set(MEASURES) | {"watertight"}
    assert {"readable", "surface", "watertight"} == set(MEASURED_FLAGS)


def test_files_that_hold_no_surface_or_cannot_be_read(tmp_path):
    assert inspect_file(tmp_path / "none.glb") == {"readable": False, "error": "missing-file"}
    (tmp_path / "bad.glb").write_bytes(b"glTF")
    assert inspect_file(tmp_path / "bad.glb")["readable"] is False
    write_points(tmp_path / "dots.glb")
    assert inspect_file(tmp_path / "dots.glb") == {
        "readable": True,
        "surface": False,
        "error": "no-triangles",
    }


def write_points(path):
    sample = Sample()
    sample.primitive(np.eye(3, dtype=np.float32), mode=0)
    sample.save(path)


@pytest.mark.slow
@pytest.mark.skipif(not ASSETS.is_dir(), reason=f"no real objects at {ASSETS}")
def test_real_objects_agree_with_trimesh():
    for path in sorted(ASSETS.rglob("*.glb")):
        mesh = load_mesh(path)
        found = measure(mesh)
        merged = trimesh.Trimesh(mesh.v_pos, mesh.t_pos_idx, process=False)
        merged.merge_vertices(merge_tex=True, merge_norm=True, digits_vertex=9)
        assert found["watertight"] == merged.is_watertight or found["degenerate"] > 0, path
        assert (found["width"], found["height"], found["depth"]) == pytest.approx(
            tuple(np.ptp(merged.vertices, axis=0)), rel=1e-4
        )


# The pass over files

GOOD = ("b1", "b2", "b3")
FILES = {
    **{uid: ball(2) for uid in GOOD},
    "points": None,
    "broken": None,
    "sheet": box(1, 1, 0.001),
    "lines": ball(2),
    "rubble": None,
    "tiny": box(1, 1, 1),
    "stray": merge([ball(2), box(0.01, 0.01, 0.01, 300)]),
    "tagged": ball(2),
}
MEETS = {
    "points": ["no-surface"],
    "broken": ["broken-file"],
    "sheet": ["few-faces", "flat"],
    "lines": ["degenerate"],
    "rubble": ["fragments"],
    "tiny": ["few-faces"],
    "stray": ["stray"],
    "tagged": ["scan"],
}


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Objects of every default rule about files; annotations that speak for all but one."""
    root = tmp_path_factory.mktemp("objs") / "objs"
    annotations = [annotation(u, tags=["scan"] if u == "tagged" else ["cup"]) for u in FILES]
    write_collection(root, annotations)
    for uid, mesh in FILES.items():
        path = root / f"glbs/000-000/{uid}.glb"
        if uid == "points":
            write_points(path)
        elif uid == "rubble":
            spots = np.random.default_rng(0).random((10_001, 1, 3)).astype(np.float32)
            corners = spots + 0.001 * np.eye(3, dtype=np.float32)
            mesh = Mesh(corners.reshape(-1, 3), np.arange(30_003, dtype=np.int32).reshape(-1, 3))
        elif uid == "lines":
            extra = np.zeros((400, 3), np.int32)
            mesh = Mesh(mesh.v_pos, np.concatenate([mesh.t_pos_idx, extra]))
        if mesh is not None:
            write_glb(path, mesh)
    return root


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def command(capsys, *arguments):
    code = run(["filter-objaverse", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_every_rule_about_files_finds_its_object(collection, tmp_path, capsys, workers):
    out = tmp_path / "f"
    code, _, stderr = command(capsys, collection, "--out", out, "--inspect", "--workers", workers)
    assert code == 0 and "add --inspect" not in stderr
    kept = lines(out / "objects.jsonl")
    rejected = {line["uid"]: line for line in lines(out / "rejected.jsonl")}
    assert {uid: line["rules"] for uid, line in rejected.items()} == MEETS
    assert rejected["broken"]["error"] == "truncated-file"
    assert "error" not in rejected["tagged"]
    assert sorted(line["uid"] for line in kept) == list(GOOD)
    assert all(line["triangles"] == 320 and line["watertight"] is True for line in kept)
    inspected = {line["uid"]: line for line in lines(out / "inspected.jsonl")}
    assert set(inspected) == set(FILES) - {"tagged"}  # the rules had spoken already
    assert inspected["broken"]["error"] == "truncated-file"
    assert {r.name for r in read_rules(DEFAULT_RULES) if r.only_measured} <= {
        rule for rules in MEETS.values() for rule in rules
    }


def test_without_inspect_nothing_is_opened(collection, tmp_path, capsys):
    code, _, stderr = command(capsys, collection, "--out", tmp_path / "f")
    assert code == 0 and "add --inspect" in stderr
    assert len(lines(tmp_path / "f/objects.jsonl")) == len(FILES) - 1


@pytest.mark.slow
def test_measures_can_be_filtered_again(collection, tmp_path, capsys):
    command(capsys, collection, "--out", tmp_path / "f", "--inspect")
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "closed"\neffect = "require"\nwatertight = true\n'
        '[[rule]]\nname = "wide"\nabove = { width = 1.9 }\n'
    )
    arguments = (tmp_path / "f", "--rules", rules, "--out")
    code, _, stderr = command(capsys, *arguments, tmp_path / "g")
    assert code == 0 and "add --inspect" not in stderr
    assert {line["uid"]: line["rules"] for line in lines(tmp_path / "g/rejected.jsonl")} == {
        uid: ["wide"] for uid in GOOD
    }
    command(capsys, *arguments, tmp_path / "h", "--inspect")  # all are measured already
    assert not (tmp_path / "h/inspected.jsonl").exists()


@pytest.mark.slow
def test_a_required_measure_waits_for_inspect(collection, tmp_path, capsys):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "closed"\neffect = "require"\nwatertight = true\n')
    arguments = (collection, "--rules", rules, "--out")
    command(capsys, *arguments, tmp_path / "f")
    assert len(lines(tmp_path / "f/objects.jsonl")) == len(FILES)
    command(capsys, *arguments, tmp_path / "g", "--inspect")
    kept = {line["uid"] for line in lines(tmp_path / "g/objects.jsonl")}
    assert kept == {*GOOD, "sheet", "lines", "tiny", "stray", "tagged"}


def test_explain_can_look_at_the_file(collection, capsys):
    code, stdout, stderr = command(capsys, collection, "--explain", "sheet", "--inspect", "--json")
    assert code == 0 and "flatness = 0.001 is below 0.005" in stderr
    assert json.loads(stdout)["object"]["triangles"] == 12
    _, _, stderr = command(capsys, collection, "--explain", "sheet")
    assert "is kept" in stderr and "judged with --inspect" in stderr


@pytest.mark.slow
def test_a_file_that_takes_too_long_is_not_readable(collection, tmp_path, capsys):
    arguments = ("--inspect", "--workers", 2, "--timeout", 0.0001)
    assert command(capsys, collection, "--out", tmp_path / "f", *arguments)[0] == 0
    errors = {line.get("error") for line in lines(tmp_path / "f/inspected.jsonl")}
    assert "timeout" in errors and lines(tmp_path / "f/objects.jsonl") == []


@pytest.mark.slow
def test_a_killed_inspection_is_continued(tmp_path, capsys):
    root, out, calm = tmp_path / "toys", tmp_path / "f", tmp_path / "calm"
    assert run(["toyverse", "--out", str(root), "--count", "200"]) == 0
    arguments = (root, "--inspect", "--workers", 2)
    assert command(capsys, *arguments, "--out", calm)[0] == 0
    kill_at(["filter-objaverse", *arguments, "--out", out], "inspecting", 20)
    journal = out / "parts/000000.inspected.jsonl"
    text = journal.read_text()
    first, rest = text.split("\n", 1)
    marked = json.loads(first) | {"components": 4321}
    journal.write_text(json.dumps(marked) + "\n" + rest + '{"uid": "cut sh')
    assert command(capsys, *arguments, "--out", out)[0] == 0
    for name in ("objects.jsonl", "inspected.jsonl"):
        found, expected = lines(out / name), lines(calm / name)
        assert [line["uid"] for line in found] == [line["uid"] for line in expected]
        other = [a for a, b in zip(found, expected, strict=True) if a != b]
        assert [line["uid"] for line in other] == [marked["uid"]]
        assert other[0]["components"] == 4321  # it was not measured again
