"""A whole Stable Diffusion in one `.safetensors` file: what kind it is, told from names and shapes of its
tensors, before anything large is read.

Such files have the names of the models' first code (`model.diffusion_model.…`); diffusers renames them. What
they do not hold is what a folder's small files say: configurations (`sdtool.priors.checkpoint_configs`
writes them) and the vocabulary (`sdtool.priors.vocabulary` finds it).
"""

import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from sdtool.errors import InputError
from sdtool.priors.weights import POINTER

UNET, VAE = "model.diffusion_model.", "first_stage_model."
FIRST_CONVOLUTION = f"{UNET}input_blocks.0.0.weight"
CLIP, OPEN_CLIP = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."
CLIP_XL, OPEN_CLIP_XL = (
    "conditioner.embedders.0.transformer.text_model.",
    "conditioner.embedders.1.model.",
)
MORE = {
    9: "inpainting",
    5: "depth-to-image",
    7: "an upscaler",
    8: "editing pictures",
}
"""What models whose UNet takes so many channels are for."""

OTHERS = {
    r"(model\.diffusion_model\.)?(double_blocks|joint_blocks|transformer_blocks|layers)\.": (
        "a diffusion transformer such as SD3 or Flux, without a UNet"
    ),
    r"lora_|.*\.lora_(down|up|A|B)\.|.*hada_w": "a LoRA, a change to a model that is not in it",
    r"control_model\.|input_hint_block\.": "a ControlNet",
    r".*motion_modules\.": "for videos (AnimateDiff)",
    r"edm_mean": "trained with noise levels of its own (EDM)",
    r"conditioner\.embedders\.0\.model\.": "the refiner of SDXL, which goes on with another's pictures",
    r"(down_blocks|encoder|text_model|embeddings)\.": (
        "one part of a diffusers folder alone; name the folder with unet/, text_encoder/ and the rest"
    ),
}
"""What begins the name of a tensor of a model that is none of ours."""


class Checkpoint:
    """The head of a file: `shapes` of its tensors by name, and its `metadata`. InputError if it has none."""

    def __init__(self, path: Path):
        self.path = path
        with open(path, "rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise InputError(
                    f"{path} is a pointer of Git LFS, not weights; fetch them: git lfs pull"
                )
        try:
            with safe_open(path, framework="numpy") as opened:
                self.shapes = {k: tuple(opened.get_slice(k).get_shape()) for k in opened.keys()}
                self.metadata: dict[str, str] = opened.metadata() or {}
        except SafetensorError as error:
            raise InputError(
                f"{path} is not a whole file of safetensors ({error}); copy or download it again"
            ) from error

    def has(self, prefix: str) -> bool:
        """Whether a tensor's name begins so."""
        return any(name.startswith(prefix) for name in self.shapes)

    def count(self, prefix: str) -> int:
        """How many numbers follow `prefix` in the names of tensors: 0, 1, 2, … without a gap."""
        n = 0
        while self.has(f"{prefix}{n}."):
            n += 1
        return n

    @property
    def is_xl(self) -> bool:
        """SDXL, with two text encoders."""
        return self.has(OPEN_CLIP_XL)

    @property
    def is_v2(self) -> bool:
        """Stable Diffusion 2, with OpenCLIP's text encoder."""
        return self.has(OPEN_CLIP)

    @property
    def prediction(self) -> str:
        """What its UNet predicts, "epsilon" or "v_prediction", where something says so; else "".

        Said by a mark in the file, by the metadata that trainers write, by a configuration beside it as the
        first code wants it (the file's name with .yaml), or by its kind: other than of Stable Diffusion 2
        they predict noise if nothing is said.
        """
        told = self.metadata.get("modelspec.prediction_type", "")
        beside = self.path.with_suffix(".yaml")
        if "v_pred" in self.shapes or told.startswith("v"):
            return "v_prediction"
        if not told and beside.is_file():
            text = beside.read_text(encoding="utf-8", errors="replace")
            by_v = re.search(r"^\s*parameterization:\s*['\"]?v\b", text, re.MULTILINE)
            return "v_prediction" if by_v else "epsilon"
        return "" if self.is_v2 and not told else "epsilon"

    @property
    def is_without_signal(self) -> bool:
        """Whether it was trained on a schedule that ends in pure noise (zero terminal SNR)."""
        return "ztsnr" in self.shapes


def check_checkpoint(path: Path) -> Checkpoint:
    """The head of a file; InputError if no base can be made of it."""
    found = Checkpoint(path)
    for pattern, kind in OTHERS.items():
        if any(re.match(pattern, name) for name in found.shapes):
            raise _other(path, kind)
    if FIRST_CONVOLUTION not in found.shapes:
        raise _other(path, f"without a UNet of Stable Diffusion's (no {FIRST_CONVOLUTION})")
    takes = found.shapes[FIRST_CONVOLUTION][1]
    if takes != 4:
        hint = f" ({MORE[takes]})" if takes in MORE else ""
        raise _other(
            path, f"one whose UNet takes {takes} channels, more than a picture's four{hint}"
        )
    if found.has(f"{UNET}label_emb.") and not found.is_xl:
        raise _other(
            path, "one whose UNet also wants classes or pictures, as upscalers and unCLIP do"
        )
    if not (found.is_v2 or found.has(CLIP) or (found.is_xl and found.has(CLIP_XL))):
        raise InputError(
            f"{path} holds no text encoder of Stable Diffusion's; take the whole checkpoint, not its UNet "
            "alone"
        )
    if not found.has(f"{VAE}encoder."):
        raise InputError(f"{path} holds no VAE; take the checkpoint with its VAE baked in")
    return found


def _other(path: Path, kind: str) -> InputError:
    one = kind if kind.startswith(("a ", "one ", "the ")) else f"a model {kind}"
    return InputError(
        f"{path} is {one}, which sdtool cannot use; name a checkpoint of Stable Diffusion 1 or 2 or SDXL"
    )
