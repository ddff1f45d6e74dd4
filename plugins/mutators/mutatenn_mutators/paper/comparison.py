"""Changes a comparison, be it of a statement, an expression or a guard."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from mutatenn import Example, KernelMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared import options
from mutatenn_mutators._shared.literals import literal_like
from mutatenn_mutators._shared.paper import PAPER
from mutatenn_mutators._shared.sources import kernel


class ReplaceComparison(KernelMutator):
    """Compare the same operands by another relation."""

    category = "CSO"
    other: ClassVar[str]
    """Name of the TIR node class that takes the place."""
    shown: ClassVar[tuple[str, str]]
    """A condition, and what becomes of it."""

    def rewrite(self, node: Any) -> Any:
        """Return the other relation of the same operands."""
        return getattr(ir.tirx, self.other)(node.a, node.b)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show the condition of a statement."""
        before, after = (kernel(f"if {condition}:\n    B[i] = A[i]") for condition in cls.shown)
        return [Example(before, after)]


class LtToLe(ReplaceComparison):
    """Replace ``<`` by ``<=``."""

    name = "lt-to-le"
    groups = ("paper",)
    origin = PAPER
    nodes = ("LT",)
    other = "LE"
    shown = ("i < 7", "i <= 7")
    needs = "< in the kernels"

    @classmethod
    def examples(cls) -> list[Example]:
        """Show the condition of a statement, and of an expression as the second of two sites."""
        before = """
            if i < 7:
                B[i] = T.if_then_else(i < 4, A[i], A[0])
        """
        return [
            Example(kernel(before), kernel(before.replace(*cls.shown)), sites=(0,)),
            Example(kernel(before), kernel(before.replace("i < 4", "i <= 4")), sites=(1,)),
        ]


class LeToLt(ReplaceComparison):
    """Replace ``<=`` by ``<``."""

    name = "le-to-lt"
    nodes = ("LE",)
    other = "LT"
    needs = "<= in the kernels"
    shown = ("1 <= i", "1 < i")


class LtToGt(ReplaceComparison):
    """Replace ``<`` by ``>``."""

    name = "lt-to-gt"
    groups = ("paper",)
    origin = PAPER
    nodes = ("LT",)
    other = "GT"
    needs = "< in the kernels"
    shown = ("i < 7", "i > 7")


class GtToGe(ReplaceComparison):
    """Replace ``>`` by ``>=``."""

    name = "gt-to-ge"
    groups = ("paper",)
    origin = PAPER
    nodes = ("GT",)
    other = "GE"
    needs = "> in the kernels (TVM turns a > b into b < a)"
    shown = ("i > 1", "i >= 1")


class GtToLt(ReplaceComparison):
    """Replace ``>`` by ``<``."""

    name = "gt-to-lt"
    groups = ("paper",)
    origin = PAPER
    nodes = ("GT",)
    other = "LT"
    needs = "> in the kernels (TVM turns a > b into b < a)"
    shown = ("i > 1", "i < 1")


class ThresholdPlusHalf(KernelMutator):
    """Raise the right operand of ``<`` by 0.5, comparing in float32 unless the operands are floats.

    On integers (below 2**24, above which float32 has gaps) this is the same fault as lt-to-le.
    """

    name = "threshold-plus-half"
    category = "CSO"
    groups = ("paper",)
    origin = PAPER
    nodes = ("LT",)
    needs = "< in the kernels"

    def rewrite(self, node: Any) -> Any:
        """Return the comparison with the raised threshold."""
        left, right = _as_float(node.a), _as_float(node.b)
        return ir.tirx.LT(left, ir.tirx.Add(right, literal_like(0.5, right)))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show integers and floats."""
        integers = 'T.Cast("float32", i) < T.Cast("float32", 7) + T.float32(0.5)'
        floats = "A[i] < A[0] + T.float32(0.5)"
        return [
            Example(kernel("if i < 7:\n    B[i] = A[i]"), kernel(f"if {integers}:\n    B[i] = A[i]")),
            Example(kernel("if A[i] < A[0]:\n    B[i] = A[i]"), kernel(f"if {floats}:\n    B[i] = A[i]")),
        ]


@attrs.frozen(kw_only=True)
class ChangeThreshold(KernelMutator):
    """Change an operand of a comparison by ``amount``, comparing in float32 unless the operands are floats.

    The general form of threshold-plus-half: ``side`` is the operand, ``left`` or ``right``, and ``action``
    what is done to it: ``add``, ``subtract``, ``multiply``, ``divide`` or ``percent``, which adds so many
    hundredths of it. By default a bound is too low by one.
    """

    name = "change-threshold"
    category = "CSO"
    origin = PAPER
    nodes = ("LT", "LE", "GT", "GE")
    side: str = attrs.field(default="right", validator=options.one_of("left", "right"))
    action: str = attrs.field(
        default="subtract", validator=options.one_of("add", "subtract", "multiply", "divide", "percent")
    )
    amount: float = attrs.field(default=1.0, validator=options.finite)
    needs = "comparison of numbers in the kernels"

    def __attrs_post_init__(self) -> None:
        if self.amount == 0 or (self.amount == 1 and self.action in ("multiply", "divide")):
            raise ValueError(f"action {self.action!r} with amount {self.amount!r} is no change, or no number")

    def matches(self, node: Any) -> bool:
        """Accept comparisons of numbers; truth values have no threshold."""
        return not node.a.ty.dtype.startswith("bool")

    def rewrite(self, node: Any) -> Any:
        """Return the same relation, one operand changed."""
        left, right = _as_float(node.a), _as_float(node.b)
        if self.side == "left":
            return type(node)(self._changed(left), right)
        return type(node)(left, self._changed(right))

    def _changed(self, operand: Any) -> Any:
        """Return the changed operand, built without constant folding."""
        classes = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "percent": "Mul"}
        amount = 1 + self.amount / 100 if self.action == "percent" else self.amount
        return getattr(ir.tirx, classes[self.action])(operand, literal_like(amount, operand))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show integers and floats."""
        integers = 'T.Cast("float32", i) < T.Cast("float32", 7) - T.float32(1.0)'
        floats = "A[i] >= A[0] - T.float32(1.0)"
        return [
            Example(kernel("if i < 7:\n    B[i] = A[i]"), kernel(f"if {integers}:\n    B[i] = A[i]")),
            Example(kernel("if A[i] >= A[0]:\n    B[i] = A[i]"), kernel(f"if {floats}:\n    B[i] = A[i]")),
        ]


def _as_float(operand: Any) -> Any:
    dtype = operand.ty.dtype
    if dtype.startswith("float"):
        return operand
    return ir.tirx.Cast(f"float32x{dtype.lanes}" if dtype.lanes > 1 else "float32", operand)


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per change."""
    return [LtToLe, LtToGt, LeToLt, GtToGe, GtToLt, ThresholdPlusHalf, ChangeThreshold]
