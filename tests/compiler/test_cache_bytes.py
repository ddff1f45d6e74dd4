"""What a backend has made once is kept beside the kernels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mutatenn import BuildError, cached_bytes
from mutatenn.compiler.cache import VARIABLE, KernelCache, kernel_cache, text_digest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    kernel_cache.cache_clear()
    yield tmp_path / "cache"
    kernel_cache.cache_clear()


def refuse() -> bytes:
    raise BuildError("made again")


def test_it_is_made_once_for_each_source(folder: Path) -> None:
    assert cached_bytes("one", lambda: b"code") == b"code"
    assert cached_bytes("one", refuse) == b"code"
    assert cached_bytes("other", lambda: b"") == b""
    assert cached_bytes("other", refuse) == b""
    assert len(list(folder.glob("*/*"))) == 2


def test_what_could_not_be_made_is_not_kept(folder: Path) -> None:
    with pytest.raises(BuildError):
        cached_bytes("one", refuse)
    assert cached_bytes("one", lambda: b"code") == b"code"


@pytest.mark.parametrize("damage", [b"", b"short", b"other content of more than the checksum's length"])
def test_a_damaged_entry_is_made_again(folder: Path, damage: bytes) -> None:
    cached_bytes("one", lambda: b"code")
    (path,) = folder.glob("*/*.bin")
    path.write_bytes(damage)
    assert cached_bytes("one", lambda: b"again") == b"again"
    assert cached_bytes("one", refuse) == b"again"


def test_an_entry_is_that_of_its_source_only(folder: Path) -> None:
    cached_bytes("one", lambda: b"code")
    (path,) = folder.glob("*/*.bin")
    key = text_digest("other")
    moved = folder / key[:2] / f"{key}.bin"
    moved.parent.mkdir(exist_ok=True)
    path.rename(moved)
    assert cached_bytes("other", lambda: b"mine") == b"mine"


def test_it_counts_for_the_limit(tmp_path: Path) -> None:
    cache = KernelCache(tmp_path, limit=10_000)
    for number in range(4):
        cache.cached(text_digest(str(number)), lambda: bytes(4000))
        (path,) = tmp_path.glob(f"*/{text_digest(str(number))}.bin")
        os.utime(path, (number, number))
    cache.tidy()
    assert [len(list(tmp_path.glob(f"*/{text_digest(str(number))}.bin"))) for number in range(4)] == [
        0,
        0,
        1,
        1,
    ]


def test_without_a_cache_it_is_made_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "off")
    kernel_cache.cache_clear()
    made = iter([b"first", b"second"])
    assert [cached_bytes("one", lambda: next(made)) for _ in range(2)] == [b"first", b"second"]
    kernel_cache.cache_clear()
