"""What `evaluate` says on stderr, line by line."""

from collections.abc import Sequence

from sdtool.evaluating import janus_lines, judges, people, sampled
from sdtool.evaluating.janus_rates import Outcome, of_list
from sdtool.evaluating.results import FAILED, UNSEEN, Calibration, Evaluated, headline
from sdtool.io.names import escaped

SHOWN = 20  # assets that could not be looked at, of which each gets a line


def lines(
    found: Sequence[Evaluated],
    calibration: Calibration,
    heard: people.Heard,
    compared: judges.Judges | None,
    outcome: Outcome | None,
) -> list[str]:
    """The rates, whose answers count, how far judges agree, the protocol's outcome, and what failed; as a
    terminal may have it."""
    found = list(found)
    by_people = people.janus_rates(heard.agreed)
    told = _headlines(found, outcome)
    told += [*people.copies(heard.people), *people.left_out(heard.agreed), *judges.lines(compared)]
    told += sampled.lines(by_people) or sampled.cautions(found, calibration)
    told += janus_lines.lines(outcome) if outcome else []
    return [escaped(line) for line in [*told, *complaints(found)]]


def _headlines(found: list[Evaluated], outcome: Outcome | None) -> list[str]:
    """A line for each method; by a protocol, of its prompts, of which missing ones count as in its table."""
    if outcome:
        listed = of_list(outcome.protocol, found)
        return [headline(listed, one.method, one.consistent) for one in outcome.tallies]
    return [headline(found, method) for method in dict.fromkeys(one.method for one in found)]


def complaints(found: Sequence[Evaluated]) -> list[str]:
    """What failed, what was not looked at, and why, in lines: the first of each asset, up to `SHOWN`."""
    marks = {FAILED: "", UNSEEN: "not looked at: "}
    bad = [one for one in found if one.verdict in marks]
    lines = [f"{one.path}: {marks[one.verdict]}{one.reasons[0]}" for one in bad[:SHOWN]]
    if len(bad) > SHOWN:
        lines.append(
            f"and {len(bad) - SHOWN:,} more, all of them listed in evaluation.json and index.html"
        )
    if again := [one for one in bad if one.verdict == UNSEEN]:
        said = "not looked at, for want of memory or by a fault of sdtool"
        lines.append(f"{said}: {len(again)} of these; the same command tries them again")
    return lines
