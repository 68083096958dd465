"""The weights of a part of a prior: found under any of their usual names, whole, or one clear sentence."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sdtool.errors import InputError, SdtoolError
from sdtool.io.files import read_json

AGAIN = "copy or download the whole folder again"
DIFFUSERS, TRANSFORMERS = "diffusion_pytorch_model", "model"  # how the files' names begin
WEIGHTS = {"unet": DIFFUSERS, "vae": DIFFUSERS, "text_encoder": TRANSFORMERS}
WEIGHTS |= {"text_encoder_2": TRANSFORMERS}
CONVERT = (
    "from diffusers import DiffusionPipeline; "
    "DiffusionPipeline.from_pretrained('{0}', use_safetensors=False).save_pretrained('{0}-safetensors')"
)
"""Python that makes safetensors of a folder's weights of other kinds."""
POINTER = b"version https://git-lfs"


PICKLES = (".ckpt", ".pt", ".pth", ".bin")
CONVERT_FILE = (
    "import torch; from safetensors.torch import save_file; "
    "w = torch.load('{0}', map_location='cpu', weights_only=True); "
    "save_file({{k: v.contiguous() for k, v in w.get('state_dict', w).items() if torch.is_tensor(v)}}, '{1}')"
)
"""Python that makes a `.safetensors` file of a checkpoint of the older kinds."""


def refuse_pickle(name: str) -> None:
    """InputError if a path is that of a checkpoint of a kind that can run code."""
    path = Path(name)
    if path.suffix in PICKLES and path.is_file():
        raise InputError(
            f"{name} is a {path.suffix} file, which can run code when it is opened; where you trust it, "
            f"convert it once, in Python: {CONVERT_FILE.format(path, path.with_suffix('.safetensors'))}"
        )


def load_whole(kind: Any, place: Path, stem: str, **options: Any) -> Any:
    """The model of the class `kind` in a folder, from safetensors, as the library loads it.

    stem: `DIFFUSERS` or `TRANSFORMERS`. InputError if weights are missing, which the libraries would draw
    at random or leave empty, or if some are no numbers.
    """
    options |= {"variant": variant_of(place, stem, str(place)), "use_safetensors": True}
    model, facts = kind.from_pretrained(place, output_loading_info=True, **options)
    if missing := sorted(facts["missing_keys"]):
        some = ", ".join(missing[:2]) + ", …" * (len(missing) > 2)
        raise InputError(
            f"{place} is not whole: its weights lack {len(missing)} of {len(model.state_dict())} tensors "
            f"({some}), so it is a broken copy or of another architecture; {AGAIN}"
        )
    if name := no_number(model.named_parameters()):
        kept = {key: value for key, value in options.items() if key not in ("dtype", "torch_dtype")}
        # in the files' own precision, which may hold more
        whole = kind.from_pretrained(place, **kept)
        if name := no_number(whole.named_parameters()):
            raise InputError(
                f"{place} is damaged: its tensor {name} holds what is no number (NaN or infinity); {AGAIN}"
            )
    return model


def no_number(named: Iterable[tuple[str, Any]]) -> str:
    """The name of the first of such torch tensors that holds NaN or infinity; "" if none does."""
    import torch

    for name, value in named:
        # What sums to a number holds numbers only; a sum alone may overflow.
        if not torch.isfinite(value.sum()) and not torch.isfinite(value).all():
            return name
    return ""


def refuse_no_numbers(named: Iterable[tuple[str, Any]], path: Path, dtype: Any) -> None:
    """SdtoolError if such a tensor, to be written to `path` as `dtype`, holds NaN or infinity."""
    import torch

    if name := no_number(named):
        cure = "its training broke: lower --lr"
        if dtype == torch.float16:
            cure = "float16 ends at 65,504: leave out --fp16"
        raise SdtoolError(
            f"{path} is not written: its tensor {name} would hold what is no number (NaN or infinity); {cure}"
        )


def variant_of(place: Path, stem: str, name: str) -> str | None:
    """What the files with a model's weights are called beside the usual ("fp16"); None if as usual.

    stem: how their names begin. InputError if there are none, or only some of them. name: of the whole.
    """
    found: dict[str | None, list[Path]] = {}
    for path in sorted(place.glob(f"{stem}*.safetensors*")):
        if match := re.fullmatch(
            rf"{stem}(?:\.(?!safetensors)([\w-]+?))?(?:-\d+-of-\d+)?(?:\.([\w-]+))?\.safetensors"
            rf"|{stem}\.safetensors\.index(?:\.([\w-]+))?\.json",
            path.name,
        ):
            found.setdefault(match[1] or match[2] or match[3], []).append(path)
    order = [key for key in (None, "fp16", "bf16", *sorted(k for k in found if k)) if key in found]
    if not order:
        loose = [
            p.name for e in ("bin", "ckpt", "pt", "msgpack", "h5") for p in place.glob(f"*.{e}")
        ]
        if loose:
            raise InputError(
                f"{place} has its weights in {loose[0]}, a kind of file that can run code; where you trust "
                f"it, convert the folder once, in Python: {CONVERT.format(place.parent)}"
            )
        raise InputError(f"{name} lacks its weights: no {place / stem}.safetensors; {AGAIN}")
    for path in found[order[0]]:
        if path.suffix == ".json":
            named = read_json(path).get("weight_map")
            files = sorted(set(named.values())) if isinstance(named, dict) else []
            if gone := [file for file in files if not (place / str(file)).is_file()]:
                raise InputError(
                    f"{place} lacks {len(gone)} of its {len(files)} files: {gone[0]}, …; {AGAIN}"
                )
            continue
        with open(path, "rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise InputError(
                    f"{path} is a pointer of Git LFS, not weights; fetch them: git lfs pull"
                )
    return order[0]
