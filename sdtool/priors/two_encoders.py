"""SDXL's text: two encoders side by side, and the second's pooled text (Podell et al. 2023, section 2.1)."""

from pathlib import Path

import torch
import torch.nn.functional as F

from sdtool.io.files import read_json
from sdtool.priors.checkpoint import Checkpoint
from sdtool.priors.checkpoint_parts import checkpoint_text_encoder
from sdtool.priors.text import TextEncoder, load_text_encoder


class TwoEncoders(TextEncoder):
    """Two encoders as one: N prompts → (N, L + 1, C₁ + C₂) float32.

    Rows 0 to L − 1 are what the layers before the last gave, side by side; row L is the second encoder's
    pooled text, filled up with zeros. So one tensor holds all that the UNet is told: it is cached, mixed and
    repeated like any other embedding, and `Prior` takes it apart. empty_is_zero: the empty prompt is all
    zeros, as the model was trained without text (`force_zeros_for_empty_prompt` of its pipeline).
    """

    def __init__(self, first: TextEncoder, second: TextEncoder, empty_is_zero: bool = True):
        length = min(first.length, second.length)
        super().__init__(first.model, first.tokenizer, length)
        first.length = second.length = length
        self.first, self.second, self.empty_is_zero = first, second, empty_is_zero

    def embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """ValueError: the two have token ids of their own."""
        raise ValueError("two text encoders are told the prompts themselves")

    def forward(self, prompts: list[str]) -> torch.Tensor:
        states = []
        for encoder in (self.first, self.second):
            ids, _ = encoder.tokenize(prompts)
            found = encoder.model(ids.to(encoder.model.device), output_hidden_states=True)
            states.append(found.hidden_states[-2])
        both = torch.cat(states, dim=-1)
        pooled = F.pad(found.text_embeds, (0, both.shape[-1] - found.text_embeds.shape[-1]))
        text = torch.cat([both, pooled[:, None]], dim=1).float()
        if self.empty_is_zero and "" in prompts:
            said = torch.tensor([prompt != "" for prompt in prompts], device=text.device)
            text = text * said.view(-1, 1, 1)
        return text


def load_encoders(base: Path, dtype: torch.dtype) -> TextEncoder:
    """The text encoder of a base, a folder or a single file; both as one where there are two."""
    if base.is_file():
        found = Checkpoint(base)
        one = checkpoint_text_encoder(found, dtype)
        return TwoEncoders(one, checkpoint_text_encoder(found, dtype, True)) if found.is_xl else one
    one = load_text_encoder(base, dtype)
    if not (base / "text_encoder_2").is_dir():
        return one
    path = base / "model_index.json"
    index = read_json(path) if path.is_file() else {}
    empty_is_zero = bool(index.get("force_zeros_for_empty_prompt", True))
    return TwoEncoders(one, load_text_encoder(base, dtype, second=True), empty_is_zero)
