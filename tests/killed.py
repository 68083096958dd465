"""Commands that are killed at a known moment: when their own progress has come so far.

Nobody watches from outside, so that no outcome hangs on how fast a machine is.
"""

import json
import subprocess
import sys

CODE = """
import json, os, signal, sys
from sdtool.runtime.progress import Bar

arguments, title, count, whole_group = json.loads(sys.argv[1])
advance, seen = Bar.advance, 0

def counted(self, count_=1, *args, **options):
    global seen
    advance(self, count_, *args, **options)
    seen += count_ * (self._bar.tasks[self._task].description == title)
    if seen >= count:
        os.killpg(0, signal.SIGKILL) if whole_group else os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    Bar.advance = counted
    from sdtool.cli import main
    main(arguments)
"""


def kill_at(arguments, title, count, cwd=None, workers_too=True, code=CODE, **options):
    """Run `sdtool ARGUMENTS` and have it kill itself (-9) as its bar TITLE reaches `count`.

    workers_too: its worker processes are killed at the same moment. Returns its process id.
    """
    asked = json.dumps([[str(a) for a in arguments], title, count, workers_too])
    process = subprocess.Popen(
        [sys.executable, "-c", code, asked],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )
    errors = process.communicate()[1]
    assert process.returncode == -9, errors
    return process.pid


class StandingClock:
    """Stands in for the module `time` where items are timed: `now` moves when a test says so."""

    now = 0.0

    def monotonic(self):
        return self.now
