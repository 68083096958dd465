"""Plain values and nested dictionaries as TOML text, with comments. (Python reads TOML, but writes none.)"""

import json
import re
import textwrap
from enum import Enum
from pathlib import Path
from typing import Any

from sdtool.errors import UsageError

WIDTH = 98  # of a comment's lines


def value(thing: Any) -> str:
    """A text, path, number, truth value, enum's member, or list or tuple of those, as TOML.

    UsageError if it holds a text that is no UTF-8.
    """
    if isinstance(thing, bool):
        return "true" if thing else "false"
    if isinstance(thing, Enum):
        return value(thing.value)
    if isinstance(thing, int | float):
        return repr(thing)
    if isinstance(thing, list | tuple):
        return f"[{', '.join(map(value, thing))}]"
    if isinstance(thing, str | Path):
        text = json.dumps(str(thing), ensure_ascii=False).replace("\x7f", "\\u007f")
        if re.search("[\ud800-\udfff]", text):
            raise UsageError(f"{ascii(str(thing))} is no UTF-8, so that TOML cannot hold it")
        return text
    return str(thing)  # a date or time that was read


def tables(name: str, contents: dict[str, Any]) -> list[str]:
    """The lines of a table: its plain values, then the tables in it."""
    plain = {key: one for key, one in contents.items() if not isinstance(one, dict)}
    lines = [f"[{name}]"] if plain or not contents else []
    lines += [f"{_key(key)} = {value(one)}" for key, one in plain.items()]
    for key, one in contents.items():
        if isinstance(one, dict):
            lines += [*([""] if lines else []), *tables(f"{name}.{_key(key)}", one)]
    return lines


def comment(text: str) -> list[str]:
    """The lines of a comment; none for an empty text."""
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else value(key)
