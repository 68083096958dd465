"""Python's collector of circles, kept from work that finds none: it costs a third of a short process.

Modules, classes and functions are full of references in circles, and live until the process ends. The
collector looks through all of them again and again while many are being imported, and three times more as
the process ends. Neither changes a result.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """While it lasts, nothing is collected: for imports of many modules, which leave no garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def finish() -> None:
    """The process ends now: what it still holds need not be searched, its memory goes back as a whole."""
    gc.freeze()
