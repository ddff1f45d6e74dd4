"""What comes back from a board is taken for what it is: nothing else is read, nor more than there can be."""

from __future__ import annotations

import contextlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import InputError, Observation
from mutatenn.offline.records import (
    load_arrays,
    observation_bytes,
    read_member,
    read_observation,
    read_outcome,
    write_observation,
)

IMAGES, CLASSES = 6, 3
SEEN = Observation(
    "m",
    "ran",
    executed=2,
    kernels=("k",),
    program="p",
    masked={"conv": 1},
    infected=np.array([1, 1, 0, 1, 0, 0], bool),
    rows=np.array([1, 3]),
    outputs=np.arange(6, dtype=np.float32).reshape(2, 3),
    seconds={"total": 0.5},
)


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    write_observation(tmp_path / "m.npz", SEEN)
    return (tmp_path / "m.npz").read_bytes()


def arrays(**changes: Any) -> dict[str, Any]:
    about = attrs.asdict(SEEN, filter=attrs.filters.exclude("rows", "infected", "outputs"))
    about |= changes.pop("about", {})
    about = {key: value for key, value in about.items() if value is not ...}
    found = {"rows": SEEN.rows, "infected": SEEN.infected, "outputs": SEEN.outputs}
    return {"about": np.frombuffer(json.dumps(about).encode(), np.uint8), **found, **changes}


def packed(**changes: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{key: value for key, value in arrays(**changes).items() if value is not None})
    return file.getvalue()


def refused(content: bytes) -> str:
    with pytest.raises(InputError) as raised:
        read_observation(content, IMAGES, CLASSES)
    assert len(str(raised.value)) < 500
    return str(raised.value)


def test_it_comes_back_as_it_was(content: bytes, tmp_path: Path) -> None:
    found = read_observation(content, IMAGES, CLASSES)
    assert attrs.asdict(
        found, filter=lambda f, _: f.name not in ("rows", "infected", "outputs")
    ) == attrs.asdict(SEEN, filter=lambda f, _: f.name not in ("rows", "infected", "outputs"))
    for name in ("rows", "infected", "outputs"):
        assert np.array_equal(getattr(found, name), getattr(SEEN, name))
    assert read_outcome(tmp_path / "m.npz") == "ran"


def test_what_was_seen_again_comes_back_with_it(tmp_path: Path) -> None:
    again = attrs.evolve(SEEN, rows=np.array([0]), outputs=np.ones((1, 3), np.float32))
    write_observation(tmp_path / "m.npz", attrs.evolve(SEEN, memory="leaves its buffer", again=again))
    content = (tmp_path / "m.npz").read_bytes()
    assert len(content) <= observation_bytes(IMAGES, CLASSES)
    found = read_observation(content, IMAGES, CLASSES)
    assert found.memory == "leaves its buffer"
    assert found.again is not None
    assert (found.again.mutant, found.again.rows.tolist()) == (SEEN.mutant, [0])
    assert np.array_equal(found.again.outputs, again.outputs)
    assert np.array_equal(found.outputs, SEEN.outputs)


@pytest.mark.parametrize(
    "about",
    [
        {"outcome": "excellent"},
        {"outcome": 3},
        {"outcome": ...},
        {"seconds": {"total": float("nan")}},
        {"seconds": {"total": -1}},
        {"seconds": {"total": 10**400}},
        {"seconds": [1]},
        {"masked": {"conv": -1}},
        {"masked": {"conv": "x"}},
        {"executed": "2"},
        {"executed": True},
        {"executed": 2**70},
        {"kernels": "k"},
        {"kernels": [1]},
        {"signal": 999},
        {"message": None},
        {"more": 1},
        {"rows": [1]},
        {"mutant": ...},
    ],
)
def test_what_it_tells_is_checked(about: dict[str, Any]) -> None:
    refused(packed(about=about))


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": None},
        {"rows": np.array([[1, 3]])},
        {"rows": np.array([3, 1])},
        {"rows": np.array([1, 1])},
        {"rows": np.array([-1, 3])},
        {"rows": np.array([1, 6])},
        {"rows": np.array([1.0, 3.0])},
        {"rows": np.array([1, 2, 3])},
        {"rows": np.array([3, -(2**63), -2, 5]), "outputs": np.zeros((4, 3), np.float32)},
        {"infected": np.ones(5, bool)},
        {"infected": np.ones(6, np.uint8)},
        {"infected": np.array(True)},
        {"outputs": np.zeros((2, 4), np.float32)},
        {"outputs": np.zeros((2, 3))},
        {"outputs": np.zeros((2, 3), np.complex64)},
        {"outputs": np.float32(1)},
        {"outputs": np.array([None, None])},
        {"outputs": np.array(["a", "b"])},
        {"about": np.zeros(8, np.uint8)},
        {"about": np.frombuffer(b"[" * 99_999, np.uint8)},
        {"about": np.frombuffer(b"5", np.uint8)},
        {"about": np.zeros(8, np.float32)},
    ],
)
def test_its_arrays_are_checked(changes: dict[str, Any]) -> None:
    if isinstance(changes.get("about"), np.ndarray):
        file = io.BytesIO()
        np.savez(file, **{**arrays(), **changes})
        refused(file.getvalue())
    else:
        refused(packed(**changes))


def test_one_that_did_not_run_has_no_outputs() -> None:
    crashed = {"about": {"outcome": "crashed", "signal": 11}}
    assert "do not fit" in refused(packed(**crashed, infected=np.ones(3, bool)))
    nothing = {
        "rows": np.zeros(0, int),
        "infected": np.zeros(0, bool),
        "outputs": np.zeros((0, 0), np.float32),
    }
    assert read_observation(packed(**crashed, **nothing), IMAGES, CLASSES).signal == 11


def test_no_more_is_unpacked_than_there_can_be() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, array in arrays(rows=np.zeros(2**24)).items():
            member = io.BytesIO()
            np.save(member, array)
            zipped.writestr(f"{name}.npy", member.getvalue())
    assert len(file.getvalue()) < 2**18
    assert "rows.npy is larger than any result" in refused(file.getvalue())


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "member",
    [
        header((2**40,)),
        header((2**62, 4)),
        header((-1,)),
        header((3,), "|O"),
        header((2,), "junk"),
        b"PK\x03\x04",
        b"",
    ],
)
def test_an_array_that_claims_what_it_is_not(member: bytes) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("x.npy", member)
    with pytest.raises(InputError, match="damaged"):
        load_arrays(file.getvalue(), {"x": 100})


def zipped(name: str, change: Callable[[bytearray], None]) -> zipfile.ZipFile:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"content" * 100)
    content = bytearray(file.getvalue())
    change(content)
    return zipfile.ZipFile(io.BytesIO(bytes(content)))


def test_ways_of_packing_that_no_board_uses() -> None:
    def set_field(central: int, local: int, value: int) -> Callable[[bytearray], None]:
        def change(content: bytearray) -> None:
            start = content.rindex(b"PK\x01\x02")
            content[start + central] = content[local] = value

        return change

    assert read_member(zipped("x", lambda content: None), "x", 700) == b"content" * 100
    for change in (set_field(8, 6, 1), set_field(10, 8, 98), set_field(10, 8, zipfile.ZIP_BZIP2)):
        with pytest.raises(InputError, match="packed in a way that run"):
            read_member(zipped("x", change), "x", 700)
    with pytest.raises(InputError, match="x is damaged"):
        read_member(zipped("x", lambda content: content.__setitem__(40, content[40] ^ 255)), "x", 700)
    with pytest.raises(InputError, match="lack y"):
        read_member(zipped("x", lambda content: None), "y", 700)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bits(content: bytes, seed: int) -> None:
    chance, damaged = random.Random(seed), bytearray(content)
    for _ in range(3):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    with contextlib.suppress(InputError):  # some bits do not matter
        found = read_observation(bytes(damaged), IMAGES, CLASSES)
        assert (found.mutant, found.outcome) == ("m", "ran")
