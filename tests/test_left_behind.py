"""What a command leaves behind that ended before it made anything: nothing, however many workers it had."""

import time
from multiprocessing import connection

import pytest

from sdtool.cli import run as sdtool
from sdtool.io.stage_record import PARTIAL, begin


def left(folder):
    """All that lies below a folder, by relative path."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# Prompts in worker processes


def begin_and_wait(lifting, job):
    """In the place of a lift: begin, make something of a cat, and never end."""
    begin(job[1], "lift", params={"prompt": job[0]})
    if job[0] == "a cat":
        (job[1] / "made").write_text("work")
    (job[1].parent.parent / f"begun {job[0]}").touch()
    while lifting.seed == 0:
        time.sleep(1)
    raise KeyboardInterrupt  # where one worker is this process


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("known", [False, True])
def test_lifts_that_are_stopped_leave_what_they_made(tmp_path, monkeypatch, capsys, workers, known):
    prompts = ["a corgi"] if workers == 1 else ["a corgi", "a cat"]
    (tmp_path / "list.txt").write_text("\n".join(prompts), encoding="utf-8")
    wait = connection.wait

    def stopped(pipes, limit=None):
        if all((tmp_path / f"begun {prompt}").exists() for prompt in prompts):
            raise KeyboardInterrupt
        return wait(pipes, 0.05)

    if known:
        (tmp_path / "runs" / "a-corgi").mkdir(parents=True)
    monkeypatch.setattr("sdtool.lifting.run.lift_one", begin_and_wait)
    monkeypatch.setattr(connection, "wait", stopped)
    words = ["lift", "--prompts", tmp_path / "list.txt", "--out", tmp_path / "runs"]
    words += ["--workers", workers, "--seed", 2 - workers]
    assert sdtool([*map(str, words)]) == 130
    assert "taken over" not in capsys.readouterr().err
    expected = ["a-cat", "a-cat/made", f"a-cat/{PARTIAL}"] if workers == 2 else []
    expected += ["a-corgi"] if known else []
    assert (tmp_path / "runs").exists() == bool(expected)
    assert left(tmp_path / "runs") == sorted(expected)
