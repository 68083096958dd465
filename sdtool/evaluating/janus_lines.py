"""What `evaluate --protocol` prints of its outcome."""

from sdtool.evaluating.janus_rates import Outcome
from sdtool.evaluating.pairs import Comparison
from sdtool.evaluating.results import percent
from sdtool.io.names import escaped
from sdtool.io.words import counted

SHOWN = 12  # missing prompts that a line names


def lines(outcome: Outcome) -> list[str]:
    """The outcome in words: a row of a table for each method, then what is missing, then the comparisons."""
    head = ("method", "Janus rate", "95% interval", "consistent", "untold", "failed", "missing")
    rows: list[tuple[str, ...]] = [head]
    for one in outcome.tallies:
        low, high = one.janus.interval
        share = f"{percent(one.janus.share)} ({one.janus.count} of {one.janus.of})"
        rows.append(
            (
                escaped(one.method),  # as it will stand there
                share if one.janus.of else "nothing told",
                f"{percent(low)} to {percent(high)}" if one.janus.of else "–",
                f"{one.consistent.count} of {one.consistent.of}",
                *map(str, (one.untold, one.failed, len(one.missing))),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    said = [f"protocol {outcome.protocol.told}, {outcome.told_by}"]
    said += ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    for one in outcome.tallies:
        if one.unseen:
            of = f"{counted(one.unseen, 'result')} {'was' if one.unseen == 1 else 'were'}"
            said.append(f"{one.method}: {of} not looked at, and count nowhere")
        if one.missing:
            some = "; ".join(one.missing[:SHOWN]) + "; …" * (len(one.missing) > SHOWN)
            of = counted(len(one.missing), "prompt")
            said.append(f"{one.method} has no result of {of}: {some}")
        if one.fewer:
            some = "; ".join(one.fewer[:SHOWN]) + "; …" * (len(one.fewer) > SHOWN)
            said.append(
                f"{one.method} has fewer than {one.most} results of some prompts, and counts those that "
                f"are missing: {some}"
            )
        if one.foreign:
            some = ", ".join(one.foreign[:3]) + ", …" * (len(one.foreign) > 3)
            said.append(f"{one.method}: {len(one.foreign)} of no prompt of the list: {some}")
        if one.most > 1:
            said.append(
                f"{one.method} has up to {one.most} results of a prompt, which are not independent: "
                "the interval and the tests are too sure"
            )
    for pair in outcome.comparisons:
        said += _compared(pair)
    return said


def _compared(pair: Comparison) -> list[str]:
    """What the comparison of two methods says."""
    both = f"{pair.first} against {pair.second}"
    if pair.p is None:
        return [f"{both}: no prompt of which both could be told"]
    said = (
        f"{both}: Janus alone {pair.only_first} and {pair.only_second}, both {pair.both}, neither "
        f"{pair.neither} ({counted(pair.left_out, 'pair')} left out); McNemar's exact p = {pair.p:.3g}"
    )
    return [said, *filter(None, [pair.said_by_order])]
