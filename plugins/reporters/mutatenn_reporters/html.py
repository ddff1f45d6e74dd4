"""The html reporter: everything about a run on one page, for people."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING, ClassVar

import attrs

from mutatenn import Reporter, hookimpl
from mutatenn_reporters._writing import writing, wrote

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn import Run

FILE = "report.html"


@attrs.define(kw_only=True, eq=False)
class Html(Reporter):
    """Writes report.html: a page that needs no network, to look at, filter, send and print.

    It holds everything it shows, and its policy (CSP) lets it ask nobody for anything. ``thumbnails`` puts
    small pictures of the images into it that came closest to noticing a fault; they are ``thumbnail_side``
    pixels high or wide at most. With ``live``, the page is also served to this machine while the campaign
    runs, at an address that is told on standard error.
    """

    name: ClassVar[str] = "html"
    thumbnails: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))
    thumbnail_side: int = attrs.field(
        default=56,
        validator=[attrs.validators.instance_of(int), attrs.validators.ge(8), attrs.validators.le(256)],
    )
    live: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))
    _server: subprocess.Popen[str] | None = attrs.field(init=False, default=None)

    @hookimpl(tryfirst=True)
    def mutatenn_campaign_start(self, run: Run) -> None:
        """Serve the page, if it is to be live."""
        if not self.live:
            return
        module, options = "mutatenn_reporters._html.live", (str(self.thumbnails), str(self.thumbnail_side))
        self._server = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", module, str(run.directory), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # an interruption of the campaign is none of the page
        )
        if address := self._address():
            print(f"mutatenn: live report at {address}", file=sys.stderr, flush=True)
        else:
            print("mutatenn: warning: the live report cannot be served", file=sys.stderr, flush=True)

    def _address(self) -> str:
        """Give the server a token that nobody can guess, and no other process sees; return its address."""
        server = self._server
        if server is None or server.stdin is None or server.stdout is None:
            return ""
        token = secrets.token_urlsafe(16)
        with contextlib.suppress(OSError):  # it has ended at once
            server.stdin.write(f"{token}\n")
            server.stdin.flush()
        port = server.stdout.readline().strip()
        return f"http://127.0.0.1:{port}/{token}/" if port else ""

    @hookimpl
    def mutatenn_campaign_finish(self) -> None:
        """Let the server tell the browsers; it ends by itself."""
        if self._server and self._server.stdin:
            with contextlib.suppress(OSError):  # it may have ended before
                self._server.stdin.write("finished\n")
                self._server.stdin.close()
            self._server = None

    def report(self, run: Run, directory: Path) -> str:
        """Write ``report.html`` into the directory, creating it; return where it is.

        Raises InputError if it cannot be written.
        """
        from mutatenn_reporters._html.page import render

        with writing(directory / FILE) as file:
            pieces = render(run, pictures=self.thumbnails, side=self.thumbnail_side)
            file.writelines(piece.encode() for piece in pieces)
        return wrote(directory / FILE)


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``html``."""
    return [Html]
