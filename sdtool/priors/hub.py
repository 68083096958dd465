"""Priors from a model hub: of a base the small files first, which say whether the large ones are of use."""

import errno
import re
from functools import cache
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


def is_hub_id(name: str) -> bool:
    """Whether this is the form of a hub id, OWNER/NAME, maybe with @REVISION."""
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?", name, re.ASCII) is not None


@cache
def fetched_agp(name: str) -> Path:
    """The local copy of the AGP with the hub id `name`, OWNER/NAME or OWNER/NAME@REVISION.

    Of its files only safetensors and json are taken. It is asked for once in a process.
    """
    name, _, revision = name.partition("@")
    return _snapshot(name, ["*.json", "*.safetensors"], what="AGP", revision=revision or None)


def _snapshot(
    name: str,
    wanted: list[str],
    not_wanted: list[str] | None = None,
    *,
    what: str = "base prior",
    revision: str | None = None,
) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=wanted, ignore_patterns=not_wanted or []
            )
        )
    except RuntimeError as error:  # pathlib's word for a user without a home directory
        raise InputError(
            f"the {what} {name} cannot be looked for ({str(error).rstrip('.')}); the variable "
            "HF_HOME names a folder for downloads"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in NOT_WRITTEN and error.filename:
            raise InputError(
                f"the {what} {name} cannot be stored ({error.filename}: {error.strerror}); the "
                "variable HF_HOME names another folder for downloads"
            ) from error
        raise InputError(
            f"the {what} {name}{f' at {revision}' if revision else ''} is not on this machine and could not "
            f'be downloaded ({type(error).__name__}); check the id and the network, or use "tiny" or a folder'
        ) from error
