"""An Orient-Anything with random weights, for the tests."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Dinov2Config

from sdtool.orienting.orient_anything import OrientAnything


def write_orient_anything(folder, outputs=722):
    """Random weights under the names of Orient-Anything's checkpoint."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=1, patch_size=56
    )
    torch.manual_seed(0)
    model = OrientAnything(config, outputs)
    config.save_pretrained(folder)
    save_file(model.state_dict(), folder / "model.safetensors")
    return model.eval()
