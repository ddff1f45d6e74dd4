"""Profiles that tell what single passes do."""

from __future__ import annotations

import pytest

from mutatenn import InputError
from mutatenn.compiler.profiles import BASIC, PROFILES, SEQUENCE, Profile, ablation


def test_every_pass_alone_and_all_but_it() -> None:
    found = ablation()
    passes = [name for name in dict.fromkeys(SEQUENCE) if name not in BASIC]
    assert list(found) == [
        "basic",
        *(f"plus-{n}" for n in passes),
        *(f"minus-{n}" for n in passes),
        "extended",
    ]
    for name in passes:
        assert set(found[f"plus-{name}"].passes) == {*BASIC, name}
        assert set(found[f"minus-{name}"].passes) == {*SEQUENCE} - {name}
    assert found["extended"].passes == SEQUENCE


def test_of_another_profile() -> None:
    found = ablation("default")
    assert len(found) == 2 + 2 * len(PROFILES["default"] - BASIC)
    assert set(found["minus-FuseOps"].passes) == PROFILES["default"] - {"FuseOps"}


def test_ordered_pairs() -> None:
    found = ablation(pairs=True)
    number = len(PROFILES["extended"] - BASIC)
    pairs = {name: profile for name, profile in found.items() if "-then-" in name}
    assert len(pairs) == number * (number - 1) - (number - 1), (
        "what fuses kernels comes after the others alone"
    )
    one, other = (
        pairs[f"{a}-then-{b}"].passes
        for a, b in (("ConvertLayout", "FoldConstant"), ("FoldConstant", "ConvertLayout"))
    )
    assert one == ("ConvertLayout", "FoldConstant", "LegalizeOps", "DeadCodeElimination")
    assert other == ("FoldConstant", "ConvertLayout", "LegalizeOps", "DeadCodeElimination")
    assert pairs["ConvertLayout-then-FuseOps"].passes == (
        "ConvertLayout",
        "LegalizeOps",
        "FuseOps",
        "DeadCodeElimination",
    )


def test_an_order_is_told() -> None:
    assert str(Profile(order=("FoldConstant", "FuseOps"))) == "FoldConstant > FuseOps"
    with pytest.raises(InputError, match="not both"):
        Profile(order=("FoldConstant",), off=("FuseOps",))
    with pytest.raises(InputError, match="unknown pass 'FoldConstants'; did you mean 'FoldConstant'"):
        Profile(order=("FoldConstants",))
