"""All images of a campaign: in order, all bad ones named, many of them on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mutatenn import InputError, TensorSpec
from mutatenn.campaign.config.values import PreprocessSection
from mutatenn.campaign.inputs import load
from mutatenn.campaign.inputs.dataset import Dataset

SPEC = TensorSpec("input", (1, 5, 4, 3), "float32")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Thirty images of random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 5, 4, 3), np.uint8)
    paths = tuple(tmp_path / f"{number:02}.png" for number in range(30))
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return Dataset(tuple(path.name for path in paths), paths)


def loaded(dataset: Dataset, **section: Any) -> NDArray[np.generic]:
    return load.load_images(dataset, PreprocessSection(**section), SPEC)


def stored(dataset: Dataset) -> NDArray[np.uint8]:
    return np.stack([np.asarray(Image.open(path)) for path in dataset.paths])


def test_they_are_stacked_in_order(dataset: Dataset) -> None:
    found = loaded(dataset)
    assert found.dtype == np.float32
    assert np.array_equal(found, stored(dataset))


def test_many_are_kept_on_disk(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "IN_MEMORY", SPEC.nbytes)
    monkeypatch.setattr(load, "AT_ONCE", 7)
    found = loaded(dataset, std=2)
    assert np.array_equal(found * 2, stored(dataset))
    assert np.array_equal(found[3:5].copy() * 2, stored(dataset)[3:5])


def test_a_disk_without_room(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(load, "IN_MEMORY", 0)
    monkeypatch.setattr(load.os, "posix_fallocate", refuse)
    cure = "make room there, set TMPDIR to another folder, or set dataset.limit$"
    with pytest.raises(
        InputError, match=rf"30 prepared images take 0\.0 GiB in .*: No space left on device; {cure}"
    ):
        loaded(dataset)


def test_progress_is_shown_on_a_terminal(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load, "AT_ONCE", 20)
    loaded(dataset)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    loaded(dataset)
    assert capsys.readouterr().err == "\rpreparing images: 20 of 30\rpreparing images: 30 of 30\n"


def test_all_bad_images_are_named_at_once(dataset: Dataset) -> None:
    for path in dataset.paths[::3]:
        path.write_text("<html>404</html>")
    with pytest.raises(InputError) as caught:
        loaded(dataset)
    told = str(caught.value)
    assert told.startswith("10 of 30 images cannot be used: 00.png, 03.png, 06.png, ")
    assert "27.png; the first: " in told
    assert f"{dataset.paths[0]}: not an intact image" in told


def test_what_is_wrong_with_all_is_told_once(dataset: Dataset) -> None:
    with pytest.raises(InputError, match=r"^preprocess\.mean has 2 values, the model takes 3 channels"):
        loaded(dataset, mean=(1.0, 2.0))
