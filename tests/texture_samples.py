"""What the tests of texture share: files to paint, a colour for each place, and whether it is there."""

import json
import struct

import numpy as np
import torch
from glb_samples import Sample
from shape_samples import box, icosphere

from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import srgb_to_linear
from sdtool.meshfiles import load_mesh
from sdtool.texturing.mesh_scene import MeshScene

SIZE = 128
SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
QUAD = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


class Places:
    """A scene whose colour is the canonical place + 1/2."""

    v_pos = torch.zeros(1, 3)

    @staticmethod
    def color_at(points):
        return points + 0.5


def tree_of(path):
    data = path.read_bytes()
    length = struct.unpack("<I", data[12:16])[0]
    return json.loads(data[20 : 20 + length])


def painted(path, out, size=SIZE, yaw=0.0):
    """Paint a file by `Places` into the folder `out`; what was said of its sheets, and the files."""
    made = MeshScene(path, yaw, size)
    layouts, reasons = made.laid_out
    files = made.model.painted(layouts, made.paints(Places()))
    out.mkdir(exist_ok=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    assert set(files) == set(made.model.outputs(False))
    return reasons, [out / name for name in files]


def colors_of_faces(mesh):
    """(F, 3) sRGB-encoded colours of the texels in the middle of the faces of a read mesh."""
    middle = mesh.v_uv[mesh.t_pos_idx].mean(axis=1)
    found = np.empty((len(middle), 3))
    for k, (s, t) in enumerate(middle):
        image = mesh.textures[mesh.t_texture[k]].image
        found[k] = image[int(t * len(image)), int(s * len(image)), :3] / 255
    tint = np.ones(3) if mesh.v_color is None else mesh.v_color[mesh.t_pos_idx].min(axis=(0, 1))
    return found * srgb_to_linear(tint)


def assert_painted(path, places=None, off=0.02):
    """The middle of every face has the colour of its canonical place, or of those that are given."""
    mesh = load_mesh(path, textures=True)
    if places is None:
        places = to_canonical(mesh).v_pos[mesh.t_pos_idx].mean(axis=1)
    np.testing.assert_allclose(colors_of_faces(mesh), places + 0.5, atol=off)


def same_surface(path, other):
    a, b = load_mesh(path), load_mesh(other)
    np.testing.assert_array_equal(a.v_pos[a.t_pos_idx], b.v_pos[b.t_pos_idx])
    if (a.v_normal != 0).any():
        np.testing.assert_array_equal(a.v_normal[a.t_pos_idx], b.v_normal[b.t_pos_idx])


def two_materials():
    """A file with a hierarchy, two meshes, one of them in two places, two materials, and much beside."""
    made = Sample()
    cube, ball = box((-1, 0, -1), (1, 1, 1)), icosphere(1)
    uv = np.abs(ball.v_pos[:, :2])  # all quarters on one
    red = np.tile(np.array([[1, 0, 0]], np.float32), (len(cube.v_pos), 1))
    weight = np.arange(len(cube.v_pos), dtype=np.uint8)[:, None].repeat(3, axis=1)
    made.primitive(
        cube.v_pos, cube.t_pos_idx.reshape(-1).astype(np.uint16), color=red, material=0,
        vertex={"_WEAR": weight},
    )  # fmt: skip
    made.tree["meshes"] += [{"name": "Ball", "primitives": [], "extras": {"a": 1}}]
    made.primitive(
        ball.v_pos, ball.t_pos_idx.reshape(-1).astype(np.uint32), mesh=1, material=1,
        vertex={"TEXCOORD_0": uv, "NORMAL": ball.v_pos * 2},
        targets=[{"POSITION": made.accessor(np.ones_like(ball.v_pos))}],
    )  # fmt: skip
    made.tree["nodes"] = [
        {"name": "root", "children": [1, 2, 3], "extras": {"b": 2}},
        {"name": "seat", "mesh": 0},
        {"name": "left", "mesh": 1, "translation": [0, 2, 0]},
        {"name": "right", "mesh": 1, "translation": [4, 2, 0], "scale": [-1, 1, 1]},
    ]
    made.tree["cameras"] = [{"type": "perspective", "perspective": {"yfov": 1, "znear": 0.1}}]
    made.tree["materials"] = [
        {"name": "Wood", "doubleSided": True, "emissiveFactor": [1, 1, 1]},
        {
            "name": "Steel",
            "pbrMetallicRoughness": {"metallicFactor": 1, "baseColorFactor": [0.1, 0.2, 0.3, 0.5]},
            "alphaMode": "BLEND",
            "normalTexture": {"index": 0},
        },
    ]
    made.tree["images"] = [{"uri": "data:image/png;base64,iVBORw0KGgo="}]
    made.tree["textures"] = [{"source": 0}]
    return made
