"""Textured colour: bilinear in linear space, wrap modes, and a picture on a quad that is that picture."""

import numpy as np
import pytest

from sdtool.geometry.cameras import orbit
from sdtool.geometry.ccm import decode_map
from sdtool.geometry.meshes import Mesh, Texture, linear_to_srgb, srgb_to_linear
from sdtool.rendering import kernels
from sdtool.rendering.maps import render_maps
from sdtool.rendering.shading import AMBIENT, DIFFUSE
from sdtool.rendering.texturing import GREY, base_color, sample
from sdtool.rendering.visible import Visible

RAMP = np.zeros((2, 4, 4), np.uint8)
RAMP[..., 0] = [[0, 80, 160, 240], [240, 160, 80, 0]]
RAMP[..., 3] = 255


def texel(value):
    return srgb_to_linear(np.array(value / 255))


def test_the_centre_of_a_texel_is_that_texel():
    u, v = np.meshgrid((np.arange(4) + 0.5) / 4, (np.arange(2) + 0.5) / 2)
    found = sample(Texture(RAMP), np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32))
    assert np.allclose(found[:, 0], texel(RAMP[..., 0].ravel()), atol=1e-5)


def test_between_texels_it_is_linear_light_that_is_mixed():
    uv = np.array([[0.25, 0.25], [0.375, 0.5]], np.float32)
    found = sample(Texture(RAMP), uv)[:, 0]
    assert found[0] == pytest.approx((texel(0) + texel(80)) / 2, abs=1e-5)
    assert found[1] == pytest.approx((texel(80) + texel(160)) / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("repeat", [160, 240, 0, 80]), ("clamp", [0, 0, 240, 240]), ("mirror", [80, 0, 240, 160])],
)
def test_outside_of_the_texture(mode, expected):
    u = (np.array([-2, -1, 4, 5]) + 0.5) / 4
    uv = np.stack([u, np.full(4, 0.25)], axis=1).astype(np.float32)
    found = sample(Texture(RAMP, (mode, "clamp")), uv)[:, 0]
    assert np.allclose(found, texel(np.array(expected)), atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "expected"), [("repeat", [0, 240]), ("clamp", [240, 0]), ("mirror", [240, 0])]
)
def test_the_nearest_texel_is_of_one_colour_up_to_its_sides(mode, expected):
    u = np.array([0.01, 0.24, 0.26, 0.49, 0.99, 1.01, -0.01])
    uv = np.stack([u, np.full(7, 0.49)], axis=1).astype(np.float32)
    found = sample(Texture(RAMP, (mode, "clamp"), nearest=True), uv)[:, 0]
    assert np.allclose(found, texel(np.array([0, 0, 80, 80, 240, *expected])), atol=1e-6)


@pytest.mark.parametrize("nearest", [False, True])
def test_coordinates_that_are_no_numbers_find_a_texel(nearest):
    uv = np.array([[np.nan, 0.5], [np.inf, -np.inf], [1e30, -1e30]], np.float32)
    for mode in ("repeat", "clamp", "mirror"):
        assert sample(Texture(RAMP, (mode, mode), nearest), uv).shape == (3, 3)


def quad(**more):
    """A unit square that faces +Z, its texture's top left at −X, +Y."""
    v_pos = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Mesh(v_pos, faces, **more)


UV = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
FRONT = orbit(0.0, 0.0, 1.5)


def test_a_picture_on_a_square_is_seen_upright():
    image = np.zeros((8, 8, 4), np.uint8)
    image[:4, :4] = [255, 0, 0, 255]  # top left: red
    image[4:, 4:] = [0, 0, 255, 255]  # bottom right: blue
    mesh = quad(v_uv=UV, t_texture=np.zeros(2, np.int32), textures=(Texture(image),))
    rgb, cover = decode_map(render_maps(mesh, FRONT, np.radians(45), 32, ("rgb",), 2)["rgb"][0])
    light = AMBIENT + DIFFUSE / np.hypot(1, 0.7)
    assert cover[16, 16] == 1
    assert np.allclose(rgb[9, 9], [light, 0, 0], atol=0.01)
    assert np.allclose(rgb[23, 23], [0, 0, light], atol=0.01)
    assert np.allclose(rgb[9, 23], 0, atol=0.01)


def test_texel_and_vertex_colour_are_multiplied_in_linear_light():
    image = np.full((2, 2, 4), 188, np.uint8)
    v_color = np.full((4, 3), 0.5, np.float32)
    mesh = quad(v_color=v_color, v_uv=UV, t_texture=np.array([0, -1], np.int32),
                textures=(Texture(image),))  # fmt: skip
    pos = np.concatenate([mesh.v_pos * 2, np.ones((4, 1), np.float32)], axis=1)
    rast = kernels.rasterize(pos, mesh.t_pos_idx, 8, 8)[None]
    seen = Visible(mesh, rast)
    color, face = base_color(seen), seen.face + 1
    product = linear_to_srgb(texel(188) * srgb_to_linear(np.array(0.5)))
    assert np.allclose(color[face == 1], product, atol=1e-5)
    assert np.allclose(color[face == 2], 0.5, atol=1e-5)  # this face has no texture


def test_what_has_no_colour_is_grey():
    pos = np.concatenate([quad().v_pos * 2, np.ones((4, 1), np.float32)], axis=1)
    rast = kernels.rasterize(pos, quad().t_pos_idx, 8, 8)[None]
    assert np.allclose(base_color(Visible(quad(), rast)), GREY)
