"""The page as a file: what stands in it without a browser, and that nothing in it asks for anything."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import mutatenn
from mutatenn import InputError, Run, Status
from mutatenn_reporters._html.data import distinct
from mutatenn_reporters.html import Html

Make = Callable[..., Run]
SURVIVED = {"status": "survived", "images": 10, "infected": 6, "propagated": 4}
KILLED = {"status": "killed", "by": ("top-1",), "images": 10, "killed": 1, "infected": 9}


class Page(HTMLParser):
    """Elements with their attributes, and the text in them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open[-1] if self._open else "", []).append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def block(self, path: Path, name: str) -> bytes:
        """Return what a block of data holds."""
        found = re.search(rf'id="{name}">([^<]*)<', path.read_text())
        assert found
        return zlib.decompress(base64.b64decode(found[1]), -zlib.MAX_WBITS)


@pytest.fixture(scope="module")
def written(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "report"
    assert Html().report(finished.run, folder) == f"wrote {folder / 'report.html'}"
    return folder / "report.html"


def test_the_policy_lets_run_what_stands_in_it_and_nothing_else(written: Path) -> None:
    page = Page(written)
    (policy,) = [e["content"] for tag, e in page.elements if e.get("http-equiv") == "Content-Security-Policy"]
    assert policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    text = written.read_text()
    for kind, directive in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert not any(name.startswith("on") or name == "style" for _, e in page.elements for name in e)


def test_nothing_is_asked_for(written: Path) -> None:
    for tag, attributes in Page(written).elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            address = attributes.get(name)
            assert address is None or address.startswith(("#", "data:")), (tag, name, address)
        assert tag not in {"iframe", "object", "embed", "base"}


def test_its_data_are_the_run(finished: Any, written: Path) -> None:
    run = finished.run
    found = json.loads(Page(written).block(written, "core"))
    assert found["mutants"]["id"] == [record.id for record in run.mutants]
    assert found["images"] == list(run.image_names)
    for index, environment in enumerate(run.environments):
        side = found["sides"][index]
        statuses = [found["statuses"][status]["name"] for status in side["status"] if status >= 0]
        assert statuses == [r.verdicts[environment].status for r in run.mutants if environment in r.verdicts]
        groups = np.frombuffer(Page(written).block(written, f"matrix-{index}"), np.uint8)
        groups = groups.reshape(side["groups"], -1)
        bits = np.unpackbits(groups, axis=1, count=len(run.image_names)).astype(bool)
        for record, row in zip(run.mutants, side["row"], strict=True):
            verdict = record.verdicts.get(environment)
            names = {
                name for name, killed in zip(run.image_names, bits[row], strict=True) if killed and row >= 0
            }
            assert names == set(verdict.killed_images if verdict else ())
    details = json.loads(Page(written).block(written, "details-0"))
    assert [each["diffs"][0][1] for each in details[:3]] == [
        next(iter(run.changes(record.id).values())).rstrip("\n") for record in run.mutants[:3]
    ]


def test_the_tables_count_as_the_run_does(finished: Any, written: Path) -> None:
    text = re.sub(r"\s+", " ", written.read_text())
    for environment in finished.run.environments:
        score = finished.run.score(environment)
        assert f"{score.detected} detected of {score.valid} valid" in text
    for operator, score in finished.run.scores("cpu").items():
        row = re.search(rf">{operator}</bdi></a></th>(.*?)</tr>", text)
        assert row
        numbers = re.findall(r'<td class="n">([^<]*)</td>', row[1])
        told = f"{score.value:.2f}" if score.valid else "-"
        ended = [score.detected, *(score.counts[s] for s in (Status.SURVIVED, Status.NEVER_INFECTED))]
        assert numbers[2:] == [*map(str, [*ended, score.judged - score.valid]), told]


def test_the_same_run_gives_the_same_page(finished: Any, written: Path, tmp_path: Path) -> None:
    Html().report(mutatenn.open_run(finished.run.directory), tmp_path)
    assert (tmp_path / "report.html").read_bytes() == written.read_bytes()


def test_pictures_can_be_left_out(finished: Any, written: Path, tmp_path: Path) -> None:
    def pictures(path: Path) -> dict[str, str]:
        found: dict[str, str] = json.loads(Page(path).block(path, "core"))["pictures"]
        return found

    assert pictures(written)
    assert all(each.startswith("data:image/webp;base64,") for each in pictures(written).values())
    Html(thumbnails=False).report(finished.run, tmp_path)
    assert pictures(tmp_path / "report.html") == {}
    assert "image/webp" not in (tmp_path / "report.html").read_text()


def test_failed_thresholds_come_first(make: Make, tmp_path: Path) -> None:
    run = attrs.evolve(
        make({"cpu": {"lt-to-le.x.0.1": SURVIVED, "lt-to-le.x.1.1": KILLED}}), demands={"min_score": 0.9}
    )
    Html().report(run, tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "1 threshold failed" in text
    assert text.index("threshold failed: min_score") < text.index("Would these images notice?")


def test_a_folder_that_cannot_be_written(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^cannot write .*report\.html: .*; choose another folder$"):
        Html().report(make({"cpu": {"lt-to-le.x.0.1": KILLED}}), tmp_path / "file")


def test_rows_of_a_kill_matrix_that_are_equal_are_one() -> None:
    bits = np.array([[0b1000, 1], [0, 0], [0b1111, 1], [0b1000, 1], [0b0100, 0]], np.uint8)
    groups, places = distinct(bits)
    assert groups.tolist() == [[0b1111, 1], [0b1000, 1], [0b0100, 0]]
    assert places.tolist() == [1, -1, 0, 1, 2]
    groups, places = distinct(np.zeros((0, 2), np.uint8))
    assert (len(groups), len(places)) == (0, 0)
