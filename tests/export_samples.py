"""A lift made by hand, which `export` and others read, and the command `export`."""

import json

import numpy as np
from safetensors.numpy import save_file

from sdtool.cli import run as sdtool

# An arrow that lies flat and points to +Z: wide at the back, its tip in front, red tip, dark tail.
# Bounds: x −1…1, y 2…2.5, z −1…4, so the longest side is 5 and the centre is (0, 2.25, 1.5).
V_POS = np.array([[-1, 2, -1], [1, 2, -1], [0, 2.5, -1], [0, 2, 4]], np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
COLOR = np.array([[0.02, 0.1, 0.2], [0.5, 0.25, 0.75], [0, 1, 0], [1, 0, 0]], np.float32)
CANONICAL = (V_POS - [0, 2.25, 1.5]) / 5


def write_run(folder, v_pos=V_POS, faces=FACES, color=COLOR, **record):
    """A directory such as `lift` leaves, made by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"v_pos": v_pos, "t_pos_idx": faces}, folder / "shape.safetensors")
    save_file({"v_color": color}, folder / "material.safetensors")
    params = {"prompt": "a red arrow", "seed": 7, "agp": "tiny", "base": "", "preset": "tiny-cpu"}
    priors = {"agp": "tiny", "base": "tiny"}
    facts = {"params": params, "priors": priors, "inputs": {}}
    record = {"stage": "lift", "sdtool": "0.0.9"} | facts | record
    (folder / "stage.json").write_text(json.dumps(record))
    return folder


def export(capsys, *arguments):
    """(exit code, stdout, stderr) of `sdtool export …`."""
    code = sdtool(["export", *map(str, arguments)])
    return code, *capsys.readouterr()
