"""The rules by which objects are left out: read from TOML, and explained for one object.

`matching.py` applies them to hundreds of thousands.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdtool.errors import InputError, UsageError
from sdtool.filtering.values import WRONG, as_name, as_number, as_truth, shown
from sdtool.io.files import text_of
from sdtool.io.objects import ObjectRecord

DEFAULT_RULES = Path(__file__).with_name("rules.toml")
SHIPPED = {
    "default": DEFAULT_RULES,
    **{
        name: Path(__file__).with_name(f"{name}.toml")
        for name in ("objaverse-plus-plus", "trellis-500k", "objaverse-filter", "g-objaverse")
    },
}
"""Files of rules that are chosen by name."""
EFFECTS = ("remove", "require", "keep")
LISTS = ("tags", "categories", "lvis", "words", "licenses", "uids")
NUMBERS = ("faces", "vertices", "animations", "bytes")
FLAGS = ("age_restricted", "in_lvis", "has_file")
# What --inspect finds out (`inspection.measure`); unknown before.
MEASURES = (
    "triangles", "components", "width", "height", "depth",
    "flatness", "degenerate", "open_edges", "bulk", "sideways",
)  # fmt: skip
MEASURED_FLAGS = ("readable", "surface", "watertight")

Measures = Mapping[str, Any]
Values = Mapping[str, Any]
"""{field: value} of an object's rows in the tables that others made."""


@dataclass(frozen=True)
class Rule:
    """A name, an effect, and tests; rules.toml explains them. Word lists are `plain`, uids are not.

    below and above also compare columns of tables; one_of (of `as_name` values) and truths only them.
    """

    name: str
    effect: str = "remove"
    lists: dict[str, frozenset[str]] = field(default_factory=dict)
    below: dict[str, float] = field(default_factory=dict)
    above: dict[str, float] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)
    one_of: dict[str, frozenset] = field(default_factory=dict)
    truths: dict[str, bool] = field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """The columns of tables that its tests look at."""
        numbers = {n for n in (*self.below, *self.above) if n not in NUMBERS + MEASURES}
        return numbers | self.one_of.keys() | self.truths.keys()

    @property
    def measured(self) -> bool:
        """Whether any test needs --inspect."""
        return any(n in MEASURES for n in (*self.below, *self.above)) or any(
            n in MEASURED_FLAGS for n in self.flags
        )

    @property
    def only_measured(self) -> bool:
        """Whether every test needs --inspect."""
        tests = (*self.lists, *self.below, *self.above, *self.flags, *self.columns)
        return all(name in MEASURES + MEASURED_FLAGS for name in tests)

    @property
    def is_final(self) -> bool:
        """Whether it names what cannot be used at all, which no other rule can keep."""
        return self.effect == "remove" and any(
            self.flags.get(name) is False for name in ("has_file", "readable", "surface")
        )

    def hits(
        self,
        record: ObjectRecord,
        has_file: bool,
        measures: Measures | None,
        row: Values | None = None,
    ) -> list[str]:
        """Every test that the object meets, in words, with the value that met it.

        row: what tables say of it.
        """
        row = row or {}
        found = []
        for name, words in self.lists.items():
            if name == "words":
                met = sorted(phrases(record.name) & words)
                found += [f'the name "{record.name}" holds "{word}"' for word in met]
                continue
            values = _texts(record, name)
            found += [
                f'{name} has "{value}"'
                for value in values
                if (value if name == "uids" else plain(value)) in words
            ]
        for tests, word in ((self.below, "below"), (self.above, "above")):
            for name, bound in tests.items():
                if name in self.columns:
                    value = as_number(row.get(name))
                    value = None if value is WRONG else value
                else:
                    value = number(record, measures, name)
                if value is not None and (value < bound if word == "below" else value > bound):
                    text = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
                    found.append(f"{name} = {text} is {word} {bound:,}")
        for name, wanted in self.flags.items():
            if flag(record, has_file, measures, name) is wanted:
                found.append(f"{name} is {str(wanted).lower()}")
        for name, names in self.one_of.items():
            if as_name(row.get(name)) in names:
                found.append(f"{name} = {shown(row[name])} is one of those given")
        for name, wanted in self.truths.items():
            if as_truth(row.get(name)) is wanted:
                found.append(f"{name} is {str(wanted).lower()}")
        return found

    def joins(self, values: Values) -> bool:
        """Whether the object meets any test of a column, by its rows in the tables."""
        for name, bound in self.below.items():
            if name in values and (value := as_number(values[name])) not in (None, WRONG):
                if value < bound:
                    return True
        for name, bound in self.above.items():
            if name in values and (value := as_number(values[name])) not in (None, WRONG):
                if value > bound:
                    return True
        return any(as_name(values.get(n)) in names for n, names in self.one_of.items()) or any(
            as_truth(values.get(n)) is wanted for n, wanted in self.truths.items()
        )

    def tests(self) -> str:
        """All its tests in one line."""
        parts = [f"{name} among {len(words)} given" for name, words in self.lists.items()]
        parts += [f"{name} below {bound:,}" for name, bound in self.below.items()]
        parts += [f"{name} above {bound:,}" for name, bound in self.above.items()]
        parts += [f"{name} is one of {len(names)} given" for name, names in self.one_of.items()]
        truths = {**self.flags, **self.truths}
        parts += [f"{name} is {str(wanted).lower()}" for name, wanted in truths.items()]
        return ", ".join(parts)


def number(record: ObjectRecord, measures: Measures | None, name: str) -> float | None:
    """The value that a numeric test compares; None if it is not known."""
    if name in NUMBERS:
        return getattr(record, name)
    value = measures.get(name) if measures else None
    return value if isinstance(value, int | float) else None


def flag(record: ObjectRecord, has_file: bool, measures: Measures | None, name: str) -> bool | None:
    """The value that a flag is compared with; None if it is not known."""
    if name in MEASURED_FLAGS:
        return measures.get(name) if measures else None
    known = {
        "age_restricted": record.age_restricted,
        "in_lvis": bool(record.lvis),
        "has_file": has_file,
    }
    return known[name]


def _texts(record: ObjectRecord, name: str) -> list[str]:
    if name == "uids":
        return [record.uid]
    return [record.license] if name == "licenses" else getattr(record, name)


# Words


WORD = re.compile(r"[A-Z]*[^\W_A-Z]+|[A-Z]+")  # LowPoly_Tree01 → Low, Poly, Tree01


def plain(text: str) -> str:
    """Lower case, and only letters and digits: ``"Low-Poly"`` → ``"lowpoly"``."""
    return "".join(re.findall(r"[^\W_]+", text.casefold()))


def phrases(name: str) -> frozenset[str]:
    """Every run of words of a name, each run joined: what `words` is compared with."""
    words = [word.casefold() for word in WORD.findall(name)]
    size = len(words)
    return frozenset(
        "".join(words[i:j]) for i in range(size) for j in range(i + 1, min(i + 12, size) + 1)
    )


# Reading


def choose_rules(text: str | None) -> list[Path]:
    """The files that `--rules` names: of your own, or of `SHIPPED`, divided by commas."""
    if text is None:
        return [DEFAULT_RULES]
    if Path(text).is_file():
        return [Path(text)]
    chosen = []
    for name in (part.strip() for part in text.split(",")):
        if not name or (name not in SHIPPED and not Path(name).is_file()):
            known = ", ".join(SHIPPED)
            said = (
                f"--rules {text}: {name or 'nothing'} is neither a file of rules nor one of {known}"
            )
            raise UsageError(said, "--rules")
        chosen.append(Path(name) if Path(name).is_file() else SHIPPED[name])
    return chosen


def read_all_rules(paths: list[Path], tables: bool) -> list[Rule]:
    """The enabled rules of some files, in order; InputError if two of them have the same name."""
    rules: dict[str, Rule] = {}
    for path in paths:
        for rule in read_rules(path, tables):
            if rule.name in rules:
                raise InputError(f"{path} has a rule named {rule.name}, as a file before it has")
            rules[rule.name] = rule
    return list(rules.values())


def read_rules(path: str | Path, tables: bool = True) -> list[Rule]:
    """The enabled rules of a TOML file, in order; InputError names what cannot be understood.

    tables: whether there are tables, whose columns the rules may name.
    """
    path = Path(path)
    try:
        table = tomllib.loads(text_of(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as rules ({error})") from None
    entries = table.pop("rule", [])
    if table or not isinstance(entries, list) or not entries:
        raise InputError(f"{path} should hold [[rule]] tables and nothing else; see --print-rules")
    rules, names = [], set()
    for position, entry in enumerate(entries, start=1):
        name = entry.pop("name", None) if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            raise InputError(f"{path}, rule {position} has no name")
        if name in names:
            raise InputError(f"{path} has two rules named {name}")
        names.add(name)
        enabled = entry.pop("enabled", True)
        if type(enabled) is not bool:
            raise InputError(
                f"{path}, rule {name}: enabled = {enabled!r} is neither true nor false"
            )
        rule = _rule(f"{path}, rule {name}", name, entry)
        if enabled:
            if rule.columns and not tables:
                raise InputError(_without_tables(f"{path}, rule {name}", min(rule.columns)))
            rules.append(rule)
    return rules


def _without_tables(where: str, name: str) -> str:
    known = ", ".join(NUMBERS + MEASURES)
    return (
        f"{where}: {name} is not understood, or a column of a table that is not given: numbers are "
        f"compared with {known}; columns of a table need --table FILE"
    )


def _rule(where: str, name: str, entry: dict[str, Any]) -> Rule:
    effect = entry.pop("effect", "remove")
    if effect not in EFFECTS:
        raise InputError(f"{where}: effect = {effect!r} is none of {', '.join(EFFECTS)}")
    rule = Rule(name, effect)
    for key, value in entry.items():
        if key in LISTS and _are_texts(value):
            kept = value if key == "uids" else map(plain, value)
            rule.lists[key] = frozenset(kept) - {""}
        elif key in ("below", "above") and isinstance(value, dict):
            bounds = _flat(value)
            for measure, bound in bounds.items():
                if type(bound) not in (int, float) or math.isnan(bound):
                    known = ", ".join(NUMBERS + MEASURES)
                    raise InputError(
                        f"{where}: {key} = {{ {measure} = {bound!r} }} is not understood; "
                        f"numbers are compared with {known} and columns of a --table"
                    )
            (rule.below if key == "below" else rule.above).update(bounds)
        elif key == "one_of" and isinstance(value, dict):
            for column, names in _flat(value).items():
                if not isinstance(names, list) or not all(isinstance(v, str | int) for v in names):
                    said = f"{where}: one_of = {{ {column} = {names!r} }} should be a list of texts"
                    raise InputError(f"{said} or whole numbers")
                rule.one_of[column] = frozenset(map(as_name, names)) - {None}
        elif key in ("true", "false") and _are_texts(value):
            for column in value:
                is_ours = column in FLAGS + MEASURED_FLAGS
                (rule.flags if is_ours else rule.truths)[column] = key == "true"
        elif key in FLAGS + MEASURED_FLAGS and type(value) is bool:
            rule.flags[key] = value
        else:
            raise InputError(
                f"{where}: {key} = {value!r} is not understood; a rule has {', '.join(LISTS)} "
                "(lists of words), below and above (tables of numbers), one_of (a table of lists), "
                "true and false (lists of columns), "
                f"{', '.join(FLAGS + MEASURED_FLAGS)}, enabled (true or false) and effect"
            )
    tests = any(rule.lists.values()) or any(rule.one_of.values()) or rule.truths
    if not (tests or rule.below or rule.above or rule.flags):
        raise InputError(f"{where} has no test, so it could never do anything")
    return rule


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _flat(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    """`{ pp.score = 2 }`, which TOML reads as a table in a table, as {"pp.score": 2}."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{before}{key}.") if inner else {before + key: value}
    return flat
