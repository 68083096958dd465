"""The rasteriser and Embree, an independent ray tracer, see the same."""

import numpy as np
import pytest
import trimesh

from sdtool.bench.embree import embree_maps, embree_rast
from sdtool.geometry.cameras import ViewRange, orbit, random_views, world_to_clip
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh
from sdtool.rendering import kernels
from sdtool.rendering.maps import render_maps
from sdtool.toyverse.toys import make

pytest.importorskip("embreex", reason="embreex is not installed")
LOOK = ViewRange()
FOV, SIZE = float(np.radians(LOOK.fov)), 64


def sphere():
    made = trimesh.creation.icosphere(3)
    return Mesh(np.asarray(made.vertices, np.float32), np.asarray(made.faces, np.int32))


def box():
    made = trimesh.creation.box((1.0, 0.6, 0.3))
    return Mesh(np.asarray(made.vertices, np.float32), np.asarray(made.faces, np.int32))


def quad():
    v_pos = np.array([[-0.5, -0.3, 0], [0.5, -0.3, 0.1], [0.5, 0.3, 0.1], [-0.5, 0.3, 0]])
    return Mesh(v_pos.astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32))


def toy(category):
    return make(np.random.default_rng(3), category)[0]


SHAPES = {"sphere": sphere, "box": box, "quad": quad}
SHAPES |= {name: lambda name=name: toy(name) for name in ("corgi", "chair", "tree")}


@pytest.fixture(params=SHAPES)
def mesh(request):
    return to_canonical(SHAPES[request.param]())


@pytest.fixture
def c2w():
    return random_views(np.random.default_rng(11), 12, LOOK)


def test_masks_agree(mesh, c2w):
    ours = kernels.rasterize_views(mesh.v_pos, mesh.t_pos_idx, world_to_clip(c2w, FOV), SIZE, SIZE)
    mask = ours[..., 3] > 0
    assert 0.03 < mask.mean() < 0.9
    np.testing.assert_array_equal(mask, embree_rast(mesh, c2w, FOV, SIZE)[..., 3] > 0)


def test_coordinates_agree(mesh, c2w):
    """Both name the same point of the surface: of a unit object, within rounding."""
    ours = render_maps(mesh, c2w, FOV, SIZE, ("ccm",), supersample=1)["ccm"]
    theirs = embree_maps(mesh, c2w, FOV, SIZE)
    error = np.abs(ours - theirs).max(axis=-1)
    assert np.quantile(error, 0.9995) < 1e-4  # two coinciding surfaces may differ in a few pixels
    assert error.max() < 1e-3


def test_the_distance_is_the_depth(mesh, c2w):
    """Embree's distance along the ray, turned into z/w, is the rasteriser's depth."""
    matrix = world_to_clip(c2w, FOV)
    ours = kernels.rasterize_views(mesh.v_pos, mesh.t_pos_idx, matrix, SIZE, SIZE)
    theirs = embree_rast(mesh, c2w, FOV, SIZE)
    step = ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1) * np.tan(FOV / 2)
    slant = np.sqrt(1 + step[:, None] ** 2 + step**2)  # length of a ray that goes one unit forward
    near, far = 0.1, 100.0
    with np.errstate(divide="ignore"):
        forward = theirs[..., 2] / slant
        depth = (far + near) / (far - near) - 2 * far * near / (far - near) / forward
    both = (ours[..., 3] > 0) & (theirs[..., 3] > 0)
    np.testing.assert_allclose(ours[..., 2][both], depth[both], atol=2e-6)


def test_a_shift_would_be_seen():
    """A shift by one pixel or an image upside down is no match."""
    mesh, c2w = to_canonical(toy("corgi")), orbit(0.4, 0.3, 1.5)
    ours = kernels.rasterize_views(mesh.v_pos, mesh.t_pos_idx, world_to_clip(c2w, FOV), SIZE, SIZE)
    mask = ours[..., 3] > 0
    theirs = embree_rast(mesh, c2w, FOV, SIZE)[..., 3] > 0
    assert (mask ^ theirs).sum() == 0
    assert (mask ^ np.roll(theirs, 1, axis=2)).sum() > 20
    assert (mask ^ theirs[:, ::-1]).sum() > 20
