"""Names of files that are no UTF-8, or no letters, as people should see them.

Python reads the bytes of such a name as half characters (surrogates), which no program can write. As
an identity they stay what they are; what is shown, said or learned from is made readable.
"""

import re


def readable(text: str) -> str:
    """The text without half characters: Latin letters of Windows where bytes were kept, else nothing.

    "caf\\udce9" → "café"; half of an emoji, as cut-off names hold, goes.
    """
    if text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text):
        return text
    whole = "".join(c for c in text if not "\ud800" <= c <= "\udfff" or "\udc80" <= c <= "\udcff")
    data = whole.encode("utf-8", "surrogateescape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    return "".join(_letter(c) if "\udc80" <= c <= "\udcff" else c for c in whole)


def escaped(text: str, keep: str = "") -> str:
    """The text as a terminal may have it: what is no letter and would move or colour what stands there, like
    a line break or an escape, in the way of `repr`. keep: characters that stay as they are."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)


def natural(text: str) -> tuple[tuple[str | tuple[int, str], ...], str]:
    """By what names are sorted as people do: seed2 before seed10."""
    words = re.split(r"([0-9]+)", text)  # every second one is a number
    parts: list[str | tuple[int, str]] = [*words]
    parts[1::2] = [(len(digits), digits) for digits in (one.lstrip("0") for one in words[1::2])]
    return tuple(parts), text


def _letter(kept: str) -> str:
    byte = bytes([ord(kept) - 0xDC00])
    try:
        return byte.decode("cp1252")
    except UnicodeDecodeError:
        return ""
