"""The bundled tiny prior keeps what its README says, on toys that it has never seen."""

from pathlib import Path

import pytest
import torch

import sdtool.tiny
from sdtool.captioning.english import with_article
from sdtool.cli import run
from sdtool.io.captions import read_captions
from sdtool.priors.cards import camera_of
from sdtool.priors.loading import load_agp, load_base
from sdtool.priors.sampling import ddim
from sdtool.training.data import Views
from sdtool.training.exam import draw_exam, read_categories
from sdtool.training.identification import (
    candidate_errors,
    share_of_first,
    text_identification,
    turntable_cameras,
    view_identification,
)

LEFT_OUT = ["blue horse", "red elephant", "green chair", "purple teapot", "pink car"]
COLORS = ["red", "blue", "green", "purple", "pink", "yellow", "white", "black", "brown", "orange"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base():
    return load_base("tiny")


@pytest.fixture(scope="module")
def agp():
    return load_agp("tiny")


def made(folder: Path, *options: str) -> tuple[Path, Path]:
    """Toys and their captions."""
    objects, captions = folder / "objects", folder / "captions"
    assert run(["toyverse", "--out", str(objects), "--bad-share", "0", *options]) == 0
    filtered = folder / "filtered"
    assert run(["filter-objaverse", str(objects), "--out", str(filtered), "--workers", "1"]) == 0
    assert run(["caption", str(filtered), "--out", str(captions), "--workers", "1"]) == 0
    return filtered, captions / "captions.jsonl"


def rendered(objects: Path, *options: str) -> Path:
    """Renders as the priors know them."""
    out = objects.parent / "views"
    command = ["render-ccm", str(objects), "--out", str(out), "--distance", "1.8", "--workers", "1"]
    assert run([*command, *options]) == 0
    return out


def test_it_is_small():
    folder = Path(sdtool.tiny.__file__).parent
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 30e6


@torch.no_grad()
def test_the_agp_knows_cameras_and_words(agp, tmp_path):
    objects, listing = made(tmp_path, "--count", "40", "--seed", "4321")
    folder = rendered(objects, "--views", "2", "--size", "32", "--supersample", "4")
    captions = read_captions(listing)
    views = Views([folder], ("ccm",), captions)
    categories = read_categories([objects / "objects.jsonl"], with_article)
    exam = draw_exam(views, captions, categories, 16, torch.Generator().manual_seed(0))
    ask = torch.Generator().manual_seed(1)
    text = agp.encode_text(exam.captions)
    assert view_identification(agp, exam.maps, exam.c2w, text, generator=ask) > 0.9
    rows = list(exam.categories)
    texts = torch.stack([agp.encode_text(exam.categories[row]) for row in rows])
    share = text_identification(agp, exam.maps[rows], exam.c2w[rows], texts, generator=ask)
    assert len(rows) > 12 and share > 0.8


@torch.no_grad()
def test_the_base_knows_colours_of_what_it_never_saw_in_them(base, tmp_path):
    only = [part for combination in LEFT_OUT for part in ("--only", combination)]
    objects, listing = made(tmp_path, "--count", "20", "--seed", "5", *only)
    options = ["--maps", "rgb", "--random-yaw", "--views", "1", "--size", "128"]
    captions = read_captions(listing)
    views = Views([rendered(objects, *options)], ("rgb",), captions)
    maps, texts = views.maps(list(range(len(views)))), []
    for number in views.object:
        color, kind = captions[views.uids[number]][0].split()[-2:]
        choices = [color, *(other for other in COLORS if other != color)]
        texts.append(base.encode_text([f"a {one} {kind}" for one in choices]))
    error = candidate_errors(
        base,
        base.encode_image(maps),
        torch.stack(texts),
        torch.eye(4).expand(len(maps), 1, 4, 4),
        generator=torch.Generator().manual_seed(2),
        times=(0.7, 0.85, 0.95),
    )
    assert len(maps) == 20 and share_of_first(error) > 0.6


@torch.no_grad()
def test_a_prompt_decides_what_the_base_draws(base):
    """Of the pixels that are drawn, most have the prompt's colour."""
    for channel, prompt in enumerate(("a red chair", "a green chair", "a blue chair")):
        text, empty = base.encode_text([prompt] * 4), base.encode_text([""])
        x = ddim(base, text, empty, generator=torch.Generator().manual_seed(3), steps=15)
        pictures = base.decode_image(x)
        drawn = pictures.amin(dim=1) < 0.9  # not the white background
        colors = pictures.movedim(1, -1)[drawn]
        assert 0.02 < drawn.float().mean() < 0.8
        assert (colors.argmax(dim=-1) == channel).float().mean() > 0.6, prompt


@torch.no_grad()
def test_the_agp_draws_one_object_from_eight_sides(agp):
    """Its maps show the canonical coordinates of the side that the camera sees."""
    cameras = turntable_cameras(view_range=camera_of("tiny"))
    text, empty = agp.encode_text(["a corgi"] * 8), agp.encode_text([""])
    generator = torch.Generator().manual_seed(0)
    maps = ddim(agp, text, empty, generator=generator, c2w=cameras, steps=20)
    covered = maps[:, 3] > 0
    depth = torch.stack([maps[k, 2][covered[k]].mean() for k in range(8)])  # canonical z, −1 to 1
    assert depth[0] > depth[4] + 0.2  # from the front one sees the front
    across = torch.stack([maps[k, 0][covered[k]].mean() for k in range(8)])
    assert across[1:4].mean() > across[5:].mean() + 0.2  # cameras 1 to 3 stand at its +X side
