"""The page of a campaign while it runs: it follows, and answers nobody else."""

from __future__ import annotations

import html
import http.client
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import mutatenn


@attrs.frozen
class Live:
    """A campaign that runs in a process of its own, and the port and token of its page."""

    process: subprocess.Popen[str]
    port: int
    token: str
    directory: Path

    def ask(self, path: str, method: str = "GET", host: str = "") -> tuple[int, http.client.HTTPMessage, str]:
        """Return status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{self.port}")
        connection.endheaders()
        answer = connection.getresponse()
        body = "" if path.endswith("events") else answer.read().decode()
        connection.close()
        return answer.status, answer.headers, body


@pytest.fixture
def live(tmp_path: Path, campaign: str) -> Iterator[Live]:
    (tmp_path / "small.toml").write_text(campaign.replace("{ sample = 12, seed = 1 }", '"each"'))
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "mutatenn",
        "run",
        str(tmp_path / "small.toml"),
        "--out",
        str(out),
        "--live",
        "--quiet",
        "--workers",
        "1",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = None
    for line in process.stderr:
        if found := re.fullmatch(r"mutatenn: live report at http://127\.0\.0\.1:(\d+)/([\w-]+)/\n", line):
            break
    assert found
    threading.Thread(target=process.stderr.read, daemon=True).start()
    yield Live(process, int(found[1]), found[2], out)
    process.kill()
    process.communicate()


def test_it_follows_the_campaign(live: Live, browser: Any) -> None:
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"http://127.0.0.1:{live.port}/{live.token}/")
    page.wait_for_selector("html[data-ready]")
    page.wait_for_function(
        "document.getElementById('live').textContent.startsWith('Running: ')", timeout=60_000
    )
    page.wait_for_selector("html[data-ended]", timeout=120_000)
    assert page.text_content("#live") == "The campaign has ended."
    assert live.process.wait(60) == 0
    run = mutatenn.open_run(live.directory)
    for name in run.environments:
        score = run.score(name)
        assert f"{score.detected} detected of {score.valid} valid" in page.inner_text(".cards")
    page.click("#filters button[type=reset]")
    page.wait_for_function(
        "number => document.getElementById('found').textContent === `${number} mutants`", arg=len(run.mutants)
    )
    assert said == []
    page.close()
    text = (live.directory / "report" / "report.html").read_text()
    assert "data-live" not in text
    assert "connect-src" not in text


def test_it_answers_nobody_else(live: Live) -> None:
    good = f"/{live.token}/"
    status, headers, body = live.ask(good)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Cache-Control"] == "no-store"
    assert "connect-src 'self'" in html.unescape(body)
    assert live.ask(good, host=f"localhost:{live.port}")[0] == 200
    status, headers, _ = live.ask(f"{good}events")
    assert (status, headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert live.ask(good, host="localhost:8000")[0] == 200, "a port that is forwarded"
    for host in ("evil.example", f"evil.example:{live.port}", "localhost.evil.example:80", ""):
        assert live.ask(good, host=host or " ")[0] == 403, host
    for path in ("/", f"/{live.token}", f"/{live.token}/../x", "/x/", f"/{live.token}/campaign.sqlite"):
        assert live.ask(path)[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert live.ask(good, method=method)[0] == 501, method
    assert live.token not in Path(f"/proc/{live.process.pid}/cmdline").read_text()


def test_the_server_ends_with_the_campaign(live: Live) -> None:
    live.process.kill()
    live.process.wait()
    for _ in range(60):
        try:
            live.ask(f"/{live.token}/")
        except OSError:
            return
        threading.Event().wait(0.5)
    raise AssertionError("it serves on")
