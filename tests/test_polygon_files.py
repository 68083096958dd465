"""OBJ with materials, PLY and OFF as programs write them: polygons, strips, colours, textures."""

import struct

import numpy as np
import pytest
from PIL import Image
from refused import reason_of

from sdtool.geometry.meshes import triangle_areas
from sdtool.meshfiles import load_mesh

V = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
F = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
LETTER = [(0, 0), (4, 0), (4, 1), (1, 1), (1, 3), (4, 3), (4, 4), (0, 4)]  # a C of area 10
VERTICES = "".join("v {:g} {:g} {:g}\n".format(*v) for v in V)
RED, GREEN, BLUE = (1, 0, 0), (0, 1, 0), (0, 0, 1)


def written(path, text):
    """Write a text, or bytes; the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def same(path, **options):
    mesh = load_mesh(path, **options)
    np.testing.assert_array_equal(mesh.v_pos[mesh.t_pos_idx], np.array(V, np.float32)[F])
    return mesh


def face_colors(mesh):
    """(F, 3) colours where all corners of each face agree."""
    corner = mesh.v_color[mesh.t_pos_idx]
    assert (corner == corner[:, :1]).all()
    return corner[:, 0].round(3).tolist()


# Polygons


@pytest.mark.parametrize("suffix", ["obj", "ply", "off"])
def test_a_concave_polygon_stays_within_itself(tmp_path, suffix):
    v = [(x, y, z) for z in (0, -1) for x, y in LETTER]
    n = len(LETTER)
    faces = [list(range(n)), list(range(2 * n - 1, n - 1, -1))]
    faces += [[i, n + i, n + (i + 1) % n, (i + 1) % n] for i in range(n)]
    rows = "".join("{:g} {:g} {:g}\n".format(*p) for p in v)
    listed = "".join(f"{len(f)} {' '.join(map(str, f))}\n" for f in faces)
    text = {
        "obj": "".join("v {:g} {:g} {:g}\n".format(*p) for p in v)
        + "".join(f"f {' '.join(str(i + 1) for i in f)}\n" for f in faces),
        "ply": ply("ascii", len(v), [f"element face {len(faces)}", CORNERS]).decode()
        + rows
        + listed,
        "off": f"OFF\n{len(v)} {len(faces)} 0\n{rows}{listed}",
    }[suffix]
    mesh = load_mesh(written(tmp_path / f"c.{suffix}", text))
    at_front = (mesh.v_pos[mesh.t_pos_idx][:, :, 2] == 0).all(axis=1)
    assert triangle_areas(mesh.v_pos, mesh.t_pos_idx)[at_front].sum() == pytest.approx(10)
    assert len(mesh.t_pos_idx) == 2 * (n - 2) + 2 * n


# PLY

CORNERS = "property list uchar int vertex_indices"


def ply(kind, count, more, end="\n", vertex=("float x", "float y", "float z")):
    lines = ["ply", f"format {kind} 1.0", f"element vertex {count}"]
    lines += [f"property {one}" for one in vertex]
    return end.join([*lines, *more, "end_header", ""]).encode()


def packed(order="<"):
    return b"".join(struct.pack(f"{order}3f", *v) for v in V)


def faces_packed(order="<"):
    return b"".join(struct.pack(f"{order}B3i", 3, *f) for f in F)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("order, kind", [("<", "little"), (">", "big")])
def test_binary_ply_of_all_line_ends_and_what_stands_behind_the_end(tmp_path, end, order, kind):
    head = ply(f"binary_{kind}_endian", 4, ["element face 4", CORNERS], end)
    data = head + packed(order) + faces_packed(order)
    assert same(written(tmp_path / "a.ply", data))
    assert same(written(tmp_path / "a.ply", data + b"\0" * 7))
    assert reason_of(written(tmp_path / "a.ply", data[:-1])) == "truncated-file"


def test_a_first_byte_of_ten_after_a_lone_carriage_return_is_data(tmp_path):
    head = ply("binary_little_endian", 3, ["element face 1", CORNERS], "\r", ("uchar x", "uchar y", "uchar z"))  # fmt: skip # noqa: E501
    data = head + bytes([10, 0, 0, 20, 0, 0, 10, 10, 0]) + struct.pack("<B3i", 3, 0, 1, 2)
    assert load_mesh(written(tmp_path / "a.ply", data)).bounds()[0].tolist() == [10, 0, 0]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_ply(tmp_path, end):
    rows = ["{:g} {:g} {:g}".format(*v) for v in V] + ["3 {} {} {}".format(*f) for f in F]
    data = ply("ascii", 4, ["comment by hand", "element face 4", CORNERS], end)
    assert same(written(tmp_path / "a.ply", data + end.join([*rows, "", "end of it"]).encode()))
    cut = written(tmp_path / "a.ply", data + end.join(rows[:-1]).encode())
    assert reason_of(cut) == "truncated-file"
    rows[3] = "1 two 3"
    assert reason_of(written(tmp_path / "a.ply", data + end.join(rows).encode())) == "corrupt-file"


def test_triangle_strips(tmp_path):
    strips = [[0, 2, 1, 3], [-1, 0, 3, 2, -1, 1, 2, 3, -1], [3, 3, 1, 0]]
    expected = [(0, 2, 1), (1, 2, 3), (0, 3, 2), (1, 2, 3), (1, 3, 0)]  # the second is turned over
    more = ["element tristrips 3", "property list int int vertex_indices"]
    head = ply("binary_little_endian", 4, more)
    data = b"".join(struct.pack(f"<{len(s) + 1}i", len(s), *s) for s in strips)
    mesh = load_mesh(written(tmp_path / "a.ply", head + packed() + data))
    found = [tuple(np.roll(f, -int(np.argmin(f)))) for f in mesh.t_pos_idx]
    assert found == [tuple(np.roll(f, -int(np.argmin(f)))) for f in expected]


def test_polygons_of_many_lengths_beside_other_columns_and_elements(tmp_path):
    more = ["element edge 1", "property int a", "element face 2", "property uchar red"]
    more += ["property list uchar short vertex_index", "property list uchar float texcoord"]
    data = ply("binary_little_endian", 4, more) + packed() + struct.pack("<i", 7)
    data += struct.pack("<BB3hB2f", 1, 3, 0, 2, 1, 2, 0, 0)
    data += struct.pack("<BB4hB0f", 1, 4, 0, 1, 2, 3, 0)
    mesh = load_mesh(written(tmp_path / "a.ply", data))
    assert mesh.t_pos_idx.tolist() == [[0, 2, 1], [0, 1, 2], [0, 2, 3]]


def test_ply_colours_and_normals(tmp_path):
    vertex = ["float x", "float y", "float z", "float nx", "float ny", "float nz"]
    for kind, most in (("uchar", 255), ("ushort", 65535), ("float", 1)):
        colored = [*vertex, *(f"{kind} {name}" for name in ("red", "green", "blue"))]
        head = ply("ascii", 4, ["element face 4", CORNERS], vertex=colored).decode()
        rows = "".join("{:g} {:g} {:g} 0 3 4 {:g} 0 {:g}\n".format(*v, most, most / 5) for v in V)
        text = head + rows + "".join("3 {} {} {}\n".format(*f) for f in F)
        mesh = same(written(tmp_path / "a.ply", text))
        np.testing.assert_allclose(mesh.v_color, [[1, 0, 0.2]] * 4, atol=1e-4)
        np.testing.assert_allclose(mesh.v_normal, [[0, 0.6, 0.8]] * 4, atol=1e-6)
    more = ["element face 4", CORNERS, *(f"property uchar {n}" for n in ("red", "green", "blue"))]
    rows = "".join("{:g} {:g} {:g}\n".format(*v) for v in V)
    rows += "".join("3 {} {} {} {} 0 255\n".format(*f, 255 * (k == 0)) for k, f in enumerate(F))
    mesh = same(written(tmp_path / "b.ply", ply("ascii", 4, more).decode() + rows))
    assert face_colors(mesh) == [[1, 0, 1]] + [[0, 0, 1]] * 3


def test_the_image_of_a_ply_by_corners_and_by_vertices(tmp_path):
    quarters(tmp_path / "my scan.png")
    comment = ["comment TextureFile my scan.png"]
    rows = "".join("{:g} {:g} {:g}\n".format(*v) for v in V)
    faces = "".join("3 {} {} {} 6 0.25 0.75 0.75 0.75 0.25 0.25\n".format(*f) for f in F)
    more = [*comment, "element face 4", CORNERS, "property list uchar float texcoord"]
    mesh = same(
        written(tmp_path / "a.ply", ply("ascii", 4, more).decode() + rows + faces), textures=True
    )
    assert mesh.t_texture.tolist() == [0] * 4 and mesh.v_color is None
    np.testing.assert_allclose(
        mesh.v_uv[mesh.t_pos_idx[0]], [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75]]
    )
    vertex = ["float x", "float y", "float z", "float s", "float t"]
    rows = "".join("{:g} {:g} {:g} 0.25 0.75\n".format(*v) for v in V)
    faces = "".join("3 {} {} {}\n".format(*f) for f in F)
    text = (
        ply("ascii", 4, [*comment, "element face 4", CORNERS], vertex=vertex).decode()
        + rows
        + faces
    )
    mesh = same(written(tmp_path / "b.ply", text), textures=True)
    np.testing.assert_allclose(mesh.v_uv, [[0.25, 0.25]] * 4)
    assert mesh.textures[0].image[4, 4].tolist() == [255, 0, 0, 255]
    (tmp_path / "my scan.png").unlink()
    assert load_mesh(tmp_path / "b.ply", textures=True).lost_images == 1
    assert not load_mesh(tmp_path / "b.ply").textures


@pytest.mark.parametrize(
    "head",
    [
        b"ply\nformat ascii 1.0\nelement vertex x\nend_header\n",
        b"ply\nformat none 1.0\nend_header\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty sounds x\nend_header\n1\n",
        b"plywood",
    ],
)  # fmt: skip
def test_broken_ply(tmp_path, head):
    assert reason_of(written(tmp_path / "a.ply", head)) == "corrupt-file"


# OFF


def test_off_with_colours_comments_and_counts_in_the_first_line(tmp_path):
    rows = "".join("{:g} {:g} {:g}\n".format(*v) for v in V)
    faces = "".join("3 {} {} {}\n".format(*f) for f in F)
    assert same(written(tmp_path / "a.off", f"OFF 4 4 6 # by hand\n\n{rows}# more\n{faces}"))
    assert same(written(tmp_path / "a.off", f"OFF\r\n4 4 6\r\n{rows}{faces}".replace("\n", "\r\n")))
    colored = "".join("{:g} {:g} {:g} 255 0 51 255\n".format(*v) for v in V)
    mesh = same(written(tmp_path / "a.off", f"COFF\n4 4 6\n{colored}{faces}"))
    np.testing.assert_allclose(mesh.v_color, [[1, 0, 0.2]] * 4, atol=1e-6)
    painted = "".join("3 {} {} {} {}\n".format(*f, "0 1 0" * (k > 0)) for k, f in enumerate(F))
    mesh = same(written(tmp_path / "a.off", f"OFF\n4 4 6\n{rows}{painted}"))
    assert face_colors(mesh) == [[0.5, 0.5, 0.5]] + [list(GREEN)] * 3
    assert same(written(tmp_path / "a.off", f"OFF4 4 6\n{rows}{faces}"))  # as in ModelNet40
    for text in ("OFF BINARY\n", "4 4 6\n", f"OFF\n4 4 6\n{rows}{faces.replace('3 ', '5 ')}"):
        assert reason_of(written(tmp_path / "b.off", text)) == "corrupt-file"
    for text in ("OFF\n4 4 6\n0 0\n", f"OFF\n4 4 6\n{rows}3 0 1\n"):
        assert reason_of(written(tmp_path / "b.off", text)) == "truncated-file"


# OBJ


@pytest.mark.parametrize(
    "corner", ["{0}", "{0}/{1}", "{0}//{2}", "{0}/{1}/{2}", "{3}", "{3}/{4}/{5}", "{0}/", "{0}/9/9"]
)
def test_corners_in_all_ways_of_writing(tmp_path, corner):
    ways = [[corner.format(i + 1, 1, 2, i - 4, -2, -1) for i in f] for f in F]
    text = VERTICES + "vt 0 0\nvt 1 1\nvn 0 0 2\nvn 0 3 4\n"
    text += "".join(f"f  {'  '.join(way)} \n" for way in ways)
    mesh = same(written(tmp_path / "a.obj", text))
    if "{2}" in corner or "{5}" in corner:
        np.testing.assert_allclose(mesh.v_normal, [[0, 0.6, 0.8]] * 4, atol=1e-6)


def test_faces_of_many_lengths_and_ways_in_one_file(tmp_path):
    text = (
        VERTICES
        + "vn 0 0 1\ng a\nf 1 3 2 # the floor\ns 1\nl 1 2\nf 1//1 2//1 3//1 4//1\nf -4 2/1 4\n"
    )
    mesh = load_mesh(written(tmp_path / "a.obj", text), normals=False)
    assert mesh.t_pos_idx.tolist() == [[0, 2, 1], [0, 1, 2], [0, 2, 3], [0, 1, 3]]
    relative = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 5 0 0\nv 6 0 0\nv 5 1 0\nf -3 -2 -1\n"
    mesh = load_mesh(written(tmp_path / "b.obj", relative))
    assert mesh.t_pos_idx.tolist() == [[0, 1, 2], [3, 4, 5]]
    joined = b"\xef\xbb\xbfv 0 0 0\r\nv 1 0\\\r\n 0\r\nv\t0 1 0\r\nf 1 2 \\\r\n 3\r\n"
    assert len(load_mesh(written(tmp_path / "c.obj", joined)).t_pos_idx) == 1


@pytest.mark.parametrize("text", ["v 0 0\nf 1 1 1\n", VERTICES + "f 1 2 -9\n", VERTICES + "f 0 1 2\n",
                                  VERTICES + "f 1 x 2\n", VERTICES + "f /1 /2 /3\n"])  # fmt: skip
def test_broken_obj(tmp_path, text):
    assert reason_of(written(tmp_path / "a.obj", text)) == "corrupt-file"


def test_colours_of_vertices_and_of_materials(tmp_path):
    text = "".join("v {:g} {:g} {:g} 1 0 0.2\n".format(*v) for v in V)
    faces = "".join("f {} {} {}\n".format(*(i + 1 for i in f)) for f in F)
    mesh = same(written(tmp_path / "a.obj", text + faces))
    np.testing.assert_allclose(mesh.v_color, [[1, 0, 0.2]] * 4, atol=1e-6)
    written(tmp_path / "my colours.mtl", "newmtl a red\nKd 1 0 0\n\nnewmtl grün\r\nKd 0 1 0\r\n")
    written(tmp_path / "b.mtl", b"\xef\xbb\xbfnewmtl blue\nKa 1 1 1\n\tKd  0 0 1\n")
    head = "mtllib my colours.mtl\nmtllib absent.mtl b.mtl\n" + VERTICES
    faces = ["f {} {} {}\n".format(*(i + 1 for i in f)) for f in F]
    uses = ["usemtl a red\n", "usemtl grün\n", "usemtl blue\n", "usemtl unheard of\n"]
    text = head + "".join(use + face for use, face in zip(uses, faces, strict=True))
    mesh = same(written(tmp_path / "c.obj", text))
    assert face_colors(mesh) == [list(RED), list(GREEN), list(BLUE), [0.5, 0.5, 0.5]]
    assert mesh.lost_images == 0 and load_mesh(tmp_path / "c.obj", textures=True).lost_images == 1


def textured(folder, statement, *, uv="vt 0.25 0.75\n", library="a.mtl"):
    """An OBJ whose second face has an image by `statement` (map_Kd …), at one place of it."""
    written(folder / "a.mtl", f"newmtl plain\nKd 0 0 1\nnewmtl image\nKd 0 0 0\n{statement}\n")
    text = f"mtllib {library}\n{VERTICES}{uv}usemtl plain\nf 1 3 2\nusemtl image\nf 1/1 2/1 4/1\n"
    return written(folder / "a.obj", text)


def quarters(path):
    """A picture of four plain quarters: red, green, blue, white."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.array([[RED, GREEN], [BLUE, (1, 1, 1)]], np.uint8) * 255
    Image.fromarray(pixels.repeat(8, axis=0).repeat(8, axis=1)).save(path)


@pytest.mark.parametrize(
    "statement, place",
    [
        ("map_Kd my image.png", "my image.png"),
        ("map_kd -s 1 1 1 -o 0 0 -bm 0.5 -clamp on  my image.png", "my image.png"),
        ("map_Kd deep/my%20image.png", "deep/my image.png"),
        ("map_Kd maps\\a.png", "maps/a.png"),
        ("map_Kd C:\\Users\\somebody\\A.PNG", "a.png"),
        ("map_Kd /home/somebody/a.png", "a.png"),
        ("map_Kd -mm 0 1 1.png", "1.png"),
    ],
)
def test_textures(tmp_path, statement, place):
    path = textured(tmp_path, statement)
    quarters(tmp_path / place)
    mesh = load_mesh(path, textures=True)
    (texture,) = mesh.textures
    assert mesh.t_texture.tolist() == [-1, 0] and mesh.lost_images == 0
    assert texture.wrap == (("clamp",) * 2 if "clamp" in statement else ("repeat",) * 2)
    np.testing.assert_allclose(mesh.v_uv[mesh.t_pos_idx[1]], [[0.25, 0.25]] * 3)
    assert texture.image[4, 4].tolist() == [255, 0, 0, 255]  # vt 0.25 0.75: upper left
    assert face_colors(mesh) == [list(BLUE), [1, 1, 1]]
    plain = load_mesh(path)
    assert not plain.textures and face_colors(plain) == [list(BLUE), [0.5, 0.5, 0.5]]


def test_images_that_are_missing_broken_or_outside_are_counted(tmp_path):
    quarters(tmp_path / "outside.png")
    written(tmp_path / "objs" / "broken.png", b"no image")
    (tmp_path / "objs" / "link.png").symlink_to("../outside.png")
    for name in ("absent.png", "broken.png", "link.png", "../outside.png"):
        mesh = load_mesh(textured(tmp_path / "objs", f"map_Kd {name}"), textures=True)
        assert not mesh.textures and mesh.lost_images == 1
        assert face_colors(mesh) == [list(BLUE), [0, 0, 0]]  # its Kd is all that is left
    path = textured(tmp_path / "objs", "map_Kd absent.png", library="../../etc/passwd")
    assert load_mesh(path, textures=True).lost_images == 1


def test_an_image_is_seen_from_the_library_or_from_the_obj(tmp_path):
    for number, place in enumerate(("looks/a.png", "a.png")):
        folder = tmp_path / str(number)
        path = textured(folder, "map_Kd a.png", library="looks/a.mtl")
        (folder / "looks").mkdir()
        (folder / "a.mtl").rename(folder / "looks" / "a.mtl")
        quarters(folder / place)
        assert len(load_mesh(path, textures=True).textures) == 1


def test_a_corner_without_coordinates_takes_the_image_from_its_face_alone(tmp_path):
    path = textured(tmp_path, "map_Kd a.png", uv="")
    quarters(tmp_path / "a.png")
    mesh = load_mesh(path, textures=True)
    assert mesh.t_texture.tolist() == [-1, -1]
