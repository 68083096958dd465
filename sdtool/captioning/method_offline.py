"""Captioning a whole listing from words: first from the listing, then from the files of the rest."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sdtool.captioning.file_words import FileWords, read_file_words
from sdtool.captioning.phrases import caption_from_words
from sdtool.errors import ObjectError
from sdtool.io.ledger import Ledger
from sdtool.io.objects import ObjectRecord
from sdtool.meshfiles.gltf_tree import check_link
from sdtool.runtime.engine import map_items
from sdtool.runtime.progress import progress

Items = Callable[[], Iterator[tuple[int, ObjectRecord]]]
"""Gives (place in the listing, record) of every object, each time from the beginning."""

FEW = 200
"""So many files are read sooner than worker processes have started."""


def caption_offline(
    items: Items,
    total: int,
    ledger: Ledger,
    look_into: str,
    seed: int,
    pool: dict[str, Any],
) -> None:
    """Bring a line for every object into the ledger: see `sdtool.captioning.phrases`.

    total: how many they are. look_into: when to read words in the objects' files: "when-needed",
    "always" or "never". pool: options of `map_items`.
    """
    if look_into == "always":
        waiting = sum(index not in ledger for index, _ in items())
    else:
        waiting = _from_listing(items, total, ledger, look_into == "never", seed)
    if not waiting:
        return
    todo = (entry for entry in items() if entry[0] not in ledger)
    pool = {**pool, "workers": 1} if waiting < FEW else pool
    with progress("reading files", waiting, "objects") as bar:
        results = map_items(partial(_from_file, seed), todo, **pool)
        for (index, item), line in results:
            ledger.add_line(index, item.uid, line)
            bar.advance(failed=isinstance(line, ObjectError))


def _from_listing(items: Items, total: int, ledger: Ledger, is_final: bool, seed: int) -> int:
    """Caption what the listing surely describes (or, if final, all); return how many are left."""
    waiting = 0
    line: dict[str, Any] | ObjectError
    with progress("captioning", total, "objects", done=ledger.count) as bar, ledger.gathering():
        for index, item in items():
            if index in ledger:
                continue
            try:
                _check_link(item.path)
                line, is_sure = caption_from_words(item, seed=seed)
            except ObjectError as error:
                line, is_sure = error, False
            if is_sure or is_final:
                ledger.add_line(index, item.uid, line)
            else:
                waiting += 1
            bar.advance()
    return waiting


def _check_link(path: str | None) -> None:
    """A link to nowhere is no object, whatever its name says."""
    if path is not None:
        check_link(path)


def _from_file(seed: int, entry: tuple[int, ObjectRecord]) -> dict[str, Any]:
    """The caption of one object from its record and its file (run by a worker)."""
    _, item = entry
    _check_link(item.path)
    words, trouble = FileWords(), None
    try:
        words = read_file_words(item.path)
    except ObjectError as error:
        trouble = error
    try:
        return caption_from_words(item, words, seed)[0]
    except ObjectError as error:
        raise (trouble or error) from None
