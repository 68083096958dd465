"""`make bench`: the figures that docs/performance.md claims, each beside a baseline of the same run.

    python -m sdtool.bench [PART] [OPTIONS]

PART is one of PARTS; all of them run without it. OPTIONS are those of `sdtool lift`, or of the parts
`training` and `readers` (`python -m sdtool.bench training --help`), or folders of models for `repairs`. Only
ratios within one run mean anything.

    python -m sdtool.bench gpu --out DIR

is `make gpu-check`: what works on this GPU, how fast, and in how much memory.

    python -m sdtool.bench bases sdxl bf16

is a base at full size on the CPU: loaded, and one guided prediction.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sdtool.errors import SdtoolError

if TYPE_CHECKING:
    from rich.console import RenderableType


def parts() -> "dict[str, Callable[..., RenderableType]]":
    """Name → a function that measures and makes a table. Loads all that they need."""
    from sdtool.bench.captions import captions
    from sdtool.bench.collections import collections
    from sdtool.bench.distances import distances
    from sdtool.bench.encoding import encoding
    from sdtool.bench.exporting import exporting
    from sdtool.bench.filtering import filtering
    from sdtool.bench.lifting import lifting
    from sdtool.bench.nerf import nerf
    from sdtool.bench.readers import readers
    from sdtool.bench.rendering import rendering
    from sdtool.bench.repairs import repairs
    from sdtool.bench.training import training

    return {
        "filtering": filtering,
        "rendering": rendering,
        "collections": collections,
        "captions": captions,
        "encoding": encoding,
        "nerf": nerf,
        "training": training,
        "lifting": lifting,
        "exporting": exporting,
        "distances": distances,
        "readers": readers,
        "repairs": repairs,
    }


OPTIONS = ("lifting", "training", "readers", "repairs")  # parts that take them


def gpu(arguments: list[str]) -> int:
    """The part that makes a page of its own; returns the exit code."""
    from sdtool.bench.gpu.command import gpu_check

    return gpu_check(arguments)


def bases(arguments: list[str]) -> int:
    """The part about bases at full size; returns the exit code."""
    from sdtool.bench.bases import bases

    return bases(arguments)


def chain(arguments: list[str]) -> int:
    """The part that takes minutes: what a whole collection costs."""
    from rich.console import Console

    from sdtool.bench.chain import chain as measured

    with tempfile.TemporaryDirectory() as folder:
        Console(width=None if sys.stdout.isatty() else 150).print(measured(Path(folder), arguments))
    return 0


# Their exit codes say what they found. All parts together leave them out.
ALONE: dict[str, Callable[[list[str]], int]] = {
    "gpu": gpu,
    "bases": bases,
    "chain": chain,
}


def main() -> None:
    """Print a table for each part on stdout."""
    given = sys.argv[1:]
    try:
        if given and given[0] in ALONE:
            raise SystemExit(ALONE[given[0]](given[1:]))
        tables(given)
    except SdtoolError as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def tables(given: list[str]) -> None:
    """The tables of the part that is named first, or of all."""
    from rich.console import Console

    found = parts()
    console = Console(width=None if sys.stdout.isatty() else 100)
    if {"-h", "--help"} & set(given[:1]):
        print(f"{__doc__}\nPARTS: {', '.join([*found, *ALONE])}")
        return
    name, *options = given if given and given[0] in found else ["", *given]
    with tempfile.TemporaryDirectory() as folder:
        for part in [name] if name else found:
            takes = part == (name or "lifting") and part in OPTIONS
            console.print(found[part](Path(folder), *([options] if takes else [])))


if __name__ == "__main__":
    main()
