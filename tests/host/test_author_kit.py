"""The kit accepts what keeps the contracts and names each promise that is broken."""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mutatenn import Comparator, Example, KernelMutator, Mutator, Scores, hookimpl, ir
from mutatenn.host.plugin_host import PluginHost
from mutatenn.testing import check_comparator, check_mutator, check_plugin_module

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


class Largest(Comparator):
    """Measures the largest difference."""

    name = "largest"
    worse = "higher"

    def measure(self, original: Scores, candidate: Scores) -> Any:
        return np.abs(original.values - candidate.values).max(axis=1).astype(np.float64)


class PassesInfinity(Largest):
    """Leaves infinity in its measure."""


class KeepsNan(Largest):
    """Measures NaN as it should."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        finite = np.isfinite(candidate.values).all(axis=1)
        return np.where(finite, super().measure(original, candidate), np.nan)


class Backwards(KeepsNan):
    """Says that less is worse."""

    worse = "lower"


class Narrow(KeepsNan):
    """Measures in float32."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        return super().measure(original, candidate).astype(np.float32)


class Pooled(KeepsNan):
    """Measures all images at once."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        each = super().measure(original, candidate)
        return each if np.isnan(each).any() or not len(each) else np.full(len(each), each.mean())


class Destructive(KeepsNan):
    """Works in place."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        result = super().measure(original, candidate)
        candidate.values[:] = 0
        return result


class Scalar(KeepsNan):
    """Measures one number."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        return np.float64(0)


class Jumpy(KeepsNan):
    """Notices what did not change."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        return super().measure(original, candidate) + 1


def test_a_comparator_that_keeps_its_promises() -> None:
    check_comparator(KeepsNan)


@pytest.mark.parametrize(
    ("cls", "promise"),
    [
        (PassesInfinity, "inf measures NaN, in its row only"),
        (Backwards, "nothing measures better than an unchanged output"),
        (Narrow, "measures are float64, not float32"),
        (Pooled, "does not depend on others"),
        (Destructive, "arguments are not modified|always the same"),
        (Scalar, "one measure per image"),
        (Jumpy, "an unchanged output is not noticed"),
        (Comparator, "does not define measure"),
    ],
)
def test_a_comparator_that_breaks_one(cls: type[Comparator], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_comparator(cls)


def module(**hooks: Any) -> ModuleType:
    made = ModuleType("made")
    vars(made).update(hooks)
    return made


def test_a_module_is_checked_in_all_its_parts() -> None:
    good, bad = hookimpl(lambda: [Subtract]), hookimpl(lambda: [Narrow])
    check_plugin_module(module(mutatenn_mutators=good))
    with pytest.raises(AssertionError, match="float64"):
        check_plugin_module(module(mutatenn_mutators=good, mutatenn_comparators=bad))
    with pytest.raises(AssertionError, match=r"put @mutatenn\.hookimpl above it"):
        check_plugin_module(module(mutatenn_mutators=lambda: [Subtract]))
    with pytest.raises(AssertionError, match="marks at least one hook"):
        check_plugin_module(module())


INSTALLED = PluginHost.installed()


@pytest.mark.parametrize("name", INSTALLED.mutators())
def test_every_installed_mutator_keeps_its_promises(name: str) -> None:
    check_mutator(INSTALLED.get("mutator", name))


@pytest.mark.parametrize("name", INSTALLED.comparators())
def test_every_installed_comparator_keeps_its_promises(name: str) -> None:
    check_comparator(INSTALLED.get("comparator", name))
