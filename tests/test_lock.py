"""Two commands in one directory: the second says who holds it, and a dead one holds nothing."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from sdtool import cli
from sdtool.errors import BusyError, ObjectError, UsageError
from sdtool.io import lock
from sdtool.io.lock import LOCK, SILENT
from sdtool.io.stage_record import begin, digest
from sdtool.runtime.ranks import Ranks

HERE = socket.gethostname()
OTHER = """
import sys
from sdtool.io.stage_record import begin
begin(sys.argv[1], "demo", params={"seed": 0})
open(sys.argv[1] + "/made", "w").write("work")
print("begun", flush=True)
sys.stdin.read()
"""


def open_stage(out, **more):
    return begin(out, "demo", params={"seed": 0}, **more)


@contextmanager
def another_process(out):
    """A process that has begun a stage in `out`, and ends when it is told to."""
    command = [sys.executable, "-c", OTHER, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        yield process
        process.kill()


def leave_lock(out, *, host=HERE, process=2**22 + 5, since=0.0, silence=0.0, **more):
    """The lock of a command that is at work elsewhere, or has died."""
    out.mkdir(exist_ok=True)
    said = {"stage": "lift", "host": host, "process": process, "since": since} | more
    (out / LOCK).write_text(json.dumps(said))
    moment = time.time() - silence
    os.utime(out / LOCK, (moment, moment))


def test_the_second_says_who_holds_it_and_a_killed_one_holds_nothing(tmp_path, capsys):
    out = tmp_path / "out"
    with another_process(out) as first:
        holder = rf"in use by sdtool demo, process {first.pid} on {HERE}, since \d{{4}}-\d\d-\d\d "
        for overwrite in (False, True):
            with pytest.raises(BusyError, match=holder) as error:
                open_stage(out, overwrite=overwrite)
            assert "another --out" in str(error.value)
        with pytest.raises(BusyError):  # whatever would be made there
            begin(out, "lift", params={"seed": 1})
        assert (out / "made").read_text() == "work"
        first.kill()  # -9: its file stays
        first.wait()
        assert (out / LOCK).exists()
        record = open_stage(out)
    assert record.resumed and f"taken over from sdtool demo, process {first.pid}" in (
        capsys.readouterr().err
    )
    record.finish(counts={}, outputs=[])
    assert sorted(p.name for p in out.iterdir()) == ["made", "stage.json"]


def test_a_command_that_ends_well_or_badly_gives_free(tmp_path, monkeypatch, capsys):
    seen = []

    def stage(out):
        seen.append((tmp_path / "out" / LOCK).exists())
        raise UsageError("no", "--out")

    def command(*arguments, **options):
        open_stage(tmp_path / "out")
        return stage(tmp_path / "out")

    monkeypatch.setattr(cli.typer.main, "get_command", lambda app: command)
    assert cli.run(["demo"]) == 2
    assert seen == [True] and not (tmp_path / "out" / LOCK).exists()
    open_stage(tmp_path / "out").finish(counts={}, outputs=[])
    assert not (tmp_path / "out" / LOCK).exists()


def test_one_process_may_begin_again(tmp_path):
    open_stage(tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    open_stage(tmp_path / "link").finish(counts={}, outputs=[])
    assert not (tmp_path / "out" / LOCK).exists()


def test_a_machine_that_shares_the_disk_is_believed_while_it_gives_signs(tmp_path, capsys):
    out = tmp_path / "out"
    leave_lock(out, host="node7", process=12, since=time.time() - 7300, silence=90)
    before = (out / LOCK).stat().st_mtime_ns
    with pytest.raises(BusyError) as error:
        open_stage(out)
    said = str(error.value)
    assert "process 12 on node7" in said and "(2 hours ago)" in said
    assert "last sign of life is 9" in said and f"remove {out / LOCK}" in said
    assert (out / LOCK).stat().st_mtime_ns == before, "asking is no sign of life of the holder"
    leave_lock(out, host="node7", process=12, silence=SILENT + 1)
    open_stage(out)
    assert "taken over from sdtool lift, process 12 on node7" in capsys.readouterr().err
    assert json.loads((out / LOCK).read_text())["process"] == os.getpid()


def test_a_container_that_was_killed_is_known_by_the_machines_boot(tmp_path, capsys):
    """Each start of a container has a host name of its own, and often the same process number."""
    leave_lock(tmp_path / "out", host="3f2a9c", boot=lock._boot(), silence=5)
    open_stage(tmp_path / "out")
    assert "taken over from sdtool lift" in capsys.readouterr().err
    leave_lock(tmp_path / "far", host="3f2a9c", boot="another", silence=5)
    with pytest.raises(BusyError, match="on 3f2a9c"):
        open_stage(tmp_path / "far")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"stage": "a", "host": "b", "process": "c", "since": 1e99}', "\0" * 99]
)
def test_a_lock_that_says_nothing_is_taken_if_nobody_holds_it(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    open_stage(tmp_path)
    assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()


def test_without_locks_of_the_system_the_process_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    leave_lock(tmp_path / "a", process=os.getppid())
    with pytest.raises(BusyError, match=f"process {os.getppid()}"):
        open_stage(tmp_path / "a")
    leave_lock(tmp_path / "b")  # its process has ended
    open_stage(tmp_path / "b")


def test_ranks_do_not_hinder_one_another(tmp_path):
    with another_process(Ranks(0, 2).folder(tmp_path)):
        open_stage(Ranks(1, 2).folder(tmp_path))
        with pytest.raises(BusyError, match="rank-00000"):
            open_stage(Ranks(0, 2).folder(tmp_path))


def test_a_finished_directory_is_looked_at_without_a_lock(tmp_path):
    out = tmp_path / "out"
    open_stage(out).finish(counts={}, outputs=[])
    out.chmod(0o555)
    before = out.stat().st_mtime_ns
    record = open_stage(out)
    assert record.is_done and out.stat().st_mtime_ns == before
    out.chmod(0o755)
    record.hold()  # what goes on in it takes it
    assert (out / LOCK).exists()
    record.finish(counts={}, outputs=[])


def test_the_lock_is_part_of_no_input(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    before = digest(tmp_path)
    leave_lock(tmp_path)
    assert digest(tmp_path) == before


def test_of_many_prompts_that_which_another_command_lifts_fails_alone(tmp_path):
    from sdtool.lifting.run import lift_one

    def lifting(job):
        return open_stage(job[1])

    with another_process(tmp_path / "a-corgi"):
        with pytest.raises(ObjectError, match="in use by sdtool demo"):
            lift_one(lifting, ("a corgi", tmp_path / "a-corgi"))
    lift_one(lifting, ("a cat", tmp_path / "a-cat"))
    assert not (tmp_path / "a-cat" / LOCK).exists()


def test_lengths_of_time():
    said = [lock.duration(s) for s in (-5, 1, 119, 120, 7199, 7200, 172799, 172800)]
    assert said[:4] == ["0 seconds", "1 second", "119 seconds", "2 minutes"]
    assert said[4:] == ["119 minutes", "2 hours", "47 hours", "2 days"]
    assert re.fullmatch(
        r"sdtool lift, process 3 on a, since .* \(\d+ days ago\)",
        str(lock.Holder("lift", "a", 3, 0.0)),
    )


MANY = """
import sys, time
from pathlib import Path
from sdtool.errors import BusyError
from sdtool.io.stage_record import begin
sys.stdin.read(1)
won = 0
for k in range(12):
    while True:
        try:
            record = begin(Path(sys.argv[1], str(k)), "demo", params={})
        except BusyError:
            time.sleep(0.001)
            continue
        break
    if not record.is_done:
        open(record.out / "mine", "x").close()  # fails if another one is in
        time.sleep(0.002)
        (record.out / "mine").unlink()
        record.finish(counts={}, outputs=[])
        won += 1
print(won)
"""


def test_of_many_that_begin_at_once_one_works_in_each_directory(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    team = [subprocess.Popen([sys.executable, "-c", MANY, str(tmp_path)], **pipes) for _ in "abc"]
    for process in team:
        process.stdin.write("g")
        process.stdin.flush()
    won = [int(process.communicate()[0]) for process in team]
    assert sum(won) == 12
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"stage.json"}


IN_VAIN = """
import sys, time
from pathlib import Path
from sdtool.errors import BusyError
from sdtool.io.lock import release_all
from sdtool.io.stage_record import begin
sys.stdin.read(1)
won = 0
while won < 100:
    try:
        begin(Path(sys.argv[1], "deep", "out"), "demo", params={})
    except BusyError:
        time.sleep(0.0005)
        continue
    try:
        open(Path(sys.argv[1], "mine"), "x").close()  # fails if another one is in
        Path(sys.argv[1], "mine").unlink()
    finally:
        release_all()
    won += 1
print(won)
"""


def test_of_many_that_end_before_they_made_anything_none_takes_the_folder_of_another(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", IN_VAIN, str(tmp_path)]
    team = [subprocess.Popen(command, **pipes) for _ in "abc"]
    for process in team:
        process.stdin.write("g")
        process.stdin.flush()
    assert [int(process.communicate()[0]) for process in team] == [100, 100, 100]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
