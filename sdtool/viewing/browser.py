"""Whether somebody looks on, and how a page is shown to them."""

import os
import sys
import webbrowser


def has_display() -> bool:
    """True if somebody sits there: stdout is a terminal on a machine with windows."""
    windows = sys.platform in ("darwin", "win32")
    return sys.stdout.isatty() and bool(
        windows or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def open_page(url: str) -> None:
    """Open a page in the browser; if there is none, stderr says where it is."""
    if not webbrowser.open(url):
        print(f"no browser was found; open {url}", file=sys.stderr)
