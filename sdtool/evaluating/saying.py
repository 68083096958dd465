"""What `evaluate` says on stderr, line by line."""

from collections.abc import Sequence

from sdtool.evaluating import evaluation, janus_lines, judges, people, sampled
from sdtool.evaluating.janus_rates import Outcome
from sdtool.evaluating.results import Calibration, Evaluated, headline
from sdtool.io.names import escaped


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
    told = [headline(found, method) for method in dict.fromkeys(one.method for one in found)]
    told += [*people.copies(heard.people), *people.left_out(heard.agreed), *judges.lines(compared)]
    told += sampled.lines(by_people) or sampled.cautions(found, calibration)
    told += janus_lines.lines(outcome) if outcome else []
    return [escaped(line) for line in [*told, *evaluation.complaints(found)]]
