"""A small collection in Objaverse's layout for the tests."""

import gzip
import json


def annotation(uid, name="Wooden Chair", tags=("chair",), categories=(), faces=1000, **more):
    """An annotation with the fields that Objaverse's have, as far as sdtool reads them."""
    return {
        "uid": uid,
        "name": name,
        "tags": [{"name": tag, "slug": tag, "uri": f"https://example.org/{tag}"} for tag in tags],
        "categories": [{"name": category} for category in categories],
        "description": more.pop("description", ""),
        "faceCount": faces,
        "vertexCount": 77,
        "archives": {
            "glb": {"faceCount": faces, "vertexCount": 502, "size": more.pop("bytes", 40_000)}
        },
        "animationCount": 0,
        "isAgeRestricted": False,
        "staffpickedAt": None,
        "license": "by",
        **more,
    }


def write_json_gz(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(value).encode()))


def write_collection(root, annotations, *, lvis=None, shards=2, absent=()):
    """Write the annotations over several shards, and an (empty) file for each object."""
    for number in range(shards):
        part = {a["uid"]: a for a in annotations[number::shards]}
        write_json_gz(root / "metadata" / f"000-{number:03d}.json.gz", part)
    paths = {a["uid"]: f"glbs/000-000/{a['uid']}.glb" for a in annotations}
    write_json_gz(root / "object-paths.json.gz", paths)
    if lvis is not None:
        write_json_gz(root / "lvis-annotations.json.gz", lvis)
    (root / "glbs" / "000-000").mkdir(parents=True)
    for uid, path in paths.items():
        if uid not in absent:
            (root / path).write_bytes(b"glTF")
    return root
