"""Reads a lowered Relax module as a Program: a straight list of kernel calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.program import Call, Constant, Kernel, Program
from mutatenn.api.values import Layer, TensorSpec
from mutatenn.compiler import ir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Slot = int | tuple["Slot", ...]


class NotAListError(Exception):
    """The module has something that a straight list of kernel calls cannot express."""


def list_calls(
    module: Any,
    kernel: Callable[[str, Any], Kernel],
    constant: Callable[[Any], Constant],
    layers: Callable[[Any], tuple[Layer, ...]] = lambda _: (),
) -> Program:
    """Return the Program of a lowered module's ``main``.

    ``kernel`` turns a function's name and PrimFunc into a Kernel, ``constant`` a Relax constant into a
    Constant; ``layers`` are those that are computed into a variable. Raises NotAListError for dynamic shapes,
    control flow and calls of anything but kernels.
    """
    reader = _Reader(module, kernel, constant, layers)
    return reader.read(module["main"])


@attrs.define
class _Reader:
    module: Any
    kernel: Callable[[str, Any], Kernel]
    constant: Callable[[Any], Constant]
    layers: Callable[[Any], tuple[Layer, ...]]
    values: list[TensorSpec] = attrs.field(factory=list)
    constants: dict[int, Constant] = attrs.field(factory=dict)
    calls: list[Call] = attrs.field(factory=list)
    slots: dict[Any, Slot] = attrs.field(factory=dict)
    shared: dict[str, int] = attrs.field(factory=dict)

    def read(self, main: Any) -> Program:
        (image,) = main.params
        self.slots[image] = source = self._new(image.name, image.ty)
        for binding in _bindings(main):
            self.slots[binding.var] = self._value(binding.var, binding.value)
        output = self._slot(main.body.body)
        while isinstance(output, tuple) and len(output) == 1:
            output = output[0]
        if isinstance(output, tuple):
            raise NotAListError("main returns several tensors")
        return Program(tuple(self.values), source, output, self.constants, tuple(self.calls))

    def _value(self, variable: Any, value: Any) -> Slot:
        if isinstance(value, ir.tvm.ir.Call):
            return self._call(variable, value)
        return self._slot(value)

    def _call(self, variable: Any, call: Any) -> Slot:
        name = variable.name
        if getattr(call.op, "name", None) != "relax.call_tir" or len(call.args) > 2:  # noqa: PLR2004  # function, arguments
            raise NotAListError(f"{name} is not a plain kernel call")
        arguments = [self._slot(arg) for arg in call.args[1].fields]
        result = self._results(name, call.ty)
        flat = result if isinstance(result, tuple) else (result,)
        kernel = self.kernel(call.args[0].name_hint, self.module[call.args[0]])
        self.calls.append(Call(kernel, _tensors(arguments), _tensors(flat), self.layers(variable)))
        return result

    def _results(self, name: str, ty: Any) -> Slot:
        if isinstance(ty, ir.tvm.ir.TupleType):
            return tuple(self._new(f"{name}.{index}", field) for index, field in enumerate(ty.fields))
        return self._new(name, ty)

    def _slot(self, expr: Any) -> Slot:
        if isinstance(expr, ir.tvm.ir.Var):
            return self.slots[expr]
        if isinstance(expr, ir.tvm.ir.GenericConst):
            return self._constant(expr)
        if isinstance(expr, ir.tvm.ir.Tuple):
            return tuple(self._slot(field) for field in expr.fields)
        if isinstance(expr, ir.tvm.ir.TupleGetItem):
            whole: Any = self._slot(expr.tuple_value)
            part: Slot = whole[expr.index]
            return part
        raise NotAListError(f"{type(expr).__name__} is not a value")

    def _constant(self, expr: Any) -> int:
        constant = self.constant(expr)
        if constant.digest not in self.shared:
            index = self._new("constant", expr.ty)
            self.shared[constant.digest] = index
            self.constants[index] = constant
        return self.shared[constant.digest]

    def _new(self, name: str, ty: Any) -> int:
        try:
            shape = tuple(int(extent) for extent in ty.shape)
        except (TypeError, AttributeError, ValueError) as error:
            raise NotAListError(f"{name} has no static shape") from error
        self.values.append(TensorSpec(name, shape, str(ty.dtype)))
        return len(self.values) - 1


def _bindings(main: Any) -> Iterator[Any]:
    if not isinstance(main.body, ir.relax.SeqExpr):
        raise NotAListError("main is not a sequence of bindings")
    for block in main.body.blocks:
        yield from block.bindings


def _tensors(slots: Any) -> tuple[int, ...]:
    if not all(isinstance(slot, int) for slot in slots):
        raise NotAListError("a kernel takes or gives a tuple")
    return tuple(slots)


def array_of(constant: Any) -> np.ndarray[Any, Any]:
    """Return a Relax constant's content, without copying where its dtype allows."""
    try:
        return np.asarray(np.from_dlpack(constant.value))
    except (BufferError, TypeError, RuntimeError):
        return np.asarray(constant.value.numpy())
