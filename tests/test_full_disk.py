"""A disk without room: the error names the file that was written, or stdout."""

import errno
import resource
from contextlib import contextmanager

import pytest

from sdtool.io.files import append_jsonl, disk_errors
from sdtool.io.ledger import Ledger
from sdtool.io.uid_table import UidTable
from sdtool.training.vae import LatentViews


@contextmanager
def small_files(size):
    """While it lasts, no file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_log_names_itself(tmp_path):
    with pytest.raises(OSError, match="too large") as caught, small_files(10):
        append_jsonl(tmp_path / "log.jsonl", {"step": "long" * 9})
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "log.jsonl"))


@pytest.mark.parametrize("gathered", [False, True])
def test_a_ledger_names_itself(tmp_path, gathered):
    ledger, line = Ledger(tmp_path / "l.partial"), {"source": "name", "caption": "long" * 99}
    with pytest.raises(OSError, match="too large") as caught, small_files(10):
        if gathered:
            with ledger.gathering():
                ledger.add_line(0, "a", line)
        else:
            ledger.add_line(0, "a", line)
    assert caught.value.filename == str(tmp_path / "l.partial")


def test_a_table_names_its_file(tmp_path):
    with pytest.raises(OSError, match="too large") as caught, small_files(10):
        UidTable.build([{f"{k}": f"{k}" for k in range(9999)}], tmp_path / "paths")
    assert caught.value.filename == str(tmp_path / "paths.hashes")


def test_latents_name_their_file(tmp_path):
    class Views:
        size = 128

        def __len__(self):
            return 3

        def maps(self, rows):
            raise AssertionError("room is taken first")

    with pytest.raises(OSError, match="too large") as caught, small_files(1000):
        LatentViews(Views(), None, tmp_path / "latents.npy")
    assert caught.value.filename == str(tmp_path / "latents.npy")


def test_errors_that_name_a_file_or_nothing_of_a_disk_stay(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, disk_errors("a"):
        open(tmp_path / "b", "rb")
    assert caught.value.filename == str(tmp_path / "b")
    with pytest.raises(ValueError, match="^no disk$"), disk_errors("a"):
        raise ValueError("no disk")
    with pytest.raises(OSError, match="File too large: 'a'"), disk_errors("a"):
        raise ValueError("I/O error (os error 27)")
