"""Pages over HTTP, to this machine only."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sdtool.errors import UsageError

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")


Answer = tuple[str, bytes] | None
"""A type and a body; None where there is nothing."""


def page_server(page: bytes, port: int = 0) -> ThreadingHTTPServer:
    """A server of one page at /; see `server`."""
    return server(lambda path: ("text/html; charset=utf-8", page) if path == "/" else None, port)


def server(answer: Callable[[str], Answer], port: int = 0) -> ThreadingHTTPServer:
    """A server on the loopback address of what `answer` says to a path; port 0: any free one. Run
    `serve_forever`.

    A request under another host name is refused, so that no web site can read anything through a
    name of its own that leads here. UsageError if the port cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer(send=self.wfile.write)

        def do_HEAD(self):
            self._answer(send=lambda _: None)

        def _answer(self, send: Callable[[bytes], object]):
            host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
            if host not in NAMES:
                return self.send_error(403)
            found = answer(self.path.partition("?")[0])
            if found is None:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Type", found[0])
            self.send_header("Content-Length", str(len(found[1])))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            send(found[1])

        def log_message(self, *_):
            """Silent: stderr has said where the page is."""

    try:
        return ThreadingHTTPServer((LOOPBACK, port), Handler)
    except OSError as error:
        raise UsageError(
            f"--port {port} cannot be used ({error.strerror}); give another, or 0 for any",
            "--port",
        ) from None


def address(server: ThreadingHTTPServer) -> str:
    """The URL of a server's page."""
    return f"http://{LOOPBACK}:{server.server_address[1]}/"
