"""A captioner and a CLIP with random weights and a vocabulary of their own, for the tests."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    OPTConfig,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
)

WORDS = (
    "a an the red blue green old small wooden metal chair table car cat dog house tree with of on "
    "and legs wheels roof two four arafed model 3d there is background white"
).split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]"]
IMAGE = 32


def tokenizer(extra: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """Words divided by spaces; a text stands between [CLS] and [SEP]."""
    vocabulary = {word: k for k, word in enumerate([*SPECIAL, *extra, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        additional_special_tokens=["[DEC]", *extra],
    )


def write_blip(folder: Path, seed: int = 0) -> Path:
    """A BLIP that says words of `WORDS` at random."""
    torch.manual_seed(seed)
    words = tokenizer()
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = BlipConfig(
        text_config={
            **small,
            "vocab_size": len(words),
            "num_hidden_layers": 2,
            "encoder_hidden_size": 32,
            "max_position_embeddings": 64,
            "bos_token_id": 4,
            "eos_token_id": 3,
            "sep_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={
            **small,
            "num_hidden_layers": 2,
            "image_size": IMAGE,
            "patch_size": 8,
            "initializer_range": 0.5,  # by default all pictures look alike to a fresh BLIP
        },
        projection_dim=16,
    )
    BlipForConditionalGeneration(config).save_pretrained(folder)
    pictures = BlipImageProcessorPil(size={"height": IMAGE, "width": IMAGE})
    BlipProcessor(pictures, words).save_pretrained(folder)
    return folder


def write_clip(folder: Path, seed: int = 1) -> Path:
    """A CLIP over the same words."""
    torch.manual_seed(seed)
    words = tokenizer()
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={
            **small,
            "vocab_size": len(words),
            "num_hidden_layers": 2,
            "max_position_embeddings": 20,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={**small, "num_hidden_layers": 2, "image_size": IMAGE, "patch_size": 8},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(folder)
    size = {"height": IMAGE, "width": IMAGE}
    pictures = CLIPImageProcessorPil(size={"shortest_edge": IMAGE}, crop_size=size)
    CLIPProcessor(pictures, words).save_pretrained(folder)
    return folder


CHAT = (
    "{% for message in messages %}[USER] {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}[ANSWER]{% endif %}"
)


def write_llava(folder: Path, seed: int = 2) -> Path:
    """A model that chats: LLaVA, with a chat template."""
    torch.manual_seed(seed)
    words = tokenizer(("<image>", "[USER]", "[ANSWER]"))
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = LlavaConfig(
        text_config=LlamaConfig(
            **small,
            vocab_size=len(words),
            num_hidden_layers=2,
            num_key_value_heads=2,
            max_position_embeddings=256,
            bos_token_id=2,
            eos_token_id=3,
            pad_token_id=0,
        ),
        vision_config=CLIPVisionConfig(
            **small, num_hidden_layers=2, image_size=IMAGE, patch_size=8, projection_dim=16
        ),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": IMAGE, "width": IMAGE}
    pictures = CLIPImageProcessorPil(size={"shortest_edge": IMAGE}, crop_size=size)
    LlavaProcessor(
        pictures,
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    ).save_pretrained(folder)
    return folder


def write_blip2(folder: Path, seed: int = 3) -> Path:
    """A BLIP-2 over an OPT."""
    torch.manual_seed(seed)
    words = tokenizer(("<image>",))
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = Blip2Config(
        text_config=OPTConfig(
            hidden_size=32,
            ffn_dim=64,
            num_attention_heads=2,
            word_embed_proj_dim=32,
            vocab_size=len(words),
            num_hidden_layers=2,
            max_position_embeddings=64,
            bos_token_id=2,
            eos_token_id=3,
            pad_token_id=0,
        ).to_dict(),
        vision_config={
            **small,
            "num_hidden_layers": 2,
            "image_size": IMAGE,
            "patch_size": 8,
            "initializer_range": 0.5,  # by default all pictures look alike to a fresh BLIP
        },
        qformer_config={**small, "num_hidden_layers": 2, "encoder_hidden_size": 32},
        num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    pictures = BlipImageProcessorPil(size={"height": IMAGE, "width": IMAGE})
    Blip2Processor(pictures, words, num_query_tokens=4).save_pretrained(folder)
    return folder


def write_siglip(folder: Path, seed: int = 4) -> Path:
    """A SigLIP over the same words."""
    torch.manual_seed(seed)
    words = tokenizer()
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config={
            **small,
            "vocab_size": len(words),
            "num_hidden_layers": 2,
            "max_position_embeddings": 20,
            "projection_size": 32,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={**small, "num_hidden_layers": 2, "image_size": IMAGE, "patch_size": 8},
    )
    SiglipModel(config).save_pretrained(folder)
    pictures = SiglipImageProcessorPil(size={"height": IMAGE, "width": IMAGE})
    SiglipProcessor(pictures, words).save_pretrained(folder)
    return folder
