"""Text glTF: buffers and images in other files or in the text, from the file's own folder tree only."""

import base64
import json
import os

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES, corner, text_gltf
from PIL import Image
from refused import reason_of

from sdtool.captioning.file_words import read_file_words
from sdtool.meshfiles import load_mesh
from sdtool.meshfiles.limits import Limits


def in_base64(data, kind="application/octet-stream"):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def same(path):
    mesh = load_mesh(path)
    np.testing.assert_array_equal(mesh.v_pos, CORNER)
    np.testing.assert_array_equal(mesh.t_pos_idx, CORNER_FACES)
    return True


@pytest.mark.parametrize(
    "uri, place",
    [
        ("corner.bin", "corner.bin"),
        ("deep/er/corner.bin", "deep/er/corner.bin"),
        ("./deep/../corner.bin", "corner.bin"),
        ("a%20b%C3%A9.bin", "a bé.bin"),  # as a URI has it
        ("a b.bin", "a b.bin"),  # as exporters write it
        ("100%.bin", "100%.bin"),
        ("deep\\corner.bin", "deep/corner.bin"),  # written on Windows
        ("CORNER.BIN", "corner.bin"),  # there, names of any case are one
    ],
)
def test_a_buffer_beside_the_file(tmp_path, uri, place):
    path = tmp_path / "x" / "a.GLTF"
    data = text_gltf(path, uri=uri)
    (path.parent / "deep").mkdir()
    (path.parent / place).parent.mkdir(parents=True, exist_ok=True)
    (path.parent / place).write_bytes(data)
    assert same(path)


@pytest.mark.parametrize("count", [1, 500])  # a short text, and one that is kept out of the tree
def test_a_buffer_in_the_text(tmp_path, count):
    sample = corner()
    sample.binary += b"\0" * 16 * count
    buffer = {"byteLength": len(sample.binary), "uri": in_base64(sample.binary)}
    sample.tree["buffers"] = [buffer]
    text = b"\xef\xbb\xbf" + json.dumps(sample.tree).encode()  # with a byte-order mark
    (tmp_path / "a.gltf").write_bytes(text)
    assert same(tmp_path / "a.gltf")
    if count > 1:  # only the tree counts against the limit of JSON
        assert len(load_mesh(tmp_path / "a.gltf", Limits(json_bytes=4000)).t_pos_idx) == 4
    assert reason_of(tmp_path / "a.gltf", limits=Limits(text_bytes=len(text) - 1)) == "too-large"
    assert reason_of(tmp_path / "a.gltf", limits=Limits(decoded_bytes=60)) == "too-large"


def test_nothing_outside_of_its_folder_is_read(tmp_path):
    path = tmp_path / "objs" / "a.gltf"
    data = text_gltf(path)
    (tmp_path / "corner.bin").write_bytes(data)
    (tmp_path / "objs-2").mkdir()
    (tmp_path / "objs-2" / "corner.bin").write_bytes(data)
    outside = ["../corner.bin", str(tmp_path / "corner.bin"), "%2e%2e/corner.bin", "..\\corner.bin"]
    outside += ["../objs-2/corner.bin", "file:///etc/passwd", "http://localhost/x.bin", "C:\\x.bin"]
    for uri in outside:
        text_gltf(path, uri=uri)
        assert reason_of(path) == "external-buffer"
    for link, target in {"file.bin": tmp_path / "corner.bin", "up": tmp_path}.items():
        (path.parent / link).symlink_to(target)
    for uri in ("file.bin", "up/corner.bin"):  # a link leads out as well
        text_gltf(path, uri=uri)
        assert reason_of(path) == "external-buffer"
    (path.parent / "inside.bin").write_bytes(data)
    (path.parent / "again.bin").symlink_to("inside.bin")
    text_gltf(path, uri="again.bin")
    assert same(path)


def test_a_cache_of_links_is_read(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "rev" / "deep"
    data = text_gltf(snapshot / "a.gltf")
    blobs.mkdir()
    (snapshot / "a.gltf").rename(blobs / "0123")
    (blobs / "4567").write_bytes(data)
    (snapshot / "a.gltf").symlink_to("../../../blobs/0123")
    (snapshot / "corner.bin").symlink_to("../../../blobs/4567")
    assert same(snapshot / "a.gltf")


def test_what_is_missing_or_no_file_is_named(tmp_path):
    path = tmp_path / "a.gltf"
    data = text_gltf(path)
    assert reason_of(path) == "missing-buffer"
    (tmp_path / "corner.bin").symlink_to("nowhere")
    assert reason_of(path) == "missing-buffer"
    (tmp_path / "corner.bin").unlink()
    os.mkfifo(tmp_path / "corner.bin")  # would be waited for until the end of days
    assert reason_of(path) == "missing-buffer"
    (tmp_path / "corner.bin").unlink()
    (tmp_path / "corner.bin").mkdir()
    assert reason_of(path) == "missing-buffer"
    (tmp_path / "corner.bin").rmdir()
    (tmp_path / "corner.bin").write_bytes(data[:-8])
    assert reason_of(path) == "truncated-file"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 72\n"
    (tmp_path / "corner.bin").write_bytes(pointer)
    assert reason_of(path) == "git-lfs-pointer"
    (tmp_path / "corner.bin").write_bytes(data)
    assert reason_of(path, limits=Limits(file_bytes=len(data))) == "too-large"
    for uri, reason in {
        "a\0b": "corrupt-file",
        "": "missing-buffer",
        "a" * 5000: "missing-buffer",
    }.items():
        text_gltf(path, uri=uri)
        assert reason_of(path) == reason


def test_a_text_that_is_no_gltf(tmp_path):
    path = tmp_path / "a.gltf"
    for text, reason in {
        "": "empty-file",
        "[]": "corrupt-file",
        "{": "corrupt-file",
        "{}": "unsupported-version",
        '{"asset": {"version": "1.0"}}': "unsupported-version",
        '{"asset": {"version": "2.0"}}': "no-triangles",
        '{"asset": {"version": 2}}': "no-triangles",
    }.items():
        path.write_text(text)
        assert reason_of(path) == reason
    (tmp_path / "b.gltf").write_bytes(corner().data())  # a GLB that somebody renamed
    assert same(tmp_path / "b.gltf")
    (tmp_path / "corner.bin").write_bytes(text_gltf(tmp_path / "c.gltf"))
    (tmp_path / "c.gltf").rename(tmp_path / "c.glb")  # and the other way round
    assert same(tmp_path / "c.glb")
    (tmp_path / "c.glb").write_text('{"error": "Not found"}')
    assert reason_of(tmp_path / "c.glb") == "wrong-kind"


def test_images_beside_the_file_and_in_its_text(tmp_path):
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    red = in_base64((tmp_path / "red.png").read_bytes(), "image/png")
    for uri in ("red.png", red):
        sample = corner()
        sample.tree["meshes"][0]["primitives"] = []
        uv = np.full((4, 2), 0.5, np.float32)
        sample.primitive(CORNER, CORNER_FACES, vertex={"TEXCOORD_0": uv}, material=0)
        texture = {"baseColorTexture": {"index": 0}}
        sample.tree |= {"materials": [{"pbrMetallicRoughness": texture}]}
        sample.tree |= {"textures": [{"source": 0}], "images": [{"uri": uri}]}
        sample.tree["buffers"] = [{"byteLength": len(sample.binary), "uri": "b.bin"}]
        (tmp_path / "b.bin").write_bytes(sample.binary)
        (tmp_path / "a.gltf").write_text(json.dumps(sample.tree))
        (texture,) = load_mesh(tmp_path / "a.gltf", textures=True).textures
        assert texture.image[0, 0].tolist() == [255, 0, 0, 255]


def test_its_words_are_read(tmp_path):
    text_gltf(tmp_path / "a.gltf", asset={"version": "2.0", "extras": {"title": "Red Chair"}})
    assert read_file_words(tmp_path / "a.gltf").title == "Red Chair"
