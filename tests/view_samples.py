"""Models and pictures for pages, and the command `view`."""

import numpy as np
from PIL import Image

from sdtool.cli import run as sdtool
from sdtool.geometry.meshes import Mesh
from sdtool.meshfiles import write_glb

HOSTILE = "</script><script>alert(1)</script><!--<script>"


def view(capsys, *arguments):
    """(exit code, stdout, stderr) of `sdtool view …`."""
    code = sdtool(["view", *map(str, arguments)])
    return code, *capsys.readouterr()


def box(path, size=(1, 1, 1), color=(1, 0, 0), **more):
    """A GLB of a box of one colour around the origin."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([[q[i] for i in t] for q in quads for t in ((0, 1, 2), (0, 2, 3))], np.int32)
    v_color = np.full((8, 3), color, np.float32)
    return write_glb(path, Mesh(corners * np.array(size, np.float32) / 2, faces, v_color), **more)


def png(path, color):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (16, 4), color).save(path)
    return path.read_bytes()
