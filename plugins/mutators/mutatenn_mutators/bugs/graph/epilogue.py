"""Gets wrong what is fused behind a layer: bias, residual connection, activation."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

from mutatenn import Example, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import is_float, static_shape, with_argument
from mutatenn_mutators._shared.sources import graph
from mutatenn_mutators.bugs.graph._base import BugMutator, SeeingMutator, producer

ADD = "relax.add"
_BIAS: dict[str, tuple[int, ...]] = {"x": (1, 4, 8, 8), "b": (1, 4, 1, 1)}
_TWO: dict[str, tuple[int, ...]] = dict.fromkeys("ab", (1, 4))


class BiasMutator(BugMutator):
    """Changes the addition of a bias: of a constant, or of what is spread over the other operand."""

    ops = (ADD,)
    needs = "bias"

    def matches(self, call: Any) -> bool:
        """Accept additions of one operand of the result's shape and a bias."""
        return _bias(call) is not None


def _bias(call: Any) -> int | None:
    """Return which operand of an addition is a bias, or None; the other has the sum's shape."""
    for place in (1, 0):
        bias, other = call.args[place], call.args[1 - place]
        small = isinstance(bias, ir.tvm.ir.GenericConst) or static_shape(bias) != static_shape(call)
        if small and _is_summand(other, call):
            return place
    return None


def _is_summand(operand: Any, added: Any) -> bool:
    """Tell whether an operand is computed and has the shape of the sum."""
    shape = static_shape(added)
    return bool(shape) and isinstance(operand, ir.relax.Var) and static_shape(operand) == shape


class DropBias(BiasMutator):
    """Leave out the addition of a bias."""

    name = "drop-bias"
    origin = "microsoft/MMdnn#792: [TensorFlow -> ONNX] BiasAdd layer after DepthwiseConv2dNative is ommited"

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return what the bias would be added to."""
        return call.args[1 - (_bias(builder.normalize(call)) or 0)]

    @classmethod
    def examples(cls) -> list[Example]:
        """Show the bias of a convolution."""
        before = "s = R.add(x, b)\ny = R.nn.relu(s)"
        return [Example(graph(before, **_BIAS), graph("s = x\ny = R.nn.relu(s)", **_BIAS))]


class BiasFirstChannel(BiasMutator):
    """Add a bias to the first channel only."""

    name = "bias-first-channel"
    origin = "plaidml/plaidml#178: Broadcast addition gives wrong result on llvm_cpu device"
    needs = "bias of several channels"

    def matches(self, call: Any) -> bool:
        """Accept biases with one value for each of several channels."""
        place = _bias(call)
        return place is not None and sum(size > 1 for size in static_shape(call.args[place])) == 1

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the addition of a bias that is zero but for its first value."""
        place = _bias(builder.normalize(call)) or 0
        shape = static_shape(call.args[place])
        axis = next(axis for axis, size in enumerate(shape) if size > 1)
        first = builder.emit(ir.relax.op.strided_slice(call.args[place], [axis], [0], [1]))
        widths = [0] * (2 * len(shape))
        widths[2 * axis + 1] = shape[axis] - 1
        return with_argument(call, place, builder.emit(ir.relax.op.nn.pad(first, widths)))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show the bias of a convolution."""
        after = """
            f = R.strided_slice(b, axes=[1], begin=[0], end=[1])
            p = R.nn.pad(f, [0, 0, 0, 3, 0, 0, 0, 0])
            y = R.add(x, p)
        """
        return [Example(graph("y = R.add(x, b)", **_BIAS), graph(after, **_BIAS))]


class OverwrittenOperand(BugMutator):
    """Read the first operand twice, as if it had been computed in place of the second."""

    name = "overwritten-operand"
    origin = "apache/tvm#19577: [Bug] DataflowUseInplaceCalls corrupts concat input via in-place buffer reuse"
    ops = (ADD, "relax.multiply", "relax.concat")
    needs = "two computed operands of one type"

    def matches(self, call: Any) -> bool:
        """Accept two computed operands of the same type, such as those of a residual connection."""
        one, other, *_ = (*_operands(call), None, None)
        return (
            isinstance(one, ir.relax.Var)
            and isinstance(other, ir.relax.Var)
            and not one.same_as(other)
            and bool(static_shape(one))
            and bool(ir.ffi.structural_equal(one.ty, other.ty))
        )

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the call with the first operand in place of the second."""
        del builder
        one, _, *rest = _operands(call)
        if call.op.name == "relax.concat":
            return with_argument(call, 0, ir.relax.Tuple([one, one, *rest]))
        return with_argument(call, 1, one)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a residual connection and a concatenation."""
        concat = "y = R.concat(({}), axis=1)"
        return [
            Example(graph("y = R.add(a, b)", **_TWO), graph("y = R.add(a, a)", **_TWO)),
            Example(graph(concat.format("a, b"), **_TWO), graph(concat.format("a, a"), **_TWO)),
        ]


def _operands(call: Any) -> list[Any]:
    if call.op.name != "relax.concat":
        return list(call.args)
    return list(call.args[0].fields) if isinstance(call.args[0], ir.tvm.ir.Tuple) else []


class ActivationBeforeAdd(SeeingMutator):
    """Apply ReLU or a clip before the addition of a bias or residual connection, not after it."""

    name = "activation-before-add"
    origin = "microsoft/onnxruntime#15837: NhwcFusedConv: Add before Activation"
    ops = ("relax.nn.relu", "relax.clip")
    needs = "activation of a sum"

    def matches(self, call: Any) -> bool:
        """Accept activations of a sum of floats, one operand of which has the sum's shape."""
        added = producer(call.args[0])
        return is_float(call.args[0]) and _is_add(added) and _summand(added) is not None

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the sum of the activated operand and the other."""
        added = builder.lookup_binding(call.args[0])
        place = _summand(added) if _is_add(added) else None
        if place is None:  # the addition has become something else by another change
            return call
        activated = builder.emit(with_argument(call, 0, added.args[place]))
        return with_argument(added, place, activated)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show the bias of a convolution."""
        before = "s = R.add(x, b)\ny = R.nn.relu(s)"
        after = "s = R.add(x, b)\nr = R.nn.relu(x)\ny = R.add(r, b)"
        return [Example(graph(before, **_BIAS), graph(after, **_BIAS))]


def _is_add(value: Any) -> bool:
    return getattr(getattr(value, "op", None), "name", None) == ADD


def _summand(added: Any) -> int | None:
    """Return the first operand that is computed and has the sum's shape, or None."""
    places = (place for place, operand in enumerate(added.args) if _is_summand(operand, added))
    return next(places, None)


class DropClipMax(BugMutator):
    """Forget the upper bound of a clip, such as the 6 of ReLU6."""

    name = "drop-clip-max"
    origin = "hidet-org/hidet#97: [Bug] arguments of clip drop after fusion"
    ops = ("relax.clip",)
    needs = "clip of floats to a finite bound"

    def matches(self, call: Any) -> bool:
        """Accept clips of floats with a finite bound."""
        return is_float(call.args[0]) and _is_finite(call.args[2])

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the clip with an infinite bound."""
        del builder
        return ir.relax.op.clip(call.args[0], call.args[1], inf)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show ReLU6."""
        after = 'y = R.clip(x, 0, T.float64("inf"))'
        return [Example(graph("y = R.clip(x, 0, 6)", x=(1, 8)), graph(after, x=(1, 8)))]


class DropClipMin(BugMutator):
    """Forget the lower bound of a clip, such as the 0 of ReLU6."""

    name = "drop-clip-min"
    origin = "hidet-org/hidet#97: [Bug] arguments of clip drop after fusion"
    ops = ("relax.clip",)
    needs = "clip of floats to a finite bound"

    def matches(self, call: Any) -> bool:
        """Accept clips of floats with a finite bound."""
        return is_float(call.args[0]) and _is_finite(call.args[1])

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the clip with an infinite bound."""
        del builder
        return ir.relax.op.clip(call.args[0], -inf, call.args[2])

    @classmethod
    def examples(cls) -> list[Example]:
        """Show ReLU6."""
        after = 'y = R.clip(x, T.float64("-inf"), 6)'
        return [Example(graph("y = R.clip(x, 0, 6)", x=(1, 8)), graph(after, x=(1, 8)))]


def _is_finite(bound: Any) -> bool:
    return isfinite(getattr(bound, "value", inf))


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per mistake."""
    return [DropBias, BiasFirstChannel, OverwrittenOperand, ActivationBeforeAdd, DropClipMax, DropClipMin]
