"""The bench of bases at full size, on a small one."""

import pytest
import torch
from prior_samples import small_vae

from sdtool.bench import bases
from sdtool.errors import UsageError


def test_a_base_is_made_loaded_and_asked(tmp_path, monkeypatch):
    def small():
        unet = bases.UNet2DConditionModel
        return unet(
            sample_size=8,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=128,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 64,
        )

    monkeypatch.setitem(
        bases.KINDS, "sdxl", (small, ((64, 2, "quick_gelu"), (64, 3, "gelu")), "epsilon")
    )
    monkeypatch.setattr(bases, "sd_vae", small_vae)
    bases.make("sdxl", tmp_path)
    found = bases.measure(tmp_path, "bf16")
    assert found["finite"] and found["latents"] == 8
    assert 0 < found["load_peak_gb"] <= found["guided_peak_gb"] and found["guided_cpu_s"] >= 0


def test_its_kinds_are_the_published_sizes():
    """Millions of parameters as published: 860, 866, 866 and 2,567."""
    for kind, millions in (("sd15", 860), ("sd21", 866), ("sd21-base", 866), ("sdxl", 2567)):
        with torch.device("meta"):
            unet = bases.KINDS[kind][0]()
        assert round(sum(p.numel() for p in unet.parameters()) / 1e6) == pytest.approx(
            millions, abs=1
        )
    with pytest.raises(UsageError, match="name a kind"):
        bases.bases(["sd9"])
