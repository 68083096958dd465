"""Train a small text-to-image base prior from nothing.

VIEWS are outputs of `sdtool render-ccm` that hold the maps `rgb` and `normal`; both are used, taken
in turn at random, and the prompt of a normal map ends in ", normal map". The cameras are not used:
like any text-to-image model, this prior knows what things look like, but not from where.

The result is a folder in diffusers' layout. With `--vae`, a folder that `sdtool train-vae` wrote, it
works on latents, a quarter of the pictures' size; without, in pixel space. Pictures have coverage as
their fourth channel. Either way 32×32 trains on one CPU core in about an hour.

**Examples**

    sdtool render-ccm objs/ --out views/ --maps rgb,normal --size 32

    sdtool train-base views/ --captions captions/ --out base/ --steps 3000

    sdtool train-base views-128/ --captions captions/ --vae vae/ --out base/ --steps 3000
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import stage_record
from sdtool.io.captions import captions_in, read_captions

MAPS = ("rgb", "normal")
LATENTS = "latents.npy"  # of all pictures, while it trains


def train_base(
    views: Annotated[
        list[Path], typer.Argument(help="Folders of rendered views.", metavar="VIEWS")
    ],
    captions: Annotated[Path, typer.Option(help="captions.jsonl, or the folder that holds it.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("base"),
    vae: Annotated[
        Path | None, typer.Option(help="Folder of a VAE: train on latents.", show_default=False)
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 3000,
    batch: Annotated[int, typer.Option(min=1, help="Images in a step.")] = 32,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate.")] = 1e-3,
    ema: Annotated[
        float, typer.Option(min=0, max=1, help="Decay of the averaged weights.")
    ] = 0.995,
    text_dropout: Annotated[
        float, typer.Option(min=0, max=1, help="Share of empty prompts, for guidance.")
    ] = 0.1,
    grow: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the steps at half resolution, first.")
    ] = 0.4,
    focus: Annotated[
        float, typer.Option(min=0, max=1, help="Share of samples with noise of middling strength.")
    ] = 0.7,
    width: Annotated[
        int, typer.Option(min=8, help="Channels of the first level; a multiple of 8.")
    ] = 32,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 250,
    sample_every: Annotated[int, typer.Option(min=1, help="Steps between sample grids.")] = 500,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, …", autocompletion=lambda: ["auto", "cpu", "cuda"])
    ] = "auto",
    mixed_precision: Annotated[
        str, typer.Option(help="no or bf16.", autocompletion=lambda: ["no", "bf16"])
    ] = "no",
    half: Annotated[bool, typer.Option("--half", help="Store float16 weights.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier result.")
    ] = False,
) -> stage_record.Result:
    if width % 8:
        raise UsageError(f"--width {width} is not a multiple of 8")
    if mixed_precision not in ("no", "bf16"):
        raise UsageError(f"--mixed-precision {mixed_precision} is unknown; use no or bf16")
    captions = captions_in(captions)
    from sdtool.training.distributed import require_alone

    require_alone("train-base")
    params = {"steps": steps, "batch": batch, "lr": lr, "ema": ema, "text_dropout": text_dropout}
    params |= {"focus": focus}
    params |= {"grow": grow, "width": width, "mixed_precision": mixed_precision, "half": half}
    params |= {"seed": seed}
    inputs = {f"views-{k}": folder for k, folder in enumerate(views)} | {"captions": captions}
    inputs |= {"vae": vae}
    record = stage_record.begin(
        out,
        "train-base",
        params=params,
        inputs=inputs,
        overwrite=overwrite,
        owned=("samples/step-??????.png", LATENTS),
        patient=True,
    )
    if record.is_done:
        print(f"{out} is already done; --overwrite trains it again", file=sys.stderr)
        return record.result()

    import torch

    from sdtool.priors.fresh import NORMAL_SUFFIX, fresh_base, save_base
    from sdtool.priors.loading import load_vae
    from sdtool.priors.sampling import contact_sheet, ddim
    from sdtool.runtime.devices import choose_device
    from sdtool.training.checkpoints import clear_checkpoints
    from sdtool.training.data import Prompts, Views
    from sdtool.training.loop import Plan, train
    from sdtool.training.vae import FACTOR, LatentViews

    prompts_of = read_captions(captions)
    data = Views(views, MAPS, prompts_of)
    images, size = data, data.size
    codec = load_vae(vae) if vae else None
    if codec:
        size //= FACTOR
    if size % 8:
        least = 8 * FACTOR if codec else 8
        raise UsageError(f"maps of {data.size} pixels; render with a --size that {least} divides")
    prompts = Prompts(data, prompts_of, ("", NORMAL_SUFFIX))
    texts = sorted({text for uid in data.uids for text in prompts_of[uid]})
    prior = fresh_base(texts, size=size, width=width, seed=seed, vae=codec)
    prior = prior.to(choose_device(device))
    tokens, mask = (v.to(prior.device) for v in prior.text.tokenize(prompts.table))

    def choose(generator, count):
        index = torch.randint(len(data), (count,), generator=generator)
        return index, prompts.draw(data, index.numpy(), text_dropout, generator)

    def load(index, numbers):
        return images.maps(index.numpy()), numbers, None

    def embed(numbers):
        return prior.text.embed(tokens[numbers], mask[numbers])

    captioned = sorted({prompts_of[uid][0] for uid in data.uids})
    shown = [captioned[k * len(captioned) // 6] for k in range(min(6, len(captioned)))]

    def sample(step):
        empty = prior.encode_text([""])
        rows = []
        for prompt in shown:
            texts = [prompt] * 4 + [prompt + NORMAL_SUFFIX] * 4
            generator = torch.Generator().manual_seed(seed)
            x = ddim(prior, prior.encode_text(texts), empty, generator=generator, steps=20)
            rows.append((prompt, prior.decode_image(x)))
        contact_sheet(out / "samples" / f"step-{step:06d}.png", rows)

    said = f"{len(data)} maps of {len(data.uids)} objects, {len(prompts.table)} prompts"
    print(f"{said}, {data.size}×{data.size}, on {prior.device}", file=sys.stderr)
    plan = Plan(
        steps=steps,
        batch=batch,
        lr=lr,
        ema=ema,
        grow=grow,
        focus=focus,
        mixed_precision=mixed_precision,
        checkpoint_every=checkpoint_every,
        sample_every=sample_every,
    )
    trained = {"unet": prior.unet, "text": prior.text.model}
    record.clear()
    if codec:
        bf16 = mixed_precision == "bf16"
        with torch.autocast(prior.device.type, torch.bfloat16, enabled=bf16):
            images = LatentViews(data, codec, out / LATENTS)
    loss = train(prior, trained, choose, load, plan, out, seed=seed, embed=embed, sample=sample)
    facts = params | {"maps": len(data), "objects": len(data.uids), "loss": round(loss, 5)}
    outputs = save_base(prior.cpu(), out, facts=facts, half=half)
    clear_checkpoints(out)
    (out / LATENTS).unlink(missing_ok=True)
    counts = {"ok": len(data.uids), "failed": 0, "maps": len(data)}
    return record.finish(counts=counts, outputs=[*outputs, "log.jsonl", "samples"])
