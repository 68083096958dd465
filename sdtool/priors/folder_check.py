"""Whether a folder holds a base prior of a kind that is understood: told from its small files, before
anything large is fetched or loaded."""

from pathlib import Path
from typing import Any

from sdtool.errors import InputError
from sdtool.io.files import read_json
from sdtool.priors.checkpoint import MORE, check_checkpoint
from sdtool.priors.sizes import SIZES, pooled_width, takes_sizes
from sdtool.priors.vocabulary import vocabulary_of
from sdtool.priors.weights import AGAIN, WEIGHTS, refuse_pickle, variant_of

GOOD = "name Stable Diffusion 1 or 2, SDXL, the first stage of DeepFloyd IF, or what was trained from them"
PREDICTIONS = ("epsilon", "v_prediction", "sample")
PARTS = ("unet", "text_encoder", "tokenizer", "scheduler")
SECOND = ("text_encoder_2", "tokenizer_2")  # SDXL's
CONFIGS = {"scheduler": "scheduler_config.json"}  # of the other parts: config.json
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))


def check_local(base: str) -> None:
    """InputError if a local folder or file that looks like a base is none: to be asked before all else."""
    refuse_pickle(base)
    if Path(base).is_file() and Path(base).suffix == ".safetensors":
        check_file(Path(base))
    elif (Path(base) / "unet" / "config.json").is_file():
        check_kind(Path(base), base)
        check_parts(Path(base), base)


def check_file(path: Path) -> None:
    """InputError if no base can be made of a single file: of its kind, or for want of a vocabulary."""
    check_checkpoint(path)
    vocabulary_of(path)


def check_kind(folder: Path, name: str) -> None:
    """InputError if the folder holds a model of another kind. name: what the user calls it."""
    if (folder / "transformer").is_dir() and not (folder / "unet").is_dir():
        raise _other(name, "a diffusion transformer such as SD3 or Flux, without a UNet")
    unet = _config(folder, "unet")
    if unet.get("class_embed_type") == "projection":
        raise InputError(f"{name} is an AGP, not a base prior; name its base instead")
    two = (folder / "text_encoder_2").is_dir() or "text_encoder_2" in _parts(folder)
    if takes_sizes(unet):
        _check_xl(folder, unet, name)
    elif two:
        raise _other(name, "with a second text encoder, which its UNet has no use for")
    check_unet(unet, name)
    takes, vae = unet.get("in_channels", 4), _config(folder, "vae")
    latents = vae.get("latent_channels", 4) if vae else takes
    if takes != latents or (not vae and takes not in (3, 4)):
        more = MORE | ({6: "a later stage of DeepFloyd IF"} if not vae else {})
        hint = f" ({more[takes]})" if takes in more else ""
        raise _other(name, f"one whose UNet takes {takes} channels, more than a picture{hint}")
    text = _config(folder, "text_encoder")
    width = unet.get("encoder_hid_dim") or unet.get("cross_attention_dim")
    widths = set(width) if isinstance(width, list) else {width}
    said = text.get("hidden_size") or text.get("d_model")
    if two and isinstance(said, int):
        said += _config(folder, "text_encoder_2").get("hidden_size", 0)
    if width and isinstance(said, int) and widths != {said}:
        raise InputError(
            f"{name} is put together of parts that do not belong together: its UNet takes texts of width "
            f"{'/'.join(sorted(map(str, widths)))}, its text encoder gives {said}; {AGAIN}"
        )
    scheduler = _config(folder, "scheduler")
    sampler = str(scheduler.get("_class_name"))
    if "Flow" in sampler:
        raise _other(name, "trained by flow matching, not to take noise away")
    if sampler.startswith("EDM"):
        raise _other(name, "trained with noise levels of its own (EDM)")
    if (prediction := scheduler.get("prediction_type", "epsilon")) not in PREDICTIONS:
        raise _other(name, f"one that predicts {prediction!r}, not {', '.join(PREDICTIONS)}")


def check_unet(config: dict[str, Any], name: str) -> None:
    """InputError if a UNet wants more than time, text and camera."""
    kind = config.get("_class_name", "UNet2DConditionModel")
    if kind != "UNet2DConditionModel":
        raise _other(name, f"one whose UNet is a {kind}, not a UNet2DConditionModel")
    added = config.get("addition_embed_type")
    if added not in (None, "text", "text_time"):
        raise _other(name, f"one whose UNet also wants {added!r}")
    if (hidden := config.get("encoder_hid_dim_type")) not in (None, "text_proj"):
        raise _other(name, f"one whose UNet also wants {hidden!r}")
    labels = config.get("class_embed_type") or (config.get("num_class_embeds") and "classes")
    if labels not in (None, "projection"):
        raise _other(name, f"one whose UNet also wants {labels!r}, as upscalers do")


def _check_xl(folder: Path, unet: dict[str, Any], name: str) -> None:
    """InputError if the folder's UNet is of SDXL's kind, and not SDXL's."""
    if not (folder / "text_encoder").is_dir() and "text_encoder" not in _parts(folder):
        raise _other(name, "the refiner of SDXL, which goes on with another's pictures")
    if not _is_there(folder, "text_encoder_2"):
        raise InputError(f"{name} is of the SDXL kind and lacks text_encoder_2/; {AGAIN}")
    gives = _config(folder, "text_encoder_2").get("projection_dim", 512)
    if {"addition_time_embed_dim", "projection_class_embeddings_input_dim"} <= unet.keys() and (
        pooled_width(unet) != gives
    ):
        raise InputError(
            f"{name} is put together of parts that do not belong together: its UNet takes {SIZES} sizes and "
            f"a pooled text of width {pooled_width(unet)}, its second text encoder gives {gives}; {AGAIN}"
        )


def check_parts(folder: Path, name: str, parts: tuple[str, ...] = PARTS) -> None:
    """InputError if the folder lacks files of these parts of a base prior, or of a second text encoder."""
    if "unet" in parts and ("vae" in _parts(folder) or (folder / "vae").is_dir()):
        parts = (*parts, "vae")
    if "text_encoder_2" in _parts(folder) or (folder / "text_encoder_2").is_dir():
        parts = (*parts, *SECOND)
    missing = [part for part in parts if not _is_there(folder, part)]
    if missing:
        named = " and ".join(f"{part}/" for part in missing)
        raise InputError(f"{name} lacks {named}, or what should be in it; {AGAIN}")
    for part in parts:
        if part in WEIGHTS:
            variant_of(folder / part, WEIGHTS[part], name)


def _is_there(folder: Path, part: str) -> bool:
    if part in ("tokenizer", "tokenizer_2"):
        return any(all((folder / part / n).is_file() for n in names) for names in TOKENIZERS)
    return (folder / part / CONFIGS.get(part, "config.json")).is_file()


def _parts(folder: Path) -> set[str]:
    """What the folder's model_index.json says that it holds; nothing if it has none."""
    path = folder / "model_index.json"
    index = read_json(path) if path.is_file() else {}
    items = index.items() if isinstance(index, dict) else ()
    return {key for key, value in items if isinstance(value, list) and value and value[0]}


def _config(folder: Path, part: str) -> dict[str, Any]:
    """The config of a part, {} if there is none."""
    path = folder / part / CONFIGS.get(part, "config.json")
    config = read_json(path) if path.is_file() else {}
    return config if isinstance(config, dict) else {}  # its own loader says what is wrong


def _other(name: str, kind: str) -> InputError:
    return InputError(f"{name} is {_article(kind)}, which sdtool cannot use; {GOOD}")


def _article(kind: str) -> str:
    return kind if kind.startswith(("a ", "one ")) else f"a model {kind}"
