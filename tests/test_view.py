"""view: a page that needs nothing else and holds what it was given, and its command line.

What a browser makes of it is the matter of test_view_browser.py.
"""

import base64
import hashlib
import html
import io
import json
import os
import re
from importlib.resources import files

import numpy as np
import pytest
from export_samples import COLOR, FACES, V_POS, write_run
from glb_samples import CORNER, CORNER_FACES, Sample, container
from PIL import Image
from view_samples import HOSTILE, box, png, view

from sdtool.cli import run as sdtool
from sdtool.geometry.meshes import Mesh
from sdtool.meshfiles import load_mesh, read_glb, write_glb
from sdtool.viewing.page import MARK, build_page
from sdtool.viewing.subjects import read_subject


def models(page):
    """What a page's script reads, as a browser finds it: the text up to the first end tag."""
    text = re.search(r'<script type="application/json" id="data">(.*?)</script', page, re.DOTALL)
    return json.loads(text[1])


def policy(page):
    return html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1])


# The page


def test_a_model_is_embedded_whole_and_titled_by_its_prompt(tmp_path, capsys):
    path = box(tmp_path / "cube.glb", (1, 2, 4), extras={"prompt": "a red box", "seed": 3})
    code, stdout, stderr = view(capsys, path)
    out = tmp_path / "cube.html"
    assert (code, stdout) == (0, f"{out}\n") and str(out) in stderr
    page = out.read_text(encoding="utf-8")
    (model,) = models(page)
    assert base64.b64decode(model["glb"]) == path.read_bytes()
    assert model["low"] == [-0.5, -1, -2] and model["high"] == [0.5, 1, 2]
    assert model["title"] == "a red box" and "<title>a red box – sdtool</title>" in page
    assert model["facts"] == "12 triangles · seed 3" and model["pictures"] == []


def test_the_page_fetches_nothing_and_runs_only_its_own_two_scripts(tmp_path):
    page = build_page([read_subject(box(tmp_path / "cube.glb"))])
    assert not re.findall(r'<[^<>]*\b(?:src|href)\s*=\s*["\']?\s*(?:https?:)?//', page)
    assert not re.findall(r"@import|url\(", page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy(page).split(";"))
    assert rules["default-src"] == "'none'" and "http" not in policy(page)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert rules["script-src"].split() == [f"'sha256-{one}'" for one in hashes]
    assert len(scripts) == 2 and "GLTFLoader" in scripts[0] and "MODES" in scripts[1]


def test_three_is_shipped_with_its_licence(tmp_path):
    page = build_page([read_subject(box(tmp_path / "cube.glb"))])
    library = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    shipped = files("sdtool.viewing").joinpath("three")
    names = {one.name for one in shipped.iterdir()}
    assert names == {"LICENSE", "three.min.js", "TrackballControls.js", "GLTFLoader.js"}
    scripts = names - {"LICENSE"}
    assert len(library) == sum(len(shipped.joinpath(n).read_text("utf-8")) for n in scripts)
    assert shipped.joinpath("LICENSE").read_text("utf-8").startswith("The MIT License")
    assert 'const e="140"' in library  # the release that the viewer was written for


def test_half_a_letter_in_a_title_is_written_as_its_escape(tmp_path, capsys):
    path = box(tmp_path / "cube.glb", extras={"prompt": "a box ......"})
    path.write_bytes(path.read_bytes().replace(b"......", b"\\ud83d"))
    assert view(capsys, path)[0] == 0
    assert "<title>a box \\ud83d – sdtool</title>" in (tmp_path / "cube.html").read_text("utf-8")


def test_hostile_names_stay_text(tmp_path):
    folder = tmp_path / "<b>&amp;"
    folder.mkdir()
    named = box(
        folder / "<img src=x onerror=alert(2)>.glb", extras={"title": HOSTILE, "seed": HOSTILE}
    )
    plain = box(tmp_path / "plain.glb", extras={"title": "plain"})
    page = build_page([read_subject(named)])
    (model,) = models(page)
    assert (
        model["title"] == HOSTILE and model["name"] == "<b>&amp;/<img src=x onerror=alert(2)>.glb"
    )
    assert "alert(1)" not in re.sub(r"(?s)<title>.*?</title>|<script type=.*?</script", "", page)
    assert "<title>&lt;/script&gt;&lt;script&gt;" in page
    usual = build_page([read_subject(plain)])
    for tag in ("<script", "</script", "<img", "<!--", "<b>"):  # no more elements than in any page
        assert page.count(tag) == usual.count(tag), tag
    assert policy(page) == policy(usual)


def test_several_models_share_a_page(tmp_path, capsys):
    paths = [box(tmp_path / f"{name}.glb", extras={"prompt": name}) for name in ("one", "two")]
    mesh = tmp_path / "three.obj"
    mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 2 0\nv 0 0 3\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
    code, stdout, _ = view(capsys, *paths, mesh)
    assert (code, stdout) == (0, f"{tmp_path / 'view.html'}\n")
    found = models((tmp_path / "view.html").read_text(encoding="utf-8"))
    assert [one["title"] for one in found] == ["one", "two", "three"]
    assert found[0]["name"] == f"{tmp_path.name}/one.glb" and str(tmp_path) not in json.dumps(found)
    assert found[2]["high"] == [1, 2, 3] and found[2]["facts"] == "4 triangles"


def test_a_folder_of_lifts_is_all_that_are_finished(tmp_path, capsys):
    runs = tmp_path / "runs"
    runs.mkdir()
    for name in ("chair-10", "chair-2", "begun"):
        write_run(runs / name, params={"prompt": name, "settings": {"phases": []}})
    (runs / "begun/stage.json").rename(runs / "begun/stage.partial.json")
    (runs / "notes.txt").write_text("mine")
    code, stdout, _ = view(capsys, runs)
    assert (code, stdout) == (0, f"{runs / 'view.html'}\n")
    found = models((runs / "view.html").read_text(encoding="utf-8"))
    assert [one["title"] for one in found] == ["chair-2", "chair-10"]


def test_what_the_page_cannot_decode_is_written_anew(tmp_path, capsys):
    path = box(tmp_path / "cube.glb", extras={"prompt": "a box"})
    data = path.read_bytes()
    size = int.from_bytes(data[12:16], "little")
    tree = json.loads(data[20 : 20 + size])
    tree["images"] = [{"uri": "https://example.org/spy.png"}]
    path.write_bytes(container(tree, data[28 + size :]))
    subject = read_subject(path)
    assert "outside of its own folder" in capsys.readouterr().err
    assert b"example.org" not in subject.glb and subject.title == "a box"
    (tmp_path / "again.glb").write_bytes(subject.glb)
    assert len(read_glb(tmp_path / "again.glb").t_pos_idx) == 12


# A lift's directory


def test_a_lift_shows_its_vertex_colours_and_its_history_in_order(tmp_path, capsys):
    settings = {"phases": [{"name": "zero"}, {"name": "colour"}]}
    run = write_run(tmp_path / "run", params={"prompt": "a red arrow", "settings": settings})
    names = ["zero-0050", "zero-0100", "zero-10000", "colour-0050"]
    sent = [png(run / "previews" / f"{name}.png", (i, 9, 9)) for i, name in enumerate(names)]
    sent.append(png(run / "views.png", "white"))
    (run / "previews" / "torn-0001.png").write_bytes(b"not a picture")
    (run / "previews" / ".zero-0150.png.77.tmp.png").write_bytes(
        b"half of one"
    )  # a lift writes it now
    code, stdout, stderr = view(capsys, run, "--json")
    assert code == 0 and json.loads(stdout)["path"] == str(run / "view.html")
    assert "torn-0001.png" in stderr and "vertex colours" in stderr and "zero-0150" not in stderr
    (model,) = models((run / "view.html").read_text(encoding="utf-8"))
    assert [base64.b64decode(one["png"]) for one in model["pictures"]] == sent
    captions = [
        "zero, step 50",
        "zero, step 100",
        "zero, step 10000",
        "colour, step 50",
        "the result",
    ]
    assert [one["caption"] for one in model["pictures"]] == captions
    assert (model["title"], model["name"]) == ("a red arrow", "run")
    (tmp_path / "seen.glb").write_bytes(base64.b64decode(model["glb"]))
    seen = read_glb(tmp_path / "seen.glb")
    np.testing.assert_allclose(seen.bounds(), [[-0.2, -0.05, -0.5], [0.2, 0.05, 0.5]], atol=1e-6)
    tip = seen.v_color[seen.v_pos[:, 2].argmax()]
    np.testing.assert_allclose(tip, COLOR[V_POS[:, 2].argmax()], atol=1e-3)


def test_an_export_is_shown_until_the_lift_is_newer(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    assert sdtool(["export", str(run), "--texture-size", "32"]) == 0
    exported = (run / "model.glb").read_bytes()
    assert read_subject(run).glb == exported
    os.utime(run / "model.glb", ns=(0, 0))
    capsys.readouterr()
    assert read_subject(run).glb != exported
    assert "older" in capsys.readouterr().err
    write_glb(run / "model.glb", Mesh(V_POS, FACES), generator="another tool")
    assert read_subject(run).glb != (run / "model.glb").read_bytes()


# The command line


def test_again_is_a_no_op_and_files_of_others_stay(tmp_path, capsys):
    path, out = box(tmp_path / "cube.glb"), tmp_path / "page.html"
    assert view(capsys, path, "--out", out)[0] == 0
    before = out.stat().st_mtime_ns
    code, stdout, stderr = view(capsys, path, "--out", out)
    assert (code, stdout) == (0, f"{out}\n") and "up to date" in stderr
    assert out.stat().st_mtime_ns == before
    out.write_text(f"<!DOCTYPE html>\n{MARK} 0.0.1 -->\nan older page")
    assert view(capsys, path, "--out", out)[0] == 0 and "older page" not in out.read_text("utf-8")
    out.write_text("<!DOCTYPE html>\nmy own page")
    code, stdout, stderr = view(capsys, path, "--out", out)
    assert (code, stdout) == (2, "") and "did not write" in stderr
    assert out.read_text() == "<!DOCTYPE html>\nmy own page"


@pytest.mark.parametrize(
    "arguments, code, word",
    [
        (["absent.glb"], 1, "absent.glb does not exist"),
        (["absent"], 1, "absent does not exist; name a model, or the directory of a lift"),
        (["broken.glb"], 1, "broken.glb"),
        (["notes.txt"], 1, "notes.txt"),
        (["picture.png"], 1, "picture.png is a PNG picture, not a model; look for the model"),
        (["empty"], 1, "not a finished lift"),
        (["cube.glb", "absent.glb"], 1, "absent.glb"),
        (["cube.glb", "--out", "page.txt"], 2, ".html"),
        (["cube.glb", "--out", "folder.html"], 2, "is a directory"),
        (["cube.glb", "--port", "8000"], 2, "--serve"),
        ([], 2, "PATH"),
    ],
)
def test_bad_input_is_one_sentence(arguments, code, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    box(tmp_path / "cube.glb")
    (tmp_path / "broken.glb").write_bytes(b"glTF, but not really one")
    (tmp_path / "notes.txt").write_text("no model")
    png(tmp_path / "picture.png", "white")
    for folder in ("empty", "folder.html"):
        (tmp_path / folder).mkdir()
    found = view(capsys, *arguments)
    assert found[:2] == (code, "")
    assert found[2].startswith("sdtool: ") and found[2].count("\n") == 1 and word in found[2]
    assert not [path for path in tmp_path.rglob("*.html") if path.is_file()]


def test_the_browser_opens_only_when_asked_or_when_somebody_looks(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    monkeypatch.setenv("DISPLAY", ":0")
    path, out = box(tmp_path / "a cube.glb"), tmp_path / "a cube.html"
    assert view(capsys, path)[0] == 0 and opened == []  # stdout is no terminal
    assert view(capsys, path, "--browser")[0] == 0 and opened == [out.as_uri()]
    monkeypatch.setattr(
        "sys.stdout", type("Terminal", (io.StringIO,), {"isatty": lambda _: True})()
    )
    assert sdtool(["view", str(path), "--no-browser"]) == 0 and len(opened) == 1
    assert sdtool(["view", str(path)]) == 0 and len(opened) == 2


def test_a_text_gltf_is_packed_with_what_lies_beside_it(tmp_path, capsys):
    sample = Sample()
    uv = np.full((4, 2), 0.5, np.float32)
    sample.primitive(CORNER, CORNER_FACES, vertex={"TEXCOORD_0": uv}, material=0)
    texture = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    sample.tree |= {"materials": [texture], "textures": [{"source": 0}]}
    sample.tree["images"] = [{"uri": "red.png"}]
    sample.tree["buffers"] = [{"byteLength": len(sample.binary), "uri": "a%20b.bin"}]
    (tmp_path / "a b.bin").write_bytes(sample.binary)
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "corner.gltf").write_text(json.dumps(sample.tree))
    (tmp_path / "seen.glb").write_bytes(read_subject(tmp_path / "corner.gltf").glb)
    seen = read_glb(tmp_path / "seen.glb", textures=True)
    np.testing.assert_array_equal(seen.v_pos, CORNER)
    assert seen.textures[0].image[0, 0].tolist() == [255, 0, 0, 255]
    assert capsys.readouterr().err == ""
    (tmp_path / "red.png").unlink()  # then the shape is shown, and the reason said
    (tmp_path / "seen.glb").write_bytes(read_subject(tmp_path / "corner.gltf").glb)
    assert len(read_glb(tmp_path / "seen.glb").t_pos_idx) == 4
    assert "red.png" in capsys.readouterr().err


def test_an_obj_is_shown_with_its_images_and_what_it_lacks_is_said(tmp_path, capsys):
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    Image.new("RGBA", (2, 2), (0, 0, 255, 0)).save(tmp_path / "blue.png")
    (tmp_path / "a.mtl").write_text(
        "newmtl r\nmap_Kd red.png\nnewmtl b\nmap_Kd -clamp on blue.png\nnewmtl g\nKd 0 1 0\n"
    )
    body = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 2 0\nv 0 0 3\nvt 0 0\nvt 0.25 1\n"
    body += "usemtl r\nf 1/1 3/2 2/1\nusemtl b\nf 1/1 2/1 4/2\nusemtl g\nf 1 4 3\nf 2 3 4\n"
    (tmp_path / "a.obj").write_text(body)
    wanted = load_mesh(tmp_path / "a.obj", textures=True)
    (tmp_path / "seen.glb").write_bytes(read_subject(tmp_path / "a.obj").glb)
    seen = read_glb(tmp_path / "seen.glb", textures=True)
    looks = {t.image[0, 0].tobytes(): t.wrap for t in seen.textures}
    assert looks == {b"\xff\0\0\xff": ("repeat",) * 2, b"\0\0\xff\xff": ("clamp",) * 2}
    corners = [np.round(m.v_pos[m.t_pos_idx], 6).tolist() for m in (wanted, seen)]
    order = [corners[1].index(one) for one in corners[0]]
    uv = [m.v_uv[m.t_pos_idx] for m in (wanted, seen)]
    textured = wanted.t_texture >= 0
    np.testing.assert_allclose(uv[1][order][textured], uv[0][textured])
    assert [seen.t_texture[k] >= 0 for k in order] == textured.tolist()
    green = seen.v_color[seen.t_pos_idx[order[2]]]
    np.testing.assert_allclose(green, [[0, 1, 0]] * 3, atol=1e-3)
    assert capsys.readouterr().err == ""
    (tmp_path / "red.png").unlink()
    read_subject(tmp_path / "a.obj")
    assert "has plain colours where it lacks red.png (missing)" in capsys.readouterr().err


def test_a_glb_is_packed_with_the_images_beside_it(tmp_path, capsys):
    sample = Sample()
    uv = np.full((4, 2), 0.5, np.float32)
    sample.primitive(CORNER, CORNER_FACES, vertex={"TEXCOORD_0": uv}, material=0)
    texture = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    sample.tree |= {"materials": [texture], "textures": [{"source": 0}]}
    sample.tree["images"] = [{"uri": "red.png"}]
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    subject = read_subject(sample.save(tmp_path / "a.glb"))
    (tmp_path / "apart").mkdir()
    (tmp_path / "apart/seen.glb").write_bytes(subject.glb)
    seen = read_glb(tmp_path / "apart/seen.glb", textures=True)
    np.testing.assert_array_equal(seen.v_pos, CORNER)
    assert seen.textures[0].image[0, 0].tolist() == [255, 0, 0, 255]
    assert capsys.readouterr().err == ""


def test_a_model_far_from_the_origin_is_shown_at_it(tmp_path, capsys):
    sample = Sample()
    sample.primitive(CORNER, CORNER_FACES)
    sample.tree["nodes"][0]["translation"] = [512345.25, 0, 5412345.5]
    subject = read_subject(sample.save(tmp_path / "a.glb"))
    assert "places far from its origin" in capsys.readouterr().err
    (tmp_path / "seen.glb").write_bytes(subject.glb)
    seen = read_glb(tmp_path / "seen.glb")
    np.testing.assert_allclose(seen.bounds(), subject.bounds)
    np.testing.assert_allclose(np.ptp(seen.v_pos, axis=0), [1, 2, 3])
