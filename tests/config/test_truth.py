"""The true classes of images, from folders and from CSV files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutatenn import InputError
from mutatenn.campaign.config.values import DatasetSection
from mutatenn.campaign.inputs.dataset import Dataset, open_dataset


def classes(root: Path, *images: str, **section: object) -> dict[str, int]:
    """Return the classes of images, made below ``root``, by their names."""
    for image in images:
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        (root / image).touch()
    dataset: Dataset = open_dataset(DatasetSection((f"{root}/**/*.png",), **section))  # type: ignore[arg-type]
    assert dataset.truth is not None
    return dict(zip(dataset.names, dataset.truth, strict=True))


def by_rows(root: Path, rows: str, *images: str, **section: object) -> dict[str, int]:
    (root / "labels").mkdir()
    (root / "labels" / "truth.csv").write_text(rows)
    return classes(root, *images, truth=root / "labels" / "truth.csv", **section)


def test_folders_are_classes_in_their_order(tmp_path: Path) -> None:
    images = ("dog/a.png", "cat/b.png", "cat/c.png", "emu/d.png")
    assert classes(tmp_path, *images, truth="folder") == {"a.png": 1, "b.png": 0, "c.png": 0, "d.png": 2}


def test_a_folder_without_images_is_a_class(tmp_path: Path) -> None:
    for name in ("ant", ".cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "about.txt").touch()
    assert classes(tmp_path, "dog/a.png", "cat/b.png", truth="folder") == {"a.png": 2, "b.png": 1}


def test_numbers_are_numbers(tmp_path: Path) -> None:
    images = ("10/a.png", "9/b.png", "007/c.png")
    assert classes(tmp_path, *images, truth="folder") == {"a.png": 10, "b.png": 9, "c.png": 7}


def test_one_folder_that_is_no_number_makes_all_names(tmp_path: Path) -> None:
    images = ("10/a.png", "9/b.png", "x/c.png")
    assert classes(tmp_path, *images, truth="folder", limit=2) == {"a.png": 0, "b.png": 1}


def test_folders_of_the_same_names_are_the_same_classes(tmp_path: Path) -> None:
    images = ("new/cat/a.png", "new/dog/b.png", "old/dog/c.png")
    assert classes(tmp_path, *images, truth="folder") == {"a.png": 0, "b.png": 1, "c.png": 1}


@pytest.mark.parametrize(
    "row",
    ["a.png", "1/a.png", "./1/a.png", "1//a.png", "1\\a.png", "x/../1/a.png", "../1/a.png", "{root}/1/a.png"],
)
def test_a_row_may_name_an_image_by_its_path(tmp_path: Path, row: str) -> None:
    rows = f"path,class\n{row.format(root=tmp_path)},7\n2/b.png,8\n"
    assert by_rows(tmp_path, rows, "1/a.png", "2/b.png") == {"a.png": 7, "b.png": 8}


def test_the_longest_path_counts(tmp_path: Path) -> None:
    rows = "a.png,1\nx/a.png,2\n"
    assert by_rows(tmp_path, rows, "x/a.png", "y/a.png") == {"x/a.png": 2, "y/a.png": 1}


def test_a_row_that_may_be_two_images(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"'a\.png' may be 'x/a\.png' or 'y/a\.png'; give each a row of its own, with its folder$",
    ):
        by_rows(tmp_path, "a.png,1\n", "x/a.png", "y/a.png", limit=1)


def test_an_image_without_a_row(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no class for 1 of 2 images; add a row for 'y/a\.png'$"):
        by_rows(tmp_path, "x/a.png,1\n", "x/a.png", "y/a.png")


def test_the_same_image_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: 'x/a\.png' is there twice"):
        by_rows(tmp_path, "x/a.png,1\n./x/a.png,1\n", "x/a.png")
