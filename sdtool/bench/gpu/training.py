"""`finetune-agp` at full size: its loop beside the UNet alone and beside the stock loop."""

import torch

from sdtool.bench import training
from sdtool.bench.clocks import reset_peak
from sdtool.bench.gpu.figures import Sheet
from sdtool.bench.gpu.pipelines import pipelines
from sdtool.bench.gpu.setup import Setup
from sdtool.priors.loading import load_agp
from sdtool.training.distributed import Processes

GOAL_SHARE, GOAL_STOCK = 95.0, 1.3  # % of the UNet alone; times the stock loop
BATCHES, STEPS = (64, 48, 32, 24, 16, 8, 4), 6


def measure(setup: Setup, sheet: Sheet) -> None:
    """The three loops at the largest batch of `BATCHES` that fits."""
    _, agp = pipelines(setup)
    precision = "no" if setup.is_cpu else "bf16"
    for batch in (2,) if setup.small else BATCHES:
        rows = _rows(setup, agp, batch, precision)
        if rows is not None:
            break
        sheet.note(f"a batch of {batch}", "more than this memory")
    else:
        raise RuntimeError(f"out of memory even at a batch of {batch}")
    sheet.note("batch", batch)
    sheet.note("mixed precision", precision)
    names = {
        "the UNet alone": training.ALONE,
        "finetune-agp": training.OURS,
        "the stock loop": training.STOCK,
    }
    for name, row in names.items():
        seconds, most = rows[row]
        sheet.note(f"{name}: samples a second", batch / seconds)
        if most:
            sheet.note(f"{name}: peak memory", most / 2**30, "GB")
    alone, ours, stock = (rows[row][0] for row in names.values())
    sheet.at_least("finetune-agp, of the UNet alone", 100 * alone / ours, GOAL_SHARE, "%")
    sheet.at_least("finetune-agp, against the stock loop", stock / ours, GOAL_STOCK, "×")


def _rows(setup: Setup, agp, batch: int, precision: str) -> dict[str, tuple[float, int]] | None:
    """As `sdtool.bench.training.compared`; None if the device's memory does not hold it."""
    processes = Processes(setup.device, "bf16" if precision == "bf16" else "no")
    reset_peak(processes.device)  # what a larger batch has left behind
    prior = load_agp(agp, processes.device, torch.float32)
    prior.text = None  # texts are encoded before a training begins
    size = prior.unet.config
    arguments = ["--channels", str(size["block_out_channels"][0])]
    arguments += ["--latent", str(size["sample_size"]), "--batch", str(batch)]
    arguments += ["--steps", str(1 if setup.small else STEPS)]
    folder = setup.work / f"training-{batch}"
    folder.mkdir(exist_ok=True)
    try:
        return training.compared(prior, processes, training.options(arguments), folder)
    except torch.OutOfMemoryError:
        return None
