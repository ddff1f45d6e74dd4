"""Where lowered code reads and writes memory, and what can be proven of it."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.compiler import ir

if TYPE_CHECKING:
    from collections.abc import Sequence


def _analyzer() -> Any:
    return ir.sym.Analyzer()


@attrs.define(eq=False)
class Scope:
    """What is known of the variables where a statement stands, by TVM's arithmetic analyser."""

    analyzer: Any = attrs.field(init=False, factory=_analyzer)

    def enter(self, var: Any, start: Any, extent: Any) -> None:
        """Learn the range of a variable."""
        self.analyzer.bind(var, ir.tvm.ir.Range.from_min_extent(start, extent), allow_override=True)

    def bind(self, var: Any, value: Any) -> None:
        """Learn what a scalar variable stands for; data read from memory tells nothing."""
        if is_index(value) and not reads(value) and self.exact(value):
            self.analyzer.bind(var, value, allow_override=True)

    def assuming(self, condition: Any) -> AbstractContextManager[Any]:
        """Take a condition to hold meanwhile."""
        if lanes(condition) > 1 or reads(condition) or not self.exact(condition):
            return ExitStack()
        plain = self.analyzer.simplify(condition)  # in terms of the variables that the analyser looks at
        return self.analyzer.constraint_scope(plain)  # type: ignore[no-any-return]

    def inside(self, indices: Sequence[Any], extents: Sequence[Any]) -> bool:
        """Tell whether it is proven that an access stays inside a buffer."""
        return all(self._holds(*pair) for pair in zip(indices, extents, strict=True))

    def _holds(self, index: Any, extent: Any) -> bool:
        for end in ends(index):
            if reads(end) or not self.exact(end):
                return False
            bound = self.analyzer.const_int_bound(end)
            if bound.min_value >= 0 and isinstance(extent, ir.tirx.IntImm) and bound.max_value < extent.value:
                continue
            if not self.analyzer.can_prove(within(end, extent)):
                return False
        return True

    def exact(self, index: Any) -> bool:
        """Tell whether an index is computed without overflow, as the analyser takes for granted."""
        kinds = (ir.tirx.Add, ir.tirx.Sub, ir.tirx.Mul, ir.tirx.Cast)
        found: list[Any] = []
        ir.ffi.structural_walk(index, (kinds, found.append), order="post")
        return all(self._fits(node) for node in found)

    def _fits(self, node: Any) -> bool:
        value = node.value if isinstance(node, ir.tirx.Cast) else node
        if not is_index(node) or not is_index(value):
            return False
        bound, bits = self.analyzer.const_int_bound(value), int(node.ty.dtype.bits)
        unsigned = "uint" in str(node.ty.dtype)
        low, high = (0, 2**bits) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        infinite = bound.max_value == ir.sym.ConstIntBound.POS_INF
        return bool(low <= bound.min_value and bound.max_value < high and not infinite)

    def range_of(self, index: Any) -> str:
        """Return the values an index can have, as people write them; empty where that is unknown."""
        found = ends(index)
        if reads(index) or not all(map(self.exact, found)):
            return ""
        bounds = [self.analyzer.const_int_bound(end) for end in found]
        low = min(bound.min_value for bound in bounds)
        high = max(bound.max_value for bound in bounds)
        if max(abs(low), abs(high)) >= ir.sym.ConstIntBound.POS_INF:
            return ""
        return f" ({low} to {high})" if low != high else f" ({low})"


def within(index: Any, extent: Any, margin: int = 0) -> Any:
    """Return the condition that a scalar index is less than ``margin`` elements outside ``[0, extent)``."""
    dtype = index.ty.dtype
    low, high = ir.tirx.const(-margin, dtype), ir.tirx.Cast(dtype, extent)
    if isinstance(extent, ir.tirx.IntImm):
        high = ir.tirx.const(int(extent) + margin, dtype)
    elif margin:
        high = ir.tirx.Add(high, ir.tirx.const(margin, dtype))
    return ir.tirx.And(ir.tirx.GE(index, low), ir.tirx.LT(index, high))


def all_within(indices: Sequence[Any], extents: Sequence[Any], margin: int = 0) -> Any:
    """Return the condition that all indices, of vectors every lane, are :func:`within` their extents."""
    found = None
    for index, extent in zip(indices, extents, strict=True):
        for end in ends(index):
            inside = within(end, extent, margin)
            found = inside if found is None else ir.tirx.And(found, inside)
    return found


def ends(index: Any) -> list[Any]:
    """Return the index itself, or of a vector the indices of its lanes, of a ramp the first and the last."""
    count = lanes(index)
    if count == 1:
        return [index]
    numbers = (0, count - 1) if isinstance(index, ir.tirx.Ramp) else range(count)
    return [lane(index, number) for number in numbers]


def lane(expr: Any, number: int) -> Any:
    """Return one lane of a vector expression."""
    if lanes(expr) == 1:
        return expr
    if isinstance(expr, ir.tirx.Ramp):
        step = ir.tirx.const(number, expr.base.ty.dtype)
        return ir.tirx.Add(expr.base, ir.tirx.Mul(expr.stride, step))
    if isinstance(expr, ir.tirx.Broadcast):
        return expr.value
    if isinstance(expr, ir.tirx.Cast):
        return _cast(expr.ty.dtype.with_lanes(1), lane(expr.value, number))
    if isinstance(expr, _arithmetic()):
        return type(expr)(lane(expr.a, number), lane(expr.b, number))
    return ir.tirx.Shuffle([expr], [ir.tirx.const(number, "int32")])


def _cast(dtype: Any, value: Any) -> Any:
    """Return a scalar cast; a literal that wraps around is wrapped here, which TVM refuses to do."""
    literal = ir.sym.Analyzer().simplify(value)
    if not (isinstance(literal, ir.tirx.IntImm) and "int" in str(dtype)):
        return ir.tirx.Cast(dtype, value)
    lowest = 0 if "uint" in str(dtype) else -(2 ** (int(dtype.bits) - 1))
    return ir.tirx.const((int(literal) - lowest) % 2 ** int(dtype.bits) + lowest, dtype)


def _arithmetic() -> tuple[Any, ...]:
    tirx = ir.tirx
    names = ("Add", "Sub", "Mul", "Min", "Max", "FloorDiv", "FloorMod", "Div", "Mod")
    return tuple(getattr(tirx, name) for name in names)


def lanes(expr: Any) -> int:
    """Return how many numbers an expression is."""
    return int(expr.ty.dtype.lanes)


def is_index(expr: Any) -> bool:
    """Tell whether an expression is one integer."""
    return lanes(expr) == 1 and "int" in str(expr.ty.dtype)


def reads(expr: Any) -> bool:
    """Tell whether an expression depends on what is in memory, or on a call."""
    found: list[Any] = []
    kinds = (ir.tvm.ir.TensorLoad, ir.tvm.ir.Call, ir.tirx.Shuffle)
    ir.ffi.structural_walk(expr, (kinds, found.append), order="post")
    return bool(found)
