"""The pictures of a result: all of it is on each of them."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from shape_samples import box

from sdtool.geometry.cameras import ViewRange
from sdtool.lifting import pictures
from sdtool.lifting.pictures import contact_sheet, spin

SIZE, GAP = 64, 2


def coloured_box(low, high):
    mesh = box(low, high)
    return replace(mesh, v_color=(mesh.v_pos * 0.8 + 0.4).astype(np.float32))


def frames(path):
    with Image.open(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            yield np.asarray(image.convert("RGB")).astype(int)


def seen_at_the_edges(picture, size):
    """How many pixels of a picture's tiles, size by size, that lie at a tile's edge are not background."""
    step = size + GAP
    picture = np.pad(picture, ((0, GAP), (0, GAP), (0, 0)))
    rows, columns = picture.shape[0] // step, picture.shape[1] // step
    tiles = picture.reshape(rows, step, columns, step, 3).swapaxes(1, 2)[:, :, :size, :size]
    ground = tiles[:, :, :1, :1]
    different = (abs(tiles - ground) > 16).any(axis=-1)
    return different[:, :, [0, -1]].sum() + different[:, :, :, [0, -1]].sum()


@pytest.mark.parametrize("low", [(-0.5, -0.5, -0.5), (-0.5, -0.2, -0.5), (-0.1, -0.5, -0.1)])
def test_no_picture_cuts_a_model(tmp_path, low):
    mesh = coloured_box(np.array(low), -np.array(low))
    contact_sheet(mesh, ViewRange(), tmp_path / "views.png", "a box", SIZE)
    sheet = next(frames(tmp_path / "views.png"))
    assert sheet.shape == (3 * SIZE + 2 * GAP, 8 * SIZE + 7 * GAP, 3)
    assert seen_at_the_edges(sheet, SIZE) == 0
    spin(mesh, ViewRange(), tmp_path / "turntable.webp", 3 * SIZE)
    turning = list(frames(tmp_path / "turntable.webp"))
    assert len(turning) == pictures.FRAMES
    assert all(seen_at_the_edges(frame, 3 * SIZE) == 0 for frame in turning)


def test_what_fits_is_seen_from_the_given_distance(tmp_path):
    thin = coloured_box(np.array([-0.1, -0.5, -0.1]), np.array([0.1, 0.5, 0.1]))
    for name, distance in (("near", 1.5), ("far", 3.0)):
        contact_sheet(thin, ViewRange(distance=distance), tmp_path / f"{name}.png", "", SIZE)
    near, far = (next(frames(tmp_path / f"{name}.png")) for name in ("near", "far"))
    seen = [(abs(sheet - sheet[0, 0]) > 16).any(axis=-1).sum() for sheet in (near, far)]
    assert 3 < seen[0] / seen[1] < 6
