"""Files of prompts: one a line; # at its start, or alone between blanks, begins a comment."""

import re
from pathlib import Path

from sdtool.errors import InputError
from sdtool.io.files import text_of

COMMENT = re.compile(r"^\s*#.*|\s#(\s.*)?$")


def read_prompts(path: Path) -> list[str]:
    """The prompts in a file, each once. InputError, of the option --prompts, if it holds none."""
    if path.is_dir() or not path.exists():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"--prompts {path} {what}; name a file with a prompt on each line")
    try:
        text = text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--prompts {path} cannot be read as text ({error}); save it as UTF-8"
        ) from None
    found = prompts_in(text)
    if not found:
        raise InputError(f"--prompts {path} holds no prompt; write one a line")
    return found


def prompts_in(text: str) -> list[str]:
    """The prompts of such a file's text, each once; "a C# book" and "a jersey with #10" are whole."""
    lines = (COMMENT.sub("", line).strip() for line in text.split("\n"))
    return [prompt for prompt in dict.fromkeys(lines) if prompt]
