"""Orient-Anything (Wang et al. 2024): a DINOv2 and a head that see which way an object faces.

The head's outputs are 360 logits of azimuths, 180 of polar angles, 180 or 360 of rotations in the picture,
and 2 that say whether there is a front at all. A folder holds `config.json` of the backbone (a
`Dinov2Config`) and the weights under the names of the published checkpoint (`dinov2.…`, `down_sampler.…`)
as safetensors. The published file is a pickle, which could run code and is not read; converting
it once needs torch and safetensors only: docs/training.md.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from sdtool.errors import InputError, SdtoolError

if TYPE_CHECKING:
    from transformers import Dinov2Config

AZIMUTHS = 360
WEIGHTS = "model.safetensors"
SIDE = 224
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pictures that DINOv2 was trained on, by channel."""


class _Head(nn.Module):
    """(N, D) → (N, outputs); BatchNorm behind both layers, as the checkpoint has it."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.net1 = nn.Sequential(nn.Linear(width, outputs), nn.BatchNorm1d(outputs), nn.ReLU())
        self.net2 = nn.Sequential(nn.Linear(outputs, outputs), nn.BatchNorm1d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net2(self.net1(x))


class OrientAnything(nn.Module):
    """Pictures → the azimuth from which each shows its object, and whether that has a front."""

    def __init__(self, config: "Dinov2Config", outputs: int):
        from transformers import Dinov2Model

        super().__init__()
        self.dinov2 = Dinov2Model(config)
        self.down_sampler = _Head(config.hidden_size, outputs)

    @torch.inference_mode()
    def forward(self, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, H, W, 3) uint8 sRGB → (N, 360) log-probabilities and (N,) of there being a front.

        Azimuth a: the camera stands a degrees from the object's front, growing as our azimuths do. That
        is how we read the paper; the published weights have not been tried.
        """
        weight = next(self.down_sampler.parameters())
        x = torch.from_numpy(images).to(weight.device).permute(0, 3, 1, 2).float() / 255
        mean, spread = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, SPREAD))
        seen = self.dinov2(pixel_values=((x - mean) / spread).to(weight.dtype)).last_hidden_state
        out = self.down_sampler(seen[:, 0]).float()
        return out[:, :AZIMUTHS].log_softmax(-1).cpu(), out[:, -2:].softmax(-1)[:, 0].cpu()


def load_orient_anything(name: str, device: torch.device) -> OrientAnything:
    """The model in a folder, or of a hub id; InputError if it is not whole or of another kind."""
    from safetensors.torch import load_file
    from transformers import Dinov2Config

    folder = _folder_of(name)
    missing = [part for part in ("config.json", WEIGHTS) if not (folder / part).is_file()]
    if missing:
        pickled = (
            " (a .pt file is not read: it could run code)" if list(folder.rglob("*.pt")) else ""
        )
        raise InputError(
            f"{name} lacks {' and '.join(missing)}{pickled}; docs/training.md says how to convert "
            "Orient-Anything's checkpoint"
        )
    try:
        state = load_file(folder / WEIGHTS)
        outputs = len(state["down_sampler.net2.1.weight"])
        model = OrientAnything(Dinov2Config.from_pretrained(folder), outputs)
        model.load_state_dict(state)
    except SdtoolError:
        raise
    except Exception as error:  # the libraries have classes of their own for it, and many
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{name} cannot be loaded as an Orient-Anything ({reason}); it needs config.json of a "
            f"Dinov2Model, and {WEIGHTS} with dinov2.… and down_sampler.…"
        ) from error
    if outputs < AZIMUTHS + 2:
        raise InputError(f"{name} has {outputs} outputs; an Orient-Anything has at least 722")
    return model.requires_grad_(False).eval().to(device)


def _folder_of(name: str) -> Path:
    """The local folder of a model; downloads a hub id if this machine may."""
    if Path(name).is_dir():
        return Path(name)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise InputError(f"{name} is not a folder; name a model's folder, or a hub id")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["config.json", WEIGHTS]))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the model {name} is not on this machine and could not be downloaded "
            f"({type(error).__name__}); check the id and the network, or name a local folder"
        ) from error
