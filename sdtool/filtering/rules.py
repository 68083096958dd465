"""The rules by which objects are left out: read from TOML, and explained for one object.

`matching.py` applies them to hundreds of thousands.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdtool.errors import InputError
from sdtool.io.files import text_of
from sdtool.io.objects import ObjectRecord

DEFAULT_RULES = Path(__file__).with_name("rules.toml")
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


@dataclass(frozen=True)
class Rule:
    """A name, an effect, and tests; rules.toml explains them. Word lists are `plain`, uids are not."""

    name: str
    effect: str = "remove"
    lists: dict[str, frozenset[str]] = field(default_factory=dict)
    below: dict[str, float] = field(default_factory=dict)
    above: dict[str, float] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether any test needs --inspect."""
        return any(n in MEASURES for n in (*self.below, *self.above)) or any(
            n in MEASURED_FLAGS for n in self.flags
        )

    @property
    def only_measured(self) -> bool:
        """Whether every test needs --inspect."""
        tests = (*self.lists, *self.below, *self.above, *self.flags)
        return all(name in MEASURES + MEASURED_FLAGS for name in tests)

    @property
    def is_final(self) -> bool:
        """Whether it names what cannot be used at all, which no other rule can keep."""
        return self.effect == "remove" and any(
            self.flags.get(name) is False for name in ("has_file", "readable", "surface")
        )

    def hits(self, record: ObjectRecord, has_file: bool, measures: Measures | None) -> list[str]:
        """Every test that the object meets, in words, with the value that met it."""
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
                value = number(record, measures, name)
                if value is not None and (value < bound if word == "below" else value > bound):
                    shown = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
                    found.append(f"{name} = {shown} is {word} {bound:,}")
        for name, wanted in self.flags.items():
            if flag(record, has_file, measures, name) is wanted:
                found.append(f"{name} is {str(wanted).lower()}")
        return found

    def tests(self) -> str:
        """All its tests in one line."""
        parts = [f"{name} among {len(words)} given" for name, words in self.lists.items()]
        parts += [f"{name} below {bound:,}" for name, bound in self.below.items()]
        parts += [f"{name} above {bound:,}" for name, bound in self.above.items()]
        parts += [f"{name} is {str(wanted).lower()}" for name, wanted in self.flags.items()]
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


def read_rules(path: str | Path) -> list[Rule]:
    """The enabled rules of a TOML file, in order; InputError names what cannot be understood."""
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
            rules.append(rule)
    return rules


def _rule(where: str, name: str, entry: dict[str, Any]) -> Rule:
    effect = entry.pop("effect", "remove")
    if effect not in EFFECTS:
        raise InputError(f"{where}: effect = {effect!r} is none of {', '.join(EFFECTS)}")
    rule = Rule(name, effect)
    for key, value in entry.items():
        if key in LISTS and isinstance(value, list) and all(isinstance(v, str) for v in value):
            kept = value if key == "uids" else map(plain, value)
            rule.lists[key] = frozenset(kept) - {""}
        elif key in ("below", "above") and isinstance(value, dict):
            for measure, bound in value.items():
                if measure not in NUMBERS + MEASURES or type(bound) not in (int, float):
                    known = ", ".join(NUMBERS + MEASURES)
                    raise InputError(
                        f"{where}: {key} = {{ {measure} = {bound!r} }} is not understood; "
                        f"numbers are compared with {known}"
                    )
            (rule.below if key == "below" else rule.above).update(value)
        elif key in FLAGS + MEASURED_FLAGS and type(value) is bool:
            rule.flags[key] = value
        else:
            raise InputError(
                f"{where}: {key} = {value!r} is not understood; a rule has {', '.join(LISTS)} "
                "(lists of words), below and above (tables of numbers), "
                f"{', '.join(FLAGS + MEASURED_FLAGS)}, enabled (true or false) and effect"
            )
    if not (any(rule.lists.values()) or rule.below or rule.above or rule.flags):
        raise InputError(f"{where} has no test, so it could never do anything")
    return rule
