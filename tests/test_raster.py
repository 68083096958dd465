"""The CPU rasteriser: against the plain reference, against ray tracing's idea of coverage, and its
gradients against finite differences."""

import numpy as np
import pytest
import torch
from raster_samples import FOV, FRONT, clip_of, outlines, soup, tensors
from shape_samples import QUAD_FACES, box, icosphere

from sdtool.geometry.cameras import orbit, world_to_clip
from sdtool.geometry.meshes import Mesh
from sdtool.rendering import kernels, raster, reference, silhouettes


def assert_same(pos, faces, size):
    """Reference and kernel agree in every pixel; returns the kernel's image."""
    expected = reference.rasterize(pos, faces, size)
    got = raster.rasterize(pos, faces, size)
    assert got.shape == (len(pos), *size, 4) and got.dtype == torch.float32
    assert torch.equal(got[..., 3], expected[..., 3].float())
    assert (got - expected).abs().max() < 1e-5
    return got


# Visibility


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(24, 24), (17, 32)])
def test_triangle_soups_match_the_reference(seed, size):
    rast = assert_same(*soup(seed, 25), size)
    assert len(rast[..., 3].unique()) > 8 and 0.2 < (rast[..., 3] > 0).float().mean() < 1


@pytest.mark.parametrize("seed", range(4))
def test_triangles_across_the_plane_of_the_eye_match_the_reference(seed):
    """Vertices behind the camera (w < 0): the projected box is unbounded, no clipping is done."""
    pos, faces = soup(seed, 12, near=-2.0)
    assert (pos[..., 3] < 0).any()
    rast = assert_same(pos, faces, (24, 24))
    crossing = (pos[0, :, 3].reshape(-1, 3) < 0).any(-1).nonzero()[:, 0] + 1
    assert torch.isin(rast[..., 3], crossing.float()).any()


def test_a_floor_that_runs_below_the_camera_is_seen_up_to_the_horizon():
    """y = −0.5, camera level at the origin: rows below the middle see it, beyond near and far."""
    corners = torch.tensor([[-50, -0.5, 50], [50, -0.5, 50], [50, -0.5, -90], [-50, -0.5, -90.0]])
    level = orbit(0.0, 0.0, 1.0) * np.array([1, 1, 1, 0], np.float32) + np.eye(4) * [0, 0, 0, 1]
    matrix = torch.from_numpy(world_to_clip(level.astype(np.float32), FOV))[0]
    size = 64
    rast = raster.rasterize(clip_of(corners, matrix), torch.from_numpy(QUAD_FACES), (size, size))
    seen = rast[0, :, size // 2, 3] > 0
    down = np.tan(FOV / 2) * ((np.arange(size) + 0.5) / size * 2 - 1)  # slope of each row's rays
    with np.errstate(divide="ignore"):
        z = 0.5 / down  # where the ray meets the floor
    assert np.array_equal(seen.numpy(), (down > 0) & (z < 90))


def test_a_vertex_almost_in_the_plane_of_the_eye_loses_no_triangle():
    """w = 1e-30: its screen coordinate overflows any integer, yet the left half is covered."""
    pos = torch.tensor([[[0, -9, 0, 1], [0, 9, 0, 1], [-1, 0, 0, 1e-30]]], dtype=torch.float64)
    for mirrored in (1, -1):
        turned = pos * torch.tensor([mirrored, 1, 1, 1])
        rast = assert_same(turned, torch.tensor([[0, 1, 2]], dtype=torch.int32), (8, 8))
        expected = torch.zeros(8, 8)
        expected[:, :4] = 1
        assert torch.equal(rast[0, ..., 3], expected if mirrored > 0 else expected.flip(1))


def test_what_is_off_the_screen_behind_or_degenerate_leaves_no_trace():
    faces = torch.arange(3, dtype=torch.int32)[None]
    nothing = {
        "left": [[-3, 0, 0, 1], [-2, 1, 0, 1], [-2, -1, 0, 1]],
        "behind": [[0, -1, 0, -1], [1, 1, 0, -1], [-1, 1, 0, -2]],
        "too near": [[0, -1, -1.1, 1], [1, 1, -1.1, 1], [-1, 1, -1.1, 1]],
        "too far": [[0, -1, 1.1, 1], [1, 1, 1.1, 1], [-1, 1, 1.1, 1]],
        "a point": [[0.1, 0.1, 0, 1]] * 3,
        "a line": [[-0.9, -0.5, 0, 1], [0, 0, 0, 1], [0.9, 0.5, 0, 1]],
        "a pixel's gap": [[0.01, 0.01, 0, 1], [0.02, 0.01, 0, 1], [0.01, 0.02, 0, 1]],
    }
    for name, corners in nothing.items():
        pos = torch.tensor([corners], dtype=torch.float64)
        assert not assert_same(pos, faces, (16, 16)).any(), name
    everything = torch.cat([torch.tensor([c], dtype=torch.float64) for c in nothing.values()], 1)
    many = torch.arange(3 * len(nothing), dtype=torch.int32).reshape(-1, 3)
    assert not raster.rasterize(everything, many, (16, 16)).any()
    assert not raster.rasterize(everything, many[:0], (16, 16)).any()


def test_float32_positions_lose_nothing_on_small_faces():
    """5,120 faces of half a pixel: edge functions in float32 would put depths off by 1e-4 and more."""
    v_pos, faces = tensors(icosphere(4, radius=0.45))
    pos = clip_of(v_pos, FRONT.float())
    expected = reference.rasterize(pos.double(), faces, (32, 32))[0]
    found = torch.from_numpy(kernels.rasterize(pos[0].numpy(), faces.numpy(), 32, 32))
    assert torch.equal(found[..., 3].double(), expected[..., 3])
    assert (found - expected).abs().max() < 1e-7


def test_both_sides_of_a_triangle_are_seen():
    pos, faces = soup(9, 10)
    one, other = (raster.rasterize(pos, f, (24, 24)) for f in (faces, faces[:, [0, 2, 1]]))
    assert torch.equal(one[..., 2:], other[..., 2:]) and one[..., 3].any()


def test_a_known_triangle_has_its_visible_arithmetic():
    """Pixel centres of 4×4 lie at ±¼ and ±¾. At (−¼, −¼) of this triangle u = ¼, v = ⅜."""
    corners = [[-1, -1, 0.0, 1], [1, -1, 0.5, 1], [-1, 1, 0.25, 1]]
    faces = torch.tensor([[1, 2, 0]], dtype=torch.int32)
    pos = torch.tensor([corners], dtype=torch.float64)
    rast = assert_same(pos, faces, (4, 4))[0]
    below_diagonal = torch.tensor([[c + r <= 3 for c in range(4)] for r in range(4)])
    assert torch.equal(
        rast[..., 3] > 0, below_diagonal
    )  # an edge through a centre counts as inside
    u, v = (0.75 - 0) / 2, (0.75 - 0) / 2  # x = −1 + 2u, y = −1 + 2v
    assert torch.allclose(rast[1, 1], torch.tensor([u, v, 0.5 * u + 0.25 * v, 1.0]))


def test_weights_are_perspective_correct():
    """An edge from w = 1 at x = −1 to w = 3 at x = 1: the screen's middle is ¾ near, ¼ far."""
    pos = torch.tensor(
        [[[-1, -1, 0, 1], [3, -3, 0, 3], [3, 3, 0, 3], [-1, 1, 0, 1]]], dtype=torch.float64
    )
    faces = torch.from_numpy(QUAD_FACES)
    rast = assert_same(pos, faces, (1, 1))
    attribute = torch.tensor([[0.0], [1], [1], [0]])
    assert torch.allclose(raster.interpolate(attribute, rast, faces), torch.tensor(0.25))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_shared_edges_have_no_holes_and_no_doubles(seed):
    """A jittered grid of triangles over the screen: each pixel belongs to exactly one of them."""
    rng = np.random.default_rng(seed)
    n = 9
    y, x = np.mgrid[0:n, 0:n] / (n - 1) * 2.6 - 1.3
    w = rng.uniform(0.5, 2, (n, n))
    jitter = rng.uniform(-0.06, 0.06, (2, n, n))
    pos = np.stack([(x + jitter[0]) * w, (y + jitter[1]) * w, 0 * w, w], axis=-1).reshape(-1, 4)
    a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).reshape(-1)
    cells = np.stack([a, a + 1, a + n + 1, a + n], axis=-1)
    faces = np.concatenate([cells[:, t] for t in QUAD_FACES]).astype(np.int32)
    pos32 = pos.astype(np.float32)
    assert (kernels.rasterize(pos32, faces, 64, 64)[..., 3] > 0).all()
    alone = [kernels.rasterize(pos32, faces[f : f + 1], 64, 64)[..., 3] for f in range(len(faces))]
    assert (np.sum(alone, axis=0) == 1).all()


def test_the_nearer_surface_wins_whatever_the_order():
    mesh = Mesh(
        np.concatenate([icosphere(1).v_pos, box([-0.4] * 3, [0.4] * 3).v_pos]),
        np.concatenate([icosphere(1).t_pos_idx, box([-0.4] * 3, [0.4] * 3).t_pos_idx + 42]),
    )
    pos, faces = clip_of(torch.from_numpy(mesh.v_pos).double()), torch.from_numpy(mesh.t_pos_idx)
    one = assert_same(pos, faces, (32, 32))
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(faces)))
    other = raster.rasterize(pos, faces[order], (32, 32))
    ids = torch.where(other[..., 3] > 0, order[other[..., 3].long() - 1] + 1, 0)
    assert torch.equal(ids, one[..., 3].long())
    assert (ids > len(icosphere(1).t_pos_idx)).any() and (ids == 0).any()


def test_rasterize_views_is_rasterize_of_each_view():
    mesh = icosphere(1)
    matrices = world_to_clip(orbit([0, 1, 2], [0.1, 0.2, 0.3], 1.5), FOV)
    views = kernels.rasterize_views(mesh.v_pos, mesh.t_pos_idx, matrices, 24, 16)
    assert views.shape == (3, 24, 16, 4)
    for view, matrix in zip(views, matrices, strict=True):
        clip = clip_of(torch.from_numpy(mesh.v_pos).double(), torch.from_numpy(matrix).double())
        alone = raster.rasterize(clip, torch.from_numpy(mesh.t_pos_idx), (24, 16))[0].numpy()
        assert np.array_equal(view[..., 3], alone[..., 3]) and np.allclose(view, alone, atol=1e-5)


# Values and gradients in torch


@pytest.mark.parametrize("seed", range(3))
def test_values_do_not_depend_on_whether_a_gradient_is_wanted(seed):
    pos, faces = soup(seed, 20)
    pos = torch.cat([pos, pos.flip(1)]).float()  # two views
    plain = raster.rasterize(pos, faces, (24, 24))
    with_gradient = raster.rasterize(pos.requires_grad_(), faces, (24, 24))
    assert with_gradient.requires_grad and not plain.requires_grad
    assert torch.equal(plain[..., 3], with_gradient[..., 3])
    assert torch.allclose(plain, with_gradient, atol=2e-4)  # float32 edge functions of slivers
    assert (plain - with_gradient).abs().median() < 1e-6


@pytest.mark.parametrize("module", [raster, reference])
def test_gradients_of_weights_and_attributes(module):
    """float64 gradcheck of rasterize → interpolate in two views whose visibility stays."""
    screen = [[-0.9, -0.8, 0.1], [0.8, -0.7, 0.3], [-0.1, 0.9, 0.2]]  # x, y and depth
    screen += [[-0.3, 0.1, -0.2], [0.9, -0.3, 0.6], [0.7, 0.9, -0.5]]  # cuts through the first
    w = torch.tensor([[1.0], [1.4], [0.6], [2.0], [1.1], [0.8]], dtype=torch.float64)
    pos = torch.cat([torch.tensor(screen, dtype=torch.float64), torch.ones_like(w)], dim=1) * w
    pos = torch.stack([pos, pos * torch.tensor([0.9, 1.07, 1, 1])]).requires_grad_()
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=torch.int32)
    attributes = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 2))).requires_grad_()
    size = (5, 6)
    weights = torch.from_numpy(np.random.default_rng(2).normal(size=(2, *size, 5)))

    def total(pos, attributes):
        rast = module.rasterize(pos, faces, size)
        image = raster.interpolate(attributes, rast, faces)
        return (torch.cat([rast[..., :3], image], dim=-1) * weights).sum()

    seen = module.rasterize(pos, faces, size)[..., 3]
    assert ((seen == 1).sum(dim=(1, 2)) > 4).all() and ((seen == 2).sum(dim=(1, 2)) > 2).all()
    assert torch.autograd.gradcheck(total, (pos, attributes), eps=1e-7, atol=1e-5)


def test_both_paths_give_the_same_gradient():
    pos, faces = soup(6, 15)
    weights = torch.from_numpy(np.random.default_rng(2).normal(size=(1, 16, 16, 3)))
    gradients = []
    for module in (raster, reference):
        leaf = pos.clone().requires_grad_()
        (module.rasterize(leaf, faces, (16, 16))[..., :3] * weights).sum().backward()
        gradients.append(leaf.grad)
    assert gradients[0].abs().max() > 0.1
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-6, atol=1e-8)


def test_attributes_may_differ_by_view_and_empty_pixels_are_zero():
    pos, faces = soup(7, 4)
    pos = pos.repeat(2, 1, 1)
    shared = torch.ones(12, 3)
    rast = raster.rasterize(pos.float(), faces, (16, 16))
    covered = (rast[..., 3:] > 0).float()
    assert torch.allclose(raster.interpolate(shared, rast, faces), covered.expand(-1, -1, -1, 3))
    own = torch.stack([shared, 2 * shared])
    expected = covered * torch.tensor([1.0, 2.0])[:, None, None, None]
    assert torch.allclose(raster.interpolate(own, rast, faces), expected.expand(-1, -1, -1, 3))


def test_numba_and_torch_interpolate_alike():
    pos, faces = soup(8, 12)
    attributes = np.random.default_rng(3).normal(size=(36, 5)).astype(np.float32)
    rast = raster.rasterize(pos.float(), faces, (24, 24))
    fast = kernels.interpolate(attributes, faces.numpy(), rast.numpy())
    assert np.allclose(
        fast, raster.interpolate(torch.from_numpy(attributes), rast, faces), atol=1e-5
    )


# Topology


def neighbours(faces, vertices):
    return kernels.neighbours(np.array(faces, np.int32), vertices).tolist()


def test_neighbours_of_a_tetrahedron():
    """Faces abc, adb, acd, bdc: each edge is shared by two faces."""
    faces = [[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]
    assert neighbours(faces, 4) == [[1, 3, 2], [2, 3, 0], [0, 3, 1], [1, 2, 0]]


def test_an_open_quad_has_borders():
    assert neighbours(QUAD_FACES, 4) == [[-1, -1, 1], [0, -1, -1]]


def test_faces_wound_against_each_other_are_still_neighbours():
    assert neighbours([[0, 1, 2], [0, 1, 3]], 4) == [[1, -1, -1], [0, -1, -1]]


def test_of_three_faces_at_an_edge_two_are_paired():
    faces = [[0, 1, 2], [1, 0, 3], [0, 1, 4]]
    assert neighbours(faces, 5) == [[1, -1, -1], [0, -1, -1], [-1, -1, -1]]
    four = [*faces, [1, 0, 5]]
    assert neighbours(four, 6) == [[1, -1, -1], [0, -1, -1], [3, -1, -1], [2, -1, -1]]


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("bad", [[1, 1, 2], [2, 1, 1], [1, 2, 1], [0, 0, 0]])
def test_a_face_that_names_a_vertex_twice_disturbs_no_other(place, bad):
    faces = [[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]
    faces.insert(place, bad)
    alone = [[1, 3, 2], [2, 3, 0], [0, 3, 1], [1, 2, 0]]
    expected = [[f + (f >= place) for f in row] for row in alone]
    expected.insert(place, [-1, -1, -1])
    assert neighbours(faces, 4) == expected


def test_neighbours_are_mutual_on_a_closed_surface():
    faces = icosphere(2).t_pos_idx
    across = kernels.neighbours(faces, faces.max() + 1)
    assert across.min() >= 0
    for k in range(3):
        edge = np.sort(faces[:, [k, (k + 1) % 3]], axis=1)
        there = faces[across[:, k]]
        assert ((there[:, :, None] == edge[:, None]).any(1).sum(1) == 2).all()  # it has both ends
        assert (across[across[:, k]] == np.arange(len(faces))[:, None]).any(1).all()


# Silhouettes


def weight_image(size, dtype=torch.float32):
    """A smooth picture that is symmetric in nothing, so that no gradient cancels."""
    line = (torch.arange(size, dtype=dtype) + 0.5) / size * 2 - 1
    y, x = line[:, None], line[None]
    return (0.4 + 0.9 * x + 0.3 * y + 0.5 * x * y - 0.4 * x**2)[..., None]


def smooth_loss(v_pos, faces, color, size):
    """Σ weight · antialiased image: differentiable."""
    clip = clip_of(v_pos, FRONT.float())
    rast = raster.rasterize(clip, faces, (size, size))
    image = raster.interpolate(color, rast, faces)
    return (weight_image(size) * raster.antialias(image, rast, clip, faces)[0]).sum()


def exact_loss(v_pos, faces, color, size, supersample=16):
    """The same of an image that is averaged from supersample² samples a pixel."""
    fine = size * supersample
    clip = clip_of(v_pos, FRONT.float())
    rast = raster.rasterize(clip, faces, (fine, fine))
    image = kernels.interpolate(color.numpy(), faces.numpy(), rast.numpy())[0]
    image = image.reshape(size, supersample, size, supersample, -1).mean(axis=(1, 3))
    return float((weight_image(size).double() * torch.from_numpy(image)).sum())


def slopes(v_pos, faces, color, direction, size=32, step=0.01):
    """(gradient, finite difference) of the loss as v_pos moves along `direction` (V, 3)."""
    leaf = v_pos.clone().requires_grad_()
    smooth_loss(leaf, faces, color, size).backward()
    ahead = exact_loss(v_pos + step * direction, faces, color, size)
    behind = exact_loss(v_pos - step * direction, faces, color, size)
    return float((leaf.grad * direction).sum()), (ahead - behind) / (2 * step)


ALONG_X = torch.tensor([[1.0, 0.0, 0.0]])


@pytest.mark.parametrize("divisions", [1, 2, 3, 4, 5])  # 80 … 20,480 faces
@pytest.mark.parametrize("motion", ["growing", "along x"])
def test_a_silhouettes_gradient_is_the_change_of_coverage(divisions, motion):
    """Over some places: one row of pixels more or less near 45° is 2% of a circle this small."""
    ball, faces = tensors(icosphere(divisions, radius=0.35))
    direction = ball if motion == "growing" else ALONG_X.expand_as(ball)
    places = np.random.default_rng(0).uniform(-0.05, 0.05, (6, 3)).astype(np.float32)
    pairs = [
        slopes(ball + torch.from_numpy(place), faces, torch.ones(len(ball), 1), direction)
        for place in places
    ]
    gradient, change = np.array(pairs).T
    assert (abs(change) > 5).all() and (abs(gradient / change - 1) < 0.15).all()
    assert abs(gradient.sum() / change.sum() - 1) < 0.03


def test_the_edge_of_a_body_before_another_has_a_gradient():
    """A grey sphere before a bright wall that fills the view: only the occlusion edge moves."""
    ball, wall = icosphere(3, radius=0.25), np.array([[-4, -4], [4, -4], [4, 4], [-4, 4]])
    eye = orbit(0.4, 0.3, 1.5)[0]
    corners = wall @ eye[:3, :2].T - eye[:3, 2]  # one unit behind the origin, facing the camera
    v_pos = torch.from_numpy(np.concatenate([ball.v_pos, corners]).astype(np.float32))
    faces = torch.from_numpy(np.concatenate([ball.t_pos_idx, QUAD_FACES + len(ball.v_pos)]))
    color = torch.cat([torch.full((len(ball.v_pos), 1), 0.2), torch.ones(4, 1)])
    moving = (torch.arange(len(v_pos)) < len(ball.v_pos))[:, None].float()
    for direction in (ALONG_X * moving, v_pos * moving):
        gradient, change = slopes(v_pos, faces, color, direction)
        assert abs(change) > 2 and abs(gradient / change - 1) < 0.06


def test_open_borders_have_a_gradient():
    corners = [[-0.4, -0.25, 0.1], [0.35, -0.35, 0], [0.4, 0.3, -0.1], [-0.3, 0.4, 0.05]]
    v_pos, faces = torch.tensor(corners), torch.from_numpy(QUAD_FACES)
    for direction in (ALONG_X.expand_as(v_pos), v_pos, torch.eye(4)[:, :1] * ALONG_X):
        gradient, change = slopes(v_pos, faces, torch.ones(4, 1), direction)
        assert abs(change) > 0.5 and abs(gradient / change - 1) < 0.06


def test_the_walk_is_what_finds_silhouettes_of_small_faces():
    """20,480 faces on 32² pixels: one step over the surface finds next to nothing."""
    v_pos, faces = tensors(icosphere(5, radius=0.4))
    clip = clip_of(v_pos, FRONT.float())[0].numpy()
    rast = kernels.rasterize(clip, faces.numpy(), 32, 32)
    across = kernels.neighbours(faces.numpy(), len(v_pos))
    one, many = (
        len(kernels.silhouette_pairs(clip, faces.numpy(), across, rast, n)) for n in (1, 64)
    )
    border = (np.diff(rast[..., 3] > 0, axis=0).sum(), np.diff(rast[..., 3] > 0, axis=1).sum())
    assert many > 0.6 * sum(border) and one < 0.3 * many


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 64])
@pytest.mark.parametrize(("shape", "given"), list(outlines()))
def test_the_walk_in_torch_finds_the_same_silhouettes(shape, given, steps):
    """What accelerators use, against the CPU's kernel: the same pairs, edges and axes."""
    clip, faces = given
    rast = raster.rasterize(clip, faces, (40, 24))
    triangles, across = faces.numpy(), kernels.neighbours(faces.numpy(), clip.shape[1])
    assert np.array_equal(silhouettes.neighbours(faces, clip.shape[1]).numpy(), across)
    rows = torch.stack(silhouettes.silhouette_pairs(clip, faces, rast, steps), dim=1).numpy()
    expected = []
    for n in range(len(clip)):
        one, image = clip[n].numpy(), rast[n].numpy()
        pairs = kernels.silhouette_pairs(one, triangles, across, image, steps)
        expected += [(n, *pair) for pair in pairs.tolist()]
    assert steps == 1 or len(expected) > 10
    assert sorted(map(tuple, rows.tolist())) == sorted(expected)


def test_antialiased_coverage_sums_to_the_area():
    v_pos, faces = tensors(icosphere(4, radius=0.4))
    clip = clip_of(v_pos, FRONT.float())
    size = 32
    rast = raster.rasterize(clip, faces, (size, size))
    hard = (rast[..., 3:] > 0).float()
    soft = raster.antialias(hard, rast, clip, faces)
    fine = raster.rasterize(clip, faces, (16 * size, 16 * size))[..., 3] > 0
    area = float(fine.sum()) / 16**2
    assert abs(soft.sum() / area - 1) < 0.003
    assert 0 <= soft.min() and soft.max() <= 1
    assert ((soft > 0.02) & (soft < 0.98)).sum() > 0.5 * size  # there are soft edges


def test_antialias_leaves_the_interior_and_the_background_alone():
    v_pos, faces = tensors(icosphere(4, radius=0.4))
    clip = clip_of(v_pos, FRONT.float())
    rast = raster.rasterize(clip, faces, (48, 48))
    image = raster.interpolate(v_pos, rast, faces)
    changed = (raster.antialias(image, rast, clip, faces) != image).any(-1)[0].numpy()
    covered = np.pad(rast[0, ..., 3].numpy() > 0, 1)
    around = np.stack([covered[1:-1, 1:-1], covered[:-2, 1:-1], covered[2:, 1:-1],
                       covered[1:-1, :-2], covered[1:-1, 2:]])  # fmt: skip
    assert not changed[around.all(0)].any() and not changed[~around.any(0)].any()
    assert around.all(0).sum() > 200 and changed.any()


def test_antialias_of_nothing_is_nothing():
    v_pos, faces = tensors(icosphere(1))
    clip = clip_of(v_pos + 100, FRONT.float())
    rast = raster.rasterize(clip, faces, (8, 8))
    image = torch.zeros(1, 8, 8, 2)
    assert torch.equal(raster.antialias(image, rast, clip, faces), image)


def test_antialias_passes_gradients_of_the_image_through_exactly():
    """It is linear in the image: checked in float64, for the image and the positions at once."""
    mesh = icosphere(1, radius=0.4)
    v_pos = torch.from_numpy(mesh.v_pos).double().requires_grad_()
    faces = torch.from_numpy(mesh.t_pos_idx)
    rast = raster.rasterize(clip_of(v_pos.detach()), faces, (8, 8))
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 8, 8, 2))).requires_grad_()

    def blended(image, v_pos):
        return raster.antialias(image, rast, clip_of(v_pos), faces)

    assert not torch.equal(blended(image, v_pos), image)
    assert torch.autograd.gradcheck(blended, (image, v_pos), eps=1e-7, atol=1e-5)


def test_views_of_a_batch_do_not_mix():
    v_pos, faces = tensors(icosphere(2, radius=0.4))
    matrices = torch.from_numpy(world_to_clip(orbit([0, 1], [0.2, 0.5], [1.5, 1.2]), FOV))
    clip = torch.cat([clip_of(v_pos, m) for m in matrices])
    rast = raster.rasterize(clip, faces, (24, 24))
    image = raster.interpolate(v_pos, rast, faces)
    both = raster.antialias(image, rast, clip, faces)
    for n in range(2):
        one = slice(n, n + 1)
        alone = raster.antialias(image[one], rast[one], clip[one], faces)
        assert torch.equal(both[one], alone)
