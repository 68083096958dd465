"""Prompts longer than a text encoder's window: what goes is the prompt's own end, and it is said."""

import re
import textwrap
from collections.abc import Callable


def fitted(prompt: str, ending: str, fits: Callable[[str], bool]) -> tuple[str, str]:
    """`prompt + ending`, less the last words of the prompt if the whole does not fit; and these words.

    ending: what must stay, such as ", front view". fits: whether a text fits whole. Of a prompt without
    spaces, as in Chinese, the last signs go.
    """
    if fits(prompt + ending):
        return prompt + ending, ""
    words = [match.end() for match in re.finditer(r"\S+", prompt)]
    signs = list(range(words[0])) if words else [0]
    for ends in (words[:-1], signs):
        if (k := _last(ends, lambda end: fits(_kept(prompt, end) + ending))) is not None:
            return _kept(prompt, ends[k]) + ending, prompt[ends[k] :].strip(" ,;")
    return ending, prompt


def _kept(prompt: str, end: int) -> str:
    return prompt[:end].rstrip(" ,;")


def _last(ends: list[int], fits: Callable[[int], bool]) -> int | None:
    """The last place that fits, if they fit up to a place: found by halving."""
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if fits(ends[middle]) else (low, middle)
    return low - 1 if low else None


def say_cut(cut: str, whose: str, tokens: int) -> str:
    """A sentence about the words that a text encoder is not told. whose: "the prompt"."""
    short = textwrap.shorten(cut, 90, placeholder=" …") if " " in cut else cut[:90]
    return f'{whose} is longer than the {tokens} tokens that the prior reads: "{short}" is left out'
