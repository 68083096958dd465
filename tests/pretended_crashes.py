"""What a process of its own is given to do, for the tests of `sdtool.runtime.apart`; it imports little."""

import os
import signal
import threading

from sdtool.errors import UsageError


def answers(number):
    print("about it")
    return 2 * number


def refuses(option):
    raise UsageError("this cannot be", option)


def raises_what_cannot_be_sent():
    class Own(Exception):
        pass

    raise Own("deep inside")


def crashes():
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs():
    threading.Event().wait()
