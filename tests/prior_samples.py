"""Small data for the tests of priors: shards of views of flat shapes, and their captions."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from sdtool.cameras import orbit

COLORS = {"red": (0.9, 0.1, 0.1), "blue": (0.1, 0.2, 0.9)}
SHAPES = ("disc", "square")


def write_views(folder: Path, *, size: int = 16, objects: int = 8, views: int = 4, seed: int = 0):
    """Write a shard with the maps rgb, normal and ccm, and captions.jsonl; return `folder`."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size - 0.5
    masks = {"disc": x**2 + y**2 < 0.12, "square": (abs(x) < 0.3) & (abs(y) < 0.3)}
    maps, c2w, owner, captions = {"rgb": [], "normal": [], "ccm": []}, [], [], []
    for k in range(objects):
        color, shape = list(COLORS)[k % 2], SHAPES[k // 2 % 2]
        captions.append(
            {
                "uid": f"object-{k}",
                "caption": f"a {color} {shape}",
                "source": "test",
                "annotation": f"{shape} no. {k}",
                "alternatives": [{"caption": f"some {color} thing", "score": 0.5}],
            }
        )
        for azimuth in rng.uniform(-np.pi, np.pi, views):
            flat = np.ones((size, size))
            s, c = np.sin(azimuth), np.cos(azimuth)
            values = {
                "rgb": np.stack([flat * part for part in COLORS[color]]),
                "normal": np.stack([flat * (s + 1) / 2, flat * 0.5, flat * (c + 1) / 2]),
                "ccm": np.stack([0.5 + x * c, 0.5 - y, 0.5 - x * s]),
            }
            for name, value in values.items():
                cover = masks[shape].astype(float)[None]
                maps[name].append(np.concatenate([(2 * value - 1) * cover, 2 * cover - 1]))
            c2w.append(orbit(azimuth, 0.2, 1.5)[0])
            owner.append(k)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.stack(values).astype(np.float16) for name, values in maps.items()}
    tensors |= {"c2w": np.stack(c2w), "object": np.array(owner, np.int32)}
    header = {"uids": json.dumps([line["uid"] for line in captions]), "fov": "45.0"}
    save_file(tensors, folder / "views-00000.safetensors", metadata=header)
    lines = [json.dumps(line) + "\n" for line in captions]
    (folder / "captions.jsonl").write_text("".join(lines))
    return folder
