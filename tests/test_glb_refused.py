"""GLB files: what is broken or too large is refused with a named reason, what is harmless is not."""

import base64
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES, Sample, container, corner
from refused import refused

from sdtool.errors import ObjectError
from sdtool.meshfiles import load_mesh, read_glb
from sdtool.meshfiles.limits import Limits


def changed(path, change):
    """Save the corner after `change(tree)`."""
    sample = corner()
    change(sample.tree)
    return sample.save(path)


def nan_corner():
    sample = Sample()
    broken = CORNER.copy()
    broken[2, 0] = np.nan
    sample.primitive(broken, CORNER_FACES)
    return sample


def test_unknown_required_extensions_are_refused_by_name(tmp_path):
    path = changed(tmp_path / "a.glb", lambda t: t.update(extensionsRequired=["ACME_x"]))
    reason, message = refused(path)
    assert reason == "unsupported-extension" and "ACME_x" in message


def test_optional_and_harmless_extensions_are_ignored(tmp_path):
    sample = corner()
    sample.tree["extensionsUsed"] = ["ACME_x", "KHR_materials_unlit", "KHR_texture_transform"]
    sample.tree["extensionsRequired"] = ["KHR_materials_unlit", "KHR_texture_transform"]
    sample.tree["extensions"] = {"ACME_x": {"anything": [1, None, {}]}}
    sample.tree["images"] = [{"uri": "not/there.png"}]
    np.testing.assert_array_equal(read_glb(sample.save(tmp_path / "a.glb")).v_pos, CORNER)


def test_external_buffer_is_named(tmp_path):
    (tmp_path / "mesh.bin").write_bytes(b"\0" * 999)  # it is there, and is not looked at
    (tmp_path / "in").mkdir()
    for uri in ("../mesh.bin", "file:///etc/passwd", "http://localhost/x.bin"):
        buffers = [{"byteLength": 99, "uri": uri}]
        path = changed(tmp_path / "in/a.glb", lambda t, buffers=buffers: t.update(buffers=buffers))
        reason, message = refused(path)
        assert reason == "external-buffer" and uri in message


def test_a_buffer_beside_a_glb_is_read(tmp_path):
    sample = corner()
    buffers = [{"byteLength": len(sample.binary), "uri": "mesh.bin"}]
    (tmp_path / "mesh.bin").write_bytes(sample.binary)
    (tmp_path / "a.glb").write_bytes(container({**sample.tree, "buffers": buffers}))
    np.testing.assert_array_equal(read_glb(tmp_path / "a.glb").v_pos, CORNER)
    (tmp_path / "mesh.bin").write_bytes(sample.binary[:-1])
    assert refused(tmp_path / "a.glb")[0] == "truncated-file"
    (tmp_path / "mesh.bin").unlink()
    assert refused(tmp_path / "a.glb")[0] == "missing-buffer"


@pytest.mark.parametrize(
    "reason, change",
    [
        ("node-cycle", lambda t: t["nodes"][0].update(children=[0])),
        ("node-cycle", lambda t: t["scenes"][0].update(nodes=[0, 0])),
        ("bad-index", lambda t: t["accessors"][0].update(count=3)),
        ("no-triangles", lambda t: t["scenes"][0].update(nodes=[])),
        ("no-triangles", lambda t: t["accessors"][1].update(count=0)),
        ("zero-extent", lambda t: t["nodes"][0].update(scale=[0, 0, 0])),
        ("too-large", lambda t: t["accessors"][0].update(count=10**9)),
        ("non-finite", lambda t: t["nodes"][0].update(translation=[float("nan"), 0, 0])),
        ("non-finite", lambda t: t["nodes"][0].update(scale=[1e300, 1, 1])),
        ("corrupt-file", lambda t: t["nodes"][0].update(rotation=[0, 0, 0, 0])),
        ("corrupt-file", lambda t: t["nodes"][0].update(matrix=[1, 2, 3])),
        ("corrupt-file", lambda t: t["nodes"][0].update(mesh=5)),
        ("corrupt-file", lambda t: t["nodes"][0].update(mesh=-1)),
        ("corrupt-file", lambda t: t["accessors"][0].update(count=5)),
        ("corrupt-file", lambda t: t["accessors"][0].update(byteOffset=4)),
        ("corrupt-file", lambda t: t["accessors"][0].update(byteOffset=-4)),
        ("corrupt-file", lambda t: t["accessors"][0].update(componentType=5130)),
        ("corrupt-file", lambda t: t["accessors"][0].update(type="MAT4")),
        ("corrupt-file", lambda t: t["accessors"][1].update(type="VEC2", count=6)),
        ("corrupt-file", lambda t: t["bufferViews"][0].update(byteLength=10**6)),
        ("corrupt-file", lambda t: t["bufferViews"][0].update(byteStride=4)),
        ("corrupt-file", lambda t: t.update(buffers=[{"byteLength": 10**6}])),
        ("corrupt-file", lambda t: t.update(meshes="none")),
        ("corrupt-file", lambda t: t["meshes"][0]["primitives"][0].update(mode=9)),
    ],
)
def test_each_fault_has_its_reason(tmp_path, reason, change):
    assert refused(changed(tmp_path / "a.glb", change))[0] == reason


@pytest.mark.parametrize(
    "reason, data",
    [
        ("empty-file", b""),
        ("truncated-file", b"glTF"),
        ("wrong-kind", b"<!DOCTYPE html><title>404: Not Found</title>"),
        ("corrupt-file", container(b"{not json}")),
        ("corrupt-file", container(b"[" * 100_000)),
        ("corrupt-file", container(b"[1]")),
        ("truncated-file", container({"asset": {}})[:-4]),
        ("no-triangles", container({"asset": {"version": "2.0"}})),
        ("unsupported-version", container({"asset": {}}, version=1)),
    ],
)  # fmt: skip
def test_each_broken_container_has_its_reason(tmp_path, reason, data):
    path = tmp_path / "a.glb"
    path.write_bytes(data)
    assert refused(path)[0] == reason


@pytest.mark.parametrize("depth", [100, 700, 800, 850, 900, 950, 1100, 50_000])
def test_values_of_any_depth(tmp_path, depth):
    """The JSON reader gives up at some depth; just below it, naming the value must not fail."""
    text = json.dumps(corner().tree).replace("5126", "[" * depth + "]" * depth).encode()
    (tmp_path / "a.glb").write_bytes(container(text))
    assert refused(tmp_path / "a.glb")[0] == "corrupt-file"


def test_limits_are_checked_before_anything_is_made(tmp_path):
    path = corner().save(tmp_path / "a.glb")
    size = path.stat().st_size
    text = int.from_bytes(path.read_bytes()[12:16], "little")
    exact = Limits(file_bytes=size, json_bytes=text, triangles=4, instances=1)
    assert len(load_mesh(path, exact).t_pos_idx) == 4
    for name in ("file_bytes", "json_bytes", "triangles", "instances"):
        limits = replace(exact, **{name: getattr(exact, name) - 1})
        with pytest.raises(ObjectError) as caught:
            load_mesh(path, limits)
        assert caught.value.reason == "too-large", name


def test_a_huge_accessor_without_data_takes_no_memory(tmp_path):
    """glTF lets an accessor without a bufferView stand for any number of zeros."""
    sample = corner()
    sample.tree["accessors"][0].update(count=29_000_000)
    del sample.tree["accessors"][0]["bufferView"]
    sample.tree["accessors"].append({"componentType": 5121, "type": "VEC4", "count": 29_000_000})
    sample.tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = 2
    sample.tree["meshes"][0]["primitives"] *= 50
    path = sample.save(tmp_path / "a.glb")
    tracemalloc.start()
    assert refused(path)[0] == "zero-extent"
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_data_uri_is_decoded_once(tmp_path):
    sample = corner()
    text = base64.b64encode(sample.binary + b"\0" * 30_000).decode()
    sample.tree["buffers"] = [{"byteLength": 99, "uri": f"data:;base64,{text}"}]
    sample.tree["meshes"][0]["primitives"] *= 20
    sample.binary = b""
    path = sample.save(tmp_path / "a.glb")
    assert len(load_mesh(path, Limits(decoded_bytes=31_000)).t_pos_idx) == 80
    with pytest.raises(ObjectError) as caught:
        load_mesh(path, Limits(decoded_bytes=29_000))
    assert caught.value.reason == "too-large"


def test_files_that_are_none(tmp_path):
    assert refused(tmp_path / "absent.glb")[0] == "missing-file"
    (tmp_path / "folder.glb").mkdir()
    assert refused(tmp_path / "folder.glb")[0] == "unreadable-file"
    assert refused(nan_corner().save(tmp_path / "nan.glb"))[0] == "non-finite"
    assert refused(tmp_path / "a.fbx")[0] == "unsupported-format"
