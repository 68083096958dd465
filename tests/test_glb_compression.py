"""Draco and meshopt: decoded right, refused by name without a decoder, never believed."""

import base64
import resource
import struct
import sys

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES, Sample, corner, draco_sample, meshopt_sample
from refused import refused

from sdtool.geometry.meshes import linear_to_srgb
from sdtool.meshfiles import read_glb
from sdtool.meshfiles.limits import Limits

DRACO, MESHOPT = "KHR_draco_mesh_compression", "EXT_meshopt_compression"
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [51, 102, 204]], np.uint8)


def triangles(mesh):
    """The triangles' corners, (F, 3, 3), each begun at its least corner, in order of their values."""
    corners = [sorted(np.roll(t, k, axis=0).tolist() for k in range(3))[0] for t in
               mesh.v_pos[mesh.t_pos_idx].round(3)]  # fmt: skip
    return np.array(sorted(corners))


# Draco


@pytest.mark.parametrize("level", [0, 1, 7, 10])
@pytest.mark.parametrize("order", [True, False])
def test_draco_gives_the_same_triangles(tmp_path, level, order):
    pytest.importorskip("DracoPy")
    sample = draco_sample(CORNER, CORNER_FACES, compression_level=level, preserve_order=order)
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    plain = read_glb(corner().save(tmp_path / "b.glb"))
    np.testing.assert_allclose(triangles(mesh), triangles(plain), atol=2e-3)
    assert mesh.v_pos.dtype == np.float32 and mesh.t_pos_idx.dtype == np.int32


def test_draco_colours_and_joints_are_found_by_their_ids(tmp_path):
    pytest.importorskip("DracoPy")
    sample = draco_sample(CORNER, CORNER_FACES, colors=COLORS, joints=np.uint16([[0, 1, 0, 0]] * 4))
    weights = sample.accessor(np.float32([[0, 1, 0, 0]] * 4))  # beside the stream, as is allowed
    sample.tree["meshes"][0]["primitives"][0]["attributes"]["WEIGHTS_0"] = weights
    sample.tree["nodes"] = [{"mesh": 0, "skin": 0}, {}, {"translation": [0, 0, 7]}]
    sample.tree["scenes"][0]["nodes"] = [0, 1, 2]
    sample.tree["skins"] = [{"joints": [1, 2]}]
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.bounds(), [[0, 0, 7], [1, 2, 10]], atol=1e-3)
    at = np.argmin(np.linalg.norm(mesh.v_pos[:, None] - (CORNER + [0, 0, 7])[None], axis=2), axis=0)
    np.testing.assert_allclose(mesh.v_color[at], linear_to_srgb(COLORS / 255), atol=1e-6)


def without(name, monkeypatch):
    """As if a package were not installed."""
    monkeypatch.setitem(sys.modules, name, None)


def test_draco_without_a_decoder_is_refused_by_name(tmp_path, monkeypatch):
    pytest.importorskip("DracoPy")
    path = draco_sample(CORNER, CORNER_FACES).save(tmp_path / "a.glb")
    without("DracoPy", monkeypatch)
    reason, message = refused(path)
    assert reason == "missing-decoder"
    assert "Draco" in message and "pip install 'sdtool[draco]'" in message


def test_optional_draco_beside_plain_data_needs_no_decoder(tmp_path, monkeypatch):
    pytest.importorskip("DracoPy")
    sample = draco_sample(CORNER * 9, CORNER_FACES)  # another size: which copy was read is seen
    primitive = sample.tree["meshes"][0]["primitives"][0]
    primitive["attributes"]["POSITION"] = sample.accessor(CORNER)
    primitive["indices"] = sample.accessor(CORNER_FACES.astype(np.uint16).reshape(-1))
    path = sample.save(tmp_path / "required.glb")
    assert read_glb(path).bounds()[1, 2] == pytest.approx(27, rel=1e-3)
    del sample.tree["extensionsRequired"]
    path = sample.save(tmp_path / "optional.glb")
    with_decoder = read_glb(path)
    without("DracoPy", monkeypatch)
    for mesh in (with_decoder, read_glb(path)):
        np.testing.assert_array_equal(mesh.v_pos, CORNER)


def test_draco_called_optional_without_plain_data_is_decoded(tmp_path, monkeypatch):
    pytest.importorskip("DracoPy")
    sample = draco_sample(CORNER, CORNER_FACES)
    del sample.tree["extensionsRequired"]
    path = sample.save(tmp_path / "a.glb")
    np.testing.assert_allclose(read_glb(path).bounds()[1], [1, 2, 3], atol=1e-3)
    without("DracoPy", monkeypatch)
    assert refused(path)[0] == "missing-decoder"


@pytest.mark.parametrize(
    "change",
    [
        lambda t, packed: packed["attributes"].update(POSITION=77),
        lambda t, packed: packed["attributes"].pop("POSITION"),
        lambda t, packed: packed["attributes"].update(POSITION="0"),
        lambda t, packed: packed.update(bufferView=9),
        lambda t, packed: t["bufferViews"][packed["bufferView"]].update(byteLength=30),
        lambda t, packed: t["bufferViews"][packed["bufferView"]].update(byteLength=9),
        lambda t, packed: t["bufferViews"][packed["bufferView"]].update(byteOffset=2),
    ],
)
def test_broken_draco_is_refused(tmp_path, change):
    pytest.importorskip("DracoPy")
    sample = draco_sample(CORNER, CORNER_FACES)
    change(sample.tree, sample.tree["meshes"][0]["primitives"][0]["extensions"][DRACO])
    assert refused(sample.save(tmp_path / "a.glb"))[0] == "corrupt-file"


def varint(value):
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.parametrize("metadata", [False, True])
@pytest.mark.parametrize("method", [0, 1])
def test_a_draco_stream_that_declares_billions_is_not_begun(tmp_path, method, metadata):
    count = varint(700_000_000)
    flags = struct.pack("<H", 0x8000 if metadata else 0)
    body = count + count if method == 0 else b"\0" + count + count
    # One attribute's (number 3, empty), then the mesh's: "ab" is "xyz", and an empty child "c".
    about = b"\1\3\0\0" + b"\1\2ab\3xyz\1" + b"\1c\0\0" if metadata else b""
    stream = b"DRACO\2\2\1" + bytes([method]) + flags + about + body + b"\0" * 50
    sample = draco_sample(CORNER, CORNER_FACES, stream=stream)
    assert refused(sample.save(tmp_path / "a.glb"))[0] == "too-large"
    small = draco_sample(CORNER, CORNER_FACES).save(tmp_path / "b.glb")
    assert refused(small, limits=Limits(triangles=3))[0] == "too-large"


@pytest.mark.slow
def test_a_draco_stream_whose_attributes_would_take_gigabytes_is_stopped(tmp_path):
    """Few bytes, but an attribute of many components: the growth of the process is bounded."""
    DracoPy = pytest.importorskip("DracoPy")
    side = 500
    y, x = np.divmod(np.arange(side * side), side)
    v_pos = np.stack([x, y, 0 * x], axis=1).astype(np.float32)
    i = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    lower = np.stack([i, i + 1, i + side], axis=1)
    upper = np.stack([i + 1, i + side + 1, i + side], axis=1)
    faces = np.concatenate([lower, upper]).astype(np.uint32)
    stream = bytearray(DracoPy.encode(v_pos, faces, compression_level=10))
    # The record of positions: type 0, float32 (9), three components, not normalised.
    at = bytes(stream).find(bytes([0, 9, 3, 0]))
    assert at > 0
    stream[at + 2] = 255  # components: 255 MB before the end of the data is noticed
    path = draco_sample(CORNER, CORNER_FACES, stream=bytes(stream)).save(tmp_path / "a.glb")
    before = resource.getrlimit(resource.RLIMIT_AS)
    assert refused(path, limits=Limits(decoded_bytes=1 << 24))[0] == "too-large"
    assert resource.getrlimit(resource.RLIMIT_AS) == before


# meshopt


@pytest.mark.parametrize("extension", ["EXT_meshopt_compression", "KHR_meshopt_compression"])
@pytest.mark.parametrize("mode", ["TRIANGLES", "INDICES"])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_meshopt_gives_the_same_numbers(tmp_path, extension, mode, dtype):
    pytest.importorskip("meshopt")
    sample = meshopt_sample(CORNER, CORNER_FACES.astype(dtype), mode, extension)
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    plain = read_glb(corner().save(tmp_path / "b.glb"))
    np.testing.assert_array_equal(mesh.v_pos, CORNER)
    np.testing.assert_array_equal(triangles(mesh), triangles(plain))


def test_meshopt_filters(tmp_path):
    """EXPONENTIAL: mantissa (24 bits, signed) · 2^exponent (8 bits, signed)."""
    meshopt = pytest.importorskip("meshopt")
    mantissa = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -3]], np.int32)
    exponent = np.array([[0, 0, 0], [3, 0, 0], [0, -1, 0], [0, 0, 1]], np.int32)
    rows = (exponent << 24) | (mantissa & 0xFFFFFF)
    data = meshopt.encode_gltf_buffer(rows, "ATTRIBUTES")
    sample = meshopt_sample(CORNER, CORNER_FACES.astype(np.uint16), "TRIANGLES", MESHOPT)
    packed = sample.tree["bufferViews"][0]["extensions"][MESHOPT]
    packed.update(filter="EXPONENTIAL", byteOffset=len(sample.binary), byteLength=len(data))
    sample.binary += data
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_array_equal(mesh.v_pos, [[0, 0, 0], [8, 0, 0], [0, 0.5, 0], [0, 0, -6]])


def test_meshopt_without_a_decoder_is_refused_by_name(tmp_path, monkeypatch):
    pytest.importorskip("meshopt")
    sample = meshopt_sample(CORNER, CORNER_FACES.astype(np.uint16), "TRIANGLES", MESHOPT)
    path = sample.save(tmp_path / "a.glb")
    without("meshopt", monkeypatch)
    reason, message = refused(path)
    assert reason == "missing-decoder"
    assert "meshopt" in message and "pip install 'sdtool[meshopt]'" in message


def test_a_meshopt_fallback_buffer_is_read_where_compression_is_optional(tmp_path, monkeypatch):
    pytest.importorskip("meshopt")
    sample = meshopt_sample(CORNER * 9, CORNER_FACES.astype(np.uint16), "TRIANGLES", MESHOPT)
    plain = CORNER.tobytes() + CORNER_FACES.astype(np.uint16).tobytes()
    sample.tree["buffers"][1]["uri"] = data_uri(plain)
    path = sample.save(tmp_path / "required.glb")
    assert read_glb(path).bounds()[1, 2] == 27
    del sample.tree["extensionsRequired"]
    path = sample.save(tmp_path / "optional.glb")
    with_decoder = read_glb(path)
    without("meshopt", monkeypatch)
    for mesh in (with_decoder, read_glb(path)):
        np.testing.assert_array_equal(mesh.v_pos, CORNER)


def data_uri(raw):
    import base64

    return "data:application/octet-stream;base64," + base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "reason, change",
    [
        ("corrupt-file", {"mode": "POINTS"}),
        ("corrupt-file", {"mode": ["TRIANGLES"]}),
        ("corrupt-file", {"filter": "ZIP"}),
        ("corrupt-file", {"filter": "OCTAHEDRAL"}),  # twelve bytes a row
        ("corrupt-file", {"byteStride": 6}),
        ("corrupt-file", {"byteStride": 0}),
        ("corrupt-file", {"byteStride": 260}),
        ("corrupt-file", {"count": 3}),  # shorter than the accessor
        ("corrupt-file", {"count": -1}),
        ("corrupt-file", {"byteLength": 9}),
        ("corrupt-file", {"byteLength": 10**6}),
        ("corrupt-file", {"buffer": 1}),
        ("too-large", {"count": 10**9}),
        ("too-large", {"count": 25_000_000, "byteStride": 256}),  # six gigabytes
    ],
)
def test_broken_meshopt_is_refused(tmp_path, reason, change):
    pytest.importorskip("meshopt")
    sample = meshopt_sample(CORNER, CORNER_FACES.astype(np.uint16), "TRIANGLES", MESHOPT)
    sample.tree["bufferViews"][0]["extensions"][MESHOPT].update(change)
    assert refused(sample.save(tmp_path / "a.glb"))[0] == reason


def test_decoded_data_are_bounded_in_all(tmp_path):
    sample = Sample()
    for _ in range(4):  # sparse accessors: few bytes in the file, 12 for each vertex in memory
        number = sample.accessor(np.zeros((1, 3), np.float32), count=1000)
        accessor = sample.tree["accessors"][number]
        del accessor["bufferView"]
        accessor["sparse"] = {
            "count": 3,
            "indices": {"bufferView": sample.view(bytes([1, 2, 3])), "componentType": 5121},
            "values": {"bufferView": sample.view(CORNER[1:].tobytes())},
        }
        sample.primitive(number, CORNER_FACES)
    path = sample.save(tmp_path / "a.glb")
    assert len(read_glb(path, Limits(decoded_bytes=48_000)).t_pos_idx) == 16
    assert refused(path, limits=Limits(decoded_bytes=47_999))[0] == "too-large"


# A box of ±32767 as 16-bit integers, as who quantises before compressing writes it; DracoPy cannot.
INTEGER_BOX = (
    "RFJBQ08CAgEAAAAMCAEAAQMAAwIEBgcEBwUABAUABQECAwcCBwYAAgYABgQBBQcBBwMBAQADAwAAAQABAQARAwEgARgz"
    "AQgEAIj+gf3//f/9/ySZkiQBgP///38AAA=="
)


@pytest.mark.parametrize("normalized, half", [(True, 1), (False, 32767)])
def test_whole_numbers_in_draco_are_what_their_accessor_says(tmp_path, normalized, half):
    pytest.importorskip("DracoPy")
    box = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.int16)
    faces = np.zeros((12, 3), np.uint32)  # their number is all that the sample tells
    sample = draco_sample(box, faces, stream=base64.b64decode(INTEGER_BOX))
    position = sample.tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
    sample.tree["accessors"][position] |= {"componentType": 5122, "normalized": normalized}
    sample.tree["nodes"] = [
        {"mesh": 0, "translation": [-5, 0, 0]},
        {"mesh": 0, "translation": [5, 0, 0], "scale": [0.5, 0.5, 0.5]},
    ]
    sample.tree["scenes"] = [{"nodes": [0, 1]}]
    low, high = read_glb(sample.save(tmp_path / "a.glb")).bounds()
    np.testing.assert_allclose(low, [-5 - half, -half, -half])
    np.testing.assert_allclose(high, [max(5 + half / 2, half - 5), half, half])
