"""What is tried in a process of its own: its answer and its errors come back, its crash is named."""

import signal

import pretended_crashes as tasks
import pytest

from sdtool.errors import SdtoolError, UsageError
from sdtool.runtime.apart import apart, how_it_ended


def test_an_answer_comes_back_and_nothing_is_printed_to_stdout(capfd):
    assert apart(tasks.answers, 21) == 42
    said = capfd.readouterr()
    assert said.out == "" and "about it" in said.err


def test_an_error_comes_back():
    with pytest.raises(UsageError, match="this cannot be") as caught:
        apart(tasks.refuses, "--lr")
    assert caught.value.options == ("--lr",)
    with pytest.raises(RuntimeError, match="Own: deep inside"):
        apart(tasks.raises_what_cannot_be_sent)


def test_a_crash_is_named_and_this_process_lives():
    with pytest.raises(SdtoolError, match=r"its process crashed \(SIGSEGV, Segmentation fault\)"):
        apart(tasks.crashes)


def test_a_hang_ends():
    with pytest.raises(SdtoolError, match=r"it took longer than 0\.1 s"):
        apart(tasks.hangs, seconds=0.1)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-signal.SIGABRT, "its process crashed (SIGABRT, Aborted)"),
        (-signal.SIGKILL, "its process died (exit code -9), perhaps for want of memory"),
        (1, "its process died (exit code 1), perhaps for want of memory"),
    ],
)
def test_an_end_has_its_reason(code, said):
    assert how_it_ended(code) == said
