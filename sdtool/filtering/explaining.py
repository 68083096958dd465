"""Why filter-objaverse keeps or removes one object."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdtool.errors import InputError
from sdtool.filtering.first_pass import Listings
from sdtool.filtering.joining import TableFile, absent_values, values_of
from sdtool.filtering.matching import RuleMatcher
from sdtool.filtering.rules import Rule
from sdtool.filtering.sources import Source, Unit
from sdtool.filtering.values import shown
from sdtool.io.objects import Item, ObjectRecord


@dataclass(frozen=True)
class Explanation:
    """What the rules say of one object. hits: (rule, the tests that it meets, in words).

    rows: {table: {field: value}}, None if the table has no row of the object.
    """

    record: ObjectRecord
    hits: list[tuple[Rule, list[str]]]
    removed_by: tuple[str, ...]
    rows: dict[str, dict[str, Any] | None] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        hits = [{"rule": r.name, "effect": r.effect, "tests": tests} for r, tests in self.hits]
        kept = not self.removed_by
        said = {"kept": kept, "rules": hits, "object": self.record.as_dict()}
        return said | ({"tables": self.rows} if self.rows else {})

    def __str__(self) -> str:
        record = self.record
        lines = [f'{record.uid} "{record.name}"']
        if self.removed_by:
            lines[0] += f" is removed by {', '.join(self.removed_by)}"
        else:
            lines[0] += " is kept"
        for rule, tests in self.hits:
            said = f"it meets none of: {rule.tests()}" if rule.effect == "require" else None
            lines += [f"  {rule.name} ({rule.effect}): {said or '; '.join(tests)}"]
        if not self.hits:
            lines.append("  no rule has anything against it")
        for table, row in self.rows.items():
            values = [f"{name} = {shown(value)}" for name, value in (row or {}).items()]
            lines.append(f"  {table}: {', '.join(values) or 'has no row of it'}")
        return "\n".join(lines)


def explain(
    source: Source, rules: list[Rule], uid: str, inspect: bool, tables: list[TableFile]
) -> Explanation:
    """Match the object `uid` with the rules, by itself. InputError if the source does not have it."""
    record = _find(source, uid)
    has_file = Listings().has(record.path)
    if inspect and record.path is not None and has_file:
        from sdtool.filtering.inspection import inspect_file

        record.add_measures(inspect_file(record.path))
    matcher = RuleMatcher(rules)
    rows = values_of(tables, record.uid)
    values = absent_values(tables, rows)
    joined = sum(1 << index for index, rule in enumerate(rules) if rule.joins(values))
    bits = matcher.bits(record, has_file, record.measures, joined)
    hits = [
        (rule, rule.hits(record, has_file, record.measures, values))
        for index, rule in enumerate(rules)
        if bits >> index & 1
    ]
    return Explanation(record, hits, matcher.reasons(bits), rows)


def _find(source: Source, uid: str) -> ObjectRecord:
    with tempfile.TemporaryDirectory() as folder:
        places = source.places(Path(folder))
        for unit in _likely_first(source, places.paths.find([uid])[0]):
            for item in unit.read() if unit.may_hold(uid) else ():
                if _uid(item) != uid:
                    continue
                if not isinstance(item, ObjectRecord):
                    raise InputError(f"{uid} cannot be judged: {item[1]}")
                places.put([item])
                return item
    raise InputError(f"{source.path} has no object {uid}")


def _uid(item: Item) -> str:
    return item.uid if isinstance(item, ObjectRecord) else item[0]


def _likely_first(source: Source, path: str | None) -> Iterator[Unit]:
    """All units; first those of the metadata shard that is named like the folder of the file."""
    folder = Path(path).parent.name if path and source.collection else None
    later = []
    for unit in source.units():
        if folder is None or Path(unit.name).name.startswith(f"{folder}."):
            yield unit
        else:
            later.append(unit)
    yield from later
    yield from source.left_over(0, set())
