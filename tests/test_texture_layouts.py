"""texture: which coordinates of a surface stay, and how it is unwrapped where they do not."""

import numpy as np
import pytest
from shape_samples import box, icosphere
from texture_samples import QUAD, SIZE, SQUARE

from sdtool.texturing.layouts import lay_out, unfit
from sdtool.texturing.pieces import Piece


def piece(uv, faces=QUAD, sheet=0):
    v_pos = np.concatenate([SQUARE, np.zeros((4, 1), np.float32)], axis=1)[: len(uv)]
    return Piece(v_pos[None].astype(np.float64), faces, None if uv is None else uv, sheet)


@pytest.mark.parametrize(
    "uvs, why",
    [
        ([SQUARE], ""),
        ([SQUARE * [0.5, 1], SQUARE * [0.5, 1] + [0.5, 0]], ""),
        ([SQUARE * 0.3 + 0.1], ""),
        ([SQUARE, SQUARE * 0.3], "overlap"),  # two parts of one material on one place
        ([SQUARE * 1.5], "leave the square"),
        ([SQUARE + [1, 0]], "leave the square"),
        ([SQUARE * 0.01 + 0.5], "less than a hundredth"),  # a palette's
        ([SQUARE, SQUARE * 0], "into points"),
        ([SQUARE * [[1], [1], [np.nan], [1]]], "leave the square"),
    ],
)
def test_coordinates_stay_if_each_texel_shows_one_place(uvs, why):
    pieces = [piece(uv.astype(np.float32)) for uv in uvs]
    found = unfit(pieces, [p.placed[0] for p in pieces])
    assert why in found and bool(found) == bool(why)
    assert "no texture coordinates" in unfit(
        [*pieces, Piece(pieces[0].placed, QUAD, None, 0)], [pieces[0].placed[0]] * (len(pieces) + 1)
    )


def spoiled_meshes():
    """Name → (V, 3) positions and (F, 3) faces."""
    ball = icosphere(1)
    fan = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [-1, 0, -1]], np.float32)
    open_box = box((-1, -1, -1), (1, 2, 1))
    twice = np.concatenate([ball.t_pos_idx, ball.t_pos_idx[:6, ::-1]])
    split = ball.v_pos[ball.t_pos_idx.reshape(-1)]
    flat = np.concatenate([ball.t_pos_idx, [[0, 0, 1], [2, 2, 2]]]).astype(np.int32)
    return {
        "three faces at one edge": (fan, np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]], np.int32)),
        "open": (open_box.v_pos, open_box.t_pos_idx[2:]),
        "faces there twice": (ball.v_pos, twice.astype(np.int32)),
        "no two faces share a vertex": (
            split,
            np.arange(len(split), dtype=np.int32).reshape(-1, 3),
        ),
        "faces without an area": (ball.v_pos, flat),
    }


@pytest.mark.parametrize("name", spoiled_meshes())
def test_a_surface_of_any_kind_is_unwrapped_and_stays_what_it_was(name):
    v_pos, faces = spoiled_meshes()[name]
    given = Piece(v_pos[None].astype(np.float64), faces, None, 0)
    (layout,), (reason,) = lay_out([given], [v_pos], 1, SIZE)
    assert "no texture coordinates" in reason
    np.testing.assert_array_equal(layout.origin[layout.faces], faces)
    assert layout.v_uv.min() >= 0 and layout.v_uv.max() <= 1
    assert unfit([Piece(given.placed, layout.faces, layout.v_uv, 0)], [v_pos[layout.origin]]) == ""
