"""OBJ, PLY, STL and OFF: read, limited by what their headers declare, refused when damaged."""

import struct

import numpy as np
import pytest
from refused import reason_of

from sdtool.meshfiles import load_mesh
from sdtool.meshfiles.limits import Limits


@pytest.fixture
def boxes(tmp_path):
    """{suffix: path} of one box in every format."""
    import trimesh

    box = trimesh.creation.box((1, 2, 3))
    paths = {}
    for suffix, more in {
        "obj": {},
        "off": {},
        "stl": {},
        "PLY": {},
        "stl_ascii": {"file_type": "stl_ascii"},
        "ply_ascii": {"file_type": "ply", "encoding": "ascii"},
    }.items():
        paths[suffix] = tmp_path / f"{suffix}.{suffix.split('_')[0]}"
        box.export(paths[suffix], **{"file_type": suffix.lower(), **more})
    return paths


def test_every_format_gives_the_same_box(boxes):
    for path in boxes.values():
        mesh = load_mesh(path)
        assert len(mesh.t_pos_idx) == 12 and mesh.v_color is None and not mesh.textures
        assert mesh.v_pos.dtype == np.float32 and mesh.t_pos_idx.dtype == np.int32
        np.testing.assert_allclose(mesh.bounds(), [[-0.5, -1, -1.5], [0.5, 1, 1.5]])


def test_vertex_colours(tmp_path):
    import trimesh

    box = trimesh.creation.box((1, 2, 3))
    box.visual.vertex_colors = np.tile([255, 51, 0, 255], (8, 1)).astype(np.uint8)
    box.export(tmp_path / "red.ply")
    np.testing.assert_allclose(load_mesh(tmp_path / "red.ply").v_color[0], [1, 0.2, 0], atol=1e-6)


def test_limits(boxes):
    for suffix, path in boxes.items():
        size = path.stat().st_size
        text = suffix in ("obj", "off", "stl_ascii", "ply_ascii")
        name = "text_bytes" if text else "file_bytes"
        exact = Limits(triangles=12, **{name: size})
        assert len(load_mesh(path, exact).t_pos_idx) == 12
        assert reason_of(path, limits=Limits(**{name: size - 1})) == "too-large"
        assert reason_of(path, limits=Limits(triangles=11)) == "too-large"


PLY = b"""ply
format binary_little_endian 1.0
element vertex %d
property float x
property float y
property float z
element face %d
property list uchar int vertex_indices
end_header
"""


@pytest.mark.parametrize(
    "name, data",
    [
        ("a.stl", b"\0" * 80 + struct.pack("<I", 80_000_000)),
        ("a.ply", PLY % (10**12, 1)),
        ("a.ply", PLY % (3, 10**12)),
        ("a.off", b"OFF # a comment 7\n3 9000000000 0\n"),
    ],
)
def test_absurd_headers_are_refused_before_memory_is_taken(tmp_path, name, data):
    (tmp_path / name).write_bytes(data + b"\0" * 100)
    assert reason_of(tmp_path / name) in ("too-large", "no-triangles")


@pytest.mark.parametrize(
    "name, data, reasons",
    [
        ("a.obj", b"v 1 2 x\nf 1 1 1\n", {"corrupt-file"}),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", {"corrupt-file", "bad-index"}),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 nan 0\nf 1 2 3\n", {"non-finite"}),
        ("points.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", {"corrupt-file", "no-triangles"}),
        ("a.ply", b"ply\nformat ascii 1.0\nend_header\n", {"corrupt-file", "no-triangles"}),
        ("a.off", b"", {"empty-file"}),
        ("a.stl", b"solid\n\0\1\2", {"corrupt-file", "no-triangles"}),
    ],
)
def test_damaged_files(tmp_path, name, data, reasons):
    (tmp_path / name).write_bytes(data)
    assert reason_of(tmp_path / name) in reasons


def test_files_that_are_none(tmp_path):
    assert reason_of(tmp_path / "absent.obj") == "missing-file"
    (tmp_path / "folder.obj").mkdir()
    assert reason_of(tmp_path / "folder.obj") == "unreadable-file"


def test_no_other_file_is_opened(tmp_path):
    """A material library outside the folder, or a broken one, makes no difference."""
    body = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl a\nf 1/1 2/2 3/3\n"
    for library in (b"../../../../etc/passwd", b"/etc/passwd", b"absent.mtl"):
        (tmp_path / "a.obj").write_bytes(b"mtllib " + library + b"\n" + body)
        assert len(load_mesh(tmp_path / "a.obj").t_pos_idx) == 1
