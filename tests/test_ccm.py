"""Canonical coordinate maps: the normalisation, the map form, and renders against closed forms."""

import json

import numpy as np
import pytest
import torch
from ccm_samples import positions
from safetensors import safe_open
from shape_samples import box, icosphere, quad, trace

from sdtool.geometry.cameras import ViewRange, orbit, pixel_rays, random_views
from sdtool.geometry.ccm import (
    canonical_coordinates,
    decode_map,
    downsample,
    encode_map,
    to_canonical,
)
from sdtool.geometry.meshes import Mesh
from sdtool.io.files import write_tensors
from sdtool.io.images import map_to_rgb
from sdtool.rendering.maps import render_maps

FOV = np.radians(45.0)
SIZE = 48


def cameras(count, seed=0):
    return random_views(np.random.default_rng(seed), count, ViewRange())


# Normalisation


def test_to_canonical_centres_the_box_and_scales_its_longest_side_to_1():
    mesh = box([10, -4, 2], [14, 4, 3])  # sides 4, 8, 1
    assert np.allclose(to_canonical(mesh).bounds(), [[-0.25, -0.5, -0.0625], [0.25, 0.5, 0.0625]])
    assert np.array_equal(mesh.bounds(), [[10, -4, 2], [14, 4, 3]])  # a new mesh, not a changed one


def test_to_canonical_ignores_vertices_that_no_face_uses():
    mesh = box([0, 0, 0], [1, 2, 4])
    far = Mesh(np.concatenate([mesh.v_pos, [[100, 100, 100]]]).astype(np.float32), mesh.t_pos_idx)
    assert np.array_equal(to_canonical(far).v_pos[:8], to_canonical(mesh).v_pos)


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1e6, 3e37])
def test_to_canonical_serves_every_size(scale):
    tiny = box([-scale, 0, scale], [scale, scale, 2 * scale])  # sides 2, 1, 1
    assert np.allclose(
        to_canonical(tiny).bounds(), [[-0.5, -0.25, -0.25], [0.5, 0.25, 0.25]], atol=1e-6
    )


def test_canonical_coordinates_span_0_to_1_on_each_axis_alone():
    low, high = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 0.5, 6.0])
    points = np.array([[-1, 0, 2], [1, 0.5, 6], [0, 0.125, 5]])
    expected = [[0, 0, 0], [1, 1, 1], [0.5, 0.25, 0.75]]
    assert np.allclose(canonical_coordinates(points, low, high), expected)
    assert np.allclose(positions(np.array(expected), low, high), points)


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor])
def test_coordinates_and_positions_are_inverse_also_for_a_flat_axis(library):
    low, high = library(np.array([-0.5, 0.2, -0.1])), library(np.array([0.5, 0.2, 0.3]))
    points = np.random.default_rng(0).uniform([-0.5, 0.2, -0.1], [0.5, 0.2, 0.3], (50, 3))
    coordinates = canonical_coordinates(library(points), low, high)
    assert np.array_equal(coordinates[:, 1], np.full(50, 0.5))  # its plane is the middle
    assert np.allclose(positions(coordinates, low, high), points)


# The map form


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor])
def test_a_map_is_premultiplied_and_its_background_is_0_0_0_minus_1(library):
    value = library(np.array([[0.0, 0.5, 1.0], [0.0, 0.5, 1.0], [0.3, 0.6, 0.9]]))
    coverage = library(np.array([[1.0], [0.25], [0.0]]))
    expected = [[-1, 0, 1, 1], [-0.25, 0, 0.25, -0.5], [0, 0, 0, -1]]
    assert np.allclose(encode_map(value, coverage), expected)


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor])
def test_decode_is_the_inverse_of_encode_and_grey_where_empty(library):
    rng = np.random.default_rng(1)
    value, coverage = rng.uniform(0, 1, (40, 3)), rng.uniform(0.01, 1, (40, 1))
    coverage[:5] = 0
    back = decode_map(encode_map(library(value), library(coverage)))
    assert np.allclose(back[1], coverage)
    assert np.allclose(back[0][5:], value[5:])
    assert np.array_equal(back[0][:5], np.full((5, 3), 0.5))


def test_decode_keeps_wild_latents_in_range():
    value, coverage = decode_map(np.random.default_rng(2).normal(0, 3, (1000, 4)))
    for part in (value, coverage):
        assert part.min() == 0 and part.max() == 1


def test_downsampling_maps_averages_values_by_their_coverage():
    """A pixel of one sample at 0.2, one at 0.6 and two empty ones: value 0.4, coverage ½."""
    value = np.array([[0.2, 0.6], [0.9, 0.9]])[None, :, :, None].repeat(3, axis=-1)
    coverage = np.array([[1.0, 1.0], [0.0, 0.0]])[None, :, :, None]
    got_value, got_coverage = decode_map(downsample(encode_map(value, coverage), 2))
    assert got_value.shape == (1, 1, 1, 3)
    assert np.allclose(got_value, (0.2 + 0.6) / 2) and np.allclose(got_coverage, 2 / 4)


def test_downsampling_averages_blocks():
    image = np.arange(2 * 4 * 6 * 1, dtype=float).reshape(2, 4, 6, 1)
    small = downsample(image, 2)
    assert small.shape == (2, 2, 3, 1)
    assert small[1, 1, 2, 0] == (40 + 41 + 46 + 47) / 4  # rows 2, 3 and columns 4, 5 of the second


# Renders against closed forms


def rendered(mesh, c2w, supersample=1, size=SIZE):
    """Canonical coordinates (N, size, size, 3) and coverage (N, size, size) of a render."""
    image = render_maps(mesh, c2w, FOV, size, ("ccm",), supersample)["ccm"]
    value, coverage = decode_map(image)
    return value, coverage[..., 0]


def test_a_box_shows_where_each_ray_enters_it():
    low, high = np.array([-0.5, -0.3, -0.2]), np.array([0.5, 0.3, 0.2])
    c2w = cameras(6)
    value, coverage = rendered(box(low, high), c2w)
    origins, directions = pixel_rays(c2w, FOV, SIZE)
    o, d = origins[:, None, None].astype(float), directions.astype(float)
    one, other = (low - o) / d, (high - o) / d  # slabs
    enter, leave = np.minimum(one, other).max(-1), np.maximum(one, other).min(-1)
    hit = enter <= leave
    assert np.array_equal(coverage, hit) and 0.1 < hit.mean() < 0.9
    expected = (o + enter[..., None] * d - low) / (high - low)
    assert abs(value - expected)[hit].max() < 1e-5


def test_a_tilted_quad_shows_the_points_of_its_plane():
    """The quad x = ¼ + ½ z … spans x, y, z alike, so its ccm is (s, t, s) of its own frame."""
    corners = [[-0.25, -0.5, -0.5], [0.25, -0.5, 0.5], [0.25, 0.5, 0.5], [-0.25, 0.5, -0.5]]
    c2w = orbit(np.radians([75, 110, -95]), np.radians([5, 20, -8]), 1.5)  # both sides of it
    value, coverage = rendered(quad(corners), c2w)
    origins, directions = pixel_rays(c2w, FOV, SIZE)
    o, d = origins[:, None, None].astype(float), directions.astype(float)
    normal = np.array([1, 0, -0.5])  # the plane x − z / 2 = 0
    distance = -(o @ normal) / (d @ normal)
    point = o + distance[..., None] * d
    hit = (distance > 0) & (abs(point[..., 1:]) <= 0.5).all(-1)
    assert np.array_equal(coverage, hit) and (hit.mean(axis=(1, 2)) > 0.05).all()
    s, t = point[..., 2] + 0.5, point[..., 1] + 0.5
    assert abs(value - np.stack([s, t, s], -1))[hit].max() < 1e-5


def test_a_flat_quad_has_the_middle_on_its_flat_axis():
    flat = quad([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    value, coverage = rendered(flat, orbit(0.2, 0.1, 1.5))
    assert (coverage > 0).any() and abs(value[coverage > 0][:, 2] - 0.5).max() < 1e-6


def test_a_sphere_shows_the_planes_of_its_facets():
    mesh, c2w = icosphere(2), cameras(3, seed=1)
    low, high = mesh.bounds()
    value, coverage = rendered(mesh, c2w)
    origins, directions = pixel_rays(c2w, FOV, SIZE)
    for n in range(len(c2w)):
        distance, _ = trace(mesh, origins[n].astype(float), directions[n])
        hit = np.isfinite(distance)
        assert np.array_equal(coverage[n], hit) and hit.mean() > 0.3
        point = origins[n] + np.where(hit, distance, 0)[..., None] * directions[n].astype(float)
        assert abs(value[n] - (point - low) / (high - low))[hit].max() < 1e-5


def test_two_bodies_hide_one_another():
    near = box([-0.5, -0.5, 0.2], [0.0, 0.5, 0.5])
    far = box([-0.5, -0.5, -0.5], [0.5, 0.5, -0.2])
    mesh = Mesh(
        np.concatenate([far.v_pos, near.v_pos]), np.concatenate([far.t_pos_idx, near.t_pos_idx + 8])
    )
    value, coverage = rendered(mesh, orbit(0.0, 0.0, 1.5))
    left, right = value[0, SIZE // 2, SIZE // 4], value[0, SIZE // 2, 3 * SIZE // 4]
    assert np.isclose(left[2], 1, atol=1e-6)  # the front of the near box
    assert np.isclose(right[2], 0.3, atol=1e-6)  # the front of the far box: (−0.2 + 0.5) / 1


def test_supersampling_averages_the_samples_of_a_finer_render():
    mesh, c2w = icosphere(1), cameras(2, seed=3)
    coarse = render_maps(mesh, c2w, FOV, 8, ("ccm", "normal", "rgb"), supersample=4)
    fine = render_maps(mesh, c2w, FOV, 32, ("ccm", "normal", "rgb"), supersample=1)
    for name, image in coarse.items():
        assert image.shape == (2, 8, 8, 4) and image.dtype == np.float32
        blocks = fine[name].reshape(2, 8, 4, 8, 4, 4)
        assert np.allclose(image, blocks.mean(axis=(2, 4)), atol=1e-6)
    edge = coarse["ccm"][..., 3]
    assert ((edge > -1) & (edge < 1)).any()  # partly covered pixels exist


def test_normals_point_outward_and_toward_the_eye():
    mesh, c2w = icosphere(3), cameras(2, seed=4)
    maps = render_maps(mesh, c2w, FOV, SIZE, ("ccm", "normal"), supersample=1)
    place, coverage = decode_map(maps["ccm"])
    normal = 2 * decode_map(maps["normal"])[0] - 1
    hit = coverage[..., 0] > 0
    assert np.allclose(np.linalg.norm(normal[hit], axis=-1), 1, atol=1e-5)
    low, high = mesh.bounds()
    radial = positions(place, low, high)[hit] / 0.5  # a sphere's normal is its direction
    assert abs(normal[hit] - radial).max() < 0.03


def test_an_inside_out_surface_shows_the_same_normals():
    mesh, c2w = icosphere(2), cameras(2, seed=5)
    turned = Mesh(mesh.v_pos, mesh.t_pos_idx[:, ::-1].copy())
    one, other = (
        decode_map(render_maps(m, c2w, FOV, SIZE, ("normal",), 1)["normal"]) for m in (mesh, turned)
    )
    frontal = (2 * one[0] - 1) @ c2w[0, :3, 2] > 0.3  # at grazing angles the sign is left alone
    assert frontal[0].any() and np.allclose(
        one[0][0][frontal[0]], other[0][0][frontal[0]], atol=1e-5
    )


def test_colours_are_the_vertex_colours_under_the_light():
    """A front-lit quad: light (0, 0.7, 1)/√1.49, so its colour is albedo · (0.6 + 0.4 / √1.49)."""
    flat = quad([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    color = np.tile(np.array([0.8, 0.4, 0.1], np.float32), (4, 1))
    c2w = orbit(0.0, 0.0, 1.5)
    for mesh, albedo in ((Mesh(flat.v_pos, flat.t_pos_idx, color), color[0]), (flat, 0.6)):
        image = render_maps(mesh, c2w, FOV, 16, ("rgb",), supersample=1)["rgb"]
        value, coverage = decode_map(image)
        expected = albedo * (0.6 + 0.4 / 1.49**0.5)
        assert np.allclose(value[0, 8, 8], expected, atol=1e-5) and coverage[0, 8, 8] == 1


# The way of a point


def test_a_point_survives_map_file_and_reading_back(tmp_path):
    """float16 near 1 has steps of 2⁻¹¹ (half of it rounds away), so a coordinate is off by 2⁻¹³."""
    mesh = to_canonical(icosphere(2, radius=3.0))
    c2w = cameras(2, seed=6)
    image = render_maps(mesh, c2w, FOV, SIZE, ("ccm",), supersample=1)["ccm"]
    path = tmp_path / "ccm-00000.safetensors"
    stored = {"ccm": image.transpose(0, 3, 1, 2).astype(np.float16), "c2w": c2w}
    write_tensors(path, stored, {"uids": json.dumps(["sphere"])})
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"uids": '["sphere"]'}
        back = file.get_tensor("ccm").astype(np.float32).transpose(0, 2, 3, 1)
        assert np.array_equal(file.get_tensor("c2w"), c2w)
    value, coverage = decode_map(back)
    hit = coverage[..., 0] > 0
    low, high = mesh.bounds()
    got = positions(value, low, high)[hit]
    exact = positions(decode_map(image)[0], low, high)[hit]
    assert abs(got - exact).max() <= 2**-13 + 1e-6
    origins, directions = pixel_rays(c2w, FOV, SIZE)
    offset = got - np.broadcast_to(origins[:, None, None], directions.shape)[hit]
    distance_to_ray = np.linalg.norm(np.cross(offset, directions[hit]), axis=-1)
    assert distance_to_ray.max() < 3**0.5 * 2**-13 + 1e-5


def test_a_map_as_picture_is_its_colour_over_the_background():
    value, coverage = np.array([[0.2, 0.4, 0.6]] * 3), np.array([[1.0], [0.5], [0.0]])
    picture = map_to_rgb(encode_map(value, coverage), background=1.0)
    assert np.allclose(picture, [[0.2, 0.4, 0.6], [0.6, 0.7, 0.8], [1, 1, 1]])
