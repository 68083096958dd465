"""Model files as programs and people leave them: what they are told, and what is read of them."""

import base64
import gzip
import os
import struct
import zipfile

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES, Sample, corner
from PIL import Image

from sdtool.captioning.file_words import read_file_words
from sdtool.errors import ObjectError
from sdtool.evaluating.assets import Asset, find_assets, prompt_of
from sdtool.meshfiles import load_mesh

OBJ = "v 0 0 0\nv 1 0 0\nv 0 2 0\nv 0 0 3\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
RED = (255, 0, 0)


def written(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def refused(path):
    with pytest.raises(ObjectError) as caught:
        load_mesh(path, textures=True)
    return caught.value.reason, str(caught.value)


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

PLY = (
    "ply\nformat {} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
    "element face {}\nproperty list uchar int vertex_indices\nend_header\n"
)


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


# STL


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


# Colours and images


def test_a_material_that_no_library_defines_is_counted_and_named(tmp_path):
    body = OBJ.replace("f 1 3 2", "usemtl wood\nf 1 3 2").replace("f 2 3 4", "usemtl None\nf 2 3 4")
    assert load_mesh(written(tmp_path / "a.obj", body), textures=True).lost == (
        "material wood (in no .mtl)",
    )
    written(tmp_path / "a.mtl", "newmtl other\nKd 1 0 0\n")
    mesh = load_mesh(written(tmp_path / "a.obj", "mtllib a.mtl\n" + body), textures=True)
    assert mesh.lost == ("material wood (in no .mtl)",)
    absent = load_mesh(written(tmp_path / "a.obj", "mtllib b.mtl\n" + body), textures=True)
    assert absent.lost == ("b.mtl (missing)",)  # which says it all
    painted = body.replace("v 0 0 0", "v 0 0 0 1 0 0").replace("v 1 0 0", "v 1 0 0 1 0 0")
    painted = painted.replace("v 0 2 0", "v 0 2 0 1 0 0").replace("v 0 0 3", "v 0 0 3 1 0 0")
    mesh = load_mesh(written(tmp_path / "a.obj", painted), textures=True)
    assert mesh.lost == () and mesh.v_color.tolist() == [[1, 0, 0]] * 4  # its vertices have colours


def test_ambient_colour_stands_in_where_no_other_is_given(tmp_path):
    written(tmp_path / "a.mtl", "newmtl m\nKa 1 0 0\n")
    text = "mtllib a.mtl\nusemtl m\n" + OBJ
    mesh = load_mesh(written(tmp_path / "a.obj", text))
    np.testing.assert_array_equal(mesh.v_color, [[1, 0, 0]] * len(mesh.v_pos))


def test_colours_that_zbrush_keeps_in_comments(tmp_path):
    paint = "#MRGB ffff0000ff00ff00\n#MRGB ff0000ffff336699\n"
    mesh = load_mesh(written(tmp_path / "a.obj", OBJ.replace("f 1 3", paint + "f 1 3")))
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.4, 0.6]]
    np.testing.assert_allclose(mesh.v_color, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["/home/me/tex/red.png", "D:\\work\\tex\\red.png", "TEX/Red.PNG"])
def test_paths_of_the_maker_s_computer(tmp_path, name):
    (tmp_path / "tex").mkdir()
    Image.new("RGB", (2, 2), RED).save(tmp_path / "tex" / "red.png")
    written(tmp_path / "a.mtl", f"newmtl m\nmap_Kd {name}\n")
    text = "mtllib a.mtl\nvt 0 0\nusemtl m\n" + OBJ.replace("f 1 3 2", "f 1/1 3/1 2/1")
    mesh = load_mesh(written(tmp_path / "a.obj", text), textures=True)
    assert mesh.lost == () and tuple(mesh.textures[0].image[0, 0, :3]) == RED


def test_a_ply_with_two_images_wears_both(tmp_path):
    for name, color in {"red": RED, "blue": (0, 0, 255)}.items():
        Image.new("RGB", (2, 2), color).save(tmp_path / f"{name}.png")
    head = PLY.format("ascii", 4, 4).replace(
        "end_header",
        "property list uchar float texcoord\nproperty int texnumber\nend_header",
    )
    head = head.replace("element v", "comment TextureFile red.png\ncomment TextureFile blue.png\nelement v")  # fmt: skip # noqa: E501
    rows = ["{:g} {:g} {:g}".format(*v) for v in CORNER]
    rows += ["3 {} {} {} 6 0 0 1 0 1 1 {}".format(*f, k % 2) for k, f in enumerate(CORNER_FACES)]
    mesh = load_mesh(written(tmp_path / "a.ply", head + "\n".join([*rows, ""])), textures=True)
    assert mesh.t_texture.tolist() == [0, 1, 0, 1]
    assert [tuple(t.image[0, 0, :3]) for t in mesh.textures] == [RED, (0, 0, 255)]


def test_vertex_colours_that_are_bytes_by_mistake_or_too_few(tmp_path):
    """glTF wants whole numbers marked as normalised; other readers look at their type, as we do."""
    sample = Sample()
    primitive = sample.primitive(CORNER, CORNER_FACES)
    color = np.tile(np.array([255, 0, 55, 255], np.uint8), (4, 1))
    primitive["attributes"]["COLOR_0"] = sample.accessor(color)
    linear = 55 / 255
    srgb = 1.055 * linear ** (1 / 2.4) - 0.055
    mesh = load_mesh(sample.save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_color, [[1, 0, srgb]] * 4, atol=1e-6)
    sample = Sample()
    sample.primitive(CORNER, CORNER_FACES, color=np.ones((3, 3), np.float32))
    assert len(load_mesh(sample.save(tmp_path / "b.glb")).t_pos_idx) == 4


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


@pytest.mark.parametrize(
    "options, expected",
    [
        ("", (0.5, 0.25)),
        ("-s 2 3 1", (1.0, 0.75)),
        ("-o 0.1 0.2 0", (0.6, 0.45)),
        ("-o 0.1 -s 2", (1.1, 0.25)),
        ("-mm 0 1 -s 2 2 -o 1 1 1 -blendu on", (2.0, 1.5)),
    ],
)
def test_scale_and_offset_of_an_obj_s_image(tmp_path, options, expected):
    Image.new("RGB", (2, 2), RED).save(tmp_path / "3 red.png")
    written(tmp_path / "a.mtl", f"newmtl m\nmap_Kd {options} 3 red.png\n".replace("3 r", "./3 r"))
    text = "mtllib a.mtl\nvt 0.5 0.25\nusemtl m\n" + OBJ.replace("f 1 3 2", "f 1/1 3/1 2/1")
    mesh = load_mesh(written(tmp_path / "a.obj", text), textures=True)
    worn = mesh.t_pos_idx[mesh.t_texture >= 0]
    np.testing.assert_allclose(mesh.v_uv[worn], [[(expected[0], 1 - expected[1])] * 3], atol=1e-6)


@pytest.mark.parametrize(
    "material, said",
    [
        (5, ("material 5 (damaged)",)),
        ({"pbrMetallicRoughness": {"baseColorFactor": [1, 0]}}, ("material 0 (damaged)",)),
        ({"pbrMetallicRoughness": None}, ()),
        ({"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0]}}, ()),
    ],
)
def test_a_damaged_material_costs_its_looks_alone(tmp_path, material, said):
    sample = corner(scale=None, children=None)  # null is as good as nothing
    is_record = isinstance(material, dict)
    sample.tree["materials"] = [material if is_record else {}]
    sample.tree["meshes"][0]["primitives"][0]["material"] = 0 if is_record else material
    mesh = load_mesh(sample.save(tmp_path / "a.glb"), textures=True)
    np.testing.assert_array_equal(mesh.v_pos, CORNER)
    assert mesh.lost == said
    red = is_record and material["pbrMetallicRoughness"] == {"baseColorFactor": [1, 0, 0]}
    assert mesh.v_color.tolist() == [[1, 0, 0] if red else [1, 1, 1]] * 4


def test_a_texture_without_coordinates_and_base64_as_it_is_wrapped(tmp_path):
    Image.new("RGB", (64, 64), RED).save(tmp_path / "red.png")
    data = (tmp_path / "red.png").read_bytes()
    sample = corner()
    sample.tree |= {"images": [{}], "textures": [{"source": 0}]}
    sample.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    primitive = sample.tree["meshes"][0]["primitives"][0]
    primitive["material"] = 0
    for encode in (base64.encodebytes, base64.urlsafe_b64encode, base64.b64encode):
        sample.tree["images"][0]["uri"] = f"data:image/png;base64,{encode(data).decode()}"
        assert load_mesh(sample.save(tmp_path / "a.glb"), textures=True).lost == (
            "texture 0 (without coordinates)",
        )
    primitive["attributes"]["TEXCOORD_0"] = sample.accessor(np.zeros((4, 2), np.float32))
    sample.tree["buffers"] = []
    for encode in (base64.encodebytes, base64.urlsafe_b64encode, base64.b64encode):
        sample.tree["images"][0]["uri"] = f"data:image/png;base64,{encode(data).decode()}"
        mesh = load_mesh(sample.save(tmp_path / "a.glb"), textures=True)
        assert mesh.lost == () and tuple(mesh.textures[0].image[0, 0, :3]) == RED


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


def test_names_of_materials_and_libraries_as_programs_write_them(tmp_path):
    written(tmp_path / "a b.mtl", "newmtl Red\nKd 1 0 0\n")
    text = 'mtllib "A B.mtl"\n' + OBJ.replace("f 1 3 2", "usemtl RED\nfo 1 3 2")
    mesh = load_mesh(written(tmp_path / "a.obj", text), textures=True)
    assert mesh.lost == () and mesh.v_color.tolist() == [[1, 0, 0]] * 4
    np.testing.assert_array_equal(mesh.v_pos, CORNER)
    assert len(mesh.t_pos_idx) == 4


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("a.glb", "a.obj"):
        os.mkfifo(tmp_path / name)
        (tmp_path / f"link-{name}").symlink_to(name)
        for path in (tmp_path / name, tmp_path / f"link-{name}"):
            reason, message = refused(path)
            assert reason == "unreadable-file" and "a pipe or a device" in message
    with pytest.raises(ObjectError, match="a pipe or a device"):
        read_file_words(tmp_path / "a.glb")
    assert prompt_of(Asset(tmp_path / "link-a.glb", "m")) == ""
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
