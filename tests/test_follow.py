"""The page that follows a lift: what it says of it, to whom, and when it ends."""

import json
import os
import re
import shutil
import threading
import urllib.error
import urllib.request

import pytest
from chromium_samples import in_chromium, open_page
from PIL import Image

from sdtool import cli
from sdtool.io import lock
from sdtool.io.files import append_jsonl, write_json
from sdtool.lifting.folders import CANDIDATES
from sdtool.viewing import following
from sdtool.viewing.following import POINTS, state

PHASES = [{"name": "coarse", "steps": 10}, {"name": "color", "steps": 4}]
RECORD = {"stage": "lift", "params": {"prompt": "a <b>cat</b>", "settings": {"phases": PHASES}}}


def get(url: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.headers["Content-Type"], answer.read()


def begun(run, steps: int = 0):
    """A lift's directory as it is after some steps."""
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / "stage.partial.json", RECORD)
    for step in range(1, steps + 1):
        line = {"phase": "coarse", "step": step, "seconds": 0.5, "align": 10.0 / step}
        append_jsonl(run / "log.jsonl", line | ({"ori": 1.0} if step % 4 == 0 else {}))
    return run


def test_the_state_of_a_lift_from_its_files(tmp_path):
    run = tmp_path / "run"
    assert state(run)["status"] == "waiting"  # for its directory
    begun(run)
    assert state(run)["status"] == "stopped"
    lock.hold(run, "lift")
    assert state(run)["status"] == "waiting" and state(run)["left"] is None
    begun(run, 6)
    append_jsonl(run / "log.jsonl", {"phase": "coarse", "rollback": "the gradient became nan"})
    (run / "previews").mkdir()
    (run / "previews" / "coarse-0006.png").write_bytes(b"PNG")
    found = state(run)
    assert (found["status"], found["picture"]) == ("running", "coarse-0006.png")
    assert [(p["name"], p["done"]) for p in found["phases"]] == [("coarse", 6), ("color", 0)]
    assert found["phases"][0]["losses"]["ori"] == [[4, 1.0]]
    assert found["left"] == pytest.approx(0.5 * (4 + 4))
    lock.release(run)
    assert state(run)["status"] == "stopped"
    write_json(run / "stage.json", RECORD)
    (run / "views.png").write_bytes(b"VIEWS")
    found = state(run)
    assert (found["status"], found["left"], found["picture"]) == ("done", 0.0, "views.png")


def test_while_candidates_grow_the_one_at_work_is_shown(tmp_path):
    run = begun(tmp_path / "run")
    write_json(run / "stage.partial.json", RECORD | {"params": RECORD["params"] | {"best_of": 4}})
    lock.hold(run, "lift")
    for seed, steps in ((2, 5), (3, 4)):
        folder = begun(run / CANDIDATES / f"seed-{seed}", steps)
        (folder / "previews").mkdir()
        (folder / "previews" / "coarse-0000.png").write_bytes(b"PNG %d" % seed)
        os.utime(folder / "log.jsonl", (seed, seed))
    found = state(run)
    assert (found["status"], found["left"]) == ("choosing", None)
    assert found["candidate"] == "seed 3, one of 4 candidates" and found["phases"][0]["done"] == 4
    assert found["picture"] == "seed-3-coarse-0000.png"
    assert following.newest_picture(run).read_bytes() == b"PNG 3"
    for seed in (2, 3):  # it is chosen
        shutil.rmtree(run / CANDIDATES / f"seed-{seed}")
    begun(run, 6)
    found = state(run)
    assert (found["status"], found["candidate"]) == ("running", "") and found["left"] > 0
    lock.release(run)


def test_what_vanishes_while_it_is_looked_at_is_passed_over(tmp_path):
    """A seed is chosen, and the folders of all go, between two looks of the page."""
    run = begun(tmp_path / "run", 2)
    (run / "previews").mkdir()
    (run / "previews" / "coarse-0002.png").write_bytes(b"PNG")
    (run / "previews" / "gone.png").symlink_to(
        run / "nowhere"
    )  # found, but there is nothing any more
    assert following.newest_picture(run).name == "coarse-0002.png"
    (run / "previews" / ".coarse-0004.png.7.tmp.png").touch()  # is being written
    assert following.newest_picture(run).name == "coarse-0002.png"
    gone = run / CANDIDATES / "seed-1"
    gone.mkdir(parents=True)
    (gone / "log.jsonl").symlink_to(run / "nowhere")
    assert state(run)["candidate"] == "" and state(run)["phases"][0]["done"] == 2


def test_a_line_that_is_written_just_now_ends_nothing(tmp_path, capsys):
    run = begun(tmp_path / "run", 2)
    with open(run / "log.jsonl", "ab") as file:
        file.write(b'{"phase": "coarse", "st')
    assert state(run)["phases"][0]["done"] == 2
    for record in ([], {"stage": "lift"}):
        write_json(run / "stage.partial.json", record)
        assert cli.run(["view", "--follow", str(run), "--no-browser"]) == 1
        assert "is not the directory of a lift; name one" in capsys.readouterr().err


def test_long_curves_are_thinned(tmp_path):
    curve = following._curve([{"step": k, "align": 1.0} for k in range(1, 2001)], "align")
    assert POINTS / 2 < len(curve) <= POINTS and curve[-1] == [2000, 1.0]


def test_a_page_its_state_and_its_picture_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(following, "LINGER", 20.0)
    run = begun(tmp_path / "run", 2)
    (run / "previews").mkdir()
    (run / "previews" / "coarse-0002.png").write_bytes(b"PNG")
    with following.following(run) as url:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        kind, page = get(url)
        assert kind.startswith("text/html") and b"/state" in page and b"src=" not in page
        assert json.loads(get(url + "state")[1])["prompt"] == "a <b>cat</b>"
        assert get(url + "picture?x") == ("image/png", b"PNG")
        for path in ("stage.partial.json", "../run/log.jsonl", "previews/coarse-0002.png"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(url + path)
        write_json(run / "stage.json", RECORD)
        last = threading.Timer(0.2, lambda: get(url + "state"))  # when the lift has ended
        last.start()
    last.join()
    with pytest.raises(urllib.error.URLError):
        get(url)


def test_nobody_looked_so_nobody_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(following, "LINGER", 1e9)
    ended = threading.Event()

    def follow():
        with following.following(tmp_path / "run"):
            pass
        ended.set()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    assert ended.wait(60)


def test_view_follows_until_the_end(tmp_path, capsys):
    run = begun(tmp_path / "run", 1)
    assert cli.run(["view", "--follow", str(run), "--no-browser"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{run}\n" and f"{run} is stopped" in told.err
    write_json(run / "stage.partial.json", {"stage": "caption", "params": {}})
    assert cli.run(["view", "--follow", str(run)]) == 1
    assert "is not the directory of a lift" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    for other in (run / "stage.partial.json", tmp_path / "empty", tmp_path / "none"):
        assert cli.run(["view", "--follow", str(other)]) == 2
        assert f"{other} is not the directory of a lift" in capsys.readouterr().err
    assert cli.run(["lift", "--prompts", str(run / "p.txt"), "--follow"]) == 2
    assert "sdtool view --follow DIRECTORY" in capsys.readouterr().err


@pytest.mark.slow
@in_chromium
def test_chromium_shows_a_lift_grow_until_it_is_done(tmp_path):
    run = begun(tmp_path / "run", 6)
    (run / "previews").mkdir()
    Image.new("RGB", (8, 4), "red").save(run / "previews" / "coarse-0006.png")
    Image.new("RGB", (8, 4), "blue").save(run / "views.png")
    asked = []

    def ended():
        """The lift ends when the page has looked twice."""
        asked.append(state(run)["status"])
        if len(asked) == 3:
            write_json(run / "stage.json", RECORD)
        return state(run)

    lock.hold(run, "lift")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "state", lambda _: ended())
        with following.following(run) as url:
            page = open_page(url, tmp_path, "--dump-dom", seconds=20)
    lock.release(run)
    assert len(asked) == 3, "it asks no more when the lift is done"
    assert '<h1 id="prompt">a &lt;b&gt;cat&lt;/b&gt;</h1>' in page and ">done</p>" in page
    assert "6 of 10 steps" in page and re.search(r'<path d="M\S+ \S+ L[^"]+" class="align">', page)
    assert re.search(r'<img id="picture"[^>]*src="/picture\?views.png"', page)
    assert not re.search(r'<img id="picture"[^>]*hidden', page)
