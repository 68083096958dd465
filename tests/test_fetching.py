"""Fetching over a loopback HTTP server that fails sometimes, from a folder, and offline for real."""

import json
import sys
import threading
import time
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from collection_samples import annotation, write_collection
from killed import kill_at

from sdtool.cli import run
from sdtool.errors import ObjectError
from sdtool.filtering.fetching import STAGING, Fetcher, Folder, ObjaversePackage, Url, Wanted

GLB = b"glTF" + bytes(range(256)) * 400


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Moody(SimpleHTTPRequestHandler):
    """Serves a folder; `moods` says what the first answers about a file are."""

    protocol_version = "HTTP/1.1"
    moods: dict[str, list[str]] = {}
    asked: Counter[str] = Counter()
    delay = 0.0

    def do_GET(self):
        uid = self.path.rsplit("/", 1)[-1].removesuffix(".glb")
        self.asked[uid] += 1
        time.sleep(self.delay)
        mood = self.moods[uid].pop(0) if self.moods.get(uid) else "good"
        if mood == "good":
            return super().do_GET()
        self.close_connection = True
        if mood == "busy":
            self.send_error(503)
        elif mood == "short":  # the connection ends before the file does
            self.send_response(200)
            self.send_header("Content-Length", str(len(GLB)))
            self.end_headers()
            self.wfile.write(GLB[:1000])
        elif mood == "page":  # an error page that calls itself a success
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"<html>")
        return None  # "hangup": no answer at all

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    """(URL, its folder) of a server; set Moody.moods."""
    folder = tmp_path / "served"
    folder.mkdir()
    Moody.moods, Moody.asked, Moody.delay = {}, Counter(), 0.0
    handler = partial(Moody, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/", folder
        httpd.shutdown()


def wanted(uid):
    return Wanted(uid, f"glbs/000-000/{uid}.glb")


def publish(folder, *uids):
    for uid in uids:
        path = folder / wanted(uid).path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(GLB)


def left_in_staging(root):
    return [path for path in (root / STAGING).rglob("*") if path.is_file()]


# One object


@pytest.mark.parametrize("mood", ["busy", "short", "page", "hangup"])
def test_a_failing_answer_is_asked_for_again(server, tmp_path, mood):
    url, folder = server
    publish(folder, "a b#c")
    Moody.moods = {"a%20b%23c": [mood, mood]}
    fetch = Fetcher(Url(url), tmp_path / "objs", pause=0.01)
    line = fetch(wanted("a b#c"))
    assert line == {**vars(wanted("a b#c")), "bytes": len(GLB), "attempts": 3}
    assert (tmp_path / "objs" / wanted("a b#c").path).read_bytes() == GLB
    assert left_in_staging(tmp_path / "objs") == []


@pytest.mark.parametrize("mood, reason", [("busy", "not-fetched"), ("page", "not-fetched"),
                                          ("short", "not-fetched"), ("hangup", "unreachable")])  # fmt: skip
def test_after_some_attempts_it_gives_up_and_leaves_nothing(server, tmp_path, mood, reason):
    url, folder = server
    publish(folder, "a")
    Moody.moods = {"a": [mood] * 9}
    with pytest.raises(ObjectError, match="glbs/000-000/a.glb from http") as caught:
        Fetcher(Url(url), tmp_path / "objs", attempts=3, pause=0.01)(wanted("a"))
    assert caught.value.reason == reason and Moody.asked["a"] == 3
    assert not (tmp_path / "objs" / wanted("a").path).exists()
    assert left_in_staging(tmp_path / "objs") == []


def test_pauses_grow(server, tmp_path):
    Moody.moods = {"a": ["busy"] * 9}
    begin = time.monotonic()
    with pytest.raises(ObjectError):
        Fetcher(Url(server[0]), tmp_path / "objs", attempts=4, pause=0.05)(wanted("a"))
    assert time.monotonic() - begin >= 0.05 + 0.1 + 0.2


def test_what_does_not_exist_is_asked_for_once(server, tmp_path):
    for origin in (Url(server[0]), Folder(str(server[1]))):
        with pytest.raises(ObjectError) as caught:
            Fetcher(origin, tmp_path / "objs", pause=60)(wanted("a"))
        assert caught.value.reason == "not-fetched"
    assert Moody.asked["a"] == 1


def test_the_objaverse_package_fetches_into_our_folder(server, tmp_path, monkeypatch, capsys):
    objaverse = pytest.importorskip("objaverse")
    url, folder = server
    publish(folder, "a")
    real = objaverse.urllib.request.urlretrieve

    def to_loopback(address, target):  # the package's own host, but here
        return real(url + address.split("/resolve/main/")[1], target)

    monkeypatch.setattr(objaverse.urllib.request, "urlretrieve", to_loopback)
    monkeypatch.setattr(objaverse, "_VERSIONED_PATH", str(tmp_path / "home"))
    Moody.moods = {"a": ["busy", "short"]}
    line = Fetcher(ObjaversePackage(), tmp_path / "objs", pause=0.01)(wanted("a"))
    assert line["attempts"] == 3
    assert (tmp_path / "objs" / wanted("a").path).read_bytes() == GLB
    assert left_in_staging(tmp_path / "objs") == [] and not (tmp_path / "home").exists()
    assert capsys.readouterr().out == ""  # which belongs to the result


# Through the command line

UIDS = [f"u{n}" for n in range(12)]


@pytest.fixture
def collection(tmp_path):
    """Twelve objects of which the even ones are there; u3 and u4 are scans."""
    annotations = [annotation(u, tags=["scan"] if u in ("u3", "u4") else ["cup"]) for u in UIDS]
    return write_collection(tmp_path / "objs", annotations, absent=UIDS[1::2])


MISSING = ["u1", "u11", "u5", "u7", "u9"]  # and kept by the annotation rules


def command(capsys, *arguments):
    code = run(["filter-objaverse", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("workers", [1, 2])
def test_only_what_is_kept_and_missing_is_fetched(server, collection, tmp_path, capsys, workers):
    url, folder = server
    publish(folder, *UIDS)
    Moody.moods = {"u5": ["busy"], "u9": ["short"]}
    out = tmp_path / "f"
    code, stdout, stderr = command(
        capsys, collection, "--out", out, "--fetch", "--mirror", url, "--workers", workers
    )
    assert (code, stdout) == (0, f"{out}\n") and "5 files to fetch" in stderr
    kept = [line["uid"] for line in lines(out / "objects.jsonl")]
    assert sorted(kept) == sorted(set(UIDS) - {"u3", "u4"})
    assert sorted(line["uid"] for line in lines(out / "fetched.jsonl")) == MISSING
    assert all((collection / wanted(uid).path).read_bytes() == GLB for uid in MISSING)
    assert not (collection / wanted("u3").path).exists()
    assert set(Moody.asked) == set(MISSING)
    assert not (out / "parts").exists() and "fetched.jsonl" in (out / "stage.json").read_text()
    assert command(capsys, collection, "--out", out, "--fetch", "--mirror", url)[0] == 0  # no-op
    assert sum(Moody.asked.values()) == len(MISSING) + 2


def test_an_object_that_cannot_be_fetched_is_one_failure(server, collection, tmp_path, capsys):
    url, folder = server
    publish(folder, *UIDS)
    (folder / wanted("u7").path).unlink()
    out = tmp_path / "f"
    code, _, stderr = command(capsys, collection, "--out", out, "--fetch", "--mirror", url)
    assert code == 3 and "failures.jsonl" in stderr
    (failed,) = lines(out / "failures.jsonl")
    assert (failed["uid"], failed["reason"]) == ("u7", "not-fetched") and "404" in failed["message"]
    assert "u7" not in [line["uid"] for line in lines(out / "objects.jsonl")]
    assert "u7" not in [line["uid"] for line in lines(out / "rejected.jsonl")]
    counts = json.loads((out / "stage.json").read_text())["counts"]
    assert (counts["seen"], counts["ok"], counts["rejected"], counts["failed"]) == (12, 9, 2, 1)


def test_a_folder_is_a_mirror(server, collection, tmp_path, capsys):
    _, folder = server
    publish(folder, *UIDS)
    arguments = (collection, "--out", tmp_path / "f", "--fetch", "--mirror")
    assert command(capsys, *arguments, folder)[0] == 0
    assert len(lines(tmp_path / "f/objects.jsonl")) == 10
    code, _, stderr = command(capsys, *arguments, tmp_path / "nowhere")
    assert code == 2 and "neither a folder nor" in stderr


def test_offline_it_says_what_is_missing_and_how_to_get_it(
    collection, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("objaverse")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    out = tmp_path / "f"
    code, stdout, stderr = command(capsys, collection, "--out", out, "--fetch")
    assert (code, stdout) == (1, "")
    sentence = stderr.splitlines()[-1]
    assert "5 of the objects that the rules keep are not on this disk" in sentence
    assert "objaverse package cannot be reached" in sentence and "--mirror" in sentence
    assert not (out / "stage.json").exists() and left_in_staging(collection) == []


def test_without_the_package_it_says_what_to_install(collection, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "objaverse", None)
    code, _, stderr = command(capsys, collection, "--out", tmp_path / "f", "--fetch")
    assert code == 1 and "pip install 'sdtool[objaverse]'" in stderr
    assert not (tmp_path / "f").exists()


def test_a_server_that_falls_silent_ends_the_run_and_can_be_continued(
    server, collection, tmp_path, capsys, monkeypatch
):
    url, folder = server
    publish(folder, *UIDS)
    monkeypatch.setattr("sdtool.filtering.second_pass.SILENT", 2)
    monkeypatch.setattr("sdtool.filtering.fetching.Fetcher.__call__", once_only(Fetcher.__call__))
    Moody.moods = {uid: ["hangup"] for uid in ("u5", "u7", "u9")}
    out = tmp_path / "f"
    arguments = (collection, "--out", out, "--fetch", "--mirror", url, "--workers", 1)
    code, _, stderr = command(capsys, *arguments)
    assert code == 1 and "cannot be reached" in stderr and (out / "fetched.jsonl").is_file()
    Moody.moods = {}
    assert command(capsys, *arguments)[0] == 0
    assert Moody.asked["u1"] == Moody.asked["u11"] == 1
    assert len(lines(out / "objects.jsonl")) == 10


def once_only(call):
    """A fetcher that tries once, without a pause."""
    return lambda self, item: call(Fetcher(self.origin, self.root, attempts=1), item)


def test_a_killed_fetch_is_continued(server, tmp_path, capsys):
    url, folder = server
    uids = [f"k{n:02d}" for n in range(30)]
    root = write_collection(tmp_path / "objs", [annotation(u) for u in uids], absent=uids)
    publish(folder, *uids)
    out = tmp_path / "f"
    arguments = [root, "--out", out, "--fetch", "--mirror", url, "--workers", 2]
    kill_at(["filter-objaverse", *arguments], "fetching", 8)
    there = [uid for uid in uids if (root / wanted(uid).path).is_file()]
    assert 8 <= len(there) < 30
    assert all((root / wanted(uid).path).read_bytes() == GLB for uid in there)
    with open(out / "fetched.jsonl", "a") as ledger:
        ledger.write('{"uid": "k')  # a line that the kill cut short
    Moody.asked = Counter()
    assert command(capsys, *arguments)[0] == 0
    assert not set(Moody.asked) & set(there)
    assert len(lines(out / "objects.jsonl")) == 30 and left_in_staging(root) == []


def test_fetching_needs_a_collection(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(json.dumps(annotation("a")) + "\n")
    code, _, stderr = command(capsys, tmp_path / "a.jsonl", "--out", tmp_path / "f", "--fetch")
    assert code == 2 and "Objaverse's layout" in stderr
