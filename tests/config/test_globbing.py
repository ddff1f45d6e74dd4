"""Patterns match what glob's do, but in bounded time, whatever links lead where."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from mutatenn import InputError, globbing


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/1.png", "a/2.jpg", "a/b/c/3.png", "a/.hidden/4.png", ".5.png", "x[1]/6.png", "7.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.mkfifo(tmp_path / "a/pipe.png")
    (tmp_path / "a/loop.png").symlink_to("loop.png")
    (tmp_path / "linked").symlink_to("a")
    return tmp_path


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "*.png",
            "*/*.png",
            "a/*",
            "a/1.png",
            "a/?.*",
            "a/[12].*",
            "nothing/*",
            "a/b/../1.png",
            "**",
            "a/**",
        ),
        *(
            "**/*.png",
            "a/**/3.png",
            "**/c/*",
            "a/**/**/*.png",
            ".*.png",
            "a/.hidden/*",
            "x[[]1]/*",
            "linked/*.png",
        ),
    ],
)
def test_it_matches_what_glob_matches(tree: Path, pattern: str) -> None:
    os.unlink(tree / "linked") if "**" in pattern else None  # glob follows it
    expected = {each for each in glob.glob(str(tree / pattern), recursive=True) if os.path.isfile(each)}
    assert sorted(globbing.files(str(tree / pattern))) == sorted(expected)


def test_links_to_folders_are_followed_only_by_name(tree: Path) -> None:
    names = {Path(each).name for each in globbing.files(str(tree / "**/1.png"))}
    assert names == {"1.png"}
    assert len(list(globbing.files(str(tree / "**/1.png")))) == 1
    assert len(list(globbing.files(str(tree / "*/1.png")))) == 2


def test_links_that_lead_round_in_circles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globbing, "MOST_ENTRIES", 10_000)
    (tmp_path / "1.png").touch()
    for name in "abc":
        (tmp_path / name).symlink_to(".")
    assert len(list(globbing.files(str(tmp_path / "**/*.png")))) == 1
    many = "*/" * 30 + "*.png"  # 3 ** 30 paths
    with pytest.raises(InputError, match=r"files and folders to look at .* give a narrower pattern"):
        for _ in globbing.files(str(tmp_path / many)):
            pass


def test_what_it_looks_at_is_bounded(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globbing, "MOST_ENTRIES", 5)
    with pytest.raises(InputError, match="more than 5 files and folders"):
        list(globbing.files(str(tree / "**/*.png")))
