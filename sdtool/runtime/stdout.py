"""A stdout whose errors say that they are its own, so that they are told from those of files."""

import io
import sys

NAME = "stdout"


class _Named(io.FileIO):
    def write(self, data, /):
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, NAME) from None


def name_stdout() -> None:
    """Have `OSError.filename` be `NAME` where stdout cannot be written, and print paths that are no UTF-8 as
    they are. What has taken the place of the process's own stdout stays."""
    shown = sys.stdout
    if shown is not sys.__stdout__ or not isinstance(shown, io.TextIOWrapper):
        return
    raw = _Named(shown.fileno(), "wb", closefd=False)
    is_buffered = isinstance(shown.buffer, io.BufferedWriter)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw) if is_buffered else raw,  # as `python -u` has it
        encoding=shown.encoding,
        errors="surrogateescape",
        line_buffering=shown.line_buffering,
        write_through=not is_buffered,
    )
