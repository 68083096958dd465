"""Toys of which some face another way, and how well `orient` has put them right."""

import json
from pathlib import Path

import numpy as np

from sdtool.geometry.cameras import rotate_y
from sdtool.io.objects import iter_objects
from sdtool.io.yaw_fix import read_yaw_fix
from sdtool.meshfiles import load_mesh, write_glb


def turn_some(source, folder, share=0.3, seed=0, turns=(90, 180, 270)):
    """Copy the meshes of `source` into `folder` as uid.glb, a share of them turned.

    Returns {uid: degrees that put it right again}, 0 for those that were left.
    """
    rng, needed = np.random.default_rng(seed), {}
    Path(folder).mkdir(parents=True)
    for item in iter_objects(source):
        turn = int(rng.choice(turns)) if rng.random() < share else 0
        mesh = load_mesh(item.path)
        if turn:
            mesh = mesh.with_positions(rotate_y(mesh.v_pos, np.radians(turn)))
        write_glb(Path(folder) / f"{item.uid}.glb", mesh, name=item.name)
        needed[item.uid] = -turn % 360
    return needed


def score(out, needed):
    """Precision and recall of the turns in the folder that `orient` wrote.

    needed: {uid: right turn}; other objects do not count. Precision: of what it turns, the share that
    faces +Z then. Recall: of what faces another way, the share that it puts right.
    """
    fixed = {uid: turn for uid, turn in read_yaw_fix(out).items() if uid in needed}
    right = [uid for uid, turn in fixed.items() if turn == needed[uid]]
    wrong = sum(turn != 0 for turn in needed.values())
    lines = (Path(out) / "orientations.jsonl").read_text(encoding="utf-8").splitlines()
    best = {line["uid"]: line["degrees"] for line in map(json.loads, lines)}
    agree = [best[uid] == needed[uid] for uid in needed if uid in best]
    return {
        "objects": len(agree),
        "facing another way": wrong,
        "turned": len(fixed),
        "precision": len(right) / len(fixed) if fixed else float("nan"),
        "recall": len(right) / wrong if wrong else float("nan"),
        "best turn is right": float(np.mean(agree)),
    }
