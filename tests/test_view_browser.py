"""view: the page is served to this machine only, and Chromium draws the object in every mode."""

import html
import http.client
import json
import re
import threading

import numpy as np
import pytest
from chromium_samples import in_chromium, open_page
from export_samples import write_run
from PIL import Image
from view_samples import HOSTILE, box, png, view

from sdtool.viewing.serving import address, page_server

# Serving


def get(server, path="/", host=None):
    """(status, headers, body) of one GET."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=20)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def test_the_page_is_served_to_this_machine_and_nobody_else():
    with page_server("<p>a päge</p>".encode()) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert server.server_address[0] == "127.0.0.1"
            status, headers, body = get(server)
            assert (status, body.decode()) == (200, "<p>a päge</p>")
            assert headers["Content-Type"] == "text/html; charset=utf-8"
            assert get(server, "/etc/passwd")[0] == get(server, "/../cli.py")[0] == 404
            port = server.server_address[1]
            assert get(server, host=f"localhost:{port}")[0] == 200
            assert get(server, host=f"evil.example:{port}")[0] == 403
        finally:
            server.shutdown()
            thread.join()


def test_serve_says_where_and_ends_well(tmp_path, monkeypatch, capsys):
    bodies = []

    def one_request_then_ctrl_c(server):
        client = threading.Thread(target=lambda: bodies.append(get(server)[2]))
        client.start()
        server.handle_request()
        client.join()
        raise KeyboardInterrupt

    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", one_request_then_ctrl_c)
    code, stdout, stderr = view(capsys, box(tmp_path / "cube.glb"), "--serve")
    out = tmp_path / "cube.html"
    assert (code, stdout) == (0, f"{out}\n")
    assert re.search(r"serving http://127\.0\.0\.1:\d+/ ", stderr)
    assert bodies == [out.read_bytes()]


def test_a_taken_port_is_one_sentence(tmp_path, capsys):
    with page_server(b"") as server:
        port = server.server_address[1]
        assert address(server) == f"http://127.0.0.1:{port}/"
        code, _, stderr = view(capsys, box(tmp_path / "cube.glb"), "--serve", "--port", port)
    assert code == 2 and f"--port {port}" in stderr.splitlines()[-1]


# In a browser


def picture(page, tmp_path, state=""):
    """(H, W, 3) of the page as headless Chromium draws it, 600 wide and as high as its window leaves."""
    out = tmp_path / "shot.png"
    open_page(page.as_uri() + state, tmp_path, "--window-size=600,600", f"--screenshot={out}")
    return np.asarray(Image.open(out).convert("RGB")).astype(int)


@pytest.mark.slow
@in_chromium
@pytest.mark.parametrize(
    "state, wanted",
    [
        ("", lambda r, g, b: r > 120 and g < 90 and b < 90),  # red under white light
        ("#mode=base&env=sky", lambda r, g, b: r > 240 and g < 15 and b < 15),
        ("#mode=normal&view=top", lambda r, g, b: g > 240 and abs(r - 128) < 30),  # +Y
        ("#mode=normal&view=side", lambda r, g, b: r > 240 and abs(g - 128) < 30),  # +X
        ("#mode=ccm&view=side", lambda r, g, b: r > 240 and 60 < g < 190 and 60 < b < 190),
        ("#mode=ccm&view=back&env=dark", lambda r, g, b: b < 15 and 60 < r < 190),  # Z lowest
    ],
)
def test_chromium_shows_the_object(state, wanted, tmp_path, capsys):
    path = box(tmp_path / "box.glb", (0.5, 1, 0.5), extras={"prompt": HOSTILE})
    assert view(capsys, path)[0] == 0
    shot = picture(tmp_path / "box.html", tmp_path, state)
    background = shot[3, -3]
    found = np.abs(shot - background).max(axis=-1) > 30
    rows, columns = slice(110, len(shot) - 110), slice(100, 500)  # between header and buttons
    y, x = np.argwhere(found[rows, columns]).mean(axis=0).astype(int) + (110, 100)
    assert 0.03 < found[rows, columns].mean() < 0.6  # not blank, and not everything
    assert abs(x - 300) < 20 and wanted(*shot[y, x]), shot[y, x]


OVERLAPS = """
const boxes = ["header", "nav", "figure", "footer"].map((name) => document.querySelector(name)).filter(
  (one) => one.offsetParent || getComputedStyle(one).display !== "none");
const found = { over: document.documentElement.scrollWidth - innerWidth, pairs: [], width: innerWidth };
for (const one of boxes) for (const two of boxes) {
  const [a, b] = [one.getBoundingClientRect(), two.getBoundingClientRect()];
  const [x, y] = [Math.min(a.right, b.right) - Math.max(a.left, b.left),
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
  if (one !== two && x > 1 && y > 1) found.pairs.push(one.tagName + two.tagName);
}
document.title = JSON.stringify(found);
"""


@pytest.mark.slow
@in_chromium
@pytest.mark.parametrize("width", [500, 800, 1400])
def test_nothing_of_the_page_lies_on_anything_else(width, tmp_path, capsys):
    for name in ("one", "two", "three"):
        prompt = (
            "a corgi with a very long prompt that tells of its hat, its scarf and its boots " * 2
        )
        run = write_run(tmp_path / "runs" / name, params={"prompt": prompt, "seed": 12345678})
        png(run / "views.png", "white")
    assert view(capsys, tmp_path / "runs")[0] == 0
    page = (tmp_path / "runs/view.html").read_text(encoding="utf-8")
    page = re.sub(r"<meta http-equiv[^>]*>", "", page)  # it lets no script of a test run
    late = f"<script>setTimeout(() => {{ {OVERLAPS} }}, 2000);</script></body>"
    copy = tmp_path / "visited.html"
    copy.write_text(page.replace("</body>", late), encoding="utf-8")
    dom = open_page(copy.as_uri(), tmp_path, f"--window-size={width},800", "--dump-dom")
    found = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", dom)[1]))
    assert found == {"over": 0, "pairs": [], "width": width}


# Done by a visitor: the mode by its key, the model's other side by a drag, a step by the slider.
VISIT = """
const canvas = document.getElementById("stage"), step = document.getElementById("step");
canvas.setPointerCapture = canvas.releasePointerCapture = () => {}; // the pointer is not a real one
const at = (kind, x) => canvas.dispatchEvent(new PointerEvent(kind,
  { pointerId: 1, pointerType: "mouse", button: 0, clientX: x, clientY: 300, bubbles: true }));
setTimeout(() => {
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "4", bubbles: true }));
  at("pointerdown", 0); at("pointermove", canvas.clientHeight); at("pointerup", 0); // half a turn
  step.value = 0;
  step.dispatchEvent(new Event("input"));
}, 2000);
"""


@pytest.mark.slow
@in_chromium
def test_keys_the_pointer_and_the_slider_work(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    png(run / "previews" / "coarse-0050.png", (0, 160, 0))
    png(run / "views.png", (200, 0, 200))
    assert view(capsys, run)[0] == 0
    page = (run / "view.html").read_text(encoding="utf-8")
    page = re.sub(r"<meta http-equiv[^>]*>", "", page)  # it lets no script of a test run
    (tmp_path / "visited.html").write_text(
        page.replace("</body>", f"<script>{VISIT}</script></body>")
    )

    def share(shot, wanted):
        return (np.abs(shot - wanted).max(axis=-1) < 12).mean()

    before, after = (picture(p, tmp_path) for p in (run / "view.html", tmp_path / "visited.html"))
    assert share(before, (200, 0, 200)) > 0.02 and share(before, (0, 160, 0)) == 0
    assert share(after, (0, 160, 0)) > 0.02 and share(after, (200, 0, 200)) == 0
    back = after[110:340, 200:400]
    seen = np.abs(back - after[3, -3]).max(axis=-1) > 30
    red = np.where(seen, back[..., 0], 0).sum(axis=0)
    assert red[:100].sum() > 1.2 * red[100:].sum()  # +X is at the left when seen from behind
