"""Normal maps: which way a file's triangles turn and its normals point changes nothing of what is seen."""

from dataclasses import replace

import numpy as np
import pytest
from shape_samples import box, icosphere

from sdtool.geometry.cameras import orbit, orthographic_to_clip, world_to_clip
from sdtool.geometry.meshes import merge, vertex_normals
from sdtool.rendering.maps import render_through

C2W = orbit(np.arange(5) * 2 * np.pi / 5, np.asarray(0.4), np.asarray(1.8))
LENSES = {
    "perspective": world_to_clip(C2W, np.radians(40)),
    "parallel": orthographic_to_clip(C2W, 1.3),
}
SHAPES = {
    "sphere": icosphere(2, 0.4),
    "boxes": merge(
        [box((-0.4, -0.1, -0.3), (0.1, 0.1, 0.3)), box((0, -0.4, -0.05), (0.2, 0.4, 0.2))]
    ),
}


def seen(mesh, lens):
    """(N, S, S, 4) of normals in [−1, 1] and coverage."""
    found = render_through(mesh, C2W, LENSES[lens], 48, ("normal",), 2)["normal"]
    assert (found[..., 3] > 0).any()
    return found


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_turned_triangles_and_inward_normals_look_the_same(shape, lens):
    mesh = SHAPES[shape]
    turned = replace(mesh, t_pos_idx=mesh.t_pos_idx[:, ::-1].copy())
    assert seen(turned, lens) == pytest.approx(seen(mesh, lens), abs=1e-5)
    own = replace(mesh, v_normal=vertex_normals(mesh))
    inward = replace(mesh, v_normal=-vertex_normals(mesh))
    both = replace(turned, v_normal=vertex_normals(mesh))
    for other in (inward, both):
        assert seen(other, lens) == pytest.approx(seen(own, lens), abs=1e-5)


@pytest.mark.parametrize("lens", LENSES)
def test_normals_of_a_sphere_point_from_its_middle_to_the_eye(lens):
    mesh = icosphere(3, 0.4)
    found = seen(replace(mesh, t_pos_idx=mesh.t_pos_idx[:, ::-1].copy()), lens)
    whole = found[..., 3] > 0.99
    axis = np.broadcast_to(C2W[:, None, None, :3, 2], found[..., :3].shape)
    toward = np.einsum("pc,pc->p", found[..., :3][whole], axis[whole])
    assert toward.min() > -0.25  # at the rim, through a lens, a normal leans from the axis
    assert np.linalg.norm(found[..., :3][whole], axis=1).min() > 0.9
