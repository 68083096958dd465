"""Views that the judge learns from, in other proportions and off the middle: `proportions`."""

import numpy as np
import pytest
import torch
from shape_samples import box, icosphere

from sdtool.evaluating.proportions import off_middle, proportions, reshaped
from sdtool.evaluating.views import DISTANCE, FOV, normal_views
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import merge


def nosed():
    return to_canonical(merge([icosphere(3), box([-0.15, -0.1, 0.3], [0.15, 0.1, 0.9])]))


@pytest.mark.parametrize("waist", [False, True])
def test_reshaped_views_are_those_of_the_reshaped_model(waist):
    mesh, size = nosed(), 64
    rows = np.arange(size)
    factors = np.array([0.8, 1.1])[:, None] * np.ones((2, size))
    elevation = 0.2
    if waist:  # wide above, narrow below, the upper half taller: exact for a level camera
        factors = np.stack([np.linspace(1.1, 0.6, size), np.where(rows < size // 2, 1.15, 0.75)])
        elevation = 0.0
    place = mesh.v_pos.copy()
    here = normal_views(mesh, np.arange(12) * np.pi / 6, elevation)
    found = reshaped(torch.from_numpy(here)[None], factors[None])[0].numpy()
    # where each height of the model comes to lie, and how wide it is there
    y = 1 - (rows + 0.5) / size * 2
    before = size / 2 - (1 / factors[1]).cumsum() + 0.5 / factors[1]
    before = (before - (size / 2 - (1 / factors[1]).sum() / 2)) * 2 / size
    unit = DISTANCE * np.tan(np.radians(FOV / 2))
    height = np.interp(place[:, 1] / unit, before[::-1], y[::-1])
    wider = np.interp(-height, -y, factors[0])
    place = np.stack([place[:, 0] * wider, height * unit, place[:, 2] * wider], axis=1)
    there = normal_views(mesh.with_positions(place, None), np.arange(12) * np.pi / 6, elevation)

    def covered(views):
        both = np.minimum(views[..., 3], there[..., 3]).sum()
        return both / np.maximum(views[..., 3], there[..., 3]).sum()

    assert covered(found) > 0.9 > covered(here)
    seen = (found[..., 3] > 0.9) & (there[..., 3] > 0.9)
    cosines = (found[..., :3] * there[..., :3]).sum(-1)[seen]
    assert np.median(cosines) > 0.97
    assert np.median(cosines) > np.median((here[..., :3] * there[..., :3]).sum(-1)[seen])


def test_proportions_keep_a_model_in_its_picture():
    rng = np.random.default_rng(0)
    views = torch.from_numpy(normal_views(nosed(), np.arange(12) * np.pi / 6, 0.2))
    there = (views[..., 3] > 0.5).any(0)
    ends = torch.zeros(64, 64)  # marks where the model ends on each side
    for side, other in ((0, 1), (1, 0)):
        inside = there.any(other).nonzero()[[0, -1], 0]
        ends.transpose(0, side)[inside] = 1
    views = torch.cat([views, ends.expand(12, 64, 64)[..., None]], dim=-1).expand(
        40, -1, -1, -1, -1
    )
    factors = proportions(rng, 40, 64)
    assert factors.shape == (40, 2, 64) and 0.3 < factors.min() < 0.7 and 1.3 < factors.max() < 3
    found = reshaped(views, factors)
    assert found.shape == views.shape and reshaped(views[:0], factors[:0]).shape[0] == 0
    seen = found[:, 0, :, :, 4] > 0.3
    assert (seen.sum(2) > 32).sum(1).min() >= 2  # top and bottom are still there
    tall = (found[..., 3].amax(1) > 0.5).any(2).sum(1)
    assert tall.min() > 20 and tall.float().std() > 2


def test_reshaped_views_leave_the_room_that_is_asked_for():
    rng = np.random.default_rng(1)
    views = torch.from_numpy(normal_views(nosed(), np.arange(12) * np.pi / 6, 0.2))
    views = views.expand(20, -1, -1, -1, -1)
    room = rng.uniform(0.5, 1, 20)
    found = reshaped(views, proportions(rng, 20, 64), room)[..., 3] > 0.5
    middle = (torch.arange(64) - 31.5).abs()
    for across in (1, 2):  # (B, H, W): heights, widths
        reach = (found.any(1).any(across) * middle).amax(-1)
        assert (reach <= 32 * torch.from_numpy(room) + 2).all()


def test_views_off_the_middle_are_those_of_a_model_that_stands_there():
    azimuths = np.arange(12) * np.pi / 6 + 0.3
    small = nosed().with_positions(nosed().v_pos * np.float32(0.5))
    here = torch.from_numpy(normal_views(small, azimuths, 0.0))
    rng, pixels = np.random.default_rng(2), 9.0
    found = off_middle(rng, here, torch.from_numpy(azimuths), pixels).numpy()
    rng = np.random.default_rng(2)
    phase, up = rng.uniform(0, 2 * np.pi), round(rng.uniform(-0.5, 0.5) * pixels)
    unit = DISTANCE * np.tan(np.radians(FOV / 2)) / 32  # of a pixel, where the axis is
    # a camera at azimuth a sees +X to the right by cos a, and +Z by −sin a
    there = np.float32([np.cos(phase), 0, np.sin(phase)]) * pixels * unit
    there[1] = -up * unit
    truth = normal_views(small.with_positions(small.v_pos + there), azimuths, 0.0)
    both = np.minimum(found[..., 3], truth[..., 3]).sum((1, 2))
    alike = both / np.maximum(found[..., 3], truth[..., 3]).sum((1, 2))
    plain = np.minimum(here.numpy()[..., 3], truth[..., 3]).sum((1, 2))
    assert np.median(alike) > 0.75  # a lens shows what is nearer larger
    assert np.median(alike) > 1.2 * np.median(plain / here.numpy()[..., 3].sum((1, 2)))
