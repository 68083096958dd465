"""`captions.jsonl`: a line for each object that has a caption.

    {"uid": "a", "caption": "a red chair", "source": "name", "annotation": "Red Chair",
     "alternatives": [{"caption": "a chair", "source": "tags"}]}

source: what the caption was made from. annotation: the artist's own words, may be "". What looked at
pictures adds scores, every candidate and the models' names; readers pass over what they do not know.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from sdtool.errors import InputError
from sdtool.io.files import atomic_file, file_in, read_jsonl
from sdtool.io.names import readable
from sdtool.io.rank_folders import stage_folders

CAPTIONS = "captions.jsonl"


def captions_file(out: Path) -> AbstractContextManager[BinaryIO]:
    """Open the `captions.jsonl` of the stage directory `out`, for lines in the objects' order."""
    return atomic_file(out / CAPTIONS)


def captions_in(path: Path) -> Path:
    """The `captions.jsonl` that lies in the folder `path`; else `path`: a file, or a folder of ranks."""
    return file_in(path, CAPTIONS)


def read_captions(path: Path) -> dict[str, list[str]]:
    """`captions.jsonl`, or a folder that holds it → uid → prompts: the caption, then all others.

    A folder may hold what many ranks wrote.
    """
    files = [folder / CAPTIONS for folder in stage_folders(path)] if path.is_dir() else [path]
    captions: dict[str, list[str]] = {}
    for listing, number, line in (
        (file, *entry) for file in files for entry in enumerate(read_jsonl(file), start=1)
    ):
        uid, others = line.get("uid"), line.get("alternatives") or []
        others = others if isinstance(others, list) else [others]
        others = [o.get("caption") if isinstance(o, dict) else o for o in others]
        texts = [line.get("caption"), line.get("annotation"), *others]
        if not all(isinstance(text, str | None) for text in (uid, *texts)):
            raise InputError(
                f"{listing}, caption {number} (uid {uid}): uid, caption, annotation and alternatives "
                "should be text"
            )
        texts = [readable(text).strip() for text in texts if text]  # what no tokenizer takes goes
        texts = list(dict.fromkeys(filter(None, texts)))
        if texts and uid is not None:
            captions[uid] = texts
    if not captions:
        raise InputError(f"{path} holds no captions; make them with: sdtool caption")
    return captions
