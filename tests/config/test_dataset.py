"""Which images a campaign takes, and their true classes."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from mutatenn import InputError
from mutatenn.campaign.config.values import DatasetSection
from mutatenn.campaign.inputs.dataset import Dataset, open_dataset


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """b/ with 3_c.png and 10_a.png, a/ with 3_c.png."""
    for name in ("b/3_c.png", "b/10_a.png", "a/3_c.png", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def opened(images: Path, *patterns: str, **options: object) -> Dataset:
    section = DatasetSection(tuple(str(images / pattern) for pattern in patterns), **options)  # type: ignore[arg-type]
    return open_dataset(section)


def with_labels(images: Path, text: str | bytes) -> Dataset:
    path = images / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return opened(images, "b/*.png", truth=path)


def test_names_are_sorted_file_names(images: Path) -> None:
    dataset = opened(images, "b/*.png")
    assert dataset.names == ("10_a.png", "3_c.png")
    assert dataset.paths == (images / "b/10_a.png", images / "b/3_c.png")
    assert dataset.truth is None


def test_an_image_matched_twice_counts_once(images: Path) -> None:
    assert len(opened(images, "b/*.png", "b/../b/*.png", "b/3*.png").names) == 2


def test_equal_file_names_become_relative_paths(images: Path) -> None:
    dataset = opened(images, "**/*.png", truth="filename-prefix")
    assert dataset.names == ("a/3_c.png", "b/10_a.png", "b/3_c.png")
    assert dataset.truth == (3, 10, 3)


def test_limit_takes_the_first_names(images: Path) -> None:
    dataset = opened(images, "b/*.png", limit=1, truth="filename-prefix")
    assert (dataset.names, dataset.truth) == (("10_a.png",), (10,))


def test_limit_takes_of_every_folder(images: Path) -> None:
    assert opened(images, "*/*.png", limit=2).names == ("a/3_c.png", "b/10_a.png")
    assert opened(images, "*/*.png", limit=3).names == ("a/3_c.png", "b/10_a.png", "b/3_c.png")


def test_digests_are_of_the_content(images: Path) -> None:
    dataset = opened(images, "b/*.png")
    assert dataset.digests == [hashlib.sha256(text).hexdigest() for text in (b"b/10_a.png", b"b/3_c.png")]
    gone = opened(images, "b/*.png")
    gone.paths[1].unlink()
    with pytest.raises(InputError, match=r"cannot read image .*3_c\.png': No such file"):
        assert gone.digests


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("b/*.jpg", r"no image matches '\*\.jpg': the folder '.*/b' exists; it holds 3 \.png, 1 \.txt$"),
        ("bb/*.png", r"no folder 'bb' in '.*'"),
        ("b/3_d.png", r"no file '3_d\.png' in '.*/b'; did you mean '3_c\.png'\?$"),
        ("b", r"the folder '.*/b' exists; give a pattern such as 'b/\*\.png'$"),
        ("*/x/*.png", r"the folder '.*' exists; it holds 3 other$"),
        ("b[1]/*.png", r"brackets stand for one of several characters; write 'b\[\[\]1\]'$"),
        ("b/[12].png", r"brackets stand for one of several characters; write '\[\[\]12\]\.png'$"),
    ],
)
def test_no_match_says_why(images: Path, pattern: str, reason: str) -> None:
    (images / "b[1]").mkdir()
    (images / "b" / "[12].png").touch()
    with pytest.raises(InputError, match=reason):
        opened(images, pattern)


def test_a_name_without_a_class_prefix(images: Path) -> None:
    (images / "b/cat.png").touch()
    with pytest.raises(
        InputError, match=r"^cat\.png has no class prefix; name it 0007_cat\.png .* 'labels\.csv'$"
    ):
        opened(images, "b/*.png", truth="filename-prefix")


@pytest.mark.parametrize("header", ["", "image,label\n", "File, Class\n", "\ufeffname,class\r\n"])
def test_a_csv_with_and_without_header(images: Path, header: str) -> None:
    dataset = with_labels(images, header + "3_c.png,7\n\n10_a.png, 1\nelse.png,2\n")
    assert dataset.truth == (1, 7)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3_c.png,7\n", r"labels\.csv: no class for 1 of 2 images; add a row for '10_a\.png'$"),
        (
            "3_c.png,7\n3_c.png,7\n",
            r"labels\.csv, line 2: '3_c\.png' is there twice; keep one row for each image$",
        ),
        (
            "image,label\n3_c.png,cat\n",
            r"line 2: class 'cat' is not a number; give the class's index, from 0$",
        ),
        ("3_c.png,-1\n", r"line 1: class '-1' is not a number"),
        ("3_c.png\n", r"line 1: 1 columns; expected two, image name and class$"),
        (b"\xff\xfe", r"labels\.csv: not a CSV file in UTF-8"),
        ("a" * 200_000, r"labels\.csv: not a CSV file in UTF-8 \(field larger"),
    ],
)
def test_unusable_csv_files(images: Path, text: str | bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        with_labels(images, text)


def test_a_csv_that_cannot_be_read(images: Path) -> None:
    with pytest.raises(
        InputError, match=r"cannot read '.*/b': Is a directory; give a CSV file of image,class$"
    ):
        opened(images, "b/*.png", truth=images / "b")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such file names")
def test_a_file_name_that_is_not_utf8(images: Path) -> None:
    Path(os.fsdecode(os.fsencode(images) + b"/b/\xff.png")).touch()
    with pytest.raises(InputError, match=r"is not UTF-8; rename the file$"):
        opened(images, "b/*.png")
