"""`make bench`: the figures that docs/performance.md claims, each beside a baseline of the same run.

    python -m sdtool.bench [PART] [OPTIONS]

PART is one of PARTS; all of them run without it. OPTIONS are those of `sdtool lift`, or of the part
`training` (`python -m sdtool.bench training --help`). Only ratios within one run mean anything.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sdtool.bench.captions import captions
from sdtool.bench.collections import collections
from sdtool.bench.distances import distances
from sdtool.bench.encoding import encoding
from sdtool.bench.exporting import exporting
from sdtool.bench.filtering import filtering
from sdtool.bench.lifting import lifting
from sdtool.bench.nerf import nerf
from sdtool.bench.rendering import rendering
from sdtool.bench.training import training
from sdtool.errors import SdtoolError

PARTS: dict[str, Callable[..., Table]] = {
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
}


def main() -> None:
    """Print a table for each part on stdout."""
    console = Console(width=None if sys.stdout.isatty() else 100)
    if {"-h", "--help"} & set(sys.argv[1:2]):
        print(f"{__doc__}\nPARTS: {', '.join(PARTS)}")
        return
    name, *options = sys.argv[1:] if sys.argv[1:2] and sys.argv[1] in PARTS else ["", *sys.argv[1:]]
    try:
        with tempfile.TemporaryDirectory() as folder:
            for part in [name] if name else PARTS:
                takes = part == (name or "lifting") and part in ("lifting", "training")
                given = [options] if takes else []
                console.print(PARTS[part](Path(folder), *given))
    except SdtoolError as error:
        raise SystemExit(f"bench: {error}") from None


if __name__ == "__main__":
    main()
