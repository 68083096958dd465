"""Checks that end in all the ways in which one can, for the tests of `make gpu-check`.

A module of their own that imports little: each process that runs them loads it.
"""

import os
import signal
import threading

from sdtool.bench.gpu.figures import Absent
from sdtool.bench.gpu.running import Check
from sdtool.errors import InputError, UsageError


def machine(setup):
    return {"name": "a pretended GPU", "device": setup.device}


def no_machine(setup):
    raise UsageError("there is none", "--device")


def good(setup, on):
    on.at_most("error", 0.0, 1.0)


def raises(setup, on):
    on.note("before", 1)
    raise ValueError("this went wrong\nand more about it")


def needs_memory(setup, on):
    raise MemoryError("CUDA out of memory. Tried to allocate 20 GiB")


def own_error(setup, on):
    raise InputError("a folder is missing")


def lacks(setup, on):
    raise Absent("the package warp is not installed")


def wrong(setup, on):
    on.at_most("error", 2.0, 1.0)
    on.note("after", 1)


def hangs(setup, on):
    on.note("before", 1)
    threading.Event().wait()


def dies(setup, on):
    os._exit(9)


def crashes(setup, on):
    on.note("before", 1)
    os.kill(os.getpid(), signal.SIGSEGV)


def check(run, share=1.0):
    return Check(run.__name__, run.__name__, "About it.", share, run)
