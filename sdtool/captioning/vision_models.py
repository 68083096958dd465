"""Image captioning models and CLIP, as the transformers library gives them.

The captioner is any checkpoint for `AutoModelForImageTextToText`: BLIP, BLIP-2, or one that chats
(then it is asked by `INSTRUCTION` through its processor's chat template). The scorer is CLIP, or
another model with image and text features in one space. Both come from a local folder or from a
model hub; only safetensors are read.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdtool.captioning.cap3d import BLIP
from sdtool.errors import InputError, SdtoolError
from sdtool.priors.fitting import fitted

INSTRUCTION = (
    "Describe the object in this picture in one short phrase of at most fifteen words: what it is, "
    "its shape, colours and materials. Do not mention the background, the picture or the rendering."
)


class Captioner:
    """Samples captions of pictures."""

    def __init__(self, name: str, device: torch.device, dtype: torch.dtype = torch.float32):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        with _naming("captioner", name):
            self.model = _load(AutoModelForImageTextToText, name, "captioner", device, dtype)
            self.processor = AutoProcessor.from_pretrained(_folder_or_id(name))
        self.identity = _identity(name, self.model)
        self.kind: str = self.model.config.model_type
        self.chats = bool(getattr(self.processor, "chat_template", None))
        if self.chats:
            self.processor.tokenizer.padding_side = "left"  # the answer follows the question

    @torch.inference_mode()
    def sample(
        self, images: np.ndarray, uniforms: np.ndarray, top_p: float, temperature: float
    ) -> list[list[str]]:
        """Captions by nucleus sampling (Holtzman et al., 2020).

        images: (N, H, W, 3) uint8. uniforms: (N, K, L) in [0, 1), one number for each of at most L
        tokens of each of K captions: they alone decide what is drawn. Returns N lists of K texts.
        """
        count, samples, length = uniforms.shape
        batch = self._prepare(images)
        draw = _Nucleus(uniforms.reshape(count * samples, length), top_p, temperature)
        with _on_device():
            tokens = self.model.generate(
                **batch,
                max_new_tokens=length,
                do_sample=True,
                num_beams=1,
                num_return_sequences=samples,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                logits_processor=[draw],
            )
        if self.chats:
            tokens = tokens[:, batch["input_ids"].shape[1] :]
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        return [texts[start : start + samples] for start in range(0, len(texts), samples)]

    def _prepare(self, images: np.ndarray) -> dict[str, Any]:
        """The model's inputs for the pictures, and for its question if it chats."""
        from PIL import Image

        pictures = [Image.fromarray(image) for image in images]
        if self.chats:
            ask = {"type": "text", "text": INSTRUCTION}
            talks = [
                [{"role": "user", "content": [{"type": "image", "image": picture}, ask]}]
                for picture in pictures
            ]
            batch = self.processor.apply_chat_template(
                talks,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                processor_kwargs={"padding": True, "return_tensors": "pt"},
            )
        else:
            batch = self.processor(images=pictures, return_tensors="pt")
        batch = batch.to(self.model.device)
        batch["pixel_values"] = batch["pixel_values"].to(self.model.dtype)
        return batch


class _Nucleus:
    """A logits processor that leaves one token: the one at the given quantile of the nucleus.

    So each caption depends on numbers of its own, not on the library's global generator.
    """

    def __init__(self, uniforms: np.ndarray, top_p: float, temperature: float):
        self.uniforms, self.top_p, self.temperature = uniforms, top_p, temperature
        self.step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores: (rows, V) logits → 0 for the token that is drawn, −inf for all others."""
        logits = scores.float().nan_to_num().clamp(-1e4, 1e4)  # half precision may overflow
        p, order = torch.softmax(logits / self.temperature, -1).sort(-1, descending=True)
        before = p.cumsum(-1) - p
        p = torch.where(before < self.top_p, p, 0.0)  # the first stays always
        u = torch.as_tensor(self.uniforms[:, self.step], dtype=p.dtype, device=p.device)[:, None]
        self.step += 1
        place = (p.cumsum(-1) <= u * p.sum(-1, keepdim=True)).sum(-1, keepdim=True)
        place = torch.minimum(place, (p > 0).sum(-1, keepdim=True) - 1)  # rounding at the end
        return torch.full_like(scores, -torch.inf).scatter(1, order.gather(1, place), 0.0)


class Scorer:
    """Says how well texts fit pictures."""

    def __init__(self, name: str, device: torch.device, dtype: torch.dtype = torch.float32):
        from transformers import AutoModel, AutoProcessor

        with _naming("scorer", name):
            self.model = _load(AutoModel, name, "scorer", device, dtype)
            self.processor = AutoProcessor.from_pretrained(_folder_or_id(name))
        if not hasattr(self.model, "get_image_features"):
            raise InputError(f"--clip {name} has no features of images and texts; name a CLIP")
        self.identity = _identity(name, self.model)

    @torch.inference_mode()
    def fit(self, images: np.ndarray, texts: list[list[str]]) -> list[np.ndarray]:
        """How well texts fit pictures: cosines of their features (CLIP's score without its scale).

        images: (N, H, W, 3) uint8. texts: lists of texts; empty ones fit nothing (−1). Returns for
        each list of K texts (K, N) float32.
        """
        unique = sorted({text for some in texts for text in some if text})
        row = {text: k for k, text in enumerate(unique)} | {"": len(unique)}
        nothing = np.full((1, len(images)), -1, np.float32)
        fits = [nothing]
        if unique:
            with _on_device():
                cosines = self.texts(unique) @ self.images(images).T
            fits = [np.nan_to_num(cosines.cpu().numpy(), nan=-1.0), nothing]
        table = np.concatenate(fits)
        return [table[[row[text] for text in some]] for some in texts]

    def images(self, images: np.ndarray) -> torch.Tensor:
        """(N, H, W, 3) uint8 → (N, D) float32 unit features."""
        from PIL import Image

        pictures = [Image.fromarray(image) for image in images]
        batch = self.processor(images=pictures, return_tensors="pt").to(self.model.device)
        features = self.model.get_image_features(batch["pixel_values"].to(self.model.dtype))
        return _unit(features)

    def fitted(self, text: str, ending: str = "") -> str:
        """A text with an ending that stays, cut before it so that the model sees both."""
        places = self.model.config.text_config.max_position_embeddings

        def fits(whole: str) -> bool:
            return len(self.processor.tokenizer(whole, verbose=False).input_ids) <= places

        return fitted(text, ending, fits)[0]

    def texts(self, texts: list[str]) -> torch.Tensor:
        """N texts → (N, D) float32 unit features. A text is cut after the model's last place."""
        places = self.model.config.text_config.max_position_embeddings
        padding = "max_length" if "siglip" in self.model.config.model_type else True
        batch = self.processor(
            text=texts, padding=padding, truncation=True, max_length=places, return_tensors="pt"
        )
        return _unit(self.model.get_text_features(**batch.to(self.model.device)))


def _unit(features: Any) -> torch.Tensor:
    features = getattr(features, "pooler_output", features).float()
    return features / features.norm(dim=-1, keepdim=True)


def _folder_or_id(name: str) -> str:
    """A local folder, or a hub id."""
    if Path(name).is_dir():
        return str(Path(name).resolve())
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/"):
        raise InputError(
            f"{name} is not a folder; name a model's folder, or a hub id such as {BLIP}"
        )
    return name


def _load(kind: Any, name: str, role: str, device: torch.device, dtype: torch.dtype) -> Any:
    """The model of class `kind`, whole: the library would draw missing weights at random."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    source = _folder_or_id(name)
    if not Path(source).is_dir():
        print(f"looking for the {role} {name}", file=sys.stderr)
    options = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    model, facts = kind.from_pretrained(source, **options)
    if missing := sorted(facts["missing_keys"]):
        raise InputError(
            f"{name} lacks weights that a {role} needs ({missing[0]} and {len(missing) - 1} more); "
            f"name another checkpoint as --{'captioner' if role == 'captioner' else 'clip'}"
        )
    return model.to(device).eval()


def _identity(name: str, model: Any) -> str:
    """The id, and the commit if it came from a hub: what a caption's record names."""
    commit = getattr(model.config, "_commit_hash", None)
    return f"{name}@{commit}" if commit else name


@contextmanager
def _on_device() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise SdtoolError("the device's memory is full; use a smaller --batch") from None


@contextmanager
def _naming(role: str, name: str) -> Iterator[None]:
    """Turn what the library raises about a model into one sentence that names it."""
    try:
        yield
    except SdtoolError:
        raise
    except Exception as error:  # the library has classes of its own for it, and many
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if Path(name).is_dir():
            raise InputError(
                f"{name} cannot be loaded as a {role} ({reason}); it needs config.json, safetensors "
                "weights and the processor's files"
            ) from error
        raise InputError(
            f"the {role} {name} is not on this machine and could not be downloaded ({reason}); "
            "check the id and the network, or name a local folder"
        ) from error
