"""An AGP as a folder: `unet/` for diffusers, agp.json for sdtool, README.md for people and model hubs."""

from pathlib import Path

import torch
from huggingface_hub import EvalResult, ModelCardData

from sdtool.io.files import write_json, write_text
from sdtool.priors.adapters import has_adapter
from sdtool.priors.cards import AGP_CARD
from sdtool.priors.fact_rows import fact_rows
from sdtool.priors.lora import save_adapter
from sdtool.priors.models import save_model
from sdtool.priors.prior import Prior

PREDICTS = {
    "epsilon": "the noise ε",
    "v_prediction": "v = √ᾱ·ε − √(1 − ᾱ)·x",
    "sample": "the clean map x",
}
CHANNELS = {
    4: "four channels: (2·xyz − 1)·coverage and 2·coverage − 1",
    3: "three channels: (2·xyz − 1)·coverage, so that the background is 0, mid-grey",
}


def save_agp(
    prior: Prior,
    folder: Path,
    *,
    base: str,
    facts: dict,
    exams: dict[str, dict] | None = None,
    fp16: bool = False,
) -> list[str]:
    """Write `unet/`, or the adapters in its place, agp.json and the model card; return the names of what was
    written.

    base: as `cards.stored_base` names it. facts: how it was trained. exams: name → what
    `sdtool.training.exam.take_exam` measured. fp16: float16 weights.
    """
    exams = exams or {}
    has_adapters = has_adapter(prior.unet)
    if has_adapters:
        made = save_adapter(prior, folder, base, torch.float16 if fp16 else torch.float32)
    else:
        save_model(prior.unet, folder / "unet", fp16)
        made = ["unet"]
    card = {"base": base, "sample_size": prior.sample_size, **facts, "exams": exams}
    for first in list(exams.values())[:1]:
        card["view_identification"] = first["view_identification"]
    write_json(folder / AGP_CARD, card)
    write_text(folder / "README.md", _card(prior, base, facts, exams, has_adapters))
    return [*made, AGP_CARD, "README.md"]


WHOLE = """    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    guess = unet(x, t, encoder_hidden_states=text, class_labels=camera).sample"""

ADAPTERS = """    unet = UNet2DConditionModel.from_pretrained(
        base, subfolder="unet", class_embed_type="projection",
        projection_class_embeddings_input_dim=12, low_cpu_mem_usage=False,
    )
    unet = peft.PeftModel.from_pretrained(unet, folder)
    guess = unet(x, t, encoder_hidden_states=text, class_labels=camera).sample

These are low-rank adapters of the base's UNet, which peft reads, and the whole perceptron through which the
camera comes in. The base's own weights are not in here and must be those whose fingerprint agp.json tells.
`sdtool merge-agp` writes the whole UNet."""


def _card(prior: Prior, base: str, facts: dict, exams: dict[str, dict], has_adapters: bool) -> str:
    size, use = prior.sample_size, ADAPTERS if has_adapters else WHOLE
    rows = fact_rows(facts)
    if prior.takes_sizes:
        use = use.replace("class_labels=camera)", "class_labels=camera, **added)")
        wide = prior.unet.config["projection_class_embeddings_input_dim"]
        use = use.replace("_dim=12", f"_dim={wide}")
    return f"""---
{_front_matter(base, exams, has_adapters)}
---

# An aligned geometric prior

A diffusion UNet that draws canonical coordinate maps of what a text names, seen from a given camera:
{size}×{size}, {CHANNELS[prior.channels]}. It was fine-tuned by `sdtool finetune-agp` from the
base prior `{base}`, whose text encoder and noise schedule it needs. The camera (the upper 3×4 of
camera-to-world, row by row, +Y up, the object facing +Z) goes in as `class_labels`:

{use}
{_ADDED if prior.takes_sizes else ""}{_projection(facts)}
Like its base, it predicts {PREDICTS[prior.prediction]}.

## Measures

{_measures(exams)}

## Training

| | |
|---|---|
{rows}
"""


def _projection(facts: dict) -> str:
    """A sentence about cameras without perspective; nothing about others."""
    camera = facts.get("camera") or {}
    if camera.get("model") != "orthographic":
        return ""
    return f"""
The cameras of its maps are **orthographic**: a side of a map shows {camera["scale"]:g} units of the world
in which the object's longest side is about 1. `sdtool lift` and `sdtool orient` render with perspective and
refuse it.
"""


_ADDED = """
The camera's twelve numbers are followed by zeros up to `projection_class_embeddings_input_dim`, and `added`
is {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes}}, as every UNet of SDXL's kind takes it.
"""


def _front_matter(base: str, exams: dict[str, dict], has_adapters: bool) -> str:
    """YAML as model hubs read it."""
    results = [
        EvalResult(
            task_type="text-to-3d",
            dataset_type="canonical-coordinate-maps",
            dataset_name=name,
            dataset_split=name,  # hubs tell results apart by it, not by the name
            metric_type="accuracy",
            metric_name=key.replace("_", " "),
            metric_value=facts[key],
        )
        for name, facts in exams.items()
        for key in ("view_identification", "category_identification")
        if key in facts
    ]
    is_hub_id = base.count("/") == 1 and not base.startswith(".")
    return ModelCardData(
        library_name="peft" if has_adapters else "diffusers",
        pipeline_tag="text-to-3d",
        tags=["sdtool", "canonical-coordinate-map", "aligned-geometric-prior"]
        + ["lora"] * has_adapters,
        base_model=base if is_hub_id else None,
        model_name="aligned geometric prior" if results else None,
        eval_results=results or None,
    ).to_yaml()


def _measures(exams: dict[str, dict]) -> str:
    if not exams:
        return "None were taken."
    bands = list(next(iter(exams.values()))["loss"])
    head = ["maps of", "maps", "objects", "view identification", "category identification"]
    lines = [head + [f"loss, t {band}" for band in bands], ["---"] * (5 + len(bands))]
    for name, facts in exams.items():
        category = "–"
        if "category_identification" in facts:
            category = (
                f"{facts['category_identification']:.1%} (1 of {facts['category_choices']}, "
                f"{facts['category_maps']} maps)"
            )
        line = [name, facts["maps"], facts["objects"], f"{facts['view_identification']:.1%}"]
        lines.append([*line, category, *facts["loss"].values()])
    table = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    return f"""None of these objects was trained on. View identification: of eight azimuths, how often
the true camera predicts a map's noise best (chance is 12.5%). Category identification: how often the
true category does, among others. Loss: of the training, by bands of timesteps.

{table}"""
