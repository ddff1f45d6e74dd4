"""Downloads a file over HTTP: continued after a break, checked, and there as a whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import ipaddress
import logging
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, TYPE_CHECKING, Any

import attrs

from mutatenn.errors import InputError
from mutatenn.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

TRIES = 5  # connections for one file; a later run continues where the last one broke off
TIMEOUT = 30.0  # seconds of silence
CHUNK = 2**18  # bytes
PARTIAL, OK = 206, 200
USELESS_RANGE = 416
LOST = (http.client.HTTPException, ConnectionError, TimeoutError)  # in the middle of a file


def download(url: str, folder: Path, sha256: str | None = None) -> Path:
    """Return the file of an address in ``folder``, downloaded unless it is there already.

    What an interrupted download left is continued if the server can tell that the file is still the same.
    ``sha256`` (hex) is what the file must have; without, a log line says how to pin it. Raises InputError in
    one line for an address that is not https (http will do on this machine, or with ``sha256``), for whatever
    the network or the disk refuses, and for a file with another digest, which is not kept.
    """
    _check_address(url, pinned=sha256 is not None)
    transfer = _Transfer(url, folder / file_name(url), sha256)
    with _about(url), _alone(folder):
        if transfer.is_here():
            return transfer.target
        transfer.fetch()
        found = _digest(transfer.part)
        if sha256 not in (None, found):
            transfer.forget()
            raise InputError(f"has the sha256 {found}, not {sha256}; set model.sha256 if that is right")
        transfer.part.replace(transfer.target)
        transfer.forget()
        if sha256 is None:
            log.warning('downloaded %s; to be told if it changes, set model.sha256 = "%s"', url, found)
    return transfer.target


def file_name(url: str) -> str:
    """Return how the file of an address is called on disk."""
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[-100:] or "model"


def _check_address(url: str, *, pinned: bool) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        parts.port  # noqa: B018  # raises for what is no number
    except ValueError as error:
        raise InputError(f"{url}: not an address ({error}); give https://...") from None
    if parts.scheme == "https" and host:
        return
    if parts.scheme != "http" or not host:
        raise InputError(f"{url}: not an address that can be downloaded from; give https://...")
    if not (pinned or _is_here(host)):
        raise InputError(f"{url}: anyone may change it on its way; use https, or set model.sha256")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@attrs.frozen
class _Transfer:
    """One file on its way: ``part`` holds what has come of ``target`` so far."""

    url: str
    target: Path
    sha256: str | None

    @property
    def part(self) -> Path:
        """What has come so far."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def mark(self) -> Path:
        """Holds by what the server knows the version of the file that ``part`` is of."""
        return self.target.with_name(f"{self.target.name}.version")

    def is_here(self) -> bool:
        """Tell whether the file has come before; one with a wrong digest is thrown away."""
        if not self.target.is_file():
            return False
        if self.sha256 not in (None, _digest(self.target)):
            self.target.unlink()
            return False
        return True

    def forget(self) -> None:
        """Remove what is left of the download."""
        self.part.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)

    def fetch(self) -> None:
        """Bring all of the file into ``part``, over as many connections as it takes, within reason."""
        for _ in range(TRIES):
            if self._complete():
                return
        size = self.part.stat().st_size if self.part.exists() else 0
        raise InputError(f"broke off {TRIES} times; {size} bytes are kept, run again to continue")

    def _complete(self) -> bool:
        """Bring what is missing over one connection; tell whether nothing is missing any more."""
        request = urllib.request.Request(self.url, headers=self._headers())  # noqa: S310  # checked before
        try:
            response = _opener(pinned=self.sha256 is not None).open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == USELESS_RANGE and self.part.exists():
                self.forget()  # the file has become shorter
                return False
            raise
        with response:
            start = _start(response)
            if start == 0:
                self._remember(response)
            length = response.headers.get("Content-Length")
            return self._receive(response, start, start + int(length) if (length or "").isdigit() else None)

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": "mutatenn", "Accept-Encoding": "identity"}
        size = self.part.stat().st_size if self.part.exists() else 0
        version = self.mark.read_text() if self.mark.exists() else ""
        if size and version:
            headers |= {"Range": f"bytes={size}-", "If-Range": version}
        return headers

    def _remember(self, response: Any) -> None:
        tag, date = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
        version = tag if tag.startswith('"') else date  # a weak tag does not promise the same bytes
        self.mark.write_text(version)

    def _receive(self, response: Any, start: int, total: int | None) -> bool:
        of = f" of {total / 1e6:.1f}" if total else ""
        with (
            self.part.open("r+b" if start else "wb") as file,
            progress(lambda done: f"{self.target.name}: {done / 1e6:.1f}{of} MB") as show,
        ):
            file.truncate(file.seek(start))
            try:
                while chunk := response.read1(CHUNK):
                    file.write(chunk)
                    show(file.tell())
            except LOST:
                return False
            return total is None or file.tell() >= total


def _start(response: Any) -> int:
    """Return the position in the file at which a response begins."""
    if response.status != PARTIAL:
        return 0
    given = re.match(r"bytes ([0-9]+)-", response.headers.get("Content-Range", ""))
    if given is None:
        raise InputError("the server sent a part of the file and does not say which; download it by hand")
    return int(given[1])


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows the server only to addresses that a campaign file could name."""

    def __init__(self, *, pinned: bool) -> None:
        self._pinned = pinned

    def redirect_request(  # noqa: PLR0917  # urllib's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request for the new address; raises InputError for one that is not allowed."""
        try:
            _check_address(newurl, pinned=self._pinned)
        except InputError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(*, pinned: bool) -> urllib.request.OpenerDirector:
    """Return what opens addresses of http and https, and nothing else: no files, no FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirect(pinned=pinned),
    ):
        opener.add_handler(handler)
    return opener


@contextlib.contextmanager
def _about(url: str) -> Iterator[None]:
    """Say in one line what went wrong with an address."""
    by_hand = "or download it by hand and set model.path"
    try:
        yield
    except InputError as error:
        raise InputError(f"{url}: {error}") from error.__cause__
    except urllib.error.HTTPError as error:
        raise InputError(f"{url}: HTTP {error.code} {error.reason}; check the address, {by_hand}") from error
    except urllib.error.URLError as error:
        why = getattr(error.reason, "strerror", None) or error.reason
        raise InputError(f"{url}: cannot be reached ({why}); check the connection, {by_hand}") from error
    except LOST as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{url}: no answer ({why}); run again to continue, {by_hand}") from error
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        cure = "make room, or set XDG_CACHE_HOME to another folder"
        raise InputError(f"{url}: cannot be written{where} ({error.strerror}); {cure}") from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for another process that downloads into the same folder."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            found.update(chunk)
    return found.hexdigest()
