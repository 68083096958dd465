"""STL files of bytes and of text, whole and cut, with colours of faces."""

import struct

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES
from odd_samples import refused, written

from sdtool.meshfiles import load_mesh


def stl(count, color=0, head=b"", faces=CORNER_FACES):
    rows = (struct.pack("<12fH", 0, 0, 0, *CORNER[f].reshape(-1), color) for f in faces)
    return head.ljust(80, b"\0") + struct.pack("<I", count) + b"".join(rows)


def text_stl(end="\n"):
    corners = ("".join("vertex {:g} {:g} {:g}\n".format(*v) for v in CORNER[f]) for f in CORNER_FACES)  # fmt: skip # noqa: E501
    facets = (f"facet normal 0 0 0\nouter loop\n{c}endloop\nendfacet\n" for c in corners)
    return f"solid a vertex b\n{''.join(facets)}endsolid\n".replace("\n", end)


@pytest.mark.parametrize(
    "data",
    [
        stl(4),
        stl(4, head=b"solid made by CAD"),
        stl(4) + b"more",
        text_stl(),
        text_stl("\r"),
        text_stl("\r\n").upper(),
        b"\xef\xbb\xbf" + text_stl().encode(),
    ],
)
def test_stl_of_bytes_and_of_text(tmp_path, data):
    mesh = load_mesh(written(tmp_path / "a.stl", data))
    np.testing.assert_array_equal(mesh.v_pos[mesh.t_pos_idx], CORNER[CORNER_FACES])
    assert mesh.v_color is None


def test_stl_that_ends_early(tmp_path):
    said = "promises 5 triangles and has the bytes of 4"
    for data in (stl(5), stl(5) + bytes(49)):
        reason, message = refused(written(tmp_path / "a.stl", data))
        assert reason == "truncated-file" and said in message
    assert refused(written(tmp_path / "a.stl", stl(4)[:70]))[0] == "truncated-file"
    cut = text_stl()[:-60]
    assert refused(written(tmp_path / "a.stl", cut[: cut.rindex("vertex")]))[0] == "corrupt-file"


def test_colours_of_stl_faces(tmp_path):
    """15 bits a face: blue lowest and bit 15 for "has one" (VisCAM); red lowest and the other way
    round, with a colour of the whole in the title (Magics)."""
    viscam = load_mesh(written(tmp_path / "a.stl", stl(4, color=0x8000 | 31 << 10)))
    np.testing.assert_array_equal(viscam.v_color, [[1, 0, 0]] * len(viscam.v_pos))
    magics = stl(4, color=31, head=b"COLOR=\x00\xff\x00\xff")
    own = load_mesh(written(tmp_path / "b.stl", magics))
    np.testing.assert_array_equal(own.v_color, [[1, 0, 0]] * len(own.v_pos))
    magics = stl(4, color=0x8000, head=b"COLOR=\x00\xff\x00\xff")
    whole = load_mesh(written(tmp_path / "c.stl", magics))
    np.testing.assert_array_equal(whole.v_color, [[0, 1, 0]] * len(whole.v_pos))
