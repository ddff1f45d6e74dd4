"""A mutator that breaks a promise fails the check of mutators, which names the promise."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from mutatenn import Example, KernelMutator, Mutator, ir
from mutatenn.testing import check_mutator

KERNEL = """
@T.prim_func
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    for i in range(8):
        B[i] = {}
"""
BEFORE = KERNEL.format("A[i] + A[7 - i] + T.float32(1)")
AFTER = KERNEL.format("A[i] - A[7 - i] + T.float32(1)")


class Subtract(KernelMutator):
    """Subtract instead of adding."""

    name = "subtract"
    nodes = ("Add",)

    def matches(self, node: Any) -> bool:
        return bool(node.ty.dtype == "float32")

    def rewrite(self, node: Any) -> Any:
        return ir.tirx.Sub(node.a, node.b)

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(BEFORE, AFTER)]


class WrongExample(Subtract):
    """Promises something else."""

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(BEFORE, KERNEL.format("A[i]"))]


class NoExample(Subtract):
    """Promises nothing."""

    @classmethod
    def examples(cls) -> list[Example]:
        return []


class NoSuchSite(Subtract):
    """Promises something about a site that does not exist."""

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(BEFORE, AFTER, sites=(2,))]


class NoEffect(Subtract):
    """Puts the same node back."""

    def rewrite(self, node: Any) -> Any:
        return node

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(BEFORE, BEFORE)]


class OneDeadSite(Subtract):
    """Changes the inner sum only."""

    def rewrite(self, node: Any) -> Any:
        return node if isinstance(node.b, ir.tirx.FloatImm) else super().rewrite(node)


class AnySite(Subtract):
    """Accepts every ordinal."""

    def apply(self, unit: Any, sites: Collection[int]) -> Any:
        return super().apply(unit, [site % 2 for site in sites])


class Moody(Subtract):
    """Does something else every second time."""

    turn = [0]

    def apply(self, unit: Any, sites: Collection[int]) -> Any:
        self.turn[0] += 1
        return super().apply(unit, sites if self.turn[0] % 2 else (1,))


class Chatty(Subtract):
    """Describes a site on two lines."""

    def sites(self, unit: Any) -> list[str]:
        return [f"{site}\nand more" for site in super().sites(unit)]


class WrongStage(Subtract):
    """Says two things about its level."""

    stage = "graph"


class Uncategorised(Subtract):
    """Has a category of its own."""

    category = "NEW"  # type: ignore[assignment]  # the point of the test


def test_a_mutator_that_keeps_its_promises() -> None:
    check_mutator(Subtract)


@pytest.mark.parametrize(
    ("cls", "promise"),
    [
        (WrongExample, "applying gives the promised code"),
        (NoExample, "has at least one example"),
        (NoSuchSite, r"sites \(2,\) are among"),
        (NoEffect, "before and after differ"),
        (OneDeadSite, "site 1 .* can be changed"),
        (AnySite, "site -1 of 2 raises IndexError"),
        (Moody, "applying again gives the same"),
        (Chatty, "sites are lines"),
        (WrongStage, "stage suits level kernel"),
        (Uncategorised, "category = 'NEW'; it is one of 'LN'"),
        (KernelMutator, "does not define examples, rewrite"),
    ],
)
def test_a_mutator_that_breaks_one(cls: type[Mutator], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_mutator(cls)
