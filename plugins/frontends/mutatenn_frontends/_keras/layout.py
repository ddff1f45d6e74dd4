"""Moves the transposes of an imported module behind what does not mind, where most meet their inverse.

Keras keeps images ``[batch, height, width, channels]`` on PyTorch as well, whose convolutions want the
channels first: it transposes before and after each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import ir

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ELEMENTWISE = frozenset(
    f"relax.{name}"
    for name in (
        *(
            "add",
            "subtract",
            "multiply",
            "divide",
            "maximum",
            "minimum",
            "power",
            "clip",
            "abs",
            "exp",
            "negative",
        ),
        *("sigmoid", "tanh", "sqrt", "rsqrt", "erf", "nn.relu", "nn.gelu", "nn.silu", "nn.leakyrelu"),
    )
)
"""Operators that treat all elements alike, their operands broadcast."""
Axes = tuple[int, ...]


def sink_transposes(module: Any) -> Any:
    """Return the module with as few transposes as this way of moving them leaves; it computes the same."""
    main = module["main"]
    moved = _Rewrite(ir.relax.BlockBuilder())
    with moved.builder.function("main", list(main.params)):
        with moved.builder.dataflow():
            for binding in (binding for block in main.body.blocks for binding in block.bindings):
                moved.add(binding.var, binding.value)
            result = moved.builder.emit_output(moved.value(main.body.body))
        moved.builder.emit_func_output(result)
    return ir.relax.transform.DeadCodeElimination()(moved.builder.get())


@attrs.define
class _Rewrite:
    """What became of each variable: a value, or a value that is still to be transposed."""

    builder: Any
    values: dict[Any, Any] = attrs.field(factory=dict)
    pending: dict[Any, tuple[Any, Axes]] = attrs.field(factory=dict)

    def value(self, expression: Any) -> Any:
        """Return the new expression for an old one, transposed now if need be."""
        if isinstance(expression, ir.relax.Tuple):
            return ir.relax.Tuple([self.value(field) for field in expression.fields])
        if expression not in self.values and expression in self.pending:
            data, axes = self.pending[expression]
            self.values[expression] = self.builder.emit(ir.relax.op.permute_dims(data, axes))
        return self.values.get(expression, expression)

    def add(self, variable: Any, value: Any) -> None:
        """Take over a binding."""
        rule = _RULES.get(value.op.name) if isinstance(value, ir.tvm.ir.Call) else None
        if rule is not None and rule(self, variable, value):
            return
        if isinstance(value, ir.tvm.ir.Call):
            arguments = [self.value(argument) for argument in value.args]
            value = ir.tvm.ir.Call(value.op, arguments, value.attrs, value.ty_args, value.span)
        elif isinstance(value, ir.relax.TupleGetItem):
            value = ir.relax.TupleGetItem(self.value(value.tuple_value), value.index)
        else:
            value = self.value(value)
        self.values[variable] = self.builder.emit(value)

    def put(self, variable: Any, data: Any, axes: Axes) -> bool:
        """Note that a variable is some data, transposed; return True."""
        if axes == tuple(range(len(axes))):
            self.values[variable] = data
        else:
            self.pending[variable] = (data, axes)
        return True

    def compute(self, variable: Any, data: Any, function: Callable[[NDArray[Any]], NDArray[Any]]) -> bool:
        """Make a variable a function of weights right away; return False if the data are no weights."""
        data = self.values.get(data, data)
        if _is_constant(data):
            self.values[variable] = ir.relax.const(function(data.value.numpy()))
        return _is_constant(data)

    def transposed(self, operand: Any, axes: Axes) -> Any:
        """Return what gives the operand when it is transposed, of an operand that is not pending itself."""
        missing = len(axes) - len(operand.ty.shape)
        shape = (1,) * missing + tuple(map(int, operand.ty.shape))
        inverse = tuple(map(int, np.argsort(axes)))
        operand = self.values.get(operand, operand)
        if _is_constant(operand):
            return ir.relax.const(operand.value.numpy().reshape(shape).transpose(inverse))
        operand = self.value(operand)
        if missing:
            operand = self.builder.emit(ir.relax.op.reshape(operand, shape))
        if sum(size > 1 for size in shape) <= 1:
            return self.builder.emit(ir.relax.op.reshape(operand, [shape[axis] for axis in inverse]))
        return self.builder.emit(ir.relax.op.permute_dims(operand, inverse))


def _is_constant(expression: Any) -> bool:
    return isinstance(expression, ir.tvm.ir.GenericConst)


def _permute(new: _Rewrite, variable: Any, call: Any) -> bool:
    axes = tuple(map(int, call.attrs.axes))
    if new.compute(variable, call.args[0], lambda weights: weights.transpose(axes)):
        return True
    data, before = new.pending.get(call.args[0]) or (new.value(call.args[0]), tuple(range(len(axes))))
    return new.put(variable, data, tuple(before[axis] for axis in axes))


def _elementwise(new: _Rewrite, variable: Any, call: Any) -> bool:
    found = {new.pending[operand][1] for operand in call.args if operand in new.pending}
    if len(found) != 1 or len(*found) != len(variable.ty.shape):
        return False
    (axes,) = found
    arguments = [
        new.pending[each][0] if each in new.pending else _operand(new, each, axes) for each in call.args
    ]
    data = new.builder.emit(ir.tvm.ir.Call(call.op, arguments, call.attrs, call.ty_args, call.span))
    return new.put(variable, data, axes)


def _operand(new: _Rewrite, operand: Any, axes: Axes) -> Any:
    is_tensor = isinstance(getattr(operand, "ty", None), ir.relax.TensorType)
    return new.transposed(operand, axes) if is_tensor and len(operand.ty.shape) else operand


def _pad(new: _Rewrite, variable: Any, call: Any) -> bool:
    if call.args[0] not in new.pending:
        return False
    data, axes = new.pending[call.args[0]]
    width = np.array(list(map(int, call.attrs.pad_width))).reshape(-1, 2)[np.argsort(axes)]
    padded = ir.relax.op.nn.pad(
        data, width.ravel().tolist(), call.attrs.pad_mode, float(call.attrs.pad_value)
    )
    return new.put(variable, new.builder.emit(_of_layer(call, padded)), axes)


def _mean(new: _Rewrite, variable: Any, call: Any) -> bool:
    if call.args[0] not in new.pending or call.attrs.axis is None:
        return False
    data, axes = new.pending[call.args[0]]
    gone = [axes[int(axis)] for axis in call.attrs.axis]
    data = new.builder.emit(_of_layer(call, ir.relax.op.mean(data, gone, call.attrs.keepdims)))
    if call.attrs.keepdims:
        return new.put(variable, data, axes)
    kept = [axis for axis in axes if axis not in gone]
    return new.put(variable, data, tuple(sorted(kept).index(axis) for axis in kept))


def _concat(new: _Rewrite, variable: Any, call: Any) -> bool:
    fields = call.args[0].fields if isinstance(call.args[0], ir.relax.Tuple) else ()
    found = {new.pending[field][1] for field in fields if field in new.pending}
    if len(found) != 1 or not all(field in new.pending for field in fields):
        return False
    (axes,) = found
    parts = [new.pending[field][0] for field in fields]
    joined = ir.relax.op.concat(parts, axes[int(call.attrs.axis)])
    return new.put(variable, new.builder.emit(_of_layer(call, joined)), axes)


def _of_layer(call: Any, other: Any) -> Any:
    """Return another call, of the same layer."""
    return ir.tvm.ir.Call(other.op, other.args, other.attrs, other.ty_args, call.span)


def _reshape(new: _Rewrite, variable: Any, call: Any) -> bool:
    shape = tuple(map(int, variable.ty.shape))
    return new.compute(variable, call.args[0], lambda weights: weights.reshape(shape))


_RULES = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    "relax.permute_dims": _permute,
    "relax.nn.pad": _pad,
    "relax.mean": _mean,
    "relax.concat": _concat,
    "relax.reshape": _reshape,
}
"""How to move the transpose of an operand behind an operator; a rule returns False where it does not fit."""
