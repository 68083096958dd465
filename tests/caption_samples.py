"""What the tests of captions share: lines of a listing, what is said of them, files with words in them."""

from glb_samples import container

from sdtool.captioning.phrases import caption_from_words
from sdtool.io.objects import record_of


def record(name="", tags=(), categories=(), **more):
    return {"uid": "u", "name": name, "tags": list(tags), "categories": list(categories), **more}


def captioned(item, words=None, seed=0):
    """(line, whether it is sure) of the object that a line of a listing describes."""
    return caption_from_words(record_of(item["uid"], item), words, seed)


def caption(item, words=None, seed=0):
    return captioned(item, words, seed)[0]


def glb(tmp_path, name="a.glb", **tree):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(container({"asset": {"version": "2.0"}, **tree}))
    return path
