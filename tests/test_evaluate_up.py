"""evaluate --up: models with +Z up are judged as they stand."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from sdtool.cli import run as sdtool
from sdtool.geometry.ccm import to_canonical, turned_z_up
from sdtool.meshfiles import load_mesh, write_glb
from sdtool.toyverse.toys import make


@pytest.fixture
def corgi(in_a_folder):
    """The folders y and z, each with a corgi as it stands with that axis up."""
    mesh = to_canonical(make(np.random.default_rng(3), "corgi")[0])
    for up, turned in (("y", mesh), ("z", mesh.with_positions(turned_z_up(mesh.v_pos)))):
        Path(up).mkdir()
        trimesh.Trimesh(turned.v_pos, turned.t_pos_idx, process=False).export(f"{up}/a-corgi.obj")


def soundness(folder, *options):
    assert sdtool(["evaluate", folder, "--out", "out", "--overwrite", *options]) == 0
    (asset,) = json.loads(Path("out/evaluation.json").read_text(encoding="utf-8"))["assets"]
    return {one["measure"]: one["value"] for one in asset["findings"]}["soundness"]


def test_the_axis_that_points_up_may_be_named(corgi):
    standing = soundness("y")
    assert soundness("z", "--up", "z") == pytest.approx(standing, abs=1e-4)
    assert soundness("z") != pytest.approx(standing, abs=1e-4)
    assert soundness("y", "--up", "y") == standing


def test_another_axis_is_another_evaluation(corgi, capsys):
    assert sdtool(["evaluate", "z", "--out", "out", "--up", "z"]) == 0
    assert "--up z" in Path("out/index.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert sdtool(["evaluate", "z", "--out", "out"]) == 2
    assert "(up: z there, y now)" in capsys.readouterr().err


def test_gltf_has_its_own_axis_whatever_is_named(corgi):
    Path("gltf").mkdir()
    write_glb("gltf/a-corgi.glb", load_mesh("y/a-corgi.obj"))
    assert soundness("gltf", "--up", "z") == pytest.approx(soundness("y"), abs=1e-4)


def test_there_is_no_third(corgi, capsys):
    assert sdtool(["evaluate", "y", "--out", "out", "--up", "x"]) == 2
    assert "--up" in capsys.readouterr().err and not Path("out").exists()
