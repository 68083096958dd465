"""Pictures for people, and progress on a terminal."""

import errno
import io
import os
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageSequence

from sdtool.io.files import atomic_path
from sdtool.io.images import (
    draw_label,
    drawn_as,
    grid,
    map_to_rgb,
    repeat_pixels,
    to_bytes,
    write_animation,
    write_png,
)
from sdtool.runtime.progress import progress


def test_a_map_over_grey():
    """Value ¾ at coverage ½ on a background of 0.2: ½·¾ + ½·0.2."""
    image = np.array([[(2 * 0.75 - 1) * 0.5] * 3 + [2 * 0.5 - 1]])
    assert np.allclose(map_to_rgb(image, background=0.2), 0.5 * 0.75 + 0.5 * 0.2)


def test_pixels_are_repeated_until_the_size_is_reached():
    image = np.arange(6.0).reshape(1, 2, 3, 1)
    large = repeat_pixels(image, 5)  # factor 3: 6 rows are the first multiple of 2 that reaches 5
    assert large.shape == (1, 6, 9, 1)
    assert np.array_equal(large[0, ::3, ::3, 0], image[0, :, :, 0])
    assert np.array_equal(large[0, 2::3, 2::3, 0], image[0, :, :, 0])
    assert np.array_equal(repeat_pixels(image, 1), image)


def test_a_grid_runs_along_rows_with_white_gaps():
    images = np.stack([np.full((2, 3, 3), k / 10) for k in range(5)])
    sheet = grid(images, columns=2, gap=1)
    assert sheet.shape == (3 * 3 - 1, 2 * 4 - 1, 3)
    for k in range(5):
        top, left = (k // 2) * 3, (k % 2) * 4
        assert (sheet[top : top + 2, left : left + 3] == np.float32(k / 10)).all()
    assert (sheet[2] == 1).all() and (sheet[:, 3] == 1).all() and (sheet[6:, 4:] == 1).all()


def test_bytes_are_rounded_and_limited():
    assert to_bytes(np.array([-1, 0, 0.5, 1, 2, 1.4 / 255, 1.6 / 255])).tolist() == [
        0, 0, 128, 255, 255, 1, 2,
    ]  # fmt: skip


def test_a_png_keeps_its_pixels_and_its_text(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3)) / 255
    write_png(tmp_path / "deep" / "a.png", image, Title="ein Dackel, 木", Seed="7")
    with Image.open(tmp_path / "deep" / "a.png") as picture:
        assert picture.text == {"Title": "ein Dackel, 木", "Seed": "7"}
        assert np.array_equal(np.asarray(picture), (image * 255).round().astype(np.uint8))


def test_a_failing_picture_leaves_the_old_one(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((2, 2, 3)))
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(TypeError):
        write_png(tmp_path / "a.png", np.zeros((2, 2, 7)))
    assert (tmp_path / "a.png").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_an_animation_has_its_frames_lasts_as_asked_and_never_ends(tmp_path):
    frames = np.linspace(0, 1, 4)[:, None, None, None] * np.ones((4, 8, 8, 3))
    write_animation(tmp_path / "turn.webp", frames, seconds=2.0)
    with Image.open(tmp_path / "turn.webp") as picture:
        assert (picture.format, picture.n_frames, picture.info["loop"]) == ("WEBP", 4, 0)
        means = [np.asarray(f.convert("RGB")).mean() / 255 for f in ImageSequence.Iterator(picture)]
        assert np.allclose(means, [0, 1 / 3, 2 / 3, 1], atol=0.02)
        picture.seek(1)
        picture.load()
        assert picture.info["duration"] == 500  # milliseconds: 2 s / 4


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_silent_without_a_terminal(capsys):
    with progress("rendering", 3, "objects") as bar:
        bar.advance(2, failed=1)
    assert capsys.readouterr() == ("", "")


def test_progress_shows_count_failures_and_note(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress("rendering", 9, "objects", done=2) as bar:
        bar.advance(3, failed=1)
        bar.advance(1, failed=1, note="corgi")
        bar.message("half way")
    text = terminal.getvalue()
    for part in ("rendering", "6/9", "objects/s", "2 failed", "corgi", "half way"):
        assert part in text


def test_progress_may_step_back(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress("lifting", 9, "steps", done=2) as bar:
        bar.advance(5)
        bar.move_to(4)
        bar.move_to(5, "again")
    last = terminal.getvalue().rpartition("lifting")[2]
    assert "5/9" in last and "again" in last


def test_an_error_of_writing_names_the_file_that_was_asked_for(tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def denied(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    for fails in (full, denied):
        with pytest.raises(OSError) as caught, atomic_path(tmp_path / "a.png") as temporary:
            fails(temporary)
        assert caught.value.filename == str(tmp_path / "a.png")
        assert isinstance(caught.value, PermissionError) == (fails is denied)
    with pytest.raises(OSError) as caught, atomic_path(tmp_path / "a.png"):
        open(tmp_path / "other")
    assert caught.value.filename == str(tmp_path / "other") and not list(tmp_path.iterdir())


def test_labels_of_other_scripts_stay_apart(tmp_path):
    """Pillow's outlines have ASCII only: a name of other letters would be boxes or "???"."""
    assert drawn_as("a chair") == "a chair" and drawn_as("cafe\u0301 ÿ") == "café ÿ"
    assert drawn_as("의자") == "\\uc758\\uc790" and drawn_as("é椅") == "é\\u6905"

    def drawn(text):
        image = Image.new("RGB", (300, 14), "white")
        draw_label(ImageDraw.Draw(image), (1, 1), text)
        return image.tobytes()

    names = ["의자", "기자", "椅子", "стул", "стол", "café", "cafè", "cafe"]
    assert len({drawn(name) for name in names}) == len(names)
