"""Text encoders: the one file that knows transformers' classes (imported inside the functions)."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from sdtool.errors import InputError
from sdtool.io.files import disk_errors
from sdtool.io.tensor_files import saved_model
from sdtool.priors.fitting import fitted
from sdtool.priors.weights import AGAIN, TRANSFORMERS, load_whole

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TextEncoder(nn.Module):
    """A tokenizer and a transformer: list of N prompts → (N, L, C) float32."""

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        length: int,
        masked: bool = False,
    ):
        super().__init__()
        self.model, self.tokenizer, self.length, self.masked = model, tokenizer, length, masked

    def tokenize(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask, both (N, L) int64, padded or cut to L tokens."""
        tokens = self.tokenizer(
            prompts,
            padding="max_length",
            truncation=True,
            max_length=self.length,
            return_tensors="pt",
        )
        return tokens.input_ids, tokens.attention_mask

    def cuts(self, prompt: str) -> bool:
        """True if the prompt has more tokens than fit."""
        return len(self.tokenizer(prompt, verbose=False).input_ids) > self.length

    def count_cut(self, prompts: list[str]) -> int:
        """How many of the prompts have more tokens than fit. A token is a byte or more."""
        long = [p for p in prompts if not p.isascii() or len(p) > self.length - 4]
        rows = (long[k : k + 1000] for k in range(0, len(long), 1000))
        found = (self.tokenizer(row, verbose=False).input_ids for row in rows)
        return sum(len(ids) > self.length for row in found for ids in row)

    def fitted(self, prompt: str, ending: str = "") -> tuple[str, str]:
        """The prompt with its ending, cut between the two if it has more tokens than fit; and what went."""
        return fitted(prompt, ending, lambda text: not self.cuts(text))

    def embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(N, L) ids and mask from `tokenize` → (N, L, C) float32."""
        device = self.model.device
        seen = mask.to(device) if self.masked else None  # CLIP pipelines attend to the padding too
        return self.model(ids.to(device), attention_mask=seen).last_hidden_state.float()

    def forward(self, prompts: list[str]) -> torch.Tensor:
        return self.embed(*self.tokenize(prompts))


def load_text_encoder(folder: Path, dtype: torch.dtype, second: bool = False) -> TextEncoder:
    """Read `text_encoder/` and `tokenizer/` of a folder: CLIP (Stable Diffusion) or T5 (IF).

    second: read `text_encoder_2/` and `tokenizer_2/`, SDXL's second ones.
    """
    from transformers import (
        CLIPTextModel,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
        T5EncoderModel,
        T5Tokenizer,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()

    part, words = ("text_encoder_2", "tokenizer_2") if second else ("text_encoder", "tokenizer")
    config = json.loads((folder / part / "config.json").read_text(encoding="utf-8"))
    kinds: dict[str, tuple[type[PreTrainedModel], type[PreTrainedTokenizerBase]]] = {
        "CLIPTextModel": (CLIPTextModel, CLIPTokenizer),
        "T5EncoderModel": (T5EncoderModel, T5Tokenizer),
    }
    if second:
        kinds = {"CLIPTextModelWithProjection": (CLIPTextModelWithProjection, CLIPTokenizer)}
    kind = (config.get("architectures") or [next(iter(kinds))])[0]
    if kind not in kinds:
        raise InputError(
            f"{folder} has a text encoder of the kind {kind}; use a model with {' or '.join(kinds)}"
        )
    model_class, tokenizer_class = kinds[kind]
    model = load_whole(model_class, folder / part, TRANSFORMERS, dtype=dtype)
    tokenizer = tokenizer_class.from_pretrained(folder / words)
    if len(tokenizer) > model.config.vocab_size:
        raise InputError(
            f"{folder}: {words}/ knows {len(tokenizer)} tokens and {part}/ only "
            f"{model.config.vocab_size}, so they do not belong together; {AGAIN}"
        )
    return encoder_of(model, tokenizer)


def encoder_of(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> TextEncoder:
    """A text encoder of a model and its tokenizer, with the length of texts that fits both."""
    if model.config.model_type == "t5":
        return TextEncoder(model, tokenizer, 77, masked=True)  # IF was trained on 77
    return TextEncoder(
        model, tokenizer, min(tokenizer.model_max_length, model.config.max_position_embeddings)
    )


def same_text_encoder(one: Path, other: Path) -> bool:
    """Whether two bases give the same embeddings: they are one, or their folders' files hold the same.

    Where a configuration comes from, and which version wrote it, does not count.
    """
    if one.resolve() == other.resolve():
        return True
    if one.is_file() or other.is_file():
        return False
    for part in ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"):
        ours, theirs = _contents(one / part), _contents(other / part)
        if ours.keys() != theirs.keys():
            return False
        for name, (size, path) in ours.items():
            if name in _CONFIGURATIONS:
                if _meant(path) != _meant(theirs[name][1]):
                    return False
            elif size != theirs[name][0] or _digest(path) != _digest(theirs[name][1]):
                return False
    return True


_CONFIGURATIONS = ("config.json", "tokenizer_config.json")
_HISTORY = ("_name_or_path", "name_or_path", "transformers_version", "torch_dtype", "dtype")


def _contents(folder: Path) -> dict[str, tuple[int, Path]]:
    """Name → size and path of what a loader may read in a folder; nothing if there is none."""
    if not folder.is_dir():
        return {}
    endings = {".safetensors", ".json", ".txt", ".model"}
    found = [path for path in folder.iterdir() if path.suffix in endings]
    return {path.name: (path.stat().st_size, path) for path in found}


def _meant(path: Path) -> dict:
    """A configuration without its history."""
    configuration = json.loads(path.read_text(encoding="utf-8"))
    return {key: value for key, value in configuration.items() if key not in _HISTORY}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fresh_text_encoder(captions: list[str], *, width: int, layers: int, length: int) -> TextEncoder:
    """A small untrained CLIP text encoder, and a tokenizer whose merges come from `captions`.

    The tokenizer works on bytes, so that any text can be encoded. Weights come from torch's global
    generator: seed it before.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    vocabulary, merges = learn_merges(captions)
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=length,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return TextEncoder(CLIPTextModel(config), tokenizer, length)


def learn_merges(captions: list[str], limit: int = 1500) -> tuple[dict[str, int], list]:
    """A vocabulary in CLIP's layout: 256 bytes, 256 word-final bytes, merges, two marks.

    Returns ({token: id}, [(left, right)]), at most `limit` merges; the same for the same captions.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    clip = CLIPTokenizer().backend_tokenizer  # empty: lends its way of splitting text into words
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = clip.normalizer, clip.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=limit + 2 * len(alphabet),
        special_tokens=[byte + "</w>" for byte in alphabet],  # fixed ids, or ties fall at random
        min_frequency=2,
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    tokens = alphabet + [byte + "</w>" for byte in alphabet]
    tokens += list(dict.fromkeys("".join(pair) for pair in merges))
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: index for index, token in enumerate(tokens)}, merges


def save_text_encoder(text: TextEncoder, folder: Path) -> None:
    """Write `text_encoder/` and `tokenizer/` (also as CLIP's own vocab.json and merges.txt)."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    with saved_model(folder / "text_encoder"):
        text.model.save_pretrained(folder / "text_encoder", safe_serialization=True)
    model = json.loads(text.tokenizer.backend_tokenizer.to_str())["model"]
    vocabulary = json.dumps(model["vocab"], ensure_ascii=False)
    lines = ["#version: 0.2"] + [" ".join(pair) for pair in model["merges"]]
    with disk_errors(folder / "tokenizer"):
        text.tokenizer.save_pretrained(folder / "tokenizer")
        (folder / "tokenizer" / "vocab.json").write_text(vocabulary, encoding="utf-8")
        (folder / "tokenizer" / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
