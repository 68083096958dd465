"""Model files as programs and people leave them: what they are told, and what is read of them."""

import base64
import gzip
import os
import zipfile

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES, corner
from odd_samples import OBJ, PLY, refused, written

from sdtool.captioning.file_words import read_file_words
from sdtool.errors import ObjectError
from sdtool.evaluating.assets import Asset, find_assets
from sdtool.evaluating.prompts import _own_words
from sdtool.meshfiles import load_mesh

# What a file is that is not what its name says


@pytest.mark.parametrize("ending", ["glb", "gltf", "obj", "ply", "stl", "off"])
def test_what_stands_in_for_a_model_is_named_with_a_cure(tmp_path, ending):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    for data, reason, words in (
        (pointer, "git-lfs-pointer", "git lfs pull"),
        ("<!DOCTYPE html>\n<html>404</html>", "wrong-kind", "web page"),
        ("", "empty-file", "fetch it again"),
        (gzip.compress(b"x" * 99), "wrong-kind", "gunzip"),
        (b"PK\3\4" + bytes(99), "wrong-kind", "ZIP archive"),
        (b"Kaydara FBX Binary  \0" + bytes(99), "wrong-kind", "FBX"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "wrong-kind", "PNG picture"),
    ):
        found, message = refused(written(tmp_path / f"a.{ending}", data))
        assert found == reason and words in message and f"a.{ending} is" in message


def test_a_file_with_the_ending_of_another_and_utf_16_are_named(tmp_path):
    assert "ending .glb" in refused(written(tmp_path / "a.obj", corner().data()))[1]
    assert "save it as UTF-8" in refused(written(tmp_path / "b.obj", OBJ.encode("utf-16")))[1]


def test_a_vrm_is_a_glb(tmp_path):
    sample = corner()
    sample.tree["extensionsRequired"] = ["VRM", "VRMC_springBone"]
    path = written(tmp_path / "a.vrm", sample.data())
    np.testing.assert_array_equal(load_mesh(path).v_pos, CORNER)


# Counts that lie


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian"])
@pytest.mark.parametrize(
    "counts, reason, said",
    [
        ((29_000_000, 4), "truncated-file", "promises 29,000,000 rows of vertex"),
        ((4, 29_000_000), "truncated-file", "promises 29,000,000 rows of face"),
        ((4_000_000_000, 4), "too-large", "promises 4,000,000,000 rows of vertex"),
    ],
)
def test_a_ply_that_promises_more_than_its_bytes_takes_no_memory(
    tmp_path, monkeypatch, kind, counts, reason, said
):
    def allocate(shape, *_, **__):
        raise AssertionError(f"allocated {shape}")

    body = "0 0 0\n1 0 0\n0 2 0\n0 0 3\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
    path = written(tmp_path / "a.ply", PLY.format(kind, *counts) + body)
    monkeypatch.setattr("sdtool.meshfiles.ply_values.np.empty", allocate)
    found, message = refused(path)
    assert found == reason and said in message


# Far from the origin


def test_what_stands_on_a_map_keeps_its_shape(tmp_path):
    """float32 has steps of half a metre there; the size of the object is one to three tenths."""
    place = np.array([512345.678, 30.25, 5412345.321])
    rows = [place + v / 10 for v in CORNER.astype(np.float64)]
    lines = ["{:.4f} {:.4f} {:.4f}".format(*row) for row in rows]
    faces = ["3 {} {} {}".format(*f) for f in CORNER_FACES]
    paths = [written(tmp_path / "a.obj", "".join(f"v {line}\n" for line in lines) + OBJ[32:])]
    head = PLY.format("ascii", 4, 4).replace("float", "double")
    paths += [written(tmp_path / "a.ply", head + "\n".join([*lines, *faces, ""]))]
    paths += [written(tmp_path / "a.off", "\n".join(["OFF", "4 4 0", *lines, *faces, ""]))]
    sample = corner(translation=place.tolist(), scale=[0.1, 0.1, 0.1])
    paths += [sample.save(tmp_path / "a.glb")]
    for path in paths:
        mesh = load_mesh(path)
        low, high = mesh.bounds()
        np.testing.assert_allclose(high - low, [0.1, 0.2, 0.3], atol=1e-5)
        np.testing.assert_allclose(mesh.v_pos - low, CORNER / 10, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["EXT_mesh_features", "CESIUM_RTC", "MSFT_lod", "KHR_audio_emitter", "OMI_seat"]
)
def test_required_extensions_that_move_no_triangle_refuse_nothing(tmp_path, name):
    sample = corner()
    sample.tree["extensionsRequired"] = [name]
    sample.tree["nodes"][0]["extensions"] = {name: {}}
    np.testing.assert_array_equal(load_mesh(sample.save(tmp_path / "a.glb")).v_pos, CORNER)


def test_an_archive_among_models_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.glb", "w") as archive:
        archive.writestr("a.obj", OBJ)
    assert refused(tmp_path / "a.glb") == (
        "wrong-kind",
        f"{tmp_path}/a.glb is a ZIP archive, not a .glb file; unpack it",
    )


def test_indices_of_a_signed_type(tmp_path):
    sample = corner()
    number = sample.accessor(CORNER_FACES.reshape(-1).astype(np.int16))
    sample.tree["meshes"][0]["primitives"][0]["indices"] = number
    np.testing.assert_array_equal(load_mesh(sample.save(tmp_path / "a.glb")).v_pos, CORNER)
    sample.tree["meshes"][0]["primitives"][0]["indices"] = sample.accessor(
        np.array([0, 1, -1], np.int16)
    )
    sample.tree["buffers"] = []
    assert refused(sample.save(tmp_path / "a.glb"))[0] == "bad-index"


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("a.glb", "a.obj"):
        os.mkfifo(tmp_path / name)
        (tmp_path / f"link-{name}").symlink_to(name)
        for path in (tmp_path / name, tmp_path / f"link-{name}"):
            reason, message = refused(path)
            assert reason == "unreadable-file" and "a pipe or a device" in message
    with pytest.raises(ObjectError, match="a pipe or a device"):
        read_file_words(tmp_path / "a.glb")
    assert _own_words(Asset(tmp_path / "link-a.glb", "m")) == ({}, "")
    corner().save(tmp_path / "b.glb")
    (tmp_path / "._b.glb").write_bytes(b"\0\5\x16\7")  # as a Mac leaves it in archives
    assert [one.path.name for one in find_assets([tmp_path])] == [
        "b.glb",
        "link-a.glb",
        "link-a.obj",
    ]


def test_a_glb_that_went_through_text_is_named(tmp_path):
    data = corner().data()
    path = written(tmp_path / "a.glb", data.decode("utf-8", "replace"))
    assert refused(path) == (
        "corrupt-file",
        f"{path} was changed into text on its way, which destroys it; fetch it as bytes",
    )
    assert "base64 -d" in refused(written(path, base64.b64encode(data)))[1]


@pytest.mark.parametrize("more, what", [("", "4 points"), ("f_dc_0", "4 Gaussians (splats)")])
def test_a_ply_of_points_alone_is_said_to_be_one(tmp_path, more, what):
    column = f"property float {more}\n" if more else ""
    head = PLY.format("ascii", 4, 0).replace("element face", f"{column}element face")
    rows = "".join("{:g} {:g} {:g}".format(*v) + " 0" * bool(more) + "\n" for v in CORNER)
    reason, message = refused(written(tmp_path / "a.ply", head + rows))
    assert reason == "no-triangles" and f"holds {what} and no triangles" in message
    assert "--surface-points" in message
