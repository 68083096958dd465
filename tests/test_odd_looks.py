"""Colours, materials and images of model files as programs and people write them."""

import base64

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES, Sample, corner
from odd_samples import OBJ, PLY, RED, written
from PIL import Image

from sdtool.meshfiles import load_mesh


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


def test_names_of_materials_and_libraries_as_programs_write_them(tmp_path):
    written(tmp_path / "a b.mtl", "newmtl Red\nKd 1 0 0\n")
    text = 'mtllib "A B.mtl"\n' + OBJ.replace("f 1 3 2", "usemtl RED\nfo 1 3 2")
    mesh = load_mesh(written(tmp_path / "a.obj", text), textures=True)
    assert mesh.lost == () and mesh.v_color.tolist() == [[1, 0, 0]] * 4
    np.testing.assert_array_equal(mesh.v_pos, CORNER)
    assert len(mesh.t_pos_idx) == 4
