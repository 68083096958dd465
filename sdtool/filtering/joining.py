"""Tables of others, joined with the objects by uid.

A table is read once, row by row; what stays on disk is, for each uid, which rules its row meets. So
worker processes share it as files, and its columns may hold anything of any length.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import InputError, UsageError
from sdtool.filtering.rules import FLAGS, MEASURED_FLAGS, MEASURES, NUMBERS, Rule
from sdtool.filtering.table_files import Row, read_table
from sdtool.filtering.values import WRONG, as_name, as_number, as_truth, shown
from sdtool.io.uid_table import UidTable
from sdtool.io.words import counted
from sdtool.runtime.progress import Bar

LISTED = "listed"  # the column that every table has: true in each row, false of who has none
TOGETHER = 20_000  # rows that become one part of the table on disk
KINDS = {as_number: "number", as_truth: "truth", as_name: "text or number"}


@dataclass(frozen=True)
class TableFile:
    """A file of `--table FILE[:PREFIX]`; its columns are fields, named PREFIX.column if it has one."""

    path: Path
    prefix: str = ""

    @property
    def name(self) -> str:
        """How messages and counts call it."""
        return self.path.name + (f":{self.prefix}" if self.prefix else "")

    def rows(self) -> Iterator[Row]:
        """(uid, {field: value}) of each row."""
        dot = f"{self.prefix}." if self.prefix else ""
        for uid, values in read_table(self.path):
            yield uid, {dot + LISTED: True, **{dot + str(k): v for k, v in values.items()}}


def parse_tables(texts: list[str]) -> list[TableFile]:
    """The tables that `--table` names, each as FILE or FILE:PREFIX. UsageError if one is named twice,
    or has a prefix that is no name."""
    tables: list[TableFile] = []
    for text in texts:
        path, colon, prefix = text.rpartition(":")
        whole = not colon or Path(text).is_file() or not prefix.isidentifier()
        if whole and colon and Path(path).is_file() and not Path(text).is_file():
            what = f"{prefix} is no word of letters, digits and _" if prefix else "is empty"
            raise UsageError(
                f"--table {text}: the prefix {what}; write {path}, or {path}:PREFIX", "--table"
            )
        table = TableFile(Path(text)) if whole else TableFile(Path(path), prefix)
        if table.name in (other.name for other in tables):
            said = f"--table {text}: two tables have the name {table.name}; give one a prefix, FILE:PREFIX"
            raise UsageError(said, "--table")
        tables.append(table)
    return tables


@dataclass(frozen=True)
class Joined:
    """Which rules the rows of each table meet: what worker processes get. Small and picklable.

    absent: the rules that an object meets by having no row, table by table. notes: sentences about
    the tables, for the user.
    """

    names: tuple[str, ...] = ()
    tables: tuple[UidTable, ...] = ()
    absent: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def find(self, uids: list[str]) -> tuple[list[int], Counter[str]]:
        """For each uid the bits of the rules that its rows meet; and how many have a row, by table."""
        bits, with_row = [0] * len(uids), Counter[str]()
        for name, table, absent in zip(self.names, self.tables, self.absent, strict=True):
            found = table.find(uids)
            with_row[name] = len(found) - found.count(None)
            for index, text in enumerate(found):
                bits[index] |= absent if text is None else int(text, 16)
        return bits, with_row


def join(
    tables: list[TableFile], rules: list[Rule], folder: Path, bar: Bar | None = None
) -> Joined:
    """Read all tables and write what they say to `folder`.

    InputError for a column that no table has or that two have, and for one that is compared as a
    number or a truth and never is one.
    """
    found = [_Joining(table, rules) for table in tables]
    made = [one.build(folder / f"table-{n}", bar) for n, one in enumerate(found)]
    for rule in rules:
        for column in sorted(rule.columns):
            having = [one for one in found if column in one.seen]
            if len(having) > 1:
                both = " and ".join(one.table.name for one in having)
                raise InputError(
                    f"rule {rule.name}: {column} is a column of {both}; give one a prefix "
                    "(--table FILE:PREFIX) and name it PREFIX.column"
                )
            if not having:
                has = "; ".join(f"{one.table.name} has {_some(one.seen)}" for one in found)
                raise InputError(f"rule {rule.name}: no table has the column {column}; {has}")
    notes = [note for one in found for note in one.notes()]
    names = tuple(table.name for table in tables)
    return Joined(names, tuple(made), tuple(one.absent for one in found), tuple(notes))


def _some(names: dict[str, None]) -> str:
    kept = [name for name in names if name.rpartition(".")[2] != LISTED]
    return ", ".join([*kept[:20], *(["…"] if len(kept) > 20 else []), *(set(names) - set(kept))])


class _Joining:
    """One table while it is read."""

    def __init__(self, table: TableFile, rules: list[Rule]):
        self.table = table
        dot = f"{table.prefix}." if table.prefix else ""
        self.bits = [(1 << index, rule) for index, rule in enumerate(rules) if rule.columns]
        used = {name for rule in rules for name in (*rule.below, *rule.above, *rule.flags)}
        self.ours = used & {*NUMBERS, *MEASURES, *FLAGS, *MEASURED_FLAGS}
        self.absent = sum(b for b, rule in self.bits if rule.truths.get(dot + LISTED) is False)
        self.asked: dict[tuple[str, Any], list] = {}  # (field, kind) → [right, wrong, an example]
        for _, rule in self.bits:
            numbers = [(n, as_number) for n in rule.columns & {*rule.below, *rule.above}]
            for key in (*numbers, *((n, as_truth) for n in rule.truths)):
                self.asked[key] = [0, 0, None]
            self.asked |= {(name, as_name): [0, 0, None] for name in rule.one_of}
        self.seen: dict[str, None] = {}  # an ordered set of fields
        self.rows = self.nameless = self.repeated = 0

    def build(self, path: Path, bar: Bar | None) -> UidTable:
        """The table on disk: uid → the bits of the rules that its last row meets, as hex digits."""
        made = UidTable.build(self._parts(bar), path)
        if not self.rows:
            raise InputError(f"{self.table.path} has no rows")
        if self.nameless == self.rows:
            said = f"none of its {self.rows:,} rows names an object of Objaverse or of Sketchfab"
            raise InputError(f"{self.table.path}: {said}")
        if made.count:
            hashes = np.fromfile(path.with_suffix(".hashes"), np.uint64)
            self.repeated += int((hashes[1:] == hashes[:-1]).sum())
        for (name, kind), (right, wrong, example) in self.asked.items():
            if wrong and not right:
                raise InputError(
                    f"{self.table.path}: {name} is compared as a {KINDS[kind]}, and none of its "
                    f"{wrong:,} values is one, such as {shown(example)}"
                )
        return made

    def _parts(self, bar: Bar | None) -> Iterator[dict[str, str]]:
        part: dict[str, str] = {}
        for uid, values in self.table.rows():
            self.rows += 1
            if len(values) > len(self.seen) or not values.keys() <= self.seen.keys():
                self.seen |= dict.fromkeys(values)
            if not uid:
                self.nameless += 1
                continue
            self._check(values)
            self.repeated += uid in part
            part[uid] = f"{sum(bit for bit, rule in self.bits if rule.joins(values)):x}"
            if len(part) == TOGETHER:
                yield part
                part = {}
                if bar is not None:
                    bar.advance(TOGETHER)
        yield part

    def _check(self, values: dict[str, Any]) -> None:
        for (name, kind), tally in self.asked.items():
            value = kind(values.get(name))
            if value is WRONG:
                tally[1] += 1
                tally[2] = values[name] if tally[2] is None else tally[2]
            elif value is not None:
                tally[0] += 1

    def notes(self) -> Iterator[str]:
        """What a user should know of this table."""
        name = self.table.name
        if self.nameless:
            rows = counted(self.rows, "row")
            yield f"{name}: of no object, and left out: {self.nameless:,} of {rows}"
        if self.repeated:
            yield f"{name}: {counted(self.repeated, 'repeated uid')}; the last row of each holds"
        if hidden := sorted(self.ours & self.seen.keys()):
            yield (
                f"{name}: {', '.join(hidden)} in rules means what sdtool knows, not this table's "
                "column; --table FILE:PREFIX makes that PREFIX.column"
            )
        for (column, kind), (_, wrong, example) in self.asked.items():
            if wrong:
                yield (
                    f"{name}: {wrong:,} values of {column} are no {KINDS[kind]}, such as "
                    f"{shown(example)}; they count as not known"
                )


def values_of(tables: list[TableFile], uid: str) -> dict[str, dict[str, Any] | None]:
    """{table: {field: value}} of one object's last row in each table; None if it has none."""
    found: dict[str, dict[str, Any] | None] = {}
    for table in tables:
        found[table.name] = None
        for other, values in table.rows():
            if other == uid:
                found[table.name] = values
    return found


def absent_values(
    tables: list[TableFile], found: dict[str, dict[str, Any] | None]
) -> dict[str, Any]:
    """All fields of an object in one dictionary; `listed` is false in tables that do not have it."""
    fields: dict[str, Any] = {}
    for table in tables:
        row = found[table.name]
        fields |= {f"{table.prefix}." * bool(table.prefix) + LISTED: False} if row is None else row
    return fields
