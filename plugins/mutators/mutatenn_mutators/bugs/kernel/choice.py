"""The other of two values: minimum for maximum, an unclamped value, the wrong branch."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from mutatenn import Example, KernelMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.literals import literal_value
from mutatenn_mutators._shared.sources import kernel
from mutatenn_mutators._shared.tir import called

_MIN_MAX = "apache/tvm#5749: [ARITH][BACKPORT-0.6] fix a min/max simplify bug"
_RELU = "microsoft/onnxruntime#9425: Relu getting dropped during quantization"
_CLIP = "microsoft/onnxruntime#20627: Enable ClipQuantFusion exclusively on CPU EP"
_SELECT = "KhronosGroup/SPIRV-Tools#3850: spirv-fuzz: bug in TransformationFlattenConditionalBranch"

_LARGEST = {"float16": 65504.0, "float32": 3.4028234663852886e38, "float64": 1.7976931348623157e308}


class SwapMinMax(KernelMutator):
    """Take the other of two values."""

    groups = ("bugs",)
    origin = _MIN_MAX
    other: ClassVar[str]
    """Name of the TIR node class that takes the place."""
    bound: ClassVar[str]
    """The other value in an example."""

    def matches(self, node: Any) -> bool:
        """Accept operands that differ."""
        return not ir.ffi.structural_equal(node.a, node.b)

    def rewrite(self, node: Any) -> Any:
        """Return the other of the same operands."""
        return getattr(ir.tirx, self.other)(node.a, node.b)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a bound."""
        before, after = (f"B[i] = T.{name.lower()}(A[i], {cls.bound})" for name in (*cls.nodes, cls.other))
        return [Example(kernel(before), kernel(after))]


class MinToMax(SwapMinMax):
    """Replace a minimum by the maximum."""

    name = "min-to-max"
    nodes = ("Min",)
    other = "Max"
    needs = "minimum of two values"
    bound = "T.float32(6)"


class MaxToMin(SwapMinMax):
    """Replace a maximum by the minimum."""

    name = "max-to-min"
    nodes = ("Max",)
    other = "Min"
    needs = "maximum of two values"
    bound = "T.float32(0)"


class DropBound(KernelMutator):
    """Leave a value as it is where it should be kept within a constant bound."""

    groups = ("bugs",)
    none: ClassVar[float]
    """The bound that bounds nothing."""

    def matches(self, node: Any) -> bool:
        """Accept float literals as bounds, but for the infinite and the type's own."""
        bounds = [literal_value(operand) for operand in (node.a, node.b)]
        bound = next((each for each in bounds if each is not None), None)
        largest = _LARGEST.get(str(node.ty.dtype.with_lanes(1)), math.inf)
        return (
            None in bounds
            and bound is not None
            and bound not in (self.none, math.copysign(largest, self.none))
        )

    def rewrite(self, node: Any) -> Any:
        """Return the value itself."""
        return node.a if literal_value(node.a) is None else node.b


class DropLowerBound(DropBound):
    """Drop a lower bound, such as the whole of ReLU: max(x, 0) becomes x."""

    name = "drop-lower-bound"
    nodes = ("Max",)
    origin = _RELU
    none = -math.inf
    needs = "maximum with a constant"

    @classmethod
    def examples(cls) -> list[Example]:
        """Show ReLU."""
        return [Example(kernel("B[i] = T.max(A[i], T.float32(0))"), kernel("B[i] = A[i]"))]


class DropUpperBound(DropBound):
    """Drop an upper bound, such as the saturation of ReLU6: min(x, 6) becomes x."""

    name = "drop-upper-bound"
    nodes = ("Min",)
    origin = _CLIP
    none = math.inf
    needs = "minimum with a constant"

    @classmethod
    def examples(cls) -> list[Example]:
        """Show ReLU6."""
        before = "B[i] = T.max(T.min(A[i], T.float32(6)), T.float32(0))"
        return [Example(kernel(before), kernel("B[i] = T.max(A[i], T.float32(0))"))]


class SwapBranches(KernelMutator):
    """Swap the two values of a conditional expression.

    The guard of a padding, read the wrong way round, pads the image and lets the padding read out of bounds.
    """

    name = "swap-select-branches"
    groups = ("bugs",)
    origin = _SELECT
    nodes = ("Select", "Call")
    needs = "choice between two values"

    def matches(self, node: Any) -> bool:
        """Accept ``Select`` and ``if_then_else`` of values that differ."""
        if isinstance(node, ir.tirx.Select):
            return not ir.ffi.structural_equal(node.true_value, node.false_value)
        return called(node) == "if_then_else" and not ir.ffi.structural_equal(node.args[1], node.args[2])

    def rewrite(self, node: Any) -> Any:
        """Return the conditional with its values swapped."""
        if isinstance(node, ir.tirx.Select):
            return ir.tirx.Select(node.condition, node.false_value, node.true_value)
        condition, one, other = node.args
        return ir.tirx.if_then_else(condition, other, one)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show both forms."""
        lines = "B[i] = T.{0}(i < 4, {1}, {2})"
        return [
            Example(
                kernel(lines.format(form, "A[i]", "T.float32(0)")),
                kernel(lines.format(form, "T.float32(0)", "A[i]")),
            )
            for form in ("if_then_else", "Select")
        ]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operators."""
    return [MinToMax, MaxToMin, DropLowerBound, DropUpperBound, SwapBranches]
