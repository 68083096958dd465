"""Base priors from a model hub: the small files first, which say whether the large ones are of use."""

import errno
from pathlib import Path

from sdtool.errors import InputError
from sdtool.priors.folder_check import check_kind
from sdtool.priors.weights import WEIGHTS

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "scheduler")
SMALL = ["model_index.json", "*/config.json", "scheduler/*.json"]
ENDINGS = ("json", "txt", "model", "safetensors")
NOT_WRITTEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOENT)


def fetched_base(name: str) -> Path:
    """The local copy of the base prior with the hub id `name`, downloaded if this machine may.

    Where a hub holds weights of float16 only, these are taken.
    """
    check_kind(_snapshot(name, SMALL), name)
    wanted = [f"{part}/*.{ending}" for part in PARTS for ending in ENDINGS]
    folder = _snapshot(name, wanted, ["*.fp16.*", "*.fp16-*", "*non_ema*"])
    for part, stem in WEIGHTS.items():
        if (folder / part).is_dir() and not list((folder / part).glob(f"{stem}*.safetensors")):
            folder = _snapshot(name, [f"{part}/*.fp16*"])
    if not (folder / "unet" / "config.json").is_file():
        raise InputError(f"{name} is not a base prior: it holds no unet/config.json")
    return folder


def _snapshot(name: str, wanted: list[str], not_wanted: list[str] | None = None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(name, allow_patterns=wanted, ignore_patterns=not_wanted or [])
        )
    except RuntimeError as error:  # pathlib's word for a user without a home directory
        raise InputError(
            f"the base prior {name} cannot be looked for ({str(error).rstrip('.')}); the variable "
            "HF_HOME names a folder for downloads"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in NOT_WRITTEN and error.filename:
            raise InputError(
                f"the base prior {name} cannot be stored ({error.filename}: {error.strerror}); the "
                "variable HF_HOME names another folder for downloads"
            ) from error
        raise InputError(
            f"the base prior {name} is not on this machine and could not be downloaded "
            f'({type(error).__name__}); check the id and the network, or use "tiny" or a folder'
        ) from error
