"""Serves the page of a run that goes on, from a process of its own.

It reads the run directory and nothing else. It listens on the loopback address alone, answers GET of two
addresses under a token that cannot be guessed, and no other host's name (against DNS rebinding). The first
line on its standard input is the token, the first on its standard output the port. Another line, or the end
of its input, says that the run has finished: then it tells the browsers, waits for them to fetch the page
once more, and ends.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import attrs

from mutatenn import open_run
from mutatenn_reporters._html.page import render

HOST = "127.0.0.1"
HOSTS = (HOST, "localhost")
"""Names that it answers to, at any port: another may be forwarded to it."""
SECONDS = 1.0
"""Between two looks at the run."""
REST = 4.0
"""Of the time that a page took to write, so many times pass before the next is."""
LINGER = 4.0
BEAT = 15.0
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@attrs.frozen
class Seen:
    """How far a run is; equal where nothing has happened."""

    judged: int
    planned: int
    baselines: int
    finished: bool = False

    def told(self) -> str:
        """Return it as JSON."""
        return json.dumps(attrs.asdict(self))


@attrs.define(eq=False)
class Watch:
    """A run that is looked at: how far it is, and its page."""

    directory: Path
    pictures: bool
    side: int
    finished: threading.Event = attrs.field(factory=threading.Event)
    fetched: threading.Event = attrs.field(factory=threading.Event)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _page: bytes = b""
    _of: Seen | None = None
    _next: float = 0.0

    def seen(self) -> Seen:
        """Look at the run; every thread opens it for itself."""
        run = open_run(self.directory)
        planned = sum(entry.mutants for name in run.environments for entry in run.operators(name))
        return Seen(run.score().judged, planned, len(run.baselines), self.finished.is_set())

    def page(self) -> bytes:
        """Return the page of what there is to see, or of a little earlier where writing it takes long."""
        with self._lock:
            now = self.seen()
            if now != self._of and (now.finished or time.monotonic() >= self._next):
                start = time.monotonic()
                pieces = render(open_run(self.directory), pictures=self.pictures, side=self.side, live=True)
                self._page, self._of = "".join(pieces).encode(), now
                self._next = time.monotonic() + REST * (time.monotonic() - start)
            if self._of is not None and self._of.finished:
                self.fetched.set()
            return self._page


class Handler(BaseHTTPRequestHandler):
    """Answers GET of the page and of the events."""

    watch: ClassVar[Watch]
    token: ClassVar[str]

    def do_GET(self) -> None:
        """Answer."""
        if str(self.headers.get("Host", "")).rpartition(":")[0] not in HOSTS:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path == f"/{self.token}/":
            self._page()
        elif self.path == f"/{self.token}/events":
            self._events()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _begin(self, kind: str, length: int | None = None) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _page(self) -> None:
        content = self.watch.page()
        self._begin("text/html", len(content))
        self.wfile.write(content)

    def _events(self) -> None:
        self._begin("text/event-stream")
        before, spoke = None, time.monotonic()
        while before is None or not before.finished:
            now = self.watch.seen()
            if now != before:
                self.wfile.write(f"data: {now.told()}\n\n".encode())
                before, spoke = now, time.monotonic()
            elif time.monotonic() - spoke > BEAT:
                self.wfile.write(b": still there\n\n")
                spoke = time.monotonic()
            self.wfile.flush()
            self.watch.finished.wait(SECONDS)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server whose clients may go away at any time."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Pass over clients that went away, and a run directory that did."""


def main(directory: str, pictures: str, side: str) -> None:
    """Serve until the run has finished."""
    Handler.watch = watch = Watch(Path(directory), pictures == "True", int(side))
    Handler.token = sys.stdin.readline().strip()
    server = Server((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.readline()
    watch.finished.set()
    time.sleep(SECONDS)  # for those who listen to hear of it
    watch.fetched.wait(LINGER)
    time.sleep(SECONDS)  # for the page to arrive


if __name__ == "__main__":
    main(*sys.argv[1:])
