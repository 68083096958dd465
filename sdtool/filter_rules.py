"""The rules by which objects are left out: read from TOML, applied to annotation records."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdtool.errors import InputError

DEFAULT_RULES = Path(__file__).with_name("filter_rules.toml")
LISTS = ("tags", "categories", "words")
NUMBERS = ("fewer_faces_than", "more_faces_than")
FLAGS = ("animated", "age_restricted", "no_file")
LONGEST = 4  # words of a name that are compared together: "work in progress" is 3


@dataclass(frozen=True)
class Rule:
    """One reason to leave an object out: it is met if any of its tests is. See the TOML file."""

    name: str
    tags: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    fewer_faces_than: int | None = None
    more_faces_than: int | None = None
    animated: bool = False
    age_restricted: bool = False
    no_file: bool = False

    def hits(self, view: "View") -> bool:
        """Whether the rule removes the object."""
        few, many = self.fewer_faces_than, self.more_faces_than
        return bool(
            self.tags & view.tags
            or self.categories & view.categories
            or self.words & view.phrases
            or (view.faces is not None and few is not None and view.faces < few)
            or (view.faces is not None and many is not None and view.faces > many)
            or (self.animated and view.animated)
            or (self.age_restricted and view.age_restricted)
            or (self.no_file and not view.has_file)
        )


@dataclass(frozen=True)
class View:
    """An object's record as rules compare it."""

    tags: frozenset[str]
    categories: frozenset[str]
    phrases: frozenset[str]
    faces: int | None
    animated: bool
    age_restricted: bool
    has_file: bool


def view(record: dict[str, Any]) -> View:
    """The comparable form of a record of `annotations.Collection`; looks once on the disk."""
    return View(
        frozenset(map(plain, record["tags"])),
        frozenset(map(plain, [*record["categories"], *record["lvis"]])),
        phrases(record["name"]),
        record["faces"],
        record["animations"] > 0,
        record["age_restricted"],
        record["path"] is not None and Path(record["path"]).is_file(),
    )


def plain(text: str) -> str:
    """Lower case, and only letters and digits: ``"Low-Poly"`` → ``"lowpoly"``."""
    return "".join(_words(text))


def phrases(name: str) -> frozenset[str]:
    """Every run of up to four words of a name, each run joined: what `words` is compared with."""
    words = _words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))  # LowPolyTree → Low Poly Tree
    runs = range(1, LONGEST + 1)
    return frozenset("".join(words[i : i + n]) for n in runs for i in range(len(words)))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def read_rules(path: str | Path) -> list[Rule]:
    """The enabled rules of a TOML file, in order; InputError names what cannot be understood."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as rules ({error})") from None
    entries = table.pop("rule", [])
    if table or not isinstance(entries, list) or not entries:
        raise InputError(f"{path} should hold [[rule]] tables and nothing else; see --print-rules")
    rules: list[Rule] = []
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise InputError(f"{path}, rule {number} has no name")
        if entry["name"] in [rule.name for rule in rules]:
            raise InputError(f"{path} has two rules named {entry['name']}")
        if entry.pop("enabled", True):
            rules.append(_rule(path, entry))
    return rules


def _rule(path: Path, entry: dict[str, Any]) -> Rule:
    values: dict[str, Any] = {}
    for key, value in entry.items():
        good = (
            (key == "name")
            or (key in LISTS and isinstance(value, list) and all(isinstance(v, str) for v in value))
            or (key in NUMBERS and type(value) is int)
            or (key in FLAGS and type(value) is bool)
        )
        if not good:
            raise InputError(
                f"{path}, rule {entry['name']}: {key} = {value!r} is not understood; a rule has "
                f"{', '.join(LISTS)} (lists of words), {', '.join(NUMBERS)} (integers), "
                f"{', '.join(FLAGS)} and enabled (true or false)"
            )
        values[key] = frozenset(map(plain, value)) - {""} if key in LISTS else value
    if len(values) == 1:
        raise InputError(
            f"{path}, rule {entry['name']} has no test, so it could never remove anything"
        )
    return Rule(**values)
