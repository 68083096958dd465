"""What each rule of a filter did: counts for the stage record, and a table for the eyes."""

from sdtool.filtering.first_pass import Tally
from sdtool.filtering.matching import RuleMatcher
from sdtool.filtering.rules import Rule
from sdtool.io.words import counted

IN_TABLE = "with a row in "  # how the counts of objects that a table knows begin


def counts_of(rules: list[Rule], total: Tally) -> dict[str, int]:
    """Objects seen, ok, rejected, failed; and for each rule those it removed, and only it removed.

    A rule of the effect "keep" has those it met, and those that stay for it alone.
    """
    counts = {"seen": total.seen, "ok": total.kept.total()}
    counts |= {"rejected": total.rejected.total(), "failed": total.failed}
    tallied = RuleMatcher(rules).tally(total.kept + total.rejected)
    for rule in rules:
        counts[f"{_done(rule)} by {rule.name}"] = tallied[rule.name][0]
        counts[f"{_done(rule)} only by {rule.name}"] = tallied[rule.name][1]
    counts |= {f"{IN_TABLE}{name}": count for name, count in total.with_row.items()}
    return counts


def print_report(rules: list[Rule], counts: dict[str, int], measured: bool) -> None:
    """Print the table to stderr. measured: whether files were inspected, now or earlier."""
    from rich.console import Console
    from rich.table import Table

    kept = f"{counts['ok']:,} of {counted(counts['seen'], 'object')} kept"
    table = Table("rule", title=kept, title_justify="left")
    for heading in ("removed", "only by it"):
        table.add_column(heading, justify="right")
    for rule in rules:
        numbers = [f"{counts[f'{_done(rule)} {by} {rule.name}']:,}" for by in ("by", "only by")]
        if rule.only_measured and not measured:
            numbers = ["–", "–"]
        table.add_row(rule.name + " (keeps)" * (rule.effect == "keep"), *numbers)
    console = Console(stderr=True, highlight=False)
    console.print(table)
    if not measured and any(rule.only_measured for rule in rules):
        console.print("– these rules look at the files themselves: add --inspect")
    for name, count in counts.items():
        if name.startswith(IN_TABLE):
            said = f"{name.removeprefix(IN_TABLE)} has a row of {count:,} of them"
            console.print(said + ": are its uids those of this collection?" * (count == 0))
    if counts["failed"]:
        failed = counted(counts["failed"], "object")
        console.print(f"{failed} could not be judged: see failures.jsonl")
    if not counts["ok"]:
        console.print("nothing is left: change the rules (--print-rules) or the collection")


def _done(rule: Rule) -> str:
    return "kept" if rule.effect == "keep" else "removed"
