"""Downloads from a real server on this machine: whole, broken off, continued, refused."""

from __future__ import annotations

import hashlib
import http.server
import logging
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from mutatenn import InputError
from mutatenn.campaign.inputs import download as module
from mutatenn.campaign.inputs.download import download, file_name

CONTENT = bytes(range(256)) * 4000
OTHER = CONTENT[::-1]
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@attrs.define
class Served:
    """What the server has, how it behaves, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    tag: str = '"v1"'
    ranges: bool = True
    lengths: bool = True
    chunked: bool = False
    breaks: list[int] = attrs.field(factory=list)  # after so many bytes of a response, one for each
    answer: tuple[int, str] | None = None  # a status instead, and where to go
    silent: bool = False
    asked: list[dict[str, str]] = attrs.field(factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        served: Served = self.server.served  # type: ignore[attr-defined]
        served.asked.append(dict(self.headers))
        if served.silent:
            self.server.closing.wait(5)  # type: ignore[attr-defined]
            return
        self.close_connection = True
        if served.answer and self.path != "/elsewhere/net.onnx":
            status, place = served.answer
            self.send_response(status)
            self.send_header("Location", place)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self._start(served)
        if start is None:
            return
        self.send_header("ETag", served.tag)
        body = served.content[start:]
        if served.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif served.lengths:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if served.chunked:
            self.wfile.write(f"{len(body):x}\r\n".encode())
            body += b"\r\n0\r\n\r\n"
        self.wfile.write(body[: served.breaks.pop(0)] if served.breaks else body)

    def _start(self, served: Served) -> int | None:
        wanted, fits = self.headers.get("Range"), self.headers.get("If-Range") == served.tag
        if not (served.ranges and wanted and fits):
            self.send_response(200)
            return 0
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(served.content):
            self.send_error(416)
            return None
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(served.content) - 1}/{len(served.content)}")
        return start

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients may hang up."""


@pytest.fixture
def served() -> Iterator[Served]:
    with Server(("127.0.0.1", 0), Handler) as server:
        found = Served(url=f"http://127.0.0.1:{server.server_address[1]}/nets/net.onnx?v=1")
        server.served, server.closing = found, threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield found
        server.closing.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def refused(url: str, folder: Path, sha256: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        download(url, folder, sha256)
    message = str(caught.value)
    assert message.startswith(f"{url}: ") or url not in message
    assert "\n" not in message
    return message


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_a_file_comes_once(served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        path = download(served.url, tmp_path)
    assert (path.name, path.read_bytes()) == ("net.onnx", CONTENT)
    assert f'set model.sha256 = "{SHA256}"' in caplog.text
    caplog.clear()
    assert download(served.url, tmp_path) == download(served.url, tmp_path, SHA256) == path
    assert (len(served.asked), caplog.text, files(tmp_path)) == (1, "", {"net.onnx"})


def test_a_broken_download_is_continued(served: Served, tmp_path: Path) -> None:
    served.breaks = [300_000, 200_000]
    assert download(served.url, tmp_path).read_bytes() == CONTENT
    assert [each.get("Range") for each in served.asked] == [None, "bytes=300000-", "bytes=500000-"]
    assert files(tmp_path) == {"net.onnx"}


def test_a_later_run_continues(served: Served, tmp_path: Path) -> None:
    served.breaks = [100_000] * module.TRIES
    message = refused(served.url, tmp_path)
    kept = 100_000 * module.TRIES
    assert f"broke off {module.TRIES} times; {kept} bytes are kept, run again to continue" in message
    assert not (tmp_path / "net.onnx").exists()
    assert download(served.url, tmp_path, SHA256).read_bytes() == CONTENT
    assert served.asked[-1]["Range"] == f"bytes={kept}-"


def test_a_server_without_ranges_begins_anew(served: Served, tmp_path: Path) -> None:
    served.ranges, served.breaks = False, [400_000, 300_000]
    assert download(served.url, tmp_path, SHA256).read_bytes() == CONTENT
    assert len(served.asked) == 3


def test_a_server_that_does_not_tell_the_length(served: Served, tmp_path: Path) -> None:
    served.lengths = False
    assert download(served.url, tmp_path).read_bytes() == CONTENT


def test_a_broken_stream_is_no_end(served: Served, tmp_path: Path) -> None:
    served.chunked, served.breaks = True, [300_000, 200_000]
    assert download(served.url, tmp_path).read_bytes() == CONTENT
    assert len(served.asked) == 3


def test_a_server_without_tags_is_not_asked_to_continue(served: Served, tmp_path: Path) -> None:
    served.tag, served.breaks = 'W/"weak"', [400_000]
    assert download(served.url, tmp_path).read_bytes() == CONTENT
    assert [each.get("Range") for each in served.asked] == [None, None]


@pytest.mark.parametrize("content", [OTHER, OTHER[:1000]])
def test_a_file_that_changed_in_between_begins_anew(served: Served, tmp_path: Path, content: bytes) -> None:
    served.breaks = [100_000] * module.TRIES
    refused(served.url, tmp_path)
    served.content, served.tag = content, '"v2"'
    assert download(served.url, tmp_path).read_bytes() == content


def test_what_is_longer_than_the_file_is_thrown_away(served: Served, tmp_path: Path) -> None:
    (tmp_path / "net.onnx.part").write_bytes(CONTENT + b"more")
    (tmp_path / "net.onnx.version").write_text(served.tag)
    assert download(served.url, tmp_path).read_bytes() == CONTENT
    assert [each.get("Range") for each in served.asked] == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_wrong_digest_is_told_and_nothing_kept(served: Served, tmp_path: Path) -> None:
    wrong = "0" * 64
    message = refused(served.url, tmp_path, wrong)
    assert f"has the sha256 {SHA256}, not {wrong}; set model.sha256 if that is right" in message
    assert files(tmp_path) == set()


def test_a_cached_file_with_another_digest_comes_again(served: Served, tmp_path: Path) -> None:
    served.content = OTHER
    download(served.url, tmp_path)
    served.content = CONTENT
    assert download(served.url, tmp_path, SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 404, 500])
def test_http_errors(served: Served, tmp_path: Path, status: int) -> None:
    served.answer = (status, "")
    assert f"HTTP {status} " in refused(served.url, tmp_path)
    assert files(tmp_path) == set()


def test_a_server_that_is_not_there(served: Served, tmp_path: Path) -> None:
    with Server(("127.0.0.1", 0), Handler) as server:
        port = server.server_address[1]
    message = refused(f"http://127.0.0.1:{port}/net.onnx", tmp_path)
    assert "cannot be reached (Connection refused); check the connection, or download it by hand" in message


def test_a_silent_server(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    served.silent = True
    assert "timed out" in refused(served.url, tmp_path)


def test_a_redirect_is_followed(served: Served, tmp_path: Path) -> None:
    served.answer = (302, "/elsewhere/net.onnx")
    assert download(served.url, tmp_path, SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file:///etc/passwd", "HTTP 302 Found - Redirection to url 'file:///etc/passwd' is not allowed"),
        ("ftp://127.0.0.1/net.onnx", "not an address that can be downloaded from"),
        ("http://example.org/net.onnx", "anyone may change it on its way; use https, or set model.sha256"),
    ],
)
def test_a_redirect_to_elsewhere_is_not(served: Served, tmp_path: Path, place: str, message: str) -> None:
    served.answer = (302, place)
    assert message in refused(served.url, tmp_path)
    assert files(tmp_path) == set()


@pytest.mark.parametrize("sha256", [None, SHA256])
@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.org/net.onnx", "net.onnx", "https://", "https://[::1/net.onnx"],
)
def test_other_addresses_are_refused(tmp_path: Path, url: str, sha256: str | None) -> None:
    assert "give https://..." in refused(url, tmp_path, sha256)


def test_http_needs_a_digest(tmp_path: Path) -> None:
    assert "use https, or set model.sha256" in refused("http://example.org/net.onnx", tmp_path)


def test_a_full_disk(served: Served, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
    try:
        message = refused(served.url, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot be written (File too large); make room, or set XDG_CACHE_HOME" in message
    assert download(served.url, tmp_path, SHA256).read_bytes() == CONTENT
    assert 0 < int(served.asked[-1]["Range"][6:-1]) <= 500_000


def test_a_folder_that_cannot_be_written(served: Served, tmp_path: Path) -> None:
    (tmp_path / "net.onnx.part").mkdir()
    assert f"cannot be written {tmp_path}/net.onnx.part (Is a directory)" in refused(served.url, tmp_path)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.org/x/net-1.0.onnx?download=true#top", "net-1.0.onnx"),
        ("https://a.org/a%20b%2F..%2Fnet.onnx", "net.onnx"),
        ("https://a.org/..", "model"),
        ("https://a.org/.lock", "lock"),
        ("https://a.org/", "model"),
        ("https://a.org/n%00%0a.onnx", "n__.onnx"),
    ],
)
def test_names_on_disk(url: str, name: str) -> None:
    assert file_name(url) == name
