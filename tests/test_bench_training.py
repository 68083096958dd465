"""The bench part `training`: the real UNet's shape, and the three loops at a tiny size."""

import pytest
import torch

from sdtool.bench.stable_diffusion import flops, sd21_unet
from sdtool.bench.training import training


def test_the_unet_is_that_of_stable_diffusion_2_1():
    with torch.device("meta"):
        unet = sd21_unet()
    assert sum(p.numel() for p in unet.parameters()) == 865_910_724  # as published
    first = unet.down_blocks[0].attentions[0]
    assert first.transformer_blocks[0].attn2.to_k.in_features == 1024
    assert isinstance(first.proj_in, torch.nn.Linear)


@pytest.mark.slow
def test_work_grows_with_the_number_of_pixels():
    # Convolutions grow by 4, attention among pixels by up to 16, the text's own part not at all.
    assert 3.5 < flops(64, 16) / flops(64, 8) < 6


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--mixed-precision", "bf16", "--gradient-checkpointing"]])
def test_three_loops_are_compared(tmp_path, more):
    table = training(tmp_path, ["--latent", "8", "--batch", "2", "--steps", "1", *more])
    assert table.row_count == 3
    name, milliseconds, rate, share, _ = (list(column.cells) for column in table.columns)
    assert "finetune-agp" in name[1] and share[0] == "100.0%"
    # samples/s × seconds a step = 2 samples, up to the rounding of what is shown
    for ms, speed in zip(milliseconds, rate, strict=True):
        assert float(ms) / 1000 * float(speed) == pytest.approx(2, rel=0.03)
