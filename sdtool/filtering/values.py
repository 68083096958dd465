"""What the values of a table's columns are to the tests of a rule: numbers, truths, names.

A CSV holds texts only, and others write `"true"` where they mean true: so a text counts as what it
says. None is a value that is not there, `WRONG` one that says something else.
"""

import math
from typing import Any

WRONG = object()
MISSING = ("", "nan", "null", "none", "na", "n/a")
TRUTHS = {"true": True, "yes": True, "t": True, "y": True, "1": True, "1.0": True}
TRUTHS |= {"false": False, "no": False, "f": False, "n": False, "0": False, "0.0": False}


def as_number(value: Any) -> Any:
    """The number that a value says; None, or `WRONG`. A truth is no number."""
    if isinstance(value, str):
        if value.strip().lower() in MISSING:
            return None
        try:
            value = float(value)
        except ValueError:
            return WRONG
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else WRONG


def as_truth(value: Any) -> Any:
    """True or False, as a value says; None, or `WRONG`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value.strip().lower()
        return None if text in MISSING else TRUTHS.get(text, WRONG)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return bool(value) if value in (0, 1) else WRONG


def as_name(value: Any) -> Any:
    """What `one_of` compares: the number that a value says, else its text in lower case; or None."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str) or not value.strip():
        return None if value is None or isinstance(value, str) else WRONG
    try:
        return float(value)
    except ValueError:
        return value.strip().casefold()


def shown(value: Any) -> str:
    """A value in at most some sixty letters."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
