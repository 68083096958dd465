"""Draw what a prior knows of prompts, before lifting them.

A contact sheet of eight views from the aligned geometric prior, as canonical coordinate maps (red
grows toward +X, green up, blue to the front), and samples of the base prior. If the eight views do
not show one consistent object, lifting will not either: try another wording or seed. Several prompts
get a row each: eight views from the AGP, four pictures and four normal maps from the base.

Examples:

    sdtool sample-prior "a corgi"

    sdtool sample-prior "a corgi" --agp agp/ --scale 7 --seed 3 --out look/

    sdtool sample-prior "a blue horse" "a red elephant" "a green chair" --out look/
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import stage_record
from sdtool.runtime.options import Agp, Device, Out, Overwrite, Seed

SIDE = 128  # pixels of a picture


def sample_prior(
    prompts: Annotated[list[str], typer.Argument(help="What to draw.", metavar="PROMPT…")],
    out: Out = Path("samples"),
    agp: Agp = "tiny",
    base: Annotated[
        str,
        typer.Option(
            help="Base prior: a folder, a file, tiny, or a hub id. Default: the AGP's own."
        ),
    ] = "",
    steps: Annotated[int, typer.Option(min=1, help="Sampling steps.")] = 30,
    scale: Annotated[float, typer.Option(min=0, help="Strength of the text guidance.")] = 5.0,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    if not all(prompt.strip() for prompt in prompts):
        raise UsageError('a prompt is empty; try: sdtool sample-prior "a corgi"', "PROMPT…")
    from sdtool.priors.folder_check import check_local

    check_local(base)
    params = {"prompts": prompts, "agp": agp, "base": base, "steps": steps, "scale": scale}
    params |= {"seed": seed}
    inputs = {"agp": Path(agp) if Path(agp).is_dir() else None}
    inputs["base"] = Path(base) if base and Path(base).exists() else None
    record = stage_record.begin(
        out, "sample-prior", params=params, inputs=inputs, overwrite=overwrite, patient=True
    )
    if record.is_done:
        print(f"{out} is already done; --overwrite draws it again", file=sys.stderr)
        return record.result()

    from sdtool.priors.cards import base_folder, base_of, cameras_of

    view_range = cameras_of(agp)  # refused before anything is loaded
    if base:
        base_folder(base)

    import torch

    from sdtool.priors.fitting import say_cut
    from sdtool.priors.loading import load_agp, load_base
    from sdtool.priors.sampling import contact_sheet, ddim, for_display
    from sdtool.runtime.devices import choose_device
    from sdtool.runtime.progress import progress
    from sdtool.training.identification import turntable_cameras

    where = choose_device(device)
    geometry = load_agp(agp, where)
    picture = load_base(base or base_of(agp), where)
    record.clear()
    if unknown := dict.fromkeys(word for text in prompts for word in picture.unknown_words(text)):
        print(f"the prior has never met: {', '.join(unknown)}", file=sys.stderr)

    for prompt in prompts:
        cut = picture.fitted(prompt)[1]
        less = picture.fitted_normal(prompt)[1] if picture.normal_suffix else cut
        for words, whose in ((cut, "the prompt"), (less, "for normals the prompt")):
            if words and (words != cut or whose == "the prompt"):
                print(say_cut(words, whose, picture.text_encoder.length), file=sys.stderr)

    def drawn(prior, text, count, c2w=None):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            embedded, empty = prior.encode_text([prior.fitted(text)[0]]), prior.encode_text([""])
        text = embedded.expand(count, -1, -1)
        x = ddim(prior, text, empty, generator=generator, c2w=c2w, steps=steps, scale=scale)
        return for_display(prior.decode_image(x), SIDE)

    cameras, rows = turntable_cameras(view_range=view_range).to(where), []
    count = 8 if len(prompts) == 1 else 4
    with progress("drawing", len(prompts), "prompts") as bar:
        for prompt in prompts:
            drawings = [(f"{prompt}: AGP, eight azimuths", drawn(geometry, prompt, 8, cameras))]
            drawings.append((f"{prompt}: base", drawn(picture, prompt, count)))
            if picture.normal_suffix:
                asked = picture.normal_prompt(prompt)
                drawings.append((asked, drawn(picture, asked, count)))
            if len(prompts) > 1:
                drawings = [(prompt, torch.cat([pictures for _, pictures in drawings]))]
            rows += drawings
            bar.advance()
    chunks = {"prompt": "; ".join(prompts), "scale": scale, "steps": steps, "seed": seed}
    contact_sheet(out / "samples.png", rows, side=SIDE, text=chunks)
    return record.finish(counts={"ok": len(prompts), "failed": 0}, outputs=["samples.png"])
