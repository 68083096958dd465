"""The checks, in order: what must be right comes first, so that a short time goes there."""

from sdtool.bench.gpu.figures import Sheet
from sdtool.bench.gpu.running import Check
from sdtool.bench.gpu.setup import Setup

# What they need is imported when they run, in the process that runs them.


def _rasterisers(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.rasterisers import compare

    compare(setup, sheet)


def _hash_grids(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.hash_grids import compare

    compare(setup, sheet)


def _marches(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.marches import compare

    compare(setup, sheet)


def _collection(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.collection import compare

    compare(setup, sheet)


def _throughput(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.throughput import measure

    measure(setup, sheet)


def _tiny_dmtet(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.tiny_lifts import lift_corgi

    lift_corgi(setup, sheet, "dmtet")


def _tiny_nerf(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.tiny_lifts import lift_corgi

    lift_corgi(setup, sheet, "nerf")


def _pipelines(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.pipelines import make

    make(setup, sheet)


def _paper_dmtet(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.paper_lifts import lift_paper

    lift_paper(setup, sheet, "dmtet")


def _paper_nerf(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.paper_lifts import lift_paper

    lift_paper(setup, sheet, "nerf")


def _training(setup: Setup, sheet: Sheet) -> None:
    from sdtool.bench.gpu.training import measure

    measure(setup, sheet)


_CORGI = (
    "`sdtool lift \"a corgi\"`, judged as the project's own tests judge the CPU's. At reduced size too few "
    "steps are taken for a corgi: what it shows is not judged."
)
_PAPER = (
    "With the random pipelines. First the command itself with a few steps a phase, to its end; then "
    "steps of each phase with both priors at work, as they are for their seconds, and cut where the maps "
    "meet the priors: the priors' part is their passes and the way back through the VAE."
)

CHECKS: dict[str, Check] = {
    "rasterisers": Check(
        "rasterisers",
        "Rasterisers against the CPU",
        "Each backend that is here finds what is visible and where silhouettes lie, in triangle soups "
        "and on fine surfaces, beside numba. Gradients are of the three primitives together.",
        0.15,
        _rasterisers,
    ),
    "hash-grids": Check(
        "hash-grids",
        "Hash grids against the CPU",
        "Values, gradients, and the gradients of a loss on the gradient in the points, beside numba, "
        "with the same table. Differences are shares of the length of what numba gives.",
        0.15,
        _hash_grids,
    ),
    "marches": Check(
        "marches",
        "Ray marches against the CPU",
        "Which samples are kept of the rays of a view of a ball, beside torch on the CPU, with one seed.",
        0.08,
        _marches,
    ),
    "render-ccm": Check(
        "render-ccm",
        "`render-ccm` against numba",
        "The same objects from the same cameras, loading and writing included; rates do not count "
        "the start.",
        0.15,
        _collection,
    ),
    "throughput": Check(
        "throughput",
        "Throughput",
        "Hash grid and ray march, as shares of what a copy on the device reads and writes. Bytes are "
        "those that are asked for, once: a memory that answers in whole sectors moves more, a cache "
        "less.",
        0.10,
        _throughput,
    ),
    "tiny-dmtet": Check(
        "tiny-dmtet",
        "A corgi with the bundled prior, `--rep dmtet`",
        _CORGI,
        0.20,
        _tiny_dmtet,
    ),
    "tiny-nerf": Check(
        "tiny-nerf",
        "A corgi with the bundled prior, `--rep nerf`",
        _CORGI,
        0.20,
        _tiny_nerf,
    ),
    "pipelines": Check(
        "pipelines",
        "Random pipelines",
        "A base prior and its AGP in Stable Diffusion 2.1's configuration, for the checks that follow.",
        0.15,
        _pipelines,
    ),
    "paper-dmtet": Check(
        "paper-dmtet",
        "`lift --preset paper --rep dmtet`",
        _PAPER,
        0.20,
        _paper_dmtet,
    ),
    "paper-nerf": Check(
        "paper-nerf",
        "`lift --preset paper --rep nerf`",
        _PAPER,
        0.20,
        _paper_nerf,
    ),
    "finetune-agp": Check(
        "finetune-agp",
        "`finetune-agp`",
        "With the random pipelines: the training's own loop beside its UNet alone and beside the "
        "stock text-to-image loop, at the largest batch that fits all three.",
        0.20,
        _training,
    ),
}
