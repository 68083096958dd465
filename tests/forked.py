"""`sdtool` for scripts that call it many times: each call is a fork of one process that has imported all.

What runs is the command line's own `run`, with the caller's arguments, folder, environment and standard
streams; only the seconds in which Python imports torch and diffusers are spent once, not at each call.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from array import array
from contextlib import contextmanager, suppress
from pathlib import Path

# The program that scripts find as `sdtool`: hands itself over, and ends as the fork did.
CLIENT = """
import json, os, socket, sys
from array import array

end = socket.socket(socket.AF_UNIX)
end.connect({path!r})
said = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [0, 1, 2]))]
end.sendmsg([len(said).to_bytes(8, "big")], streams)
end.sendall(said)
answer = end.makefile("r").readline()
sys.exit(int(answer) if answer.strip() else "the fork of sdtool ended without a word")
"""


@contextmanager
def forked_sdtool(folder):
    """Puts a program `sdtool` into `folder`, for the front of a PATH, which works as long as this lasts."""
    path, program = Path(folder) / "socket", Path(folder) / "sdtool"
    command = [sys.executable, __file__, str(path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert server.stdout.readline() == b"ready\n"
        program.write_text(f"#!{sys.executable} -IS\n" + CLIENT.format(path=str(path)))
        program.chmod(0o755)
        yield program
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        server.stdout.close()


def serve(path):
    """Fork for each caller, and tell it how that ended; until killed. In a fork: sdtool's exit code."""
    import sdtool.cli
    import sdtool.lifting.run
    import sdtool.priors.pairs
    import sdtool.training.agp  # noqa: F401

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    print("ready", flush=True)
    callers = {}
    while True:
        if select.select([listening], [], [], 0.03)[0]:
            caller = listening.accept()[0]
            if (child := os.fork()) == 0:
                listening.close()
                return answer(caller)
            callers[child] = caller
        while callers:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                break
            with suppress(OSError), callers.pop(child) as caller:
                caller.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def answer(caller):
    """Run `sdtool` as the caller would; its exit code."""
    size, ancillary, _, _ = caller.recvmsg(8, socket.CMSG_SPACE(3 * array("i").itemsize))
    streams, said = array("i"), b""
    streams.frombytes(ancillary[0][2])
    while len(said) < int.from_bytes(size, "big"):
        said += caller.recv(1 << 16)
    arguments, folder, environment = json.loads(said)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["sdtool", *arguments]
    return sys.modules["sdtool.cli"].run(arguments)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1]))
