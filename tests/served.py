"""Scripts whose `sdtool …` are run by this process: each would else spend seconds on its imports."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from sdtool import cli

# Sends its arguments, folder and environment, and does what the answer says; or is the real command.
STAND_IN = """#!{python} -SE
import json, os, socket, sys
if {stages!r} and sys.argv[1] not in {stages!r}:
    os.execv({real!r}, [{real!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as calls:
    calls.connect({address!r})
    calls.sendall(json.dumps([os.getcwd(), dict(os.environ), sys.argv[1:]]).encode())
    calls.shutdown(socket.SHUT_WR)
    answer = b"".join(iter(lambda: calls.recv(65536), b""))
code, out, err = json.loads(answer)
sys.stderr.write(err)
sys.stdout.write(out)
sys.exit(code)
"""


def run_served(
    command: list, cwd: Path, env: dict[str, str], stages: tuple[str, ...] = ()
) -> subprocess.CompletedProcess:
    """Run a command in a folder, with a stand-in for `sdtool` in front of its PATH; its finished process.

    stages: those that this process runs; others have a process of their own. Without any it runs all.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        address, place = f"{folder}/calls", Path(folder, "sdtool")
        real = str(Path(sys.executable).parent / "sdtool")
        facts = {"python": sys.executable, "address": address, "stages": stages, "real": real}
        place.write_text(STAND_IN.format(**facts))
        place.chmod(0o755)
        listener.bind(address)
        listener.listen()
        listener.settimeout(0.05)
        env = env | {"PATH": f"{folder}:{env['PATH']}"}
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=out, stderr=err)
        try:
            while process.poll() is None:
                try:
                    call, _ = listener.accept()
                except TimeoutError:
                    continue
                with call:
                    call.setblocking(True)
                    with call.makefile("rb") as asked:
                        where, variables, arguments = json.load(asked)
                    answer = _answer(where, variables, arguments)
                    call.sendall(json.dumps(answer).encode())
        finally:
            process.kill()
            process.wait()
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())


def _answer(where: str, variables: dict[str, str], arguments: list[str]) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of one command."""
    with (
        chdir(where),
        patch.dict(os.environ, variables, clear=True),
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as err,
    ):
        code = cli.run(arguments)
    return code, out.getvalue(), err.getvalue()
