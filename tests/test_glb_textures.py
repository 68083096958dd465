"""Base colour textures: which image, where on it, at what size; and that none loses an object."""

import base64
import io

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES, Sample
from PIL import Image, features

from sdtool.geometry.meshes import linear_to_srgb, merge
from sdtool.meshfiles import read_glb
from sdtool.meshfiles.limits import Limits

UV = np.array([[0, 0], [1, 0], [0, 1], [0.25, 0.5]], np.float32)


def checks(height=4, width=6, channels=4):
    """(H, W, C) uint8, no two pixels alike."""
    pixels = np.arange(height * width * channels, dtype=np.uint32) * 37 % 251
    return pixels.astype(np.uint8).reshape(height, width, channels)


def encoded(pixels, kind="PNG", **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def textured(data, *, material=None, info=None, uv=UV, sampler=None, **primitive):
    """The corner, wearing one image."""
    sample = Sample()
    sample.tree["images"] = [{"bufferView": sample.view(data), "mimeType": "image/png"}]
    sample.tree["textures"] = [{"source": 0}]
    if sampler is not None:
        sample.tree["textures"][0]["sampler"] = 0
        sample.tree["samplers"] = [sampler]
    surface = {"baseColorTexture": {"index": 0, **(info or {})}}
    sample.tree["materials"] = [{"pbrMetallicRoughness": surface, **(material or {})}]
    vertex = {} if uv is None else {"TEXCOORD_0": uv}
    sample.primitive(CORNER, CORNER_FACES, material=0, vertex=vertex, **primitive)
    return sample


def read(sample, path, **limits):
    return read_glb(path if sample is None else sample.save(path), Limits(**limits), textures=True)


def untextured(mesh):
    return not mesh.textures and mesh.v_uv is None and mesh.t_texture is None


def test_an_image_comes_back_pixel_by_pixel(tmp_path):
    mesh = read(textured(encoded(checks(channels=3))), tmp_path / "a.glb")
    (texture,) = mesh.textures
    assert texture.image.dtype == np.uint8 and texture.wrap == ("repeat", "repeat")
    np.testing.assert_array_equal(texture.image[..., :3], checks(channels=3))
    assert (texture.image[..., 3] == 255).all()
    np.testing.assert_array_equal(mesh.v_uv, UV)
    assert mesh.v_uv.dtype == np.float32
    assert mesh.t_texture.dtype == np.int32 and mesh.t_texture.tolist() == [0] * 4
    np.testing.assert_array_equal(mesh.v_color, np.ones((4, 3)))


def test_without_asking_images_are_not_touched(tmp_path, monkeypatch):
    path = textured(encoded(checks())).save(tmp_path / "a.glb")
    monkeypatch.setattr(Image, "open", None)
    mesh = read_glb(path)
    assert untextured(mesh) and mesh.v_color is None


KINDS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "TGA", "DDS", "PPM"]
KINDS += ["AVIF"] * features.check("avif") + ["JPEG2000"] * features.check("jpg_2000")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["view", "uri"])
def test_kinds_of_image(tmp_path, kind, where):
    flat = np.full((8, 8, 3), [200, 100, 50], np.uint8)
    data = encoded(flat, kind)
    sample = textured(data)
    if where == "uri":
        text = base64.b64encode(data).decode()
        sample.tree["images"] = [{"uri": f"data:image/{kind.lower()};base64,{text}"}]
    names = {"WEBP": "EXT_texture_webp", "AVIF": "EXT_texture_avif", "DDS": "MSFT_texture_dds"}
    if kind in names:
        sample.tree["extensionsRequired"] = [names[kind]]
        sample.tree["textures"] = [{"extensions": {names[kind]: {"source": 0}}}]
    mesh = read(sample, tmp_path / "a.glb")
    np.testing.assert_allclose(mesh.textures[0].image[..., :3], flat, atol=3)
    assert mesh.lost_images == 0


def test_images_that_cannot_be_read_are_counted_once_each(tmp_path):
    assert read(textured(b"no image"), tmp_path / "a.glb").lost_images == 1
    sample = textured(encoded(checks()))
    sample.primitive(CORNER, CORNER_FACES, vertex={"TEXCOORD_0": UV}, material=0)
    sample.tree["images"] = [{"uri": "absent.png"}]
    assert read(sample, tmp_path / "a.glb").lost_images == 1  # two primitives, one image
    sample.tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["index"] = 7
    assert read(sample, tmp_path / "a.glb").lost_images == 1
    assert read_glb(tmp_path / "a.glb").lost_images == 0  # nobody asked for it


def test_an_image_that_only_an_extension_has_may_stand_beside_a_plain_one(tmp_path):
    sample = textured(encoded(checks()))
    sample.tree["images"].append({"bufferView": sample.view(b"KTX 20 and so on")})
    basis = {"KHR_texture_basisu": {"source": 1}}
    sample.tree["textures"] = [{"source": 0, "extensions": basis}]
    assert len(read(sample, tmp_path / "a.glb").textures) == 1
    sample.tree["textures"] = [{"extensions": basis}]
    assert read(sample, tmp_path / "a.glb").lost_images == 1
    sample.tree["textures"] = [{"source": 0, "extensions": {"EXT_texture_avif": {"source": 1}}}]
    mesh = read(sample, tmp_path / "a.glb")  # the plain one is for who cannot read the other
    assert len(mesh.textures) == 1 and mesh.lost_images == 0


@pytest.mark.parametrize(
    "image, expected",
    [
        (Image.fromarray(np.uint8([[0, 90, 255]])), [[0] * 3, [90] * 3, [255] * 3]),
        (Image.fromarray(np.uint16([[0, 90 * 256, 65535]])), [[0] * 3, [90] * 3, [255] * 3]),
        (Image.fromarray(np.uint8([[[9, 0], [90, 255]]]), "LA"), [[9] * 3, [90] * 3]),
        (Image.fromarray(np.uint8([[[255, 0, 0], [0, 0, 255]]])).quantize(2), None),
        (Image.fromarray(np.uint8([[0, 255]])).convert("1"), [[0] * 3, [255] * 3]),
    ],
)
def test_modes_of_image(tmp_path, image, expected):
    out = io.BytesIO()
    image.save(out, "PNG")
    (texture,) = read(textured(out.getvalue()), tmp_path / "a.glb").textures
    if expected is None:
        expected = [[255, 0, 0], [0, 0, 255]]
    np.testing.assert_array_equal(texture.image[0, :, :3], expected)


@pytest.mark.parametrize(
    "sampler, wrap",
    [
        ({}, ("repeat", "repeat")),
        ({"wrapS": 33071, "wrapT": 33648}, ("clamp", "mirror")),
        ({"wrapS": 10497, "wrapT": 33071}, ("repeat", "clamp")),
        ({"wrapS": 1, "wrapT": 33071}, ("repeat", "clamp")),  # unknown: as glTF's default
    ],
)
def test_wrap_modes(tmp_path, sampler, wrap):
    mesh = read(textured(encoded(checks()), sampler=sampler), tmp_path / "a.glb")
    assert mesh.textures[0].wrap == wrap


@pytest.mark.parametrize(
    "sampler, nearest",
    [
        (None, False),
        ({}, False),
        ({"magFilter": 9729, "minFilter": 9728}, False),
        ({"magFilter": 9728, "minFilter": 9987}, True),
        ({"magFilter": [9728]}, False),  # nonsense
    ],
)
def test_pixel_art_is_not_blended(tmp_path, sampler, nearest):
    mesh = read(textured(encoded(checks()), sampler=sampler), tmp_path / "a.glb")
    assert mesh.textures[0].nearest is nearest


def test_one_image_may_be_blended_here_and_not_there(tmp_path):
    sample = textured(encoded(checks()), sampler={"magFilter": 9728})
    sample.tree["textures"].append({"source": 0})
    sample.tree["materials"].append({"pbrMetallicRoughness": {"baseColorTexture": {"index": 1}}})
    sample.primitive(CORNER, CORNER_FACES, material=1, vertex={"TEXCOORD_0": UV})
    first, second = read(sample, tmp_path / "a.glb").textures
    assert first.image is second.image and (first.nearest, second.nearest) == (True, False)


# Coordinates


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integer_coordinates_are_normalised(tmp_path, dtype):
    top = np.iinfo(dtype).max
    uv = np.array([[0, 0], [top, 0], [0, top], [top // 3, top // 5]], dtype)
    mesh = read(textured(encoded(checks()), uv=uv), tmp_path / "a.glb")
    np.testing.assert_allclose(mesh.v_uv, uv / top, rtol=1e-6)


def test_the_material_chooses_the_set_of_coordinates(tmp_path):
    sample = textured(encoded(checks()), info={"texCoord": 1})
    primitive = sample.tree["meshes"][0]["primitives"][0]
    primitive["attributes"]["TEXCOORD_1"] = sample.accessor(UV + 5)
    np.testing.assert_array_equal(read(sample, tmp_path / "a.glb").v_uv, UV + 5)
    info = sample.tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
    info["extensions"] = {"KHR_texture_transform": {"texCoord": 0}}  # overrides the other
    np.testing.assert_array_equal(read(sample, tmp_path / "b.glb").v_uv, UV)


@pytest.mark.parametrize(
    "transform, expected",
    [
        ({"offset": [0.5, 2]}, UV + [0.5, 2]),
        ({"scale": [2, 3]}, UV * [2, 3]),
        # The specification's examples: T turned over, and the lower left quarter of the image.
        ({"offset": [0, 1], "scale": [1, -1]}, [[0, 1], [1, 1], [0, 0], [0.25, 0.5]]),
        (
            {"offset": [0, 1], "rotation": np.pi / 2, "scale": [0.5, 0.5]},
            [[0, 1], [0, 0.5], [0.5, 1], [0.25, 0.875]],
        ),
        # Scaled first, then turned: (1, 0) → (2, 0) → (0, −2); (0, 1) → (0, 3) → (3, 0).
        ({"rotation": np.pi / 2, "scale": [2, 3]}, [[0, 0], [0, -2], [3, 0], [1.5, -0.5]]),
    ],
)
def test_texture_transform(tmp_path, transform, expected):
    info = {"extensions": {"KHR_texture_transform": transform}}
    mesh = read(textured(encoded(checks()), info=info), tmp_path / "a.glb")
    np.testing.assert_allclose(mesh.v_uv, expected, atol=1e-6)


def test_coordinates_follow_their_vertices_through_pruning_and_instances(tmp_path):
    sample = textured(encoded(checks()))
    sample.tree["meshes"][0]["primitives"][0]["indices"] = sample.accessor(np.uint16([3, 1, 2]))
    sample.tree["nodes"] = [{"mesh": 0}, {"mesh": 0, "translation": [9, 0, 0]}]
    sample.tree["scenes"][0]["nodes"] = [0, 1]
    mesh = read(sample, tmp_path / "a.glb")
    np.testing.assert_array_equal(mesh.v_uv, UV[[1, 2, 3, 1, 2, 3]])
    assert mesh.t_texture.tolist() == [0, 0] and len(mesh.textures) == 1


# Materials


def test_colour_of_a_textured_part_is_factor_times_vertex_colour(tmp_path):
    surface = {"baseColorFactor": [0.5, 1, 0.25, 1], "baseColorTexture": {"index": 0}}
    color = np.full((4, 3), [0.5, 0.5, 1], np.float32)
    sample = textured(encoded(checks()), color=color)
    sample.tree["materials"][0]["pbrMetallicRoughness"] = surface
    mesh = read(sample, tmp_path / "a.glb")
    expected = linear_to_srgb(np.array([0.25, 0.5, 0.25]))
    np.testing.assert_allclose(mesh.v_color, np.tile(expected, (4, 1)), atol=1e-6)
    assert len(mesh.textures) == 1


def test_specular_glossiness(tmp_path):
    sample = textured(encoded(checks()))
    glossy = {"diffuseFactor": [0, 1, 0, 1], "diffuseTexture": {"index": 0}}
    sample.tree["materials"] = [{"extensions": {"KHR_materials_pbrSpecularGlossiness": glossy}}]
    mesh = read(sample, tmp_path / "a.glb")
    np.testing.assert_array_equal(mesh.v_color, np.tile([0, 1, 0], (4, 1)))
    np.testing.assert_array_equal(mesh.textures[0].image[..., :3], checks()[..., :3])


@pytest.mark.parametrize(
    "material, alpha",
    [
        ({}, [255, 255, 255]),
        ({"alphaMode": "OPAQUE"}, [255, 255, 255]),
        ({"alphaMode": "BLEND"}, [0, 100, 200]),
        ({"alphaMode": "MASK"}, [0, 0, 255]),
        ({"alphaMode": "MASK", "alphaCutoff": 0.25}, [0, 255, 255]),
        ({"alphaMode": "MASK", "alphaCutoff": "much"}, [0, 0, 255]),
    ],
)
def test_alpha_is_what_the_material_makes_of_it(tmp_path, material, alpha):
    pixels = np.full((1, 3, 4), 77, np.uint8)
    pixels[0, :, 3] = [0, 100, 200]
    (texture,) = read(textured(encoded(pixels), material=material), tmp_path / "a.glb").textures
    np.testing.assert_array_equal(texture.image[0, :, 3], alpha)
    assert (texture.image[..., :3] == 77).all()  # also where nothing is to be seen


def test_parts_with_and_without_textures_in_one_mesh_share_images(tmp_path):
    data = encoded(checks())
    sample = textured(data)
    sample.tree["images"].append({"bufferView": sample.view(data)})  # the same bytes again
    sample.tree["textures"] += [{"source": 1}, {"source": 1, "sampler": 0}]
    sample.tree["samplers"] = [{"wrapS": 33071}]
    red = {"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}}
    sample.tree["materials"].append(red)
    for texture in (1, 2):
        surface = {"baseColorTexture": {"index": texture}}
        sample.tree["materials"].append({"pbrMetallicRoughness": surface})
    for material in (1, 2, 3):
        sample.primitive(CORNER, CORNER_FACES, material=material, vertex={"TEXCOORD_0": UV + 1})
    mesh = read(sample, tmp_path / "a.glb")
    assert mesh.t_texture.reshape(4, 4).tolist() == [[0] * 4, [-1] * 4, [0] * 4, [1] * 4]
    first, second = mesh.textures
    assert first.image is second.image and (first.wrap, second.wrap) == (
        ("repeat", "repeat"),
        ("clamp", "repeat"),
    )
    np.testing.assert_array_equal(mesh.v_color[4:8], np.tile([1, 0, 0], (4, 1)))
    np.testing.assert_array_equal(mesh.v_uv[8:], np.concatenate([UV + 1] * 2))
    twice = merge([mesh, mesh])
    assert len(twice.textures) == 2 and twice.t_texture.tolist() == mesh.t_texture.tolist() * 2


# Size


def test_large_images_are_reduced_by_averaging_boxes(tmp_path):
    pixels = checks(8, 16, 3)
    (texture,) = read(textured(encoded(pixels)), tmp_path / "a.glb", texture_side=4).textures
    boxes = pixels.reshape(2, 4, 4, 4, 3).mean(axis=(1, 3))
    assert texture.image.shape == (2, 4, 4)
    np.testing.assert_allclose(texture.image[..., :3], boxes, atol=1.01)  # rounded twice


def test_cut_out_edges_become_shares_of_coverage(tmp_path):
    pixels = np.full((4, 4, 4), 200, np.uint8)
    pixels[:, :3, 3] = 0  # three of four columns are not there
    sample = textured(encoded(pixels), material={"alphaMode": "MASK"})
    (texture,) = read(sample, tmp_path / "a.glb", texture_side=1).textures
    assert texture.image.tolist() == [[[200, 200, 200, round(255 / 4)]]]


def test_huge_jpegs_are_reduced_while_they_are_decoded(tmp_path, monkeypatch):
    flat = np.full((2048, 4096, 3), [10, 200, 90], np.uint8)
    sizes = []
    load = Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, *a, **k: sizes.append(self.size) or load(self, *a, **k)
    )
    sample = textured(encoded(flat, "JPEG"))
    (texture,) = read(sample, tmp_path / "a.glb", texture_side=500).textures
    assert texture.image.shape == (250, 500, 4) and sizes == [(512, 256)]
    np.testing.assert_allclose(texture.image[..., :3], flat[:250, :500], atol=3)


def test_images_beyond_the_limits_are_left_out_before_they_are_decoded(tmp_path, monkeypatch):
    path = textured(encoded(checks(40, 50))).save(tmp_path / "a.glb")
    assert len(read(None, path, image_pixels=2000).textures) == 1
    assert len(read(None, path, texture_bytes=8000).textures) == 1
    monkeypatch.setattr(Image.Image, "load", None)
    assert untextured(read(None, path, image_pixels=1999))
    assert untextured(read(None, path, texture_bytes=7999))


# Whatever is wrong with an image costs the image only


def bomb():
    """A PNG of a few bytes that declares 60,000 × 60,000 pixels."""
    data = bytearray(encoded(checks()))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no image",
        encoded(checks())[:60],
        bomb(),
        b"GIF89a" + b"\0" * 50,
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_a_broken_image_costs_the_image_only(tmp_path, data):
    sample = textured(data + b"\0")
    mesh = read(sample, tmp_path / "a.glb")
    assert untextured(mesh)
    np.testing.assert_array_equal(mesh.v_color, np.ones((4, 3)))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["images"].clear(),
        lambda t: t["images"][0].update(bufferView=99),
        lambda t: t["images"][0].update(bufferView=None),
        lambda t: t["images"].__setitem__(0, {"uri": "../../secret.png"}),
        lambda t: t["images"].__setitem__(0, {"uri": "file:///etc/passwd"}),
        lambda t: t["images"].__setitem__(0, {"uri": "data:image/png;base64,???"}),
        lambda t: t["images"].__setitem__(0, {"uri": 7}),
        lambda t: t["textures"][0].pop("source"),
        lambda t: t["textures"][0].update(source=[0]),
        lambda t: t["textures"][0].update(sampler=4),
        lambda t: t["textures"][0].update(sampler="x"),
        lambda t: t["textures"].__setitem__(
            0, {"extensions": {"KHR_texture_basisu": {"source": 0}}}
        ),
        lambda t: t["textures"].__setitem__(0, 5),
        lambda t: t.pop("textures"),
        lambda t: t["materials"][0]["pbrMetallicRoughness"].update(baseColorTexture={"index": -1}),
        lambda t: t["materials"][0]["pbrMetallicRoughness"].update(baseColorTexture=3),
        lambda t: t["meshes"][0]["primitives"][0]["attributes"].pop("TEXCOORD_0"),
        lambda t: t["meshes"][0]["primitives"][0]["attributes"].update(TEXCOORD_0=77),
        lambda t: t["accessors"][1].update(count=3),
        lambda t: t["accessors"][1].update(type="SCALAR"),
    ],
)
def test_broken_references_cost_the_texture_only(tmp_path, change):
    sample = textured(encoded(checks()))
    change(sample.tree)
    mesh = read(sample, tmp_path / "a.glb")
    assert untextured(mesh) and len(mesh.t_pos_idx) == 4


def test_coordinates_that_are_no_numbers_become_zero(tmp_path):
    uv = UV.copy()
    uv[1] = [np.nan, np.inf]
    mesh = read(textured(encoded(checks()), uv=uv), tmp_path / "a.glb")
    assert np.isfinite(mesh.v_uv).all() and mesh.v_uv[1].tolist() == [0, 0]


@pytest.mark.parametrize(
    "uri", ["maps/b c.png", "maps/b%20c.png", "MAPS\\B c.PNG", "C:\\me\\maps\\b c.png", "/me/maps/b c.png"]
)  # fmt: skip
def test_an_image_beside_a_glb_is_read(tmp_path, uri):
    """As in the packs of Kenney; also where the names are those of the maker's computer."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "b c.png").write_bytes(encoded(checks()))
    sample = textured(encoded(checks()))
    sample.tree["images"] = [{"uri": uri}]
    mesh = read(sample, tmp_path / "a.glb")
    assert mesh.lost == () and (mesh.textures[0].image[..., :3] == checks()[..., :3]).all()


def test_no_image_outside_of_the_folder_of_a_glb_is_opened(tmp_path):
    (tmp_path / "outside.png").write_bytes(encoded(checks()))
    (tmp_path / "in").mkdir()
    sample = textured(encoded(checks()))
    for uri in ("../outside.png", str(tmp_path / "outside.png"), "file:///etc/passwd"):
        sample.tree["images"] = [{"uri": uri}]
        mesh = read(sample, tmp_path / "in" / "a.glb")
        assert untextured(mesh) and mesh.lost == (f"{uri} (not readable)",)


def test_what_is_lost_is_named_with_a_reason(tmp_path):
    basis = {"extensions": {"KHR_texture_basisu": {"source": 0}}}
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    for data, change, said in (
        (b"no image", {}, "image 0 (not readable)"),
        (b"no image", {"name": "wood"}, "wood (not readable)"),
        (b"\xabKTX 20\xbb\r\n\x1a\n", {}, "image 0 (KTX2)"),
        (pointer, {}, "image 0 (a pointer of Git LFS)"),
        (b"", {"uri": "gone.png"}, "gone.png (missing)"),
    ):
        sample = textured(data)
        sample.tree["images"][0].update(change)
        assert read(sample, tmp_path / "a.glb").lost == (said,)
    sample = textured(b"")
    sample.tree["textures"][0] = basis
    sample.tree["images"][0] = {"uri": "wood.ktx2"}
    assert read(sample, tmp_path / "a.glb").lost == ("wood.ktx2 (KTX2)",)
