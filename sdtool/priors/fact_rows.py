"""How a model card shows the facts of a training: rows of a table, in words."""

from typing import Any


def fact_rows(facts: dict[str, Any]) -> str:
    """A row of Markdown for each fact; what holds several values says them in one line."""
    return "\n".join(
        f"| {name.replace('_', ' ')} | {_said(value)} |" for name, value in facts.items()
    )


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name.replace('_', ' ')} {_said(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        is_range = len(value) == 2 and all(isinstance(one, int | float) for one in value)
        return (" to " if is_range else ", ").join(map(_said, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    return str(value).replace("|", "\\|")
