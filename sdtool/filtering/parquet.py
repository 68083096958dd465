"""Parquet files, row by row, through pyarrow, which need not be installed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdtool.errors import InputError, MissingDependencyError

ROWS = 4096  # in memory at a time


def _library(path: Path):
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError(
            f"{path} needs the package pyarrow; install it with: pip install 'sdtool[tables]'"
        ) from None
    return pyarrow


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """{column: value} of each row; InputError if it is no Parquet file."""
    pyarrow = _library(path)
    try:
        with pyarrow.parquet.ParquetFile(path, memory_map=True) as file:
            for batch in file.iter_batches(batch_size=ROWS, use_threads=False):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        said = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read as Parquet ({said})") from None


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write some rows of the same columns, for checks."""
    pyarrow = _library(path)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
