"""The way objects face, by a published table, in the layout of OrienText300K or a plainer one.

OrienText300K (Qi et al. 2025, SoFar) is a JSON list. An entry is one direction of one object:

    {"point": "0001.pt", "conversations": [{"value": "<point>\\nfront of the car"}],
     "direction": [0.0, -1.0, 0.0]}

Of an object's entries those count that speak of its front. Its directions are vectors in Blender's
frame (`up` "z": +Z up, the front of an upright glTF model at −Y), and mostly lie on an axis. Also read are
a JSON object {uid: direction} or {uid: {"direction": …}}, and a list of entries with "uid"; a direction may
be an azimuth in degrees, from +Z toward +X, as well as a vector; "confidence" is taken where it stands.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from sdtool.errors import InputError
from sdtool.io.files import read_json
from sdtool.orienting.answer import answer

Up = Literal["y", "z"]

STEEPEST = math.radians(60)
"""A direction that rises or falls more than this says nothing of the way the object faces."""


@dataclass(frozen=True)
class Facing:
    """Where an object's front is: degrees from +Z toward +X; how sure that is."""

    azimuth: float
    confidence: float = 1.0


def read_facings(path: Path, up: Up = "z") -> dict[str, Facing | None]:
    """A table of directions: uid → where its front is; None if what it says is no direction around +Y.

    up: which axis of the table's vectors points upward. InputError if the file has another layout.
    """
    found: dict[str, Facing | None] = {}
    sound = False
    try:
        table = read_json(path)
    except InputError as error:
        if not path.is_file():
            raise
        raise InputError(f"{error}: {EXPECTED}") from None
    for uid, value, confidence in _entries(path, table):
        sound = True
        facing = _facing(value, confidence, up)
        if found.get(uid) is None:  # the first that says something
            found[uid] = facing
    if not sound:
        raise InputError(f"{path} says of no object where its front is: {EXPECTED}")
    return found


EXPECTED = (
    'it should be JSON as OrienText300K has it, a list of entries with "point", "conversations" and '
    '"direction", or an object of uids and directions'
)


def _entries(path: Path, table: Any) -> Iterator[tuple[str, Any, Any]]:
    """(uid, direction, confidence) of each entry that speaks of a front."""
    if isinstance(table, dict):
        for uid, value in table.items():
            own = value if isinstance(value, dict) else {"direction": value}
            yield uid, own.get("direction"), own.get("confidence", 1.0)
        return
    if not isinstance(table, list):
        raise InputError(f"{path} is no table of directions: {EXPECTED}")
    for number, entry in enumerate(table, start=1):
        uid = entry.get("uid", entry.get("point")) if isinstance(entry, dict) else None
        if not isinstance(uid, str) or not uid or "direction" not in entry:
            raise InputError(f"{path}, entry {number} has no uid or no direction: {EXPECTED}")
        if "uid" not in entry:
            uid = PurePosixPath(uid).name.removesuffix(".pt")
        if _is_of_front(entry):
            yield uid, entry["direction"], entry.get("confidence", 1.0)


def _is_of_front(entry: dict[str, Any]) -> bool:
    """Whether an entry speaks of the front; True if it does not say of what it speaks."""
    talk = entry.get("conversations")
    text = entry.get("instruction")
    if text is None and isinstance(talk, list) and talk and isinstance(talk[0], dict):
        text = talk[0].get("value")
    return not isinstance(text, str) or "front" in text.lower()


def _facing(value: Any, confidence: Any, up: Up) -> Facing | None:
    """A direction as the table has it → where the front is."""
    if not _is_number(confidence) or not 0 <= confidence <= 1:
        return None
    if _is_number(value):
        return Facing(value % 360, confidence)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]  # a list of directions that has one
    if not isinstance(value, list) or len(value) != 3 or not all(map(_is_number, value)):
        return None
    right, second, third = map(float, value)
    toward, rise = (third, second) if up == "y" else (-second, third)
    flat = math.hypot(right, toward)
    if math.hypot(flat, rise) < 1e-6 or abs(math.atan2(rise, flat)) > STEEPEST:
        return None
    return Facing(math.degrees(math.atan2(right, toward)) % 360, confidence)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)


def by_table(uid: str, table: dict[str, Facing | None]) -> dict[str, Any]:
    """The line of an object by what the table says of it; confidence 0 if that is nothing."""
    facing = table.get(uid)
    if facing is None:
        return answer(uid, 0.0, 0.0, "no-direction" if uid in table else "not-in-table")
    return answer(uid, -facing.azimuth, facing.confidence, "table")
