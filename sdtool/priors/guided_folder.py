"""A guided prior as a folder: that of the prior it came from, with another UNet and more in its card."""

import shutil
from pathlib import Path

from sdtool.io.files import read_json, write_json, write_text
from sdtool.priors.cards import AGP_CARD, CARD, base_of, stored_base
from sdtool.priors.fact_rows import fact_rows
from sdtool.priors.models import save_model
from sdtool.priors.prior import Prior

PARTS = (
    "model_index.json",
    "text_encoder",
    "tokenizer",
    "text_encoder_2",
    "tokenizer_2",
    "scheduler",
    "vae",
)
"""What of a base stays as it is."""


def save_guided(
    prior: Prior, source: Path, folder: Path, *, facts: dict, fp16: bool = False
) -> list[str]:
    """Write what `source`, a folder of an AGP or a base, became; return the names of what was written.

    facts: how it was distilled. fp16: float16 weights.
    """
    is_agp = (source / AGP_CARD).is_file()
    name = AGP_CARD if is_agp else CARD
    card = read_json(source / name) if (source / name).is_file() else {}
    if is_agp:
        card["base"] = stored_base(base_of(source), folder)
    write_json(folder / name, card | {"guided": True, "distillation": facts})
    made = [name, "unet", "README.md"]
    for part in () if is_agp else PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, folder / part, dirs_exist_ok=True)
        elif (source / part).is_file():
            shutil.copyfile(source / part, folder / part)
        else:
            continue
        made.append(part)
    save_model(prior.unet, folder / "unet", fp16)
    about = source / "README.md"
    text = about.read_text(encoding="utf-8") if about.is_file() else f"# {source.name}\n"
    rows = fact_rows(facts)
    write_text(folder / "README.md", text.rstrip() + _ABOUT.format(rows=rows))
    return made


_ABOUT = """

## Guidance in one pass

Afterwards `sdtool distill-guidance` taught the UNet to answer its guided prediction in one pass. Its first
channels are its prediction with the text, p_c, as before; the others are the direction δ in which guidance
of scale s goes: p_c + (s − 1)·δ.

| | |
|---|---|
{rows}
"""
