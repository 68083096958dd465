"""The people whose answers are given: how each is called, how far the verdicts agree with each, and the
Janus rates that come of both."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdtool.errors import InputError, UsageError
from sdtool.evaluating.answer_files import Answers, Key, read_answers
from sdtool.evaluating.answer_matching import matched
from sdtool.evaluating.answers import Agreement, agreement, refuse
from sdtool.evaluating.janus_rates import of_list
from sdtool.evaluating.judges import CLIP, ORIENTATION
from sdtool.evaluating.protocol import Protocol
from sdtool.evaluating.results import Evaluated
from sdtool.evaluating.sampled import Estimate, estimates


@dataclass(frozen=True)
class Person:
    """file: as it was given. answers, asked, seen: `given`, `asked` and `seen` of `answer_files.Answers`."""

    file: Path
    answers: list[dict[str, str]]
    asked: frozenset[Key] | None = None
    seen: dict[Key, str] = field(default_factory=dict)

    def matched(self, assets: Sequence[Evaluated], out: Path) -> "Person":
        """The same with the names that the assets have now (`answer_matching`)."""
        now = matched(Answers(self.answers, self.asked, self.seen), assets, out)
        return Person(self.file, now.given, now.asked, now.seen)


@dataclass(frozen=True)
class Heard:
    """people: whose answers count, with the names that the assets have now. agreed: how each agrees with the
    verdicts. refused: why nobody's count, after all; None if they do."""

    people: dict[str, Person]
    agreed: dict[str, Agreement]
    refused: InputError | None = None


def read_people(given: Sequence[Path], judge: str) -> dict[str, Person]:
    """Name → person: "a person" if there is one, else the names of their files, each of its own.

    judge: how the judge of the verdicts is called (`judges.name_of`). UsageError for a file that is given
    twice, InputError for one that holds no answers.
    """
    if len(given) == 1:
        return {"a person": _person(given[0])}
    found: dict[str, Person] = {}
    seen: set[Path] = set()
    for path in given:
        if path.resolve() in seen:
            raise UsageError(f"--answers {path} is given twice; each file once", "--answers")
        seen.add(path.resolve())
        name, taken = path.stem, (*found, judge, CLIP, ORIENTATION)
        if name in taken:
            name = str(path) if str(path) not in taken else str(path.resolve())
        found[name] = _person(path)
    return found


def _person(path: Path) -> Person:
    found = read_answers(path)
    return Person(path, found.given, found.asked, found.seen)


def check(expected: list[Evaluated], people: Mapping[str, Person], out: Path) -> None:
    """InputError if answers are of something else, as far as that shows before all is measured
    (`evaluation.expected`)."""
    for person in people.values():
        with _named(person):
            refuse(expected, person.matched(expected, out).answers, out, early=True)


def hear(
    assets: list[Evaluated],
    people: Mapping[str, Person],
    out: Path,
    protocol: Protocol | None = None,
) -> Heard:
    """Whose answers count, and how they agree with the verdicts. Where those of one are refused, nobody's do:
    the report is then written without them."""
    try:
        now = {name: person.matched(assets, out) for name, person in people.items()}
        return Heard(now, agreements(assets, now, out, protocol))
    except InputError as error:
        return Heard({}, {}, InputError(f"{error}; the report is written without answers"))


@contextmanager
def _named(person: Person) -> Iterator[None]:
    """An InputError names the person's file too."""
    try:
        yield
    except InputError as error:
        raise InputError(f"--answers {person.file}: {error}") from None


def agreements(
    assets: list[Evaluated],
    people: Mapping[str, Person],
    out: Path,
    protocol: Protocol | None = None,
) -> dict[str, Agreement]:
    """How each agrees with the verdicts (`answers.agreement`); an InputError names the file too. The Janus
    rates are of what belongs to a prompt of the protocol, if there is one."""
    about = of_list(protocol, assets)
    found = {}
    for name, person in people.items():
        with _named(person):
            agreed = agreement(assets, person.answers, out)
            found[name] = replace(agreed, janus=estimates(about, person.answers, person.asked))
    return found


def copies(people: Mapping[str, Person]) -> list[str]:
    """Who said exactly what another one said, in sentences: it may be one person's file, given twice."""
    said, first = [], dict[tuple, str]()
    for name, one in people.items():
        what = tuple(sorted(tuple(sorted(answer.items())) for answer in one.answers))
        other = first.setdefault(what, name)
        if what and other != name:
            said.append(
                f"{name} and {other} hold the same answers; if they are one person's, give one of them, as "
                "each file counts as a judge of its own"
            )
    return said


def left_out(agreed: Mapping[str, Agreement]) -> list[str]:
    """Whose answers are left out, and which, in sentences."""
    return list(filter(None, (one.said_left_out(name) for name, one in agreed.items())))


def janus_rates(agreed: Mapping[str, Agreement]) -> dict[str, dict[str, Estimate]]:
    """Person → method → Janus rate; none of a person who said yes or no of nothing that counts."""
    return {name: one.janus for name, one in agreed.items()}
