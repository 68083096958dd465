"""The bench part `readers`: what it finds, chooses, and says of files that one reader refuses."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from sdtool.bench.readers import MEASURES, choose, differences, make_models, readers
from sdtool.bench.trimesh_reader import read_by_trimesh
from sdtool.errors import ObjectError, UsageError
from sdtool.meshfiles import load_mesh

pytest.importorskip("embreex", reason="embreex is not installed")


@pytest.mark.slow
def test_three_made_models_are_read_alike(tmp_path):
    table = readers(tmp_path)
    what, models, _, worst, _ = (list(column.cells) for column in table.columns)
    first = [what.index(name) for name in MEASURES.values()]
    assert [models[k] for k in first] == ["3"] * len(MEASURES)
    assert max(float(worst[k]) for k in first[:4]) < 1e-6
    assert max(float(worst[k]) for k in first[4:]) < 0.003  # trimesh keeps colours in 8 bits
    assert table.caption == "neither reader refused any"


def test_what_one_reader_refuses_is_named(tmp_path):
    make_models(tmp_path)
    (tmp_path / "broken.glb").write_bytes(b"no model")
    table = readers(tmp_path / "unused", [str(tmp_path)])
    assert table.title.startswith("4 models, 3 read by both")
    ours, theirs = table.caption.splitlines()
    assert ours == "sdtool refused 1: broken.glb (corrupt-file)"
    assert theirs.startswith("trimesh refused 1: broken.glb (")
    with pytest.raises(ObjectError, match=r"broken\.glb: trimesh cannot read it"):
        read_by_trimesh(tmp_path / "broken.glb")


def moved(mesh):
    return mesh.with_positions(mesh.v_pos + np.float32([0.1, 0, 0]))


def holed(mesh):
    return replace(mesh, t_pos_idx=mesh.t_pos_idx[mesh.v_pos[mesh.t_pos_idx][..., 1].min(1) < 0.4])


def tinted(mesh):
    return replace(mesh, v_color=mesh.v_color * np.float32([1, 0.5, 1]))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (moved, {"bounds"}),
        (holed, {"bounds", "pixels", "silhouette", "texels", "mean"}),
        (tinted, {"mean", "texels"}),
    ],
)
def test_a_wrong_reader_would_be_found(tmp_path, change, found):
    path = make_models(tmp_path)[0]
    values = differences(change(load_mesh(path, textures=True)), read_by_trimesh(path))
    assert {key for key, value in values.items() if value > 0.01} == found


def test_textures_are_compared(tmp_path):
    picture = np.full((4, 4, 3), 255, np.uint8)
    picture[:2, 2:] = [200, 60, 20]
    corners, faces = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]]
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(picture))
    visual = trimesh.visual.TextureVisuals(uv=np.array(corners)[:, :2], material=material)
    path = tmp_path / "quad.glb"
    trimesh.Trimesh(corners, faces, visual=visual, process=False).export(path)
    ours, theirs = load_mesh(path, textures=True), read_by_trimesh(path)
    assert len(ours.textures) == 1 and max(differences(ours, theirs).values()) < 1e-5
    assert differences(replace(ours, v_uv=1 - ours.v_uv), theirs)["texels"] > 0.1


@pytest.mark.parametrize("with_uv", [False, True])
def test_what_has_no_colour_is_not_compared_in_it(tmp_path, with_uv):
    box, path = trimesh.creation.box(), tmp_path / "box.ply"
    if with_uv:  # trimesh makes a grey image up
        box.visual = trimesh.visual.TextureVisuals(uv=box.vertices[:, :2])
    box.export(path)
    values = differences(load_mesh(path, textures=True), read_by_trimesh(path))
    assert values.keys() == MEASURES.keys() - {"mean", "texels"}


def test_folders_and_kinds_take_turns(tmp_path):
    for name in ("a/1.glb", "a/2.glb", "a/3.glb", "a/4.glb", "a/x.obj", "b/c/1.glb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    chosen = choose([tmp_path], 4)
    assert list(chosen.values()) == ["a/2.glb", "a/4.glb", "a/x.obj", "b/c/1.glb"]
    assert len(choose([tmp_path], 99)) == 6
    assert list(choose([tmp_path / "a", tmp_path / "b"], 2).values()) == ["3.glb", "x.obj"]


def test_folders_without_models_are_refused(tmp_path):
    for arguments, sentence in {
        (str(tmp_path),): "no models in",
        (str(tmp_path / "nowhere"),): "nowhere is not a folder",
        ("--count", "0"): "at least 1 model",
    }.items():
        with pytest.raises(UsageError, match=sentence):
            readers(tmp_path, arguments)
