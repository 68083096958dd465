"""Schedules: numbers that change over a run, as functions of its progress in [0, 1]."""

from collections.abc import Callable, Sequence

Schedule = Callable[[float], float]


def linear(first: float, last: float, begin: float = 0.0, end: float = 1.0) -> Schedule:
    """From `first` to `last` between the progresses `begin` and `end`; constant outside them."""
    if not 0 <= begin < end <= 1:
        raise ValueError(f"a linear schedule needs 0 ≤ begin < end ≤ 1, not {begin} and {end}")

    def value(progress: float) -> float:
        share = min(1.0, max(0.0, (progress - begin) / (end - begin)))
        return first + (last - first) * share

    return value


def step(values: Sequence[float], changes: Sequence[float]) -> Schedule:
    """values[0] until the progress changes[0], then values[1] until changes[1], and so on.

    At a change itself the new value holds. `changes` grows and is one shorter than `values`.
    """
    if len(values) != len(changes) + 1 or list(changes) != sorted(changes):
        raise ValueError(
            f"{len(values)} values need {len(values) - 1} growing changes, not {changes}"
        )
    return lambda progress: values[sum(progress >= change for change in changes)]
