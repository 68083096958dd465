"""What a check finds: figures, each with what it should be and what became of that."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["", "right", "wrong", "reached", "missed"]
"""right, wrong: of what must hold. reached, missed: of a goal of speed or memory."""

Value = float | int | str | bool


class Absent(Exception):
    """What a check needs is not here, and nothing is broken: it is skipped."""


@dataclass(frozen=True)
class Figure:
    """One line of a table. wanted: what the value should be, in words; "" if nothing is asked of it."""

    name: str
    value: Value
    unit: str = ""
    wanted: str = ""
    verdict: Verdict = ""


@dataclass(frozen=True)
class Sheet:
    """Where a check puts its figures, one after another. send: takes each as soon as it is known.

    goals: whether goals of speed and memory are judged; at reduced size they mean nothing.
    """

    send: Callable[[Figure], None]
    goals: bool = True

    def note(self, name: str, value: Value, unit: str = "") -> None:
        """A figure of which nothing is asked."""
        self.send(Figure(name, _plain(value), unit))

    def holds(self, name: str, value: bool) -> None:
        """What must be true."""
        self.send(Figure(name, bool(value), "", "yes", "right" if value else "wrong"))

    def at_most(
        self, name: str, value: float, bound: float, unit: str = "", *, goal: bool = False
    ) -> None:
        """A value that must not be larger; goal: should not."""
        self._judged(name, value, unit, f"≤ {short(bound)}", value <= bound, goal)

    def at_least(self, name: str, value: float, bound: float, unit: str = "") -> None:
        """A goal: a value that should not be smaller."""
        self._judged(name, value, unit, f"≥ {short(bound)}", value >= bound, True)

    def within(self, name: str, value: float, low: float, high: float) -> None:
        """A value that must lie between two."""
        wanted = short(low) if low == high else f"{short(low)} to {short(high)}"
        self._judged(name, value, "", wanted, low <= value <= high, False)

    def _judged(
        self, name: str, value: float, unit: str, wanted: str, holds: bool, goal: bool
    ) -> None:
        verdict: Verdict = "right" if holds else "wrong"  # what is not a number is wrong
        if goal:
            verdict = ("reached" if holds else "missed") if self.goals else ""
        self.send(Figure(name, _plain(value), unit, f"{wanted} {unit}".strip(), verdict))


def _plain(value: Value) -> Value:
    """A value that JSON can hold: numpy's and torch's numbers become Python's, NaN a word."""
    if isinstance(value, str | bool):
        return value
    number = float(value)
    if not math.isfinite(number):
        return str(number)
    return int(number) if isinstance(value, int) else number


def short(value: Value) -> str:
    """A value as a table shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if 1e-3 <= size else f"{value:.1e}"
