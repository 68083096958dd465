"""The judge: a small network that looks at a model's untextured views.

Of each view it says from which side it is taken, as a distribution that is wide where it cannot tell, and
what kind of thing it shows; of all views together, whether they contradict each other, whether they are of
one sound object with a front, or of one whose sides cannot be told apart; and of each patch of each view,
whether it shows what contradicts the others.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from sdtool.errors import InputError
from sdtool.evaluating.patches import PATCHES, WIDE, Patches
from sdtool.io.files import read_json, write_json
from sdtool.io.tensor_files import save_tensors

BINS = 24
"""Azimuths that a view is told apart by; bin k is centred at k·360°/BINS."""
AROUND = 12
"""Views of a model that are looked at together."""
LOOKS = 256
"""Numbers that describe a view."""
WAVES = 5
"""The spectrum's orders over the azimuth, 0 to WAVES − 1."""


class Said(NamedTuple):
    """Logits of B models seen from N sides: of the side (B, N, BINS) and of the kind (B, N, K) of each view;
    of the model (B, 3): contradicting itself, sound with a front, sound without one; and whether it shows
    what contradicts the others, of each view (B, N) and of each patch of it (B, N, 8, 8)."""

    side: torch.Tensor
    kind: torch.Tensor
    model: torch.Tensor
    odd: torch.Tensor
    part: torch.Tensor


class ViewNet(nn.Module):
    """categories: the kinds it tells apart, in order; width: channels of its first layer, a multiple of
    20; looks: numbers that say what one view shows."""

    def __init__(self, categories: list[str], width: int = 20, looks: int = LOOKS):
        super().__init__()
        self.categories, self.width, self.wide = list(categories), width, looks
        sizes = [4, width, 2 * width, 3 * width, 4 * width]
        self.features = nn.Sequential(
            *[_Block(a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
        )
        half = looks // 2
        self.looks = nn.Linear(sizes[-1] * 17, looks)
        self.side = nn.Linear(looks, BINS)
        self.kind = nn.Linear(looks, len(categories))
        self.spectrum = nn.Linear(looks, 48)
        self.compare = nn.ModuleList(
            [nn.Conv1d(looks, half, AROUND), nn.Conv1d(half, half, AROUND)]
        )
        self.patches = Patches(sizes[-2])
        self.some = nn.Dropout(0.1)
        self.odd = nn.Linear(looks + half + 2 * WIDE, 1)
        facts = 48 * WAVES + looks + 2 + 4 * WIDE + 4
        self.verdict = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(facts, 96), nn.SiLU(), nn.Linear(96, 3)
        )

    def forward(self, views: torch.Tensor) -> Said:
        """views: (B, AROUND, 64, 64, 4) of `views.normal_views`, evenly around each of B models."""
        count, around = views.shape[:2]
        seen = views.flatten(0, 1).permute(0, 3, 1, 2)
        covered = functional.avg_pool2d(seen[:, 3], seen.shape[-1] // PATCHES)
        patches = self.features[:-1](seen)
        seen = self.features[-1](patches)
        # where in the picture, and anywhere in it
        seen = torch.cat([seen.flatten(1), seen.amax(dim=(2, 3))], dim=1)
        seen = self.some(functional.silu(self.looks(seen))).view(count, around, -1)
        # turning the model only shifts the phases of this spectrum, so its size knows no front
        waves = torch.fft.rfft(self.spectrum(seen), dim=1, norm="forward")[:, :WAVES].abs()
        # each view beside all others: turning the model turns the answers, which the pooling forgets
        beside = seen.transpose(1, 2)
        for layer in self.compare:
            ring = torch.cat([beside, beside[..., : AROUND - 1]], dim=-1)
            beside = functional.silu(layer(ring))
        patches = patches.unflatten(0, (count, around))
        shown, part, worst = self.patches(patches, covered.unflatten(0, (count, around)))
        shown = self.some(shown)
        odd = self.odd(torch.cat([seen, beside.transpose(1, 2), shown], dim=-1))[..., 0]
        most = torch.stack([odd.amax(1), odd.mean(1)], dim=1)
        facts = [waves.flatten(1), beside.mean(-1), beside.amax(-1), most]
        facts += [shown.mean(1), shown.amax(1), worst]
        model = self.verdict(torch.cat(facts, dim=1))
        return Said(self.side(seen), self.kind(seen), model, odd, part)

    def save(self, folder: Path, facts: dict) -> None:
        """Write the weights as float16, and facts about them."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.half().contiguous() for name, value in self.state_dict().items()}
        save_tensors(folder / "judge.safetensors", weights)
        sizes = {"width": self.width, "looks": self.wide}
        facts = {"categories": self.categories, **sizes, **facts}
        write_json(folder / "judge.json", facts)


class _Block(nn.Module):
    """Halves the picture."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(4, outputs)
        self.mix = nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs // 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.silu(self.norm(self.down(x)))
        return x + functional.silu(self.mix(x))


def load_judge(folder: Path) -> tuple[ViewNet, dict]:
    """The judge in a folder, and the facts about it. InputError if there is none."""
    try:
        facts = read_json(folder / "judge.json")
        weights = load_file(folder / "judge.safetensors")
        if weights and not any(name.startswith("patches.") for name in weights):
            raise ValueError("it is of an older sdtool; make it anew")
        net = ViewNet(facts["categories"], facts["width"], facts["looks"])
        if odd := _unfit(net, weights):
            raise ValueError(f"{odd}; put there the weights and the judge.json of one training")
        if wild := [name for name, value in weights.items() if not value.isfinite().all()]:
            raise ValueError(
                f"{wild[0]} of judge.safetensors holds what is no number; train it anew"
            )
        net.load_state_dict({name: value.float() for name, value in weights.items()})
    except KeyError as error:
        raise InputError(f"{folder} holds no judge (judge.json lacks {error})") from None
    except (
        InputError, OSError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError
    ) as error:  # fmt: skip
        raise InputError(f"{folder} holds no judge ({str(error).splitlines()[0]})") from None
    return net.eval(), facts


def _unfit(net: ViewNet, weights: dict[str, torch.Tensor]) -> str:
    """How weights differ from those of a judge of its judge.json, in words; "" if they fit."""
    asked = {name: list(value.shape) for name, value in net.state_dict().items()}
    there = {name: list(value.shape) for name, value in weights.items()}
    odd = [name for name in asked | there if asked.get(name) != there.get(name)]
    if not odd:
        return ""
    said = f"{odd[0]} is {there.get(odd[0], 'absent')} and should be {asked.get(odd[0], 'absent')}"
    more = f", and so on, of {len(odd)} tensors" if len(odd) > 1 else ""
    return f"judge.safetensors does not fit judge.json: {said}{more}"


@torch.no_grad()
def judge_views(net: ViewNet, views: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a judge says of the views (AROUND, 64, 64, 4) of one model.

    Returns the probabilities of the sides (AROUND, BINS) and of the kinds (AROUND, K), and the logits (3,)
    of the model as `Said` has them.
    """
    said = net(torch.from_numpy(views)[None])
    return said.side[0].softmax(-1).numpy(), said.kind[0].softmax(-1).numpy(), said.model[0].numpy()
