"""Images that are prepared already, as arrays of NumPy."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import InputError, TensorSpec
from mutatenn.campaign.config.values import PreprocessSection
from mutatenn.campaign.inputs import prepared
from mutatenn.campaign.inputs.preprocess import preprocess

VALUES = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)


def taken(path: Path, dtype: str = "float32", channels: int = 3) -> NDArray[np.generic]:
    spec = TensorSpec("input", (1, channels, 4, 5), dtype)
    return preprocess(path, PreprocessSection(mean=7.0, std=3.0, resize=9), spec)


@pytest.mark.parametrize("values", [VALUES, VALUES[None], VALUES.reshape(-1), VALUES.astype(np.float64)])
def test_they_are_taken_as_they_are(tmp_path: Path, values: NDArray[np.generic]) -> None:
    np.save(tmp_path / "x.npy", values)
    np.savez_compressed(tmp_path / "x.npz", values)
    for name in ("x.npy", "x.npz"):
        found = taken(tmp_path / name)
        assert (found.shape, found.dtype) == ((3, 4, 5), np.float32)
        assert np.array_equal(found, VALUES)


def test_one_channel_may_stand_anywhere(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES[0][:, :, None])
    assert np.array_equal(taken(tmp_path / "x.npy", channels=1), VALUES[:1])


def test_whole_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(60, dtype=np.int64).reshape(3, 4, 5))
    assert taken(tmp_path / "x.npy", "int8").reshape(-1).tolist() == list(range(60))
    np.save(tmp_path / "y.npy", np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    assert taken(tmp_path / "y.npy").dtype == np.float32
    np.save(tmp_path / "z.npy", np.arange(100, 160).reshape(3, 4, 5))
    with pytest.raises(
        InputError, match=r"z\.npy: its numbers are out of the range of int8; save it as that$"
    ):
        taken(tmp_path / "z.npy", "int8")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (VALUES.transpose(1, 2, 0), r"shape \(4, 5, 3\), the model takes \(3, 4, 5\); save the array that"),
        (
            np.stack([VALUES, VALUES]),
            r"\(2, 3, 4, 5\), .*; save each image in a file of its own: for i, x in",
        ),
        (VALUES.astype(np.int64), r"int64, the model takes float32; save it as that$"),
        (VALUES.astype(complex), r"complex128, the model takes float32"),
        (VALUES.astype(object), r"not an intact array of NumPy: .*Python objects in dtype"),
        (VALUES.astype(str), r"<U.*, the model takes float32"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, values: NDArray[np.generic], reason: str) -> None:
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    with pytest.raises(InputError, match=rf"x\.npy: .*{reason}"):
        taken(tmp_path / "x.npy")


def test_damaged_files(tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", VALUES)
    whole = (tmp_path / "whole.npy").read_bytes()
    for name, content in {
        "cut.npy": whole[:-4],
        "empty.npy": b"",
        "huge.npy": whole.replace(b"(3, 4, 5)", b"(3, 4, 9999999999999)"),
        "text.npy": b"<html>404</html>",
        "text.npz": b"PK but no zip",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            InputError, match=rf"{name}: not an intact array of NumPy: .*; save it by numpy\.save"
        ):
            taken(tmp_path / name)
    np.savez(tmp_path / "two.npz", a=VALUES, b=VALUES)
    with pytest.raises(InputError, match=r"two\.npz: .*it holds 2 arrays, a, b, not one"):
        taken(tmp_path / "two.npz")


def test_a_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "LARGEST_FILE", 1000)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", bytes(1001))
    with pytest.raises(InputError, match=r"x\.npz: .*it unpacks to more than 0 MiB"):
        taken(tmp_path / "x.npz")
