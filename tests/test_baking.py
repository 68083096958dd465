"""Baking: closest points, charts, tangents, texels, and what the textures say of the surface."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from shape_samples import box, icosphere, quad

from sdtool.exporting.baking import bake, color_vertices
from sdtool.exporting.decimation import decimate
from sdtool.exporting.tangents import bitangents, tangents
from sdtool.exporting.texels import Texels
from sdtool.exporting.unwrapping import unwrap
from sdtool.geometry.closest import ClosestPoint
from sdtool.geometry.meshes import Mesh, Texture, srgb_to_linear, vertex_normals
from sdtool.geometry.surfaces import Surface, plain_surface
from sdtool.rendering.texturing import sample


def lumpy(divisions=5):
    """A sphere of radius about 1 with waves."""
    ball = icosphere(divisions, 1.0)
    waves = 1 + 0.1 * np.sin(9 * ball.v_pos).prod(axis=1, keepdims=True)
    return ball.with_positions(ball.v_pos * waves)


def grey(points):
    return plain_surface(np.full((len(points), 3), 0.5))


# Closest points


def brute_force(mesh, points):
    """Distances (P,) by trying every triangle."""
    corner = mesh.v_pos[mesh.t_pos_idx].astype(np.float64)
    return np.array(
        [
            np.linalg.norm(
                trimesh.triangles.closest_point(corner, np.tile(p, (len(corner), 1))) - p, axis=1
            ).min()
            for p in points.astype(np.float64)
        ]
    )


def soup():
    rng = np.random.default_rng(3)
    return Mesh(rng.random((300, 3), np.float32), rng.permutation(300).reshape(100, 3).astype("i4"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "mesh", [lumpy(2), soup(), box([0, 0, 0], [1, 0.1, 3]), quad(np.eye(4)[:, :3])]
)
def test_the_closest_point_is_what_trying_all_faces_finds(mesh):
    rng = np.random.default_rng(0)
    low, high = mesh.bounds()
    near = mesh.v_pos[rng.integers(0, len(mesh.v_pos), 60)] + rng.normal(0, 0.01, (60, 3))
    inside = rng.uniform(low, high, (60, 3))
    far = rng.uniform(low - 2, high + 2, (30, 3))
    points = np.concatenate([near, inside, far, mesh.v_pos[:9]]).astype(np.float32)
    closest = ClosestPoint(mesh)
    face, weights = closest(points)
    assert (weights >= -1e-6).all() and np.allclose(weights.sum(axis=1), 1, atol=1e-6)
    found = closest.interpolate(mesh.v_pos, face, weights)
    distance = np.linalg.norm(found - points, axis=1)
    np.testing.assert_allclose(distance, brute_force(mesh, points), atol=1e-6)


@pytest.mark.slow
def test_on_a_thin_sheet_the_side_counts():
    sheet = box([0, 0, 0], [1, 0.02, 1])
    rng = np.random.default_rng(0)
    points = rng.uniform([0.1, 0.004, 0.1], [0.9, 0.006, 0.9], (50, 3))  # nearer to the bottom
    closest = ClosestPoint(sheet)
    for side, height in ((1, 0.02), (-1, 0)):
        found = closest(points, np.tile([0.0, side, 0.0], (50, 1)))
        np.testing.assert_allclose(
            closest.interpolate(sheet.v_pos, *found)[:, 1], height, atol=1e-6
        )


def test_faces_without_area_are_passed_over():
    mesh = Mesh(
        np.eye(4)[:, :3].astype(np.float32), np.array([[0, 0, 0], [1, 2, 1], [0, 1, 2]], "i4")
    )
    closest, points = ClosestPoint(mesh), np.array([[1.0, 1.0, 1.0], [1.0, 0.1, 0.0]])
    found = closest.interpolate(mesh.v_pos, *closest(points))
    np.testing.assert_allclose(found, [[1 / 3] * 3, [0.95, 0.05, 0.0]], atol=1e-6)


# Fewer faces


def test_decimation_keeps_the_shape():
    mesh = lumpy()
    few = decimate(mesh, 3000)
    assert 2900 <= len(few.t_pos_idx) <= 3000
    before, after = (trimesh.Trimesh(m.v_pos, m.t_pos_idx, process=False) for m in (mesh, few))
    assert after.is_watertight and after.is_winding_consistent
    assert after.volume == pytest.approx(before.volume, rel=0.005)
    assert brute_force(mesh, few.v_pos[::40]).max() < 0.01
    assert decimate(mesh, len(mesh.t_pos_idx)) is mesh


# Charts


@pytest.mark.slow
def test_charts_lie_side_by_side_and_stay_the_same():
    mesh = decimate(lumpy(), 6000)
    origin, v_uv, faces = unwrap(mesh, 512)
    np.testing.assert_array_equal(origin[faces], mesh.t_pos_idx)
    assert v_uv.min() >= 0 and v_uv.max() <= 1
    s, t = np.moveaxis(v_uv[faces].astype(float), -1, 0)
    area = (s[:, 1] - s[:, 0]) * (t[:, 2] - t[:, 0]) - (s[:, 2] - s[:, 0]) * (t[:, 1] - t[:, 0])
    # A chart is mirrored as a whole: no vertex has faces of both kinds.
    kinds = np.zeros((2, len(origin)), bool)
    for kind in (0, 1):
        kinds[kind, faces[(area > 0) == kind]] = True
    assert kinds.all(axis=0).mean() < 0.001
    area = np.abs(area)
    # Texel centres that faces cover once and together: as many as their areas sum up to.
    covered = len(Texels(v_uv, faces, 2048).face) / 2048**2
    assert covered == pytest.approx(area.sum() / 2, rel=0.01) and covered > 0.4
    # In proportion to the surface
    a, b, c = (mesh.v_pos[mesh.t_pos_idx[:, k]].astype(float) for k in range(3))
    ratio = np.sqrt(area / np.linalg.norm(np.cross(b - a, c - a), axis=1))
    assert np.quantile(ratio, 0.98) < 1.6 * np.quantile(ratio, 0.02)
    for one, two in zip((origin, v_uv, faces), unwrap(mesh, 512), strict=True):
        np.testing.assert_array_equal(one, two)


def test_tiny_faces_get_their_place_too():
    small = lumpy(4).with_positions(lumpy(4).v_pos * 1e-3)  # areas of 1e-9
    _, v_uv, faces = unwrap(small, 256)
    a, b, c = (v_uv[faces[:, k]].astype(float) for k in range(3))
    assert (np.abs(np.linalg.det(np.stack([b - a, c - a], axis=1))) > 1e-7).all()


# Tangents


@pytest.mark.parametrize(
    "v_uv, xyz, w",
    [
        ([[0, 1], [1, 1], [1, 0], [0, 0]], (1, 0, 0), 1),  # upright: s right, t down
        ([[1, 1], [0, 1], [0, 0], [1, 0]], (-1, 0, 0), -1),  # mirrored
        ([[1, 1], [1, 0], [0, 0], [0, 1]], (0, -1, 0), 1),  # a quarter turn
        ([[0.2, 0.3], [0.3, 0.3], [0.3, 0.1], [0.2, 0.1]], (1, 0, 0), 1),  # scaled and moved
    ],
)
def test_tangents_of_a_quad(v_uv, xyz, w):
    mesh = quad([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])  # seen from +Z, x right, y up
    normal = np.tile(np.float32([0, 0, 1]), (4, 1))
    v_uv = np.array(v_uv, np.float32)
    v_tangent = tangents(mesh.v_pos, normal, v_uv, mesh.t_pos_idx)
    np.testing.assert_allclose(v_tangent, np.tile([*xyz, w], (4, 1)), atol=1e-6)
    # the bitangent is the direction in which t falls
    side = bitangents(normal, v_tangent)[0]
    slope = np.linalg.lstsq(mesh.v_pos[:, :2] - mesh.v_pos[0, :2], v_uv[:, 1] - v_uv[0, 1])[0]
    np.testing.assert_allclose(side[:2], -slope / np.linalg.norm(slope), atol=1e-6)


def test_tangents_are_unit_and_lie_in_the_surface():
    mesh = decimate(lumpy(), 2000)
    origin, v_uv, faces = unwrap(mesh, 256)
    normal = vertex_normals(mesh)[origin]
    v_tangent = tangents(mesh.v_pos[origin], normal, v_uv, faces)
    np.testing.assert_allclose(np.linalg.norm(v_tangent[:, :3], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((v_tangent[:, :3] * normal).sum(axis=1), 0, atol=1e-6)
    assert set(v_tangent[:, 3]) == {-1, 1}
    flat = tangents(
        mesh.v_pos, vertex_normals(mesh), np.zeros((len(mesh.v_pos), 2)), mesh.t_pos_idx
    )
    np.testing.assert_allclose(np.linalg.norm(flat[:, :3], axis=1), 1, atol=1e-6)


# Texels


def test_texels_beside_the_surface_take_the_nearest_value():
    v_uv = np.float32([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
    texels = Texels(v_uv, np.array([[0, 1, 2], [0, 2, 3]], np.int32), 8)
    assert set(zip(texels.row.tolist(), texels.column.tolist(), strict=True)) == {
        (r, c) for r in range(2, 6) for c in range(2, 6)
    }
    at = texels.interpolate(np.concatenate([v_uv, v_uv[:, :1]], axis=1))
    np.testing.assert_allclose(at[:, 0], (texels.column + 0.5) / 8, atol=1e-6)
    np.testing.assert_allclose(at[:, 1], (texels.row + 0.5) / 8, atol=1e-6)
    (image,) = texels.images([at])
    inside = np.clip(np.arange(8), 2, 5)
    centre = np.floor((inside + 0.5) / 8 * 255 + 0.501)
    np.testing.assert_array_equal(image[..., 0], np.tile(centre, (8, 1)))
    np.testing.assert_array_equal(image[..., 1], np.tile(centre[:, None], (1, 8)))


# What the textures say


def as_seen(baked, count=4000):
    """Random points on a baked mesh as a viewer has them: position, normal, and the three texels."""
    rng = np.random.default_rng(1)
    face = rng.integers(0, len(baked.t_pos_idx), count)
    weights = rng.dirichlet([1, 1, 1], count)
    at = lambda array: np.einsum("pk,pkc->pc", weights, array[baked.t_pos_idx[face]])  # noqa: E731
    unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)  # noqa: E731
    texels = [bilinear(image, at(baked.v_uv)) for image in vars(baked.textures).values()]
    t, n = unit(at(baked.v_tangent[:, :3])), unit(at(baked.v_normal))
    b = unit(at(np.cross(baked.v_normal, baked.v_tangent[:, :3]) * baked.v_tangent[:, 3:]))
    x, y, z = (texels[2] * 2 - 1).T[:, :, None]
    return at(baked.v_pos), n, unit(x * t + y * b + z * n), texels


def bilinear(image, uv):
    """(P, 3) of an image (S, S, 3) uint8, not linearised; the right result for inner points."""
    size = len(image)
    x, y = uv[:, 0] * size - 0.5, uv[:, 1] * size - 0.5
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    total = 0
    for i in (0, 1):
        for j in (0, 1):
            weight = np.abs(1 - i - (y - row)) * np.abs(1 - j - (x - column))
            texel = image[np.clip(row + i, 0, size - 1), np.clip(column + j, 0, size - 1)]
            total = total + weight[:, None] * texel
    return total / 255


def degrees(one, two):
    return np.degrees(np.arccos(np.clip((one * two).sum(axis=1), -1, 1)))


def test_the_normal_map_gives_back_the_fine_surface():
    fine = lumpy()
    baked = bake(fine, decimate(fine, 400), grey, 512)
    points, plain, mapped, _ = as_seen(baked)
    _, nearest = cKDTree(fine.v_pos).query(points)  # vertices lie 0.03 apart
    true = vertex_normals(fine)[nearest]
    without, with_map = degrees(plain, true).mean(), degrees(mapped, true).mean()
    assert without > 6 and with_map < 3.5, (without, with_map)


def test_without_decimation_the_normal_map_is_flat():
    fine = decimate(lumpy(), 1500)
    image = bake(fine, fine, grey, 128).textures.normal
    assert (image == (128, 128, 255)).all()


def test_relief_of_the_material_tilts_the_normal():
    ball = icosphere(4, 1.0)

    def grooved(points):
        relief = np.zeros_like(points)
        relief[:, 1] = 0.5  # upward: vanishes at the poles
        return Surface(*list(vars(grey(points)).values())[:3], relief)

    points, _, mapped, _ = as_seen(bake(ball, ball, grooved, 512))
    outward = points / np.linalg.norm(points, axis=1, keepdims=True)
    tilted = outward + 0.5 * (np.float64([0, 1, 0]) - outward[:, 1:2] * outward)
    tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
    assert degrees(mapped, tilted).mean() < 1 and degrees(outward, tilted).mean() > 15


def test_every_image_holds_the_material_in_its_channels():
    ball = icosphere(4, 1.0)

    def material(points):
        x, y, z = (points.T + 1) / 2
        return Surface(np.stack([x, y, z], axis=1), z, x)

    baked = bake(ball, decimate(ball, 1000), material, 512)
    points, _, _, (color, channels, _) = as_seen(baked)
    x, y, z = (points.T + 1) / 2
    error = np.abs(color - np.stack([x, y, z], axis=1))
    assert error.mean() < 0.004 and np.quantile(error, 0.999) < 0.02
    error = np.abs(channels - np.stack([np.ones_like(x), z, x], axis=1))
    assert error.mean() < 0.004 and channels[:, 0].min() > 0.999
    # and the renderer samples it so
    texture = Texture(np.dstack([baked.textures.base_color, np.full((512, 512), 255, np.uint8)]))
    linear = sample(texture, baked.v_uv)
    expected = srgb_to_linear((baked.v_pos + 1) / 2)
    assert np.abs(linear - expected).mean() < 0.01


def test_vertex_colours_of_fewer_vertices_are_the_material_there():
    ball = icosphere(4, 1.0)
    few = color_vertices(ball, decimate(ball, 500), lambda p: plain_surface((p + 1) / 2))
    assert len(few.v_pos) < 300
    outward = few.v_pos / np.linalg.norm(few.v_pos, axis=1, keepdims=True)
    np.testing.assert_allclose(few.v_color, (outward + 1) / 2, atol=0.01)
    assert color_vertices(ball, ball, grey) is ball
