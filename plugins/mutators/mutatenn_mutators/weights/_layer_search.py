"""Finds the layers of a graph, and replaces constants in it."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import ir
from mutatenn_mutators._shared.calls import static_shape, with_argument
from mutatenn_mutators.weights._layers import Array, Layer, Place, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def layers(module: Any) -> tuple[Layer, ...]:
    """Return every layer that reads what depends on the input image, in program order."""
    return _layers(tuple(_functions(module).values()))


def bindings(module: Any) -> list[Any]:
    """Return every binding of a module whose value depends on a parameter, in program order."""
    return list(_Reading(tuple(_functions(module).values())).varying())


def with_constants(module: Any, changes: Mapping[Place, Array]) -> Any:
    """Return the module with other constants at some places; it shares all else."""
    changed: dict[Any, dict[int, Array]] = {}
    for (var, index), array in changes.items():
        changed.setdefault(var, {})[index] = array

    def replace(binding: Any) -> Any:
        value = binding.value
        for index, array in changed.get(binding.var, {}).items():
            constant = ir.relax.const(array, str(array.dtype))
            is_call = isinstance(value, ir.tvm.ir.Call)
            value = with_argument(value, index, constant, value.ty) if is_call else constant
        return binding if value is binding.value else ir.relax.VarBinding(binding.var, value)

    functions = dict(module.functions_items())
    for name, function in _functions(module).items():
        functions[name] = ir.ffi.structural_map(function, (ir.relax.VarBinding, replace), order="post")
    result = ir.tvm.IRModule(functions, attrs=module.attrs, global_infos=module.global_infos)
    ir.relax.analysis.well_formed(result, check_ty=False)  # the types are those that were
    return result


def _functions(module: Any) -> dict[Any, Any]:
    return {n: f for n, f in module.functions_items() if isinstance(f, ir.relax.Function)}


@lru_cache(maxsize=2)  # they see the weights of a whole model
def _layers(functions: tuple[Any, ...]) -> tuple[Layer, ...]:
    reading = _Reading(functions)
    found = map(reading.layer, reading.varying())
    return tuple(layer for layer in found if layer)


@attrs.define(eq=False)
class _Reading:
    """What is known of the variables of some functions."""

    functions: tuple[Any, ...]
    constants: dict[Any, Tensor] = attrs.field(init=False, factory=dict)
    fixed: set[Any] = attrs.field(init=False, factory=set)
    """Variables whose value depends on no parameter."""
    readers: dict[Any, list[Any]] = attrs.field(init=False, factory=dict)
    """Bindings of the calls that read a variable."""
    count: Counter[Any] = attrs.field(init=False, factory=Counter)
    """How often a variable stands anywhere, its definition included."""
    bindings: list[Any] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        for function in self.functions:
            ir.ffi.structural_walk(function, (ir.relax.VarBinding, self.bindings.append), order="pre")
            ir.ffi.structural_walk(function, (ir.relax.Var, lambda var: self.count.update([var])))
        for binding in self.bindings:
            self._read(binding)

    def _read(self, binding: Any) -> None:
        value = binding.value
        if self._is_fixed(value):
            self.fixed.add(binding.var)
            if tensor := self._constant(binding):
                self.constants[binding.var] = tensor
        elif isinstance(value, ir.tvm.ir.Call):
            for argument in value.args:
                if isinstance(argument, ir.relax.Var):
                    self.readers.setdefault(argument, []).append(binding)

    def _is_fixed(self, value: Any) -> bool:
        if isinstance(value, ir.relax.Var):
            return value in self.fixed
        if isinstance(value, ir.tvm.ir.Call):
            return all(map(self._is_fixed, value.args))
        return isinstance(value, (ir.tvm.ir.GenericConst, ir.relax.ShapeExpr))

    def _constant(self, binding: Any) -> Tensor | None:
        """Return what a binding of constants alone is, if it merely moves a constant's elements."""
        value = binding.value
        if isinstance(value, ir.tvm.ir.GenericConst):
            return _tensor((binding.var, 0), value)
        step = _step(value)
        tensor = self.tensor(binding, 0) if step else None
        if step is None or tensor is None:
            return None
        return attrs.evolve(tensor, array=step(tensor.array), steps=(*tensor.steps, step))

    def tensor(self, binding: Any, index: int) -> Tensor | None:
        """Return an argument of a call if it is a known constant of floats."""
        argument = binding.value.args[index]
        if isinstance(argument, ir.tvm.ir.GenericConst):
            return _tensor((binding.var, index), argument)
        return self.constants.get(argument) if isinstance(argument, ir.relax.Var) else None

    def varying(self) -> Iterator[Any]:
        """Yield the bindings whose value depends on a parameter."""
        yield from (binding for binding in self.bindings if binding.var not in self.fixed)

    def layer(self, binding: Any) -> Layer | None:
        """Return the layer whose convolution or product this is, if it is one."""
        axes = _axes(binding.value)
        weights = self.tensor(binding, 1) if axes else None
        if axes is None or weights is None or self._is_fixed(binding.value.args[0]):
            return None
        channel, axis, groups = axes
        shape = static_shape(binding.var)
        if not shape or weights.array.shape[axis] != shape[channel]:
            return None
        end, bias = self._bias(binding, shape, channel)
        norm = self._norm(end, len(shape), channel)
        return Layer(binding, end, attrs.evolve(weights, axis=axis), bias, norm, groups)

    def _bias(self, binding: Any, shape: tuple[int, ...], channel: int) -> tuple[Any, Tensor | None]:
        reader = self._only_reader(binding.var, "relax.add")
        for index in (0, 1) if reader else ():
            tensor = self.tensor(reader, index)
            axis = channel - len(shape) + tensor.array.ndim if tensor else -1
            if tensor and axis >= 0 and tensor.array.shape[axis] == tensor.array.size == shape[channel]:
                return reader, attrs.evolve(tensor, axis=axis)
        return binding, None

    def _norm(self, end: Any, rank: int, channel: int) -> tuple[Tensor, ...]:
        reader = self._only_reader(end.var, "relax.nn.batch_norm")
        if not reader or reader.value.attrs.axis % rank != channel:
            return ()
        tensors = [self.tensor(reader, index) for index in range(1, 5)]
        return tuple(tensor for tensor in tensors if tensor) if all(tensors) else ()

    def _only_reader(self, var: Any, operator: str) -> Any:
        readers = self.readers.get(var, [])
        only = len(readers) == 1 and self.count[var] == 2  # noqa: PLR2004  # its definition and this
        return readers[0] if only and readers[0].value.op.name == operator else None


def _tensor(place: Place, constant: Any) -> Tensor | None:
    if str(constant.ty.dtype) not in ("float16", "float32", "float64"):
        return None
    array: Array = np.from_dlpack(constant.value)  # type: ignore[assignment]  # of floats, as was just checked
    return Tensor(place, array, array)


def _step(call: Any) -> Callable[[Any], Any] | None:
    """Return what a call does to an array, if it merely moves elements."""
    name = getattr(call.op, "name", "")
    if name == "relax.permute_dims":
        axes = call.attrs.axes
        return partial(np.transpose, axes=None if axes is None else [int(axis) for axis in axes])
    if name in ("relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten"):
        shape = static_shape(call)
        return lambda array: array.reshape(shape)
    return None


def _axes(value: Any) -> tuple[int, int, int] | None:
    """Return the axis of neurons in a layer's result, that in its weights, and how many groups they form."""
    name = getattr(getattr(value, "op", None), "name", "")
    if name == "relax.nn.conv2d":
        layout = value.attrs.out_layout or value.attrs.data_layout
        return layout.index("C"), value.attrs.kernel_layout.index("O"), int(value.attrs.groups)
    if name == "relax.matmul" and len(static_shape(value.args[1])) == 2:  # noqa: PLR2004  # a matrix
        return len(static_shape(value.args[0])) - 1, 1, 1
    return None
