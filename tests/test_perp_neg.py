"""Perp-Neg: what is against a view, how strongly by azimuth, and only where it is perpendicular."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sdtool.errors import UsageError
from sdtool.geometry.cameras import orbit
from sdtool.lifting import sds
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.perp_neg import embeddings, words_for
from sdtool.lifting.presets import TINY_CPU
from sdtool.lifting.prompts import SIDES, Prompts
from sdtool.priors.agp import fresh_agp
from sdtool.priors.fresh import fresh_base

PHASE = replace(TINY_CPU.phases[1], lambda_ori=(1.0, 1.0), ori_every=1)


def cameras(*azimuth, elevation=10.0) -> torch.Tensor:
    """Cameras at angles in degrees."""
    return torch.from_numpy(orbit(np.radians(azimuth), np.radians(elevation), np.asarray(2.0)))


# Weights by azimuth


def test_prompts_are_mixed_by_azimuth():
    share = words_for(cameras(0, 45, -45, 90, 135, -135, 180)).share
    half = [0.5, 0.5, 0, 0]
    back = [0, 0.5, 0.5, 0]
    expected = [[1, 0, 0, 0], half, half, [0, 1, 0, 0], back, back, [0, 0, 1, 0]]
    assert torch.allclose(share, torch.tensor(expected).float(), atol=1e-5)


def test_weights_have_their_closed_form_and_no_jump():
    """4 exp(−r/2) − 2.426 between front and side, of the view's share r; behind, exp(−r/2) + 0.967 against
    the front and exp(−r/2) − 0.606 against the side, r being the side's."""
    found = words_for(cameras(0, 45, 90, 135, 180)).against
    middle, whole = math.exp(-0.25), math.exp(-0.5)
    expected = [
        [4 * whole - 2.426, 4 - 2.426],
        [4 * middle - 2.426, 4 * middle - 2.426],
        [whole + 0.967, whole - 0.606],
        [middle + 0.967, middle - 0.606],
        [1 + 0.967, 1 - 0.606],
    ]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-3)
    around = words_for(cameras(*np.arange(0.5, 180, 1.0))).against
    assert (around >= 0).all() and around.diff(dim=0).abs().max() < 0.03
    assert (around[:, 0].diff() > -2e-3).all()  # the farther from the front, the more against it


def test_from_overhead_nothing_is_against():
    share, against = words_for(cameras(0, 120, elevation=70.0))
    assert not against.any() and torch.equal(share, torch.tensor([[0.0, 0, 0, 1]] * 2))


# Perpendicular components


def test_the_component_is_perpendicular_and_keeps_the_rest():
    generator = torch.Generator().manual_seed(0)
    part, to = torch.randn(2, 3, 4, 5, 5, generator=generator, dtype=torch.float64)
    away = sds.perpendicular(part, to)
    assert (away * to).sum((1, 2, 3)).abs().max() < 1e-12
    along = part - away  # a multiple of `to` in each sample
    ratio = along / to
    assert (ratio.amax((1, 2, 3)) - ratio.amin((1, 2, 3))).abs().max() < 1e-9
    assert not sds.perpendicular(2.5 * to, to).abs().max() > 1e-12
    assert torch.equal(sds.perpendicular(part, torch.zeros_like(part)), part)


class Echo:
    """A prior whose noise is the text: (N, 1, 2) → (N, 2, 1, 1)."""

    def predict_noise(self, x, t, text, c2w=None):
        assert len(x) == len(t) == len(text) == len(c2w)
        return text.view(-1, 2, 1, 1)


def test_guidance_is_held_off_what_is_perpendicular_to_it_only():
    """δ = (2, 0); of δ₁ = (1, 1) the part (0, 1) counts with ½, of δ₂ = (−3, 2) the part (0, 2) with ¼."""
    x, t, c2w = torch.zeros(1, 2, 1, 1), torch.tensor([5]), torch.eye(4)[None]
    empty, text = torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[3.0, 1.0]]])
    others = torch.tensor([[[[2.0, 2.0]], [[-2.0, 3.0]]]])
    against = others, torch.tensor([[0.5, 0.25]])
    guided = sds.guided_noise(Echo(), x, t, text, empty, 10.0, c2w, against=against)
    expected = [1 + 10 * 2, 1 + 10 * (0 - 0.5 * 1 - 0.25 * 2)]
    assert guided.flatten().tolist() == pytest.approx(expected)
    alone = sds.guided_noise(Echo(), x, t, text, empty, 10.0, c2w)
    none = sds.guided_noise(
        Echo(), x, t, text, empty, 10.0, c2w, against=(others, torch.zeros(1, 2))
    )
    assert torch.equal(alone, none)


# In a lift


@pytest.fixture(scope="module")
def priors():
    base = fresh_base([f"a red corgi, {side}" for side in SIDES], size=16, width=8)
    return base, fresh_agp(base, torch.Generator().manual_seed(0))


def test_embeddings_lie_between_those_of_the_sides(priors):
    told = Prompts(priors[0], "a red corgi", by_view=True)
    mixed, (others, weights) = embeddings(told, cameras(45, 180))
    assert torch.allclose(mixed[0], (told.text[0] + told.text[1]) / 2, atol=1e-5)
    assert torch.allclose(mixed[1], told.text[2], atol=1e-5)
    assert torch.equal(others, told.text[:2].expand(2, -1, -1, -1)) and weights.shape == (2, 2)


def test_only_the_base_is_told_so(priors, monkeypatch):
    passes = []
    predict = type(priors[0]).predict_noise
    monkeypatch.setattr(
        type(priors[0]),
        "predict_noise",
        lambda self, x, *rest: passes.append((self, len(x))) or predict(self, x, *rest),
    )
    maps = {name: torch.rand(2, 4, 16, 16) * 2 - 1 for name in ("ccm", "normal")}
    guidance = Guidance(*priors, "a red corgi", by_view=True, perp_neg=True)
    guidance.loss(maps, cameras(30, 120), PHASE, 0.5, 1.0, torch.Generator().manual_seed(0))
    assert passes == [(priors[1], 2 * 2), (priors[0], 4 * 2)]


def test_it_needs_words_for_views(priors):
    with pytest.raises(UsageError, match="add --view-prompts"):
        Guidance(*priors, "a red corgi", by_view=False, perp_neg=True)
