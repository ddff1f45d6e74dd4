"""Division and rounding in the wrong direction."""

from __future__ import annotations

from typing import Any

from mutatenn import Example, KernelMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.sources import kernel
from mutatenn_mutators._shared.tir import called, integer, integer_like, parts_of

_CEILING = "apache/tvm#18684: [Bug] Incorrect optimization for tir.floordiv/floormod"
_TRUNCATED = "apache/tvm#2173: [ARITH] Simplifier Improvement"
_ROUNDED = "apache/tvm#18838: [BugFix][TOPI] Fix resize accuracy issue with non-floor rounding"


class RoundDivisionUp(KernelMutator):
    """Round an integer division up instead of down."""

    name = "round-division-up"
    groups = ("bugs",)
    origin = _CEILING
    nodes = ("FloorDiv", "Div")
    needs = "division of integers by a number above 1"

    def matches(self, node: Any) -> bool:
        """Accept divisions of integers by a literal above 1."""
        return (integer(divisor_of(node)) or 0) > 1

    def rewrite(self, node: Any) -> Any:
        """Return the division of what makes up for the rounding."""
        more = integer_like((integer(divisor_of(node)) or 1) - 1, node.a)
        return type(node)(ir.tirx.Add(node.a, more), node.b)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show an index."""
        return [Example(kernel("B[i] = A[i // 4]"), kernel("B[i] = A[(i + 3) // 4]"))]


class TruncateDivision(KernelMutator):
    """Round an integer division, or the remainder's, toward zero instead of down.

    That differs for negative numbers only: a site is a division of what may be negative when all variables
    are 0 or more.
    """

    name = "truncate-division"
    groups = ("bugs",)
    origin = _TRUNCATED
    nodes = ("FloorDiv", "FloorMod")
    needs = "division of what may be negative"

    def matches(self, node: Any) -> bool:
        """Accept divisions of what may be negative."""
        return may_be_negative(node.a)

    def rewrite(self, node: Any) -> Any:
        """Return the truncating kind of the same operands."""
        truncating = ir.tirx.Div if isinstance(node, ir.tirx.FloorDiv) else ir.tirx.Mod
        return truncating(node.a, node.b)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show an index that wraps around."""
        after = "B[i] = A[T.truncmod(i - 4, 8)]"
        return [Example(kernel("B[i] = A[(i - 4) % 8]"), kernel(after))]


class RoundToFloor(KernelMutator):
    """Round a number down instead of to the nearest integer."""

    name = "round-to-floor"
    groups = ("bugs",)
    origin = _ROUNDED
    nodes = ("Call",)
    needs = "rounding to the nearest"

    def matches(self, node: Any) -> bool:
        """Accept both roundings to the nearest, which differ on halves only."""
        return called(node) in ("round", "nearbyint")

    def rewrite(self, node: Any) -> Any:
        """Return the floor of the same argument."""
        return ir.tirx.floor(node.args[0])

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one call."""
        return [Example(kernel("B[i] = T.round(A[i])"), kernel("B[i] = T.floor(A[i])"))]


def divisor_of(division: Any) -> Any:
    """Return the scalar that a scalar or vector is divided by."""
    return division.b.value if isinstance(division.b, ir.tirx.Broadcast) else division.b


def may_be_negative(expression: Any) -> bool:
    """Tell whether an integer may be below 0 when no variable in it is."""
    analyzer = ir.tvm.sym.Analyzer()
    for variable in parts_of(expression, ir.tirx.Var):
        dtype = str(getattr(variable.ty, "dtype", ""))
        if dtype.startswith(("int", "uint")):
            analyzer.bind(variable, ir.tvm.ir.Range(ir.tirx.IntImm(dtype, 0), ir.tirx.IntImm(dtype, 2**30)))
    return bool(analyzer.const_int_bound(expression).min_value < 0)


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operators."""
    return [RoundDivisionUp, TruncateDivision, RoundToFloor]
