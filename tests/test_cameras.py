"""Cameras: the conventions, by round trips and by directions that one can picture."""

import numpy as np
import pytest
import torch

from sdtool.geometry.cameras import (
    REFERENCE_DISTANCE,
    ViewRange,
    azimuth_elevation,
    orbit,
    pixel_rays,
    projection,
    random_views,
    rays_on,
    rotate_y,
    turntable,
    world_to_clip,
)

FOV = np.radians(45.0)


def to_pixels(points, c2w, size, fov=FOV):
    """(row, column) (P, 2) at which a camera (4, 4) sees points (P, 3); pixel centres are whole."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    clip = homogeneous @ world_to_clip(c2w[None], fov)[0].astype(np.float64).T
    screen = clip[:, :2] / clip[:, 3:]
    return ((screen + 1) / 2 * size - 0.5)[:, ::-1]


def test_azimuth_grows_from_the_front_to_plus_x_and_elevation_upward():
    degrees = np.radians
    eyes = orbit([0, degrees(90), degrees(180), 0], [0, 0, 0, degrees(30)], 2.0)[:, :3, 3]
    expected = [[0, 0, 2], [2, 0, 0], [0, 0, -2], [0, 2 * 0.5, 2 * 0.75**0.5]]
    assert np.allclose(eyes, expected, atol=1e-6)


def test_orbit_gives_its_angles_back():
    rng = np.random.default_rng(0)
    azimuth, elevation = rng.uniform(-np.pi, np.pi, 200), rng.uniform(-1.5, 1.5, 200)
    c2w = orbit(azimuth, elevation, rng.uniform(0.5, 3, 200))
    assert c2w.dtype == np.float32 and c2w.shape == (200, 4, 4)
    back = azimuth_elevation(c2w)
    assert np.allclose(back[0], azimuth, atol=2e-5) and np.allclose(back[1], elevation, atol=2e-5)


def test_cameras_are_rigid_upright_and_look_at_the_origin():
    rng = np.random.default_rng(1)
    c2w = orbit(rng.uniform(-4, 4, 50), rng.uniform(-1.4, 1.4, 50), rng.uniform(0.5, 3, 50))
    rotation, eye = c2w[:, :3, :3], c2w[:, :3, 3]
    assert np.allclose(rotation.transpose(0, 2, 1) @ rotation, np.eye(3), atol=1e-6)
    assert np.allclose(np.linalg.det(rotation), 1, atol=1e-6)  # right-handed
    assert (c2w[:, 3] == [0, 0, 0, 1]).all()
    looking = -rotation[:, :, 2]
    assert np.allclose(looking, -eye / np.linalg.norm(eye, axis=1, keepdims=True), atol=1e-6)
    assert np.allclose(rotation[:, 1, 0], 0, atol=1e-6)  # the horizon is level
    assert (rotation[:, 1, 1] > 0).all()  # up is up


def test_from_the_front_plus_x_is_right_and_plus_y_is_up_in_the_image():
    front, size = orbit(0.0, 0.0, 1.5)[0], 65
    centre, right, up = to_pixels(np.array([[0, 0, 0], [0.2, 0, 0], [0, 0.2, 0]]), front, size)
    assert np.allclose(centre, [32, 32], atol=1e-4)
    shift = 0.2 / 1.5 / np.tan(FOV / 2) * size / 2  # similar triangles
    assert np.allclose(right, [32, 32 + shift], atol=1e-4)
    assert np.allclose(up, [32 - shift, 32], atol=1e-4)  # row 0 is the top


@pytest.mark.parametrize("size", [1, 7, 32])
def test_a_point_on_the_ray_of_a_pixel_projects_back_to_it(size):
    rng = np.random.default_rng(2)
    c2w = random_views(rng, 5, ViewRange())
    origins, directions = pixel_rays(c2w, FOV, size)
    assert origins.shape == (5, 3) and directions.shape == (5, size, size, 3)
    assert np.allclose(np.linalg.norm(directions, axis=-1), 1, atol=1e-6)
    rows, columns = np.mgrid[0:size, 0:size]
    pixels = np.stack([rows, columns], axis=-1).reshape(-1, 2)
    for n in range(5):
        distance = rng.uniform(0.5, 5, (size * size, 1))
        points = origins[n] + distance * directions[n].reshape(-1, 3)
        assert np.allclose(to_pixels(points, c2w[n], size), pixels, atol=1e-4)


def test_rays_in_torch_are_the_same_and_may_have_a_field_of_view_each():
    c2w = random_views(np.random.default_rng(0), 3, ViewRange())
    for ours, theirs in zip(rays_on("cpu", c2w, FOV, 33), pixel_rays(c2w, FOV, 33), strict=True):
        assert ours.dtype == torch.float32 and np.array_equal(ours.numpy(), theirs)
    fov = np.radians([20.0, 45.0, 60.0])
    origins, directions = rays_on("cpu", c2w, fov, 8)
    clip = world_to_clip(c2w, fov)
    for n in range(3):
        alone = slice(n, n + 1)
        assert np.array_equal(directions[n], pixel_rays(c2w[alone], fov[n], 8)[1][0])
        assert np.array_equal(clip[n], world_to_clip(c2w[alone], fov[n])[0])


def test_rays_do_not_share_memory_with_the_cameras():
    c2w = orbit(0.3, 0.2, 1.5)
    origins, _ = pixel_rays(c2w, FOV, 4)
    origins += 1
    assert np.array_equal(c2w, orbit(0.3, 0.2, 1.5))


def test_depth_runs_from_minus_one_at_near_to_one_at_far():
    matrix = projection(FOV, near=0.5, far=20.0).astype(np.float64)
    for z, expected in ((-0.5, -1), (-20.0, 1)):  # the camera looks down −z
        clip = matrix @ [0, 0, z, 1]
        assert clip[3] == -z and np.isclose(clip[2] / clip[3], expected, atol=1e-5)


def test_a_unit_sphere_is_framed_from_every_training_distance():
    """It spans asin(½ / d) on either side of the axis: 21.7° at the nearest, less than half of 45°."""
    views = ViewRange()
    nearest = views.distance * views.factor[0]
    assert views.distance == REFERENCE_DISTANCE and nearest == 1.5 * 0.9
    half_angle = np.arcsin(0.5 / nearest)
    assert np.radians(21) < half_angle < FOV / 2
    rng = np.random.default_rng(3)
    points = rng.normal(size=(2000, 3))
    points *= 0.5 / np.linalg.norm(points, axis=1, keepdims=True)
    for c2w in random_views(rng, 20, views):
        pixels = to_pixels(points, c2w, 64)
        assert pixels.min() > -0.5 and pixels.max() < 63.5


def test_random_views_lie_in_their_range_and_fill_it():
    views = ViewRange(elevation=(-10, 45), factor=(0.9, 1.1), distance=2.0)
    c2w = random_views(np.random.default_rng(4), 4000, views)
    azimuth, elevation = azimuth_elevation(c2w)
    distance = np.linalg.norm(c2w[:, :3, 3], axis=1)
    counts, _ = np.histogram(azimuth, bins=8, range=(-np.pi, np.pi))
    assert counts.sum() == 4000 and (abs(counts - 500) < 5 * 500**0.5).all()  # uniform: ± 5 σ
    for values, low, high in ((np.degrees(elevation), -10, 45), (distance, 1.8, 2.2)):
        margin = 0.01 * (high - low)
        assert low - 1e-4 <= values.min() < low + margin
        assert high - margin < values.max() <= high + 1e-4
        assert abs(values.mean() - (low + high) / 2) < 5 * (high - low) / 12**0.5 / 4000**0.5


def test_random_views_follow_their_generator():
    one, two, other = (random_views(np.random.default_rng(s), 6, ViewRange()) for s in (5, 5, 6))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_a_turntable_begins_in_front_and_turns_toward_plus_x():
    c2w = turntable(8, ViewRange(distance=2.0), elevation=15.0)
    azimuth, elevation = azimuth_elevation(c2w)
    assert np.allclose(np.degrees(azimuth) % 360, np.arange(8) * 45, atol=1e-3)
    assert np.allclose(np.degrees(elevation), 15, atol=1e-3)
    assert np.allclose(np.linalg.norm(c2w[:, :3, 3], axis=1), 2, atol=1e-6)


def test_rotate_y_turns_the_front_toward_plus_x():
    points = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32)
    turned = rotate_y(points, np.radians(90))
    assert turned.dtype == np.float32
    assert np.allclose(turned, [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-6)


def test_an_object_turned_by_an_angle_looks_as_from_a_camera_moved_the_other_way():
    points = np.random.default_rng(7).uniform(-0.4, 0.4, (30, 3)).astype(np.float32)
    angle = 0.7
    turned = to_pixels(rotate_y(points, angle), orbit(0.2, 0.3, 1.5)[0], 64)
    moved = to_pixels(points, orbit(0.2 - angle, 0.3, 1.5)[0], 64)
    assert np.allclose(turned, moved, atol=1e-3)
