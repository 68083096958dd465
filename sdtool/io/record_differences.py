"""In what the records of two runs of a stage differ, in words."""

from collections.abc import Iterator
from typing import Any

NAMED = 3  # differences of two runs, before the others are only counted


def difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The first `NAMED` things in which two records of a stage differ, in words; empty if they agree."""
    params = differing_params(old, new)
    found = [f"{key}: {there} there, {here} now" for key, there, here in params]
    if changed := differing_inputs(old, new):
        said = "its inputs have changed" if len(changed) > 1 else "its input has changed"
        found.append(f"{said}: {', '.join(changed)}")
    return some_of(found)


def some_of(found: list[str]) -> str:
    """The first `NAMED` things as a text, and how many more there are."""
    more = len(found) - NAMED
    return "; ".join(found[:NAMED]) + f"; and {more} more" * (more > 0)


def differing_params(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(name, value in the one, value in the other record) of each parameter in which they differ."""
    before, now = (dict(_leaves(head.get("params", {}))) for head in (old, new))
    names = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return [(key, _said(old, key, before), _said(new, key, now)) for key in names]


def differing_inputs(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The inputs whose contents differ between two records."""
    before, now = (head.get("inputs", {}) for head in (old, new))
    return [
        key
        for key in sorted({*before, *now})
        if (before.get(key) or {}).get("digest") != (now.get(key) or {}).get("digest")
    ]


def _said(head: dict[str, Any], key: str, values: dict[str, Any]) -> str:
    """A parameter's value, with what people call it."""
    value, names = str(values.get(key, "not given")), head.get("called")
    name = names.get(key) if isinstance(names, dict) else None
    return f"{name} ({value})" if name else value


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The plain values in nested tables, with their places: ("settings.coarse.steps", 400)."""
    if not isinstance(value, dict | list) or not value:
        yield name, value
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            key = inner["name"]
        yield from _leaves(inner, f"{name}.{key}" if name else str(key))
