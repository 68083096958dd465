"""What `python -m sdtool.evaluating.…` says of errors."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sdtool.errors import SdtoolError
from sdtool.io.names import escaped


@contextmanager
def one_sentence(module: str) -> Iterator[None]:
    """Make an error that people can cure one sentence of the module, and SystemExit."""
    try:
        yield
    except SdtoolError as error:
        said, code = str(error), error.exit_code
    except KeyboardInterrupt:
        said, code = "stopped", 130
    except OSError as error:  # a full disk, a folder not ours, …
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        said, code = f"{where}{error.strerror or error}", 1
    else:
        return
    print(f"{module}: {escaped(said)}", file=sys.stderr)
    raise SystemExit(code)
