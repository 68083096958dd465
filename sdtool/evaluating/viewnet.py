"""The judge: a small network that looks at a model's untextured views.

Of each view it says from which side it is taken and what kind of thing it shows; of all views
together, whether they are of one sound object.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from sdtool.errors import InputError
from sdtool.io.files import read_json, write_json

BINS = 24
"""Azimuths that a view is told apart by; bin k is centred at k·360°/BINS."""
WAVES = 5
"""The spectrum's orders over the azimuth, 0 to WAVES − 1."""


class ViewNet(nn.Module):
    """categories: the kinds it tells apart, in order; width: channels of its first layer."""

    def __init__(self, categories: list[str], width: int = 20):
        super().__init__()
        self.categories, self.width = list(categories), width
        sizes = [4, width, 2 * width, 3 * width, 4 * width]
        blocks = [_Block(a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
        self.features = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(sizes[-1] * 16, 128))
        self.side = nn.Linear(128, BINS)
        self.kind = nn.Linear(128, len(categories))
        self.spectrum = nn.Linear(128, 48)
        self.sound = nn.Sequential(nn.Linear(48 * WAVES, 96), nn.SiLU(), nn.Linear(96, 1))

    def forward(self, views: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """views: (B, N, 64, 64, 4) of `views.normal_views`, N evenly around each of B models.

        Returns logits: of the side (B, N, BINS), of the kind (B, N, K), of being sound (B,).
        """
        count, around = views.shape[:2]
        seen = self.features(views.flatten(0, 1).permute(0, 3, 1, 2))
        seen = functional.silu(seen).view(count, around, -1)
        # turning the model only shifts the phases of this spectrum, so its size knows no front
        waves = torch.fft.rfft(self.spectrum(seen), dim=1, norm="forward")[:, :WAVES].abs()
        return self.side(seen), self.kind(seen), self.sound(waves.flatten(1))[:, 0]

    def save(self, folder: Path, facts: dict) -> None:
        """Write the weights as float16, and facts about them."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.half().contiguous() for name, value in self.state_dict().items()}
        save_file(weights, folder / "judge.safetensors")
        facts = {"categories": self.categories, "width": self.width, **facts}
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
        net = ViewNet(facts["categories"], facts["width"])
        weights = load_file(folder / "judge.safetensors")
        net.load_state_dict({name: value.float() for name, value in weights.items()})
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{folder} holds no judge ({str(error).splitlines()[0]})") from None
    return net.eval(), facts


@torch.no_grad()
def judge_views(net: ViewNet, views: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """What a judge says of the views (N, 64, 64, 4) of one model.

    Returns the probabilities of the sides (N, BINS) and of the kinds (N, K), and the logit of being
    sound.
    """
    side, kind, sound = net(torch.from_numpy(views)[None])
    return side[0].softmax(-1).numpy(), kind[0].softmax(-1).numpy(), sound.item()
