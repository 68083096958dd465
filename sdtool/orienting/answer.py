"""What a method says of one object: a line of `orientations.jsonl`.

    {"uid": "a", "degrees": 90.0, "confidence": 0.97, "source": "agp"}

degrees: how far the object must be turned about +Y, from +Z toward +X, to face +Z: in [0, 360). confidence:
how probable it is that this turn is right, of those that the method compares.
"""

from typing import Any


def answer(uid: str, degrees: float, confidence: float, source: str, **more: Any) -> dict[str, Any]:
    """The line of one object."""
    return {
        "uid": uid,
        "degrees": round(float(degrees) % 360, 3) % 360,
        "confidence": round(min(max(float(confidence), 0.0), 1.0), 4),
        "source": source,
        **more,
    }


def turns(line: dict[str, Any], min_confidence: float) -> bool:
    """Whether an object is to be turned: only if it faces another way, and that is sure enough."""
    return line["degrees"] != 0 and line["confidence"] >= min_confidence
