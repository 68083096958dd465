"""The first pass of filter-objaverse: the rules on what the annotations of every unit say.

A unit becomes a few files in a folder of parts, the last of which, its tally, says that it is done.
The parts in their order are the result.
"""

import gc
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from sdtool.errors import InputError, ObjectError
from sdtool.filtering.joining import Joined
from sdtool.filtering.matching import RuleMatcher
from sdtool.filtering.rules import Rule
from sdtool.filtering.sources import Source, Unit
from sdtool.io.failures import FAILURES, failure, failures_file
from sdtool.io.files import atomic_file, read_json, write_json
from sdtool.io.objaverse import Places
from sdtool.io.objects import OBJECTS, ObjectRecord, compact_json
from sdtool.runtime.engine import available_cores, map_items
from sdtool.runtime.progress import Bar

KEPT, REJECTED, TALLY = OBJECTS, "rejected.jsonl", "tally.json"
ENOUGH = 4  # processes; each takes about 85 MB, and together they stay below 500
LISTED = 20_000  # files of a folder that are listed; beyond that each is asked for by itself


@dataclass
class Tally:
    """How many objects were kept and rejected with which bits of the rules, and how many failed."""

    kept: Counter[int] = field(default_factory=Counter)
    rejected: Counter[int] = field(default_factory=Counter)
    failed: int = 0
    measured: bool = False  # whether any object came with measures
    annotated: list[str] = field(default_factory=list)  # of a folder's meshes, the uids of these
    with_row: Counter[str] = field(default_factory=Counter)  # table → objects that it has a row of

    def add(self, other: "Tally") -> None:
        """Count the objects of another tally too."""
        self.kept.update(other.kept)
        self.rejected.update(other.rejected)
        self.failed += other.failed
        self.measured |= other.measured
        self.annotated += other.annotated
        self.with_row.update(other.with_row)

    @property
    def seen(self) -> int:
        """All objects."""
        return self.kept.total() + self.rejected.total() + self.failed


class Parts:
    """The folder of parts: a file of lines for each unit and each file of the result."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, number: int, name: str) -> Path:
        """The part of unit `number` of the file `name`."""
        return self.folder / f"{number:06d}.{name}"

    def write(self, number: int, files: dict[str, list[bytes]], tally: Tally) -> None:
        """Write the lines of each file, and the tally when all are there."""
        for name, lines in files.items():
            with atomic_file(self.path(number, name)) as file:
                file.write(b"".join(line + b"\n" for line in lines))
        write_json(self.path(number, TALLY), vars(tally))

    def tally(self, number: int) -> Tally | None:
        """The tally of a unit that is done."""
        path = self.path(number, TALLY)
        if not path.is_file():
            return None
        value = read_json(path)
        for name in ("kept", "rejected"):
            value[name] = Counter({int(bits): count for bits, count in value[name].items()})
        value["with_row"] = Counter(value.get("with_row", {}))
        return Tally(**value)

    def copy(self, number: int, name: str, whole: BinaryIO) -> None:
        """Append a part to the file of all parts."""
        with open(self.path(number, name), "rb") as part:
            shutil.copyfileobj(part, whole, 1 << 20)

    def read(self, number: int, name: str) -> Iterator[dict]:
        """The lines of a part; the last one not, if a kill cut it short."""
        path = self.path(number, name)
        for line in path.read_bytes().split(b"\n")[:-1] if path.is_file() else ():
            yield json.loads(line)


class Listings:
    """Whether files are there: folders are listed once, which beats asking for each file."""

    def __init__(self):
        self._files: set[str] = set()
        self._listed: dict[str, bool] = {}  # folder → whether all of its files are in the set

    def has(self, path: str | None) -> bool:
        """Whether the absolute `path` is a file."""
        if path is None or path in self._files:
            return path is not None
        folder = path.rpartition("/")[0]
        if folder not in self._listed:
            self._listed[folder] = self._list(folder)
            return self.has(path)
        return not self._listed[folder] and os.path.isfile(path)

    def _list(self, folder: str) -> bool:
        """Note the files in a folder, and say whether they are all."""
        try:
            with os.scandir(folder) as entries:
                some = list(islice(entries, LISTED + 1))
            self._files.update(entry.path for entry in some if _is_file(entry))
        except (OSError, ValueError):
            return True  # there is nothing
        return len(some) <= LISTED


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself, for one, must not hide the files beside it
        return False


@dataclass
class Filter:
    """Applies the rules to the objects of a unit and writes its parts: what worker processes run. Picklable.

    parts: None for a dry run. trusting: take every file that is listed as being there. joined: what
    tables of others say.
    """

    rules: list[Rule]
    places: Places
    parts: Parts | None
    trusting: bool = False
    joined: Joined = Joined()

    @cached_property
    def matcher(self) -> RuleMatcher:
        """Made in the process that uses it."""
        return RuleMatcher(self.rules)

    def __call__(self, unit: Unit) -> Tally:
        collecting = gc.isenabled()
        gc.disable()  # thousands of records come and go, and no circles among them
        try:
            return self._filter_unit(unit)
        finally:
            if collecting:
                gc.enable()

    def _filter_unit(self, unit: Unit) -> Tally:
        files: dict[str, list[bytes]] = {KEPT: [], REJECTED: [], FAILURES: []}
        tally, matcher, listings = Tally(), self.matcher, Listings()
        beside_meshes = not self.places.confined and self.places.paths.count
        items = self.places.put(unit.read())
        uids = [item.uid for item in items if isinstance(item, ObjectRecord)]
        joined, tally.with_row = self.joined.find(uids)
        met = iter(joined)
        for item in items:
            if not isinstance(item, ObjectRecord):
                files[FAILURES].append(compact_json(failure(*item)))
                tally.failed += 1
                continue
            has_file = listings.has(item.path) or (self.trusting and item.path is not None)
            bits = matcher.bits(item, has_file, item.measures, next(met))
            settle(item, bits, matcher, tally, files)
            if beside_meshes and item.path is not None:
                tally.annotated.append(item.uid)
        if self.parts is not None:
            self.parts.write(unit.number, files, tally)
        return tally


def settle(
    record: ObjectRecord,
    bits: int,
    matcher: RuleMatcher,
    tally: Tally,
    files: dict[str, list[bytes]],
) -> None:
    """Count a record that the rules met with `bits`, and add its line to the file where it belongs."""
    reasons = matcher.reasons(bits)
    tally.measured |= record.measures is not None
    if reasons:
        tally.rejected[bits] += 1
        line = {"uid": record.uid, "name": record.name, "rules": reasons}
        if error := (record.measures or {}).get("error"):  # what --inspect found
            line["error"] = error
        files[REJECTED].append(compact_json(line))
    else:
        tally.kept[bits] += 1
        files[KEPT].append(record.line())


def first_pass(source: Source, work: Filter, workers: int, bar: Bar) -> tuple[int, Tally]:
    """Filter all units that have no parts yet; return how many units there are, and their tally.

    workers: processes; 0 for one a core, but no more than finish Objaverse in seconds.
    """
    total, count = Tally(), 0
    workers = workers or min(available_cores(), ENOUGH)

    def waiting(units: Iterator[Unit]) -> Iterator[Unit]:
        nonlocal count
        for unit in units:
            count = unit.number + 1
            done = work.parts.tally(unit.number) if work.parts is not None else None
            if done is None:
                yield unit
            else:
                note(done)

    def note(tally: Tally) -> None:
        total.add(tally)
        bar.advance(tally.seen, tally.failed)

    for units in (source.units, lambda: source.left_over(count, set(total.annotated))):
        for unit, tally in map_items(work, waiting(units()), workers=workers):
            if isinstance(tally, ObjectError):
                raise InputError(f"{unit.name} cannot be filtered: {tally}")
            note(tally)
    return count, total


def join_parts(parts: Parts, count: int, out: Path) -> None:
    """Put the parts of units 0 … count − 1 together, in order, in the folder `out`."""
    for name in (KEPT, REJECTED, FAILURES):
        with whole_file(out, name) as whole:
            for number in range(count):
                parts.copy(number, name, whole)


def whole_file(out: Path, name: str) -> AbstractContextManager[BinaryIO]:
    """The file `name` of the result, open for the lines of all units in order."""
    return failures_file(out) if name == FAILURES else atomic_file(out / name)
