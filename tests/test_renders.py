"""render-ccm --from and --layout: the renders of others as shards, and six sides as CRM trains on them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from render_samples import SIDES, clip, exr, sides, toy, write_ortho10view
from shape_samples import box

from sdtool.cli import run
from sdtool.errors import InputError, ObjectError, UsageError
from sdtool.geometry.cameras import (
    OrthographicRange,
    ViewRange,
    orbit,
    orthographic_to_clip,
    points_of_depth,
    rotate_y,
    view_range,
)
from sdtool.geometry.ccm import decode_map, to_canonical
from sdtool.io.exr import read_channel
from sdtool.io.files import read_json, read_jsonl
from sdtool.io.shards import open_shard
from sdtool.meshfiles import write_glb
from sdtool.priors.cards import camera_of, cameras_of
from sdtool.priors.model_card import _projection
from sdtool.rendering import crm, crm_files
from sdtool.rendering.maps import render_through
from sdtool.training.data import Views

ORTHO, PERSP = ("ORTHO", 1.1), ("PERSP", float(np.radians(45)))


pytestmark = pytest.mark.usefixtures("in_a_folder")


def read(layout, *more, source="theirs", size=16):
    fixed = ["--from", layout, "--out", "ccm", "--size", str(size), "--workers", "1"]
    return run(["render-ccm", source, *fixed, *more])


def only_shard():
    return open_shard(Path("ccm/ccm-00000.safetensors"))


def image(shard, name="ccm"):
    return shard.maps[name].astype(np.float32).transpose(0, 2, 3, 1)


# Cameras


@pytest.mark.parametrize("lens", [ORTHO, PERSP], ids=["orthographic", "perspective"])
def test_a_point_comes_back_from_its_pixel_and_depth(lens):
    c2w = orbit(np.array([0.7, -2.0]), np.array([0.4, -1.2]), np.array([1.5, 1.8]))
    views = OrthographicRange(scale=lens[1]) if lens is ORTHO else ViewRange(fov=45)
    depth = np.random.default_rng(0).uniform(1, 2, (2, 8, 8)).astype(np.float32)
    centre = (np.arange(8) + 0.5) / 8 * 2 - 1
    for one, camera, matrix in zip(depth, c2w, clip(c2w, lens), strict=True):
        points = points_of_depth(one, camera, views)
        seen = np.concatenate([points, np.ones((8, 8, 1))], axis=-1) @ matrix.T
        x, y = seen[..., 0] / seen[..., 3], seen[..., 1] / seen[..., 3]
        np.testing.assert_allclose(x, np.broadcast_to(centre, (8, 8)), atol=1e-5)
        np.testing.assert_allclose(y, np.broadcast_to(centre[:, None], (8, 8)), atol=1e-5)
        np.testing.assert_allclose((points - camera[:3, 3]) @ -camera[:3, 2], one, atol=1e-5)


def test_an_orthographic_map_has_its_closed_form():
    """The front of a box: coordinates run evenly over the pixels that its width and height take."""
    mesh = to_canonical(box([0, 0, 0], [2, 4, 1]))  # half as wide as high
    c2w = orbit(np.array(0.0), np.array(0.0), np.array(9.0))  # from any distance
    found = render_through(mesh, c2w, orthographic_to_clip(c2w, 2.0), 32, ("ccm",), 1)["ccm"][0]
    value, coverage = decode_map(found)
    inside = np.zeros((32, 32), bool)
    inside[8:24, 12:20] = True
    assert np.array_equal(coverage[..., 0] > 0.5, inside)
    wide, high = (np.arange(8) + 0.5) / 8, 1 - (np.arange(16) + 0.5) / 16
    np.testing.assert_allclose(value[8:24, 12:20, 0], np.tile(wide, (16, 1)), atol=1e-5)
    np.testing.assert_allclose(value[8:24, 12:20, 1], np.tile(high[:, None], 8), atol=1e-5)
    np.testing.assert_allclose(value[8:24, 12:20, 2], 1, atol=1e-5)


def test_what_a_file_says_of_its_cameras():
    there = {"scale": 1.1, "elevation": [-90, 90], "model": "orthographic", "newer": 1}
    assert view_range(there) == OrthographicRange(1.1, (-90, 90))
    assert view_range({"fov": 40.0}) == ViewRange(40.0)
    with pytest.raises(InputError, match="fisheye"):
        view_range({"model": "fisheye"})


# Objaverse-Ortho10View


@pytest.mark.parametrize("lens", [ORTHO, PERSP], ids=["orthographic", "perspective"])
def test_depth_and_cameras_give_our_own_maps(lens):
    mesh, c2w = toy(), sides(1.8)
    write_ortho10view("theirs/00/00a", mesh, c2w, lens)
    write_ortho10view("theirs/7f/7fb", box([-0.5] * 3, [0.5] * 3), c2w, lens)
    assert read("ortho10view", "--maps", "ccm,rgb") == 0
    shard = only_shard()
    assert shard.uids == ["00a", "7fb"] and len(shard.c2w) == 2 * len(SIDES)
    ours = render_through(mesh, c2w, clip(c2w, lens), 16, ("ccm",), 4)["ccm"]
    np.testing.assert_allclose(image(shard)[:10], ours, atol=2e-3)
    np.testing.assert_allclose(shard.c2w[:10], c2w, atol=2e-6)
    color, coverage = decode_map(image(shard, "rgb")[:10])
    np.testing.assert_allclose(coverage, (ours[..., 3:] + 1) / 2, atol=2e-3)
    full = coverage[..., 0] > 0.99
    assert full.any()
    np.testing.assert_allclose(color[full], np.tile([1, 128 / 255, 0], (full.sum(), 1)), atol=2e-3)
    where = {"elevation": [-89.9, 89.9], "factor": [1.0, 1.0], "distance": 1.8}
    kind = {"scale": 1.1, "model": "orthographic"} if lens is ORTHO else {"fov": 45.0}
    assert Views(["ccm"], ["ccm"]).camera == {**kind, **where}
    assert (
        Path("ccm/preview.png").is_file() and read_json(Path("ccm/stage.json"))["counts"]["ok"] == 2
    )


def test_a_table_turns_what_faces_elsewhere(capsys):
    """Turned by a quarter, an object of flat sides is what rendering the turned one gives."""
    mesh, c2w = toy(), sides()
    write_ortho10view("theirs/a", mesh, c2w, ORTHO)
    Path("turns.csv").write_text("uid,degrees\na,90\n")
    assert read("ortho10view", "--yaw-fix", "turns.csv") == 0
    turned = mesh.with_positions(rotate_y(mesh.v_pos, np.pi / 2))
    moved = only_shard().c2w
    ours = render_through(turned, moved, orthographic_to_clip(moved, 1.1), 16, ("ccm",), 4)["ccm"]
    np.testing.assert_allclose(image(only_shard()), ours, atol=4e-3)
    np.testing.assert_allclose(moved[0, :3, 3], [1.5, 0, 0], atol=1e-5)


def test_any_size_is_an_exact_mean():
    write_ortho10view("theirs/a", toy(), sides(), ORTHO, side=50)
    assert read("ortho10view", size=16) == 0
    coverage = (image(only_shard())[..., 3] + 1) / 2
    depth = read_channel(Path("theirs/a/depth_0000.exr"), ("R",))
    assert coverage[0].mean() == pytest.approx((depth < 1000).mean(), abs=1e-3)


def spoil(name):
    """Make the object `name` unusable in the way that its name says."""
    folder, meta = Path("theirs") / name, Path("theirs") / name / "meta.json"
    if name == "no-meta":
        meta.unlink()
    elif name == "no-depth":
        (folder / "depth_0001.exr").unlink()
    elif name == "cut":
        whole = (folder / "depth_0001.exr").read_bytes()
        (folder / "depth_0001.exr").write_bytes(whole[: len(whole) // 2])
    elif name == "piz":
        (folder / "depth_0001.exr").write_bytes(exr({"R": np.ones((32, 32), "<f4")}, codec=4))
    elif name == "empty":
        for path in folder.glob("depth_*"):
            path.write_bytes(exr({"V": np.full((32, 32), 65504, "<f2")}))
    elif name == "no-color":
        (folder / "color_0000.webp").write_bytes(b"RIFF")
    elif name == "half-a-meta":
        meta.write_text(meta.read_text()[:200])
    else:
        said = json.loads(meta.read_text())
        place = said["locations"][1]
        if name == "mirrored":
            place["transform_matrix"][0] = [-x for x in place["transform_matrix"][0]]
        elif name == "escapes":
            place["index"] = "/../../0001"
        elif name == "zoomed":
            place["ortho_scale"] = 1.3
        elif name == "fewer":
            said["locations"].pop()
        meta.write_text(json.dumps(said))


REASONS = {
    "cut": ("bad-depth", "depth_0001.exr is cut off"),
    "empty": ("nothing-visible", "in none of its views"),
    "escapes": ("bad-camera", "locations"),
    "fewer": ("other-cameras", "2 views"),
    "half-a-meta": ("bad-camera", "meta.json"),
    "mirrored": ("bad-camera", "transform_matrix"),
    "no-color": ("bad-picture", "color_0000.webp"),
    "no-depth": ("missing-file", "depth_0001.exr is missing"),
    "no-meta": ("missing-file", "meta.json is missing"),
    "piz": ("bad-depth", "PIZ"),
    "small": ("too-small", "12 pixels"),
    "zoomed": ("other-cameras", "several"),
}


def test_each_bad_object_is_a_named_failure():
    c2w = sides(angles=SIDES[:3])
    for name in ("good", "good2", *REASONS):
        side = 12 if name == "small" else 32
        write_ortho10view(f"theirs/{name}", toy(), c2w, ORTHO, side)
        spoil(name) if name in REASONS else None
    assert read("ortho10view", "--maps", "ccm,rgb") == 3
    failures = {line["uid"]: line for line in read_jsonl(Path("ccm/failures.jsonl"))}
    assert {uid: line["reason"] for uid, line in failures.items()} == {
        uid: reason for uid, (reason, _) in REASONS.items()
    }
    for uid, (_, words) in REASONS.items():
        assert words in failures[uid]["message"], failures[uid]
    assert [line["uid"] for line in read_jsonl(Path("ccm/index.jsonl"))] == ["good", "good2"]


# OpenEXR


@pytest.mark.parametrize("codec", [0, 2, 3])
@pytest.mark.parametrize("kind", ["<f4", "<f2", "<u4"])
def test_openexr_comes_back(codec, kind):
    rng = np.random.default_rng(1)
    wanted = np.repeat(rng.integers(0, 2000, (37, 3)), 7, axis=1).astype(kind)
    noise = rng.uniform(size=wanted.shape).astype("<f2")
    Path("a.exr").write_bytes(exr({"B": noise, "depth.Z": wanted, "x": noise}, codec))
    found = read_channel(Path("a.exr"), ("V", "Z"))
    assert found.dtype == np.float32 and np.array_equal(found, wanted.astype(np.float32))


def test_openexr_that_is_damaged_is_refused():
    """Wherever it is cut; and a changed byte gives an error or a picture of the same size."""
    whole = exr({"R": np.arange(20 * 9, dtype="<f4").reshape(20, 9) // 40})
    path, rng = Path("a.exr"), np.random.default_rng(2)
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(ObjectError, match=r"a\.exr"):
            read_channel(path, ("R",))
    for _ in range(300):
        changed = bytearray(whole)
        changed[rng.integers(4, len(whole))] = rng.integers(256)
        path.write_bytes(changed)
        try:
            assert read_channel(path, ("R",)).ndim == 2
        except ObjectError as error:
            assert error.reason == "bad-depth"


@pytest.mark.parametrize(
    "more, words",
    [({"flags": 0x200}, "tiles"), ({"flags": 0x1000}, "parts"), ({"windows": bytes(16)}, "window")],
)
def test_openexr_of_other_kinds_is_refused_by_name(more, words):
    Path("a.exr").write_bytes(exr({"R": np.ones((4, 4), "<f4")}, **more))
    with pytest.raises(ObjectError, match=words):
        read_channel(Path("a.exr"), ("R",))
    with pytest.raises(ObjectError, match="no channel Z among R"):
        Path("a.exr").write_bytes(exr({"R": np.ones((4, 4), "<f4")}))
        read_channel(Path("a.exr"), ("Z",))


# CRM


def test_crm_pictures_have_their_closed_form():
    """A box seen from its six sides: red to the left, green to the front, blue up, as bytes of one scale."""
    half = np.array([0.25, 0.5, 0.125])
    files = crm.draw(to_canonical(box(-half, half)), 64, 2)
    Path("a").mkdir()
    for name, data in files.items():
        (Path("a") / name).write_bytes(data)
    along = (np.arange(64) + 0.5) / 64 - 0.5  # to the right, and down
    x, y, z = np.eye(3)
    views = [(x, -y, z), (z, -y, -x), (x, -z, -y), (-x, -y, -z), (-z, -y, x), (x, z, y)]
    for k, (right, down, back) in enumerate(views):
        point = along[:, None] * right + along[:, None, None] * down + back * half
        inside = (np.abs(point) <= half + 1e-9).all(axis=-1)
        rgb = point * [-1, 1, 1] + 0.5
        wanted = np.where(inside[..., None], np.floor(255 * rgb[..., [0, 2, 1]]), 127)
        found = np.asarray(Image.open(f"a/xyz_new_{k:03d}.png"))
        assert found.shape == (64, 64, 3) and found.dtype == np.uint8
        assert np.abs(found - wanted).max() <= 1 and (found == wanted).mean() > 0.99
        picture = np.asarray(Image.open(f"a/{k:03d}.png"))
        assert picture.shape == (64, 64, 4) and np.array_equal(picture[..., 3] > 127, inside)


def test_crm_is_written_and_read_back(capsys):
    mesh = toy()
    write_glb(Path("objs/a.glb"), mesh)
    write_glb(Path("objs/b.glb"), box([0, 0, 0], [2, 4, 1]))
    Path("objs/c.glb").write_bytes(b"glTF")
    crm_of = ["--layout", "crm", "--size", "256", "--supersample", "1", "--workers", "1"]
    assert run(["render-ccm", "objs", "--out", "theirs", *crm_of]) == 3
    assert [line["uid"] for line in read_jsonl(Path("theirs/failures.jsonl"))] == ["c"]
    assert len(list(Path("theirs").glob("[ab]/*.png"))) == 24
    Path("theirs/b/003.png").unlink()
    assert read("crm", "--maps", "ccm,rgb", size=32) == 3
    assert [line["reason"] for line in read_jsonl(Path("ccm/failures.jsonl"))] == ["missing-file"]
    shard = only_shard()
    c2w = crm.cameras().c2w
    ours = render_through(mesh, c2w, orthographic_to_clip(c2w, 1.0), 32, ("ccm",), 8)["ccm"]
    assert np.array_equal(shard.c2w, c2w)
    extent = np.ptp(mesh.bounds(), axis=0).min()  # bytes of one scale: coarser on the short axes
    inside = (ours[..., 3] == 1) & (image(shard)[..., 3] == 1)
    assert inside.mean() > 0.2
    np.testing.assert_allclose(image(shard)[inside], ours[inside], atol=2.5 / 255 / extent)
    np.testing.assert_allclose(image(shard)[..., 3], ours[..., 3], atol=2 / 8)  # a row of samples
    assert np.abs(image(shard) - ours).mean() < 1.5e-3
    assert shard.camera["model"] == "orthographic" and shard.camera["scale"] == 1.0


def test_crm_pictures_are_continued_and_redone(monkeypatch, capsys):
    for name in "ab":
        write_glb(Path(f"objs/{name}.glb"), box([0, 0, 0], [2, 4, 1]))
    fixed = ["--layout", "crm", "--size", "256", "--supersample", "1", "--workers", "1"]
    line, drawn, draw = ["render-ccm", "objs", "--out", "out", *fixed], [], crm_files.draw

    def draws(mesh, size, supersample):
        drawn.append(size)
        if len(drawn) == 2:
            raise OSError(28, "No space left on device")
        return draw(mesh, size, supersample)

    monkeypatch.setattr(crm_files, "draw", draws)
    assert run(line) == 1 and "No space left" in capsys.readouterr().err
    assert run(line) == 0 and len(drawn) == 3  # the first stays as it is
    Path("out/a/mine.txt").write_text("stays")
    before = {path: path.read_bytes() for path in Path("out").glob("*/*")}
    assert run(line) == 0 and "already rendered" in capsys.readouterr().err
    assert run([*line, "--overwrite"]) == 0
    assert {path: path.read_bytes() for path in Path("out").glob("*/*")} == before
    assert len(before) == 25 and len(drawn) == 5


# What is refused


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--from", "crm", "--views", "4"], "--views is about rendering"),
        (["--from", "crm", "--layout", "crm"], "--layout is about rendering"),
        (["--from", "crm", "--maps", "normal"], "--maps normal: --from crm reads ccm and rgb only"),
        (["--layout", "crm"], "--size 64 is below the 256 pixels"),
        (["--layout", "crm", "--size", "512", "--fov", "40"], "--fov is not for --layout crm"),
    ],
)
def test_what_cannot_be_asked_together(arguments, words, capsys):
    Path("objs").mkdir()
    assert run(["render-ccm", "objs", "--out", "out", *arguments]) == 2
    assert words in capsys.readouterr().err and not Path("out").exists()


def test_a_folder_of_something_else(capsys):
    write_glb(Path("objs/a.glb"), toy())
    assert read("crm", source="objs") == 1
    assert "holds no renders in the layout crm" in capsys.readouterr().err
    assert read("ortho10view", source="objs/a.glb") == 1
    assert "is no folder" in capsys.readouterr().err


def test_who_renders_with_perspective_refuses_an_orthographic_agp(capsys):
    tiny = Path(cameras_of.__code__.co_filename).parents[1] / "tiny" / "agp"
    shutil.copytree(tiny, "agp")
    card = read_json(Path("agp/agp.json"))
    card["camera"] = {"model": "orthographic", "scale": 1.1, "distance": 1.5}
    card["base"] = "tiny"
    Path("agp/agp.json").write_text(json.dumps(card))
    assert cameras_of("agp") == OrthographicRange(1.1)
    with pytest.raises(UsageError, match="orthographic views"):
        camera_of("agp")
    assert run(["lift", "a corgi", "--agp", "agp", "--out", "run"]) == 2
    assert "--agp agp was trained on orthographic views" in capsys.readouterr().err
    assert "**orthographic**" in _projection(card) and not _projection({"camera": {"fov": 45.0}})


def test_perspective_and_orthographic_shards_do_not_mix():
    write_ortho10view("theirs/a", toy(), sides(), ORTHO)
    assert read("ortho10view") == 0
    Path("ccm").rename("ortho")
    shutil.rmtree("theirs")
    write_ortho10view("theirs/b", toy(), sides(), PERSP)
    assert read("ortho10view") == 0
    with pytest.raises(InputError, match="cameras drawn differently"):
        Views(["ccm", "ortho"], ["ccm"]).camera  # noqa: B018
