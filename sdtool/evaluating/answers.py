"""How the verdicts agree with a person's answers to a blind sheet (`answer_files`)."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdtool.errors import InputError
from sdtool.evaluating.answer_files import Key, key_of
from sdtool.evaluating.human import counted_methods, picture_digest, without_text
from sdtool.evaluating.prompts import one_line
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    SYMMETRIC,
    UNSEEN,
    UNSHOWN,
    Evaluated,
    Rate,
)
from sdtool.evaluating.sampled import Estimate
from sdtool.evaluating.statistics import cohen_kappa
from sdtool.io.words import counted

NAMED = 3  # paths that a sentence names


@dataclass(frozen=True)
class Agreement:
    """What a person said of the assets, and how the automatic verdicts compare.

    rates: the share of "yes" for each method, as the sheet shows it: failed assets count as "no";
    what is not applicable, not answered or answered "unsure" does not count. symmetric: the same of
    those that are not applicable, of all methods. The four counts and `kappa` are of the assets that
    were judged by both (consistent or inconsistent; yes or no). only_automatic: consistent by the
    verdict alone; only_person: by the person alone. janus: method → its Janus rate by these answers and
    all verdicts (`sampled`). left_out: the paths of answers that count nowhere, as there is nothing to be
    seen of their assets now; given: how many answers there are with these.
    """

    rates: dict[str, Rate]
    symmetric: Rate
    both_yes: int
    only_automatic: int
    only_person: int
    both_no: int
    unsure: int = 0
    unanswered: int = 0
    janus: dict[str, Estimate] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    given: int = 0

    def said_left_out(self, name: str) -> str:
        """A sentence on the answers of a person of this name that are left out; "" if none are."""
        if not self.left_out:
            return ""
        some = ", ".join(self.left_out[:NAMED]) + ", …" * (len(self.left_out) > NAMED)
        of = f"{len(self.left_out):,} of {counted(self.given, 'answer')}"
        return (
            f"left out of what {name} said, as there is nothing to be seen of it now: {of} ({some})"
        )

    @property
    def agreed(self) -> Rate:
        """How often both say the same."""
        apart = self.only_automatic + self.only_person
        return Rate(self.both_yes + self.both_no, self.both_yes + self.both_no + apart)

    @property
    def kappa(self) -> float:
        """Cohen's, of the verdict and the person."""
        return cohen_kappa([[self.both_yes, self.only_automatic], [self.only_person, self.both_no]])


def agreement(
    assets: list[Evaluated], answers: list[dict[str, Any]], out: Path | None = None
) -> Agreement:
    """Compare the answers that a person has given (`Answers`) with the verdicts.

    out: the folder of the report, with the pictures; without it no picture is compared. Answers of what is
    not among `assets`, or has failed, are left out: it counts nowhere. InputError if all are; or if an asset
    has another prompt now, or another picture, so that the person saw something else. Of answers of older
    sheets, which have no digest, the pictures are not compared. Those about what was not looked at are
    passed over.
    """
    given, gone = len(answers), refuse(assets, answers, out)
    shown = {(a.path, a.method): a for a in assets if a.verdict not in UNSHOWN}
    said = {key_of(one): one["answer"] for one in answers if key_of(one) in shown}
    heard: dict[str, list[bool]] = {method: [] for method in counted_methods(assets)}
    for asset in assets:
        if asset.verdict == FAILED and (asset.path, asset.method) not in gone:
            heard[asset.method].append(False)
    symmetric: list[bool] = []
    both: Counter[tuple[bool, bool]] = Counter()
    for key, asset in shown.items():
        if said.get(key) not in ("yes", "no"):
            continue
        yes = said[key] == "yes"
        if asset.verdict == SYMMETRIC:
            symmetric.append(yes)
        else:
            heard[asset.method].append(yes)
            if asset.verdict in (CONSISTENT, INCONSISTENT):
                both[asset.verdict == CONSISTENT, yes] += 1
    return Agreement(
        rates={method: Rate(sum(kept), len(kept)) for method, kept in heard.items()},
        symmetric=Rate(sum(symmetric), len(symmetric)),
        both_yes=both[True, True],
        only_automatic=both[True, False],
        only_person=both[False, True],
        both_no=both[False, False],
        unsure=list(said.values()).count("unsure"),
        unanswered=len(shown) - len(said),
        left_out=tuple(path for path, _ in gone),
        given=given,
    )


def refuse(
    assets: list[Evaluated],
    answers: list[dict[str, Any]],
    out: Path | None = None,
    early: bool = False,
) -> list[Key]:
    """InputError if answers are all of other assets, or one is of another prompt or another picture than its
    asset has now; else what has nothing to show among these, sorted.

    early: before all is measured, so that what was not looked at may yet turn out to be what was seen.
    """
    there = {(one.path, one.method): one for one in assets if one.verdict != FAILED}
    gone = sorted(key_of(one) for one in answers if key_of(one) not in there)
    unseen = any(one.verdict == UNSEEN for one in assets)
    unsure = early and unseen and any(one.get("digest") for one in answers)
    if gone and len(gone) == len(answers) and not unsure:
        path, method = gone[0]
        raise InputError(
            f"the answers are of other assets: {path} ({method}) has nothing to show here; "
            "evaluate the folders that the sheet was made from, or make and answer a new sheet"
        )
    changed = []
    for one in (one for one in answers if key_of(one) in there):
        asset = there[key_of(one)]
        if one_line(one["prompt"]) != one_line(asset.prompt):
            changed.append((one, "prompt"))
        elif out and asset.picture and one.get("digest"):
            if one["digest"] != picture_digest(without_text(out / asset.picture)):
                changed.append((one, "picture"))
    if changed:
        one, what = changed[0]
        raise InputError(
            f"answers of models that have changed since: {len(changed)} of {len(answers) - len(gone)}; "
            f"{one['path']} ({one['method']}) has another {what} now; make and answer a new sheet (--human)"
        )
    return gone
