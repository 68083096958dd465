"""The second pass of filter-objaverse: what the rules kept by its annotations is fetched, inspected
file by file, and matched with the rules again by what is known now.

Files that were fetched lie in the collection; measures lie beside the parts of the first pass, a
line as soon as it is known. So a run that was killed continues with the next file.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdtool.errors import InputError, ObjectError
from sdtool.filtering.fetching import UNREACHABLE, Fetcher, Wanted, begin_fetching
from sdtool.filtering.first_pass import (
    KEPT,
    REJECTED,
    Listings,
    Parts,
    Tally,
    settle,
    whole_file,
)
from sdtool.filtering.inspection import inspect_file, unusable
from sdtool.filtering.joining import Joined
from sdtool.filtering.matching import RuleMatcher
from sdtool.io.failures import FAILURES, error_of, failure
from sdtool.io.files import append_jsonl, read_jsonl
from sdtool.io.objects import ObjectRecord, compact_json, read_lines
from sdtool.runtime.engine import map_items
from sdtool.runtime.progress import Bar
from sdtool.runtime.workers import attempt

INSPECTED, FETCHED = "inspected.jsonl", "fetched.jsonl"
FETCH_LIMIT = 1800.0  # seconds for one object with all attempts
SILENT = 10  # objects in a row for which nobody answered, before a run gives up
RECYCLE = 1000  # objects that one worker process inspects


def _kept(parts: Parts, number: int) -> Iterator[ObjectRecord]:
    """The records that unit `number` kept in the first pass."""
    path = parts.path(number, KEPT)
    for item in read_lines(path.read_bytes(), str(path)):
        if not isinstance(item, ObjectRecord):
            raise InputError(f"{path} is damaged; run again with --overwrite")
        yield item


def _mend(path: Path) -> None:
    """Cut off a last line that a kill left unfinished."""
    if path.is_file():
        with open(path, "r+b") as file:
            text = file.read()
            file.truncate(text.rfind(b"\n") + 1)


# Fetching


def missing(parts: Parts, count: int, root: Path) -> Iterator[Wanted]:
    """The kept objects of units 0 … count − 1 whose files are not in the collection at `root`."""
    for number in range(count):
        listings = Listings()
        for record in _kept(parts, number):
            if record.path is not None and not listings.has(record.path):
                yield Wanted(record.uid, os.path.relpath(record.path, root))


def fetch(
    fetcher: Fetcher, parts: Parts, count: int, out: Path, workers: int, bar: Bar
) -> dict[str, ObjectError]:
    """Fetch what is missing; return {uid: what went wrong} of what could not be.

    Each object becomes a line of `fetched.jsonl` in `out`. InputError if nobody answers for the
    first object, or for many in a row.
    """
    ledger, root, silent = out / FETCHED, fetcher.root, 0
    _mend(ledger)
    first = next(missing(parts, count, root), None)
    if first is None:
        return _problems(ledger)
    begin_fetching(root)
    outcome = attempt(replace(fetcher, attempts=2), first)
    if isinstance(outcome, ObjectError):  # it has its turn again, unless nobody is there
        silent = SILENT if outcome.reason == UNREACHABLE else 0
    else:
        append_jsonl(ledger, outcome)
        bar.advance()
    wanted = missing(parts, count, root) if not silent else ()
    with closing(map_items(fetcher, wanted, workers=workers, timeout=FETCH_LIMIT)) as outcomes:
        for item, outcome in outcomes:
            if isinstance(outcome, ObjectError):
                append_jsonl(ledger, failure(item.uid, outcome))
                silent = silent + 1 if outcome.reason == UNREACHABLE else 0
            else:
                append_jsonl(ledger, outcome)
                silent = 0
            bar.advance(failed=isinstance(outcome, ObjectError))
            if silent == SILENT:
                break
    if silent == SILENT:
        left = sum(1 for _ in missing(parts, count, root))
        raise InputError(
            f"{left} of the objects that the rules keep are not on this disk, and "
            f"{fetcher.origin.name} cannot be reached ({outcome}); run the same command where it "
            "can, or add --mirror with a folder or URL that holds a copy, or leave out --fetch"
        )
    return _problems(ledger)


def _problems(ledger: Path) -> dict[str, ObjectError]:
    """{uid: what went wrong at last} of the objects that could not be fetched."""
    problems: dict[str, ObjectError] = {}
    for line in read_jsonl(ledger) if ledger.is_file() else ():
        problems.pop(line["uid"], None)
        if error := error_of(line):
            problems[line["uid"]] = error
    return problems


# Inspecting


def inspect(
    parts: Parts, count: int, bar: Bar, workers: int = 0, timeout: float = 0.0, memory: int = 0
) -> None:
    """Measure the files of all kept objects, but for those whose lines held measures already.

    workers, timeout, memory: as `map_items` has them.
    """
    items = _uninspected(parts, count, bar)
    outcomes = map_items(
        _inspect, items, workers=workers, timeout=timeout, memory=memory, recycle=RECYCLE
    )
    for (number, uid, _), outcome in outcomes:
        measures = unusable(outcome) if isinstance(outcome, ObjectError) else outcome
        with open(parts.path(number, INSPECTED), "ab") as file:
            file.write(compact_json({"uid": uid, **measures}) + b"\n")
        bar.advance(failed="error" in measures)


def _uninspected(parts: Parts, count: int, bar: Bar) -> Iterator[tuple[int, str, str]]:
    """Yield (unit, uid, path) of the kept objects that have a file and no measures yet."""
    for number in range(count):
        _mend(parts.path(number, INSPECTED))
        known, listings = {line["uid"] for line in parts.read(number, INSPECTED)}, Listings()
        for record in _kept(parts, number):
            if record.uid in known:
                bar.advance()
            elif record.path is None or record.measures is not None:
                continue
            elif listings.has(record.path):
                yield number, record.uid, record.path


def _inspect(item: tuple[int, str, str]) -> dict[str, Any]:
    return inspect_file(item[2])


# Filtering again


def filter_again(
    parts: Parts,
    count: int,
    matcher: RuleMatcher,
    out: Path,
    problems: dict[str, ObjectError],
    once: bool,
    joined: Joined,
) -> Tally:
    """Write the result of units 0 … count − 1 to the folder `out`, by what is known by now.

    problems: why files could not be fetched: such objects have failed. once: of objects with the
    same uid only the first is kept. joined: what tables of others say.
    """
    total = Tally()
    seen: set[int] | None = set() if once else None
    with ExitStack() as stack:
        names = (KEPT, REJECTED, FAILURES, INSPECTED)
        whole = {name: stack.enter_context(whole_file(out, name)) for name in names}
        for number in range(count):
            for name in (REJECTED, FAILURES):
                parts.copy(number, name, whole[name])
            first = parts.tally(number)
            assert first is not None  # the first pass has been through all units
            total.add(replace(first, kept=Counter()))
            made = _filter_unit(parts, number, matcher, problems, seen, total, joined)
            for name, lines in made.items():
                whole[name].writelines(line + b"\n" for line in lines)
    if (out / INSPECTED).stat().st_size == 0:
        (out / INSPECTED).unlink()
    return total


def _filter_unit(
    parts: Parts,
    number: int,
    matcher: RuleMatcher,
    problems: dict[str, ObjectError],
    seen: set[int] | None,
    tally: Tally,
    joined: Joined,
) -> dict[str, list[bytes]]:
    """The lines of each file that the kept objects of one unit become."""
    files: dict[str, list[bytes]] = {KEPT: [], REJECTED: [], FAILURES: [], INSPECTED: []}
    measures = {line["uid"]: line for line in parts.read(number, INSPECTED)}
    listings = Listings()
    records = list(_kept(parts, number))
    bits_joined, _ = joined.find([record.uid for record in records])
    for record, met in zip(records, bits_joined, strict=True):
        problem = None
        if seen is not None:  # of hashes, which take half the memory of uids
            if hash(record.uid) in seen:
                problem = ObjectError(
                    "repeated-uid", f"{record.uid} was there before; that one holds"
                )
            seen.add(hash(record.uid))
        has_file = listings.has(record.path)
        if not has_file and record.uid in problems:
            problem = problems[record.uid]
        if problem is not None:
            files[FAILURES].append(compact_json(failure(record.uid, problem)))
            tally.failed += 1
            continue
        if record.uid in measures:
            line = measures[record.uid]
            files[INSPECTED].append(compact_json(line))
            record.add_measures(line)
        bits = matcher.bits(record, has_file, record.measures, met)
        settle(record, bits, matcher, tally, files)
    return files
