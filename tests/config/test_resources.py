"""Files and patterns the user names, and bundled ones."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest

from mutatenn import InputError
from mutatenn.campaign.config import resources


def test_paths_are_relative_to_the_base_or_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert resources.resolve_path("../m.onnx", tmp_path / "x") == tmp_path / "m.onnx"
    assert resources.resolve_path("/m.onnx", tmp_path) == Path("/m.onnx")
    assert resources.resolve_path("~/m.onnx", tmp_path) == Path("/home/someone/m.onnx")


def test_links_keep_their_name(tmp_path: Path) -> None:
    (tmp_path / "blob").touch()
    (tmp_path / "m.onnx").symlink_to("blob")
    assert resources.resolve_path("m.onnx", tmp_path).name == "m.onnx"


def test_the_base_of_a_pattern_is_no_pattern(tmp_path: Path) -> None:
    base = tmp_path / "[x] *?"
    base.mkdir()
    (base / "a.png").touch()
    assert glob.glob(resources.resolve_pattern("*.png", base)) == [str(base / "a.png")]


def test_every_bundled_name_resolves(tmp_path: Path) -> None:
    assert "digits.onnx" in resources.bundled()
    assert "digits/*.png" in resources.bundled()
    for name in resources.bundled():
        assert glob.glob(resources.resolve_pattern(f"mutatenn:{name}", tmp_path))
    assert resources.resolve_path("mutatenn:digits.onnx", tmp_path).is_file()


@pytest.mark.parametrize("name", ["digit.onnx", "../errors.py", "/etc/passwd", "", "digits/*.jpg"])
def test_an_unknown_bundled_name_lists_the_known(name: str, tmp_path: Path) -> None:
    for resolve in (resources.resolve_path, resources.resolve_pattern):
        with pytest.raises(InputError, match=r"nothing bundled .* give .*mutatenn:digits\.onnx"):
            resolve(f"mutatenn:{name}", tmp_path)
    with pytest.raises(InputError, match=r"did you mean 'mutatenn:digits\.onnx'\?$"):
        resources.resolve_path("mutatenn:digit.onnx", tmp_path)
