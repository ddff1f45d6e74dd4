"""Converts operators on int8 such that they compute, bit for bit, what TFLite's interpreter does by default.

TVM's importer computes an operator on quantised values in float32, between a dequantisation and a
quantisation. TFLite hands it to XNNPACK, which sums whole numbers and scales each sum once. Here, too, the
numbers stay whole; up to 2**24 float32 adds them without rounding, in whatever order a kernel does.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import ir
from mutatenn_frontends._tflite.dynamic import whole_numbers
from mutatenn_frontends._tflite.hard_swish import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

SUM_BITS = 20
"""The bits that XNNPACK gives the larger multiplier of a sum."""

_Converter: Any = object


class WholeNumbers(_Converter):  # type: ignore[misc]  # TVM is not typed
    """Mixed into TVM's converter; other operators than these are left to it."""

    _factor: Any = None
    """While a layer is converted: what its sums are multiplied with at the end. Its inputs have scale 1."""
    _plain = False
    """While a pooling is converted: shows tensors as if they were not quantised."""
    _taken: dict[int, Any] = {}  # noqa: RUF012  # replaced, never changed
    """While a layer of floats with weights of int8 is converted: its input and weights, as whole numbers."""

    def get_input_tensors(self, op: Any) -> Any:
        """Return the importer's notes of an operator's inputs."""
        tensors = super().get_input_tensors(op)
        for tensor in tensors:
            if self._plain or tensor.tensor_idx in self._taken:
                tensor.qnn_params = None
            elif self._factor is not None and tensor.qnn_params is not None:
                tensor.qnn_params = {**tensor.qnn_params, "scale": ir.relax.const(1.0)}
        return tensors[: len(self._taken)] if self._taken else tensors

    def get_output_tensors(self, op: Any) -> Any:
        """Return the importer's notes of an operator's outputs."""
        tensors = super().get_output_tensors(op)
        for tensor in tensors:
            tensor.qnn_params = None if self._plain else tensor.qnn_params
        return tensors

    def has_expr(self, number: Any) -> bool:
        """Tell whether a tensor has an expression, or is a constant of the file."""
        return number in self._taken or bool(super().has_expr(number))

    def get_expr(self, number: Any) -> Any:
        """Return the expression of a tensor."""
        if number in self._taken:
            return self._taken[number]
        found = super().get_expr(number)
        return ir.relax.op.astype(found, "float32") if self._plain else found

    def convert_fused_activation_function(self, data: Any, function: Any) -> Any:
        """Convert an activation of floats."""
        return (
            data if self._plain or self._taken else super().convert_fused_activation_function(data, function)
        )

    def quantize(self, data: Any, tensor: Any) -> Any:
        """Convert to a multiplication and a rounding to even, as XNNPACK does; the importer divides."""
        factor = np.float32(1) / scale(tensor) if self._factor is None else self._factor
        scaled = ir.relax.op.round(ir.relax.op.multiply(data, ir.relax.const(factor)))
        dtype = self.get_tensor_type_str(tensor.tensor.Type())
        return _stored(ir.relax.op.add(scaled, ir.relax.const(float(zero(tensor)))), dtype)

    def convert_quantize(self, op: Any) -> Any:
        """Convert a quantisation of floats, or a change of scale, which XNNPACK does in 256ths."""
        (data,), (output,) = self.get_input_tensors(op), self.get_output_tensors(op)
        if data.qnn_params is None:
            return super().convert_quantize(op)
        multiplier = int(np.rint(scale(data) / scale(output) * np.float32(256)))
        rounding = 128 - multiplier * zero(data) + 256 * zero(output)
        found = ir.relax.op.astype(self.get_tensor_expr(data), "int32")
        found = ir.relax.op.multiply(found, ir.relax.const(multiplier, "int32"))
        found = ir.relax.op.add(found, ir.relax.const(rounding, "int32"))
        found = ir.relax.op.right_shift(found, ir.relax.const(8, "int32"))
        return _stored(found, self.get_tensor_type_str(output.tensor.Type()))

    def convert_dequantize(self, op: Any) -> Any:
        """Convert a way back to real numbers, of constants too."""
        (data,) = self.get_input_tensors(op)
        if data.qnn_params is None:
            return super().convert_dequantize(op)
        return self.dequantize(self.get_tensor_expr(data), data)

    def convert_conv(self, op: Any, conv_type: str) -> Any:
        """Convert a convolution."""
        with self._layer(op) as dynamic:
            found = super().convert_conv(op, conv_type)
        kind = "Conv2DOptions" if conv_type == "conv2d" else "DepthwiseConv2DOptions"
        return self._real(found, op, kind, dynamic) if dynamic else found

    def convert_fully_connected(self, op: Any) -> Any:
        """Convert a dense layer."""
        with self._layer(op, axes=[-1]) as dynamic:
            found = super().convert_fully_connected(op)
        return self._real(found, op, "FullyConnectedOptions", dynamic) if dynamic else found

    def convert_hard_swish(self, op: Any) -> Any:
        """Convert hard-swish, of int8 to a look into a table."""
        (data,), (output,) = self.get_input_tensors(op), self.get_output_tensors(op)
        if data.qnn_params is None:
            return super().convert_hard_swish(op)
        results = table(scale(data).item(), zero(data), scale(output).item(), zero(output))
        place = ir.relax.op.astype(self.get_tensor_expr(data), "int32")
        place = ir.relax.op.add(place, ir.relax.const(128, "int32"))
        return ir.relax.op.take(ir.relax.const(results), place, axis=0)

    @contextmanager
    def _layer(self, op: Any, axes: Sequence[int] = (1, 2, 3)) -> Iterator[tuple[Any, ...]]:
        """While a layer is converted; yields what makes real numbers of its sums, if its input is not int8.

        Over ``axes`` such an input has one scale.
        """
        data, weights, *bias = self.get_input_tensors(op)
        (output,) = self.get_output_tensors(op)
        dynamic: tuple[Any, ...] = ()
        if data.qnn_params is not None:
            self._factor = scale(data) * scale(weights) / scale(output)
        elif weights.qnn_params is not None:
            whole, size = whole_numbers(self.get_tensor_expr(data), [*axes])
            values = ir.relax.const(self.get_tensor_value(weights).astype(np.float32))
            dynamic = scale(weights), size, bias
            self._taken = {data.tensor_idx: self.bb.normalize(whole), weights.tensor_idx: values}
        try:
            yield dynamic
        finally:
            self._factor, self._taken = None, {}

    def _real(self, sums: Any, op: Any, kind: str, dynamic: tuple[Any, ...]) -> Any:
        """Return what a layer of floats makes of its sums of whole numbers, in TFLite's order."""
        factor, size, bias = dynamic
        found = ir.relax.op.multiply(ir.relax.op.multiply(sums, ir.relax.const(factor)), size)
        for tensor in bias:
            if tensor.tensor_idx >= 0:
                found = ir.relax.op.add(found, self.get_tensor_expr(tensor))
        return self.convert_fused_activation_function(
            found, self._options(op, kind).FusedActivationFunction()
        )

    def convert_pool2d(self, op: Any, pool_type: str) -> Any:
        """Convert an average to one that rounds halves away from zero; the importer cuts off."""
        (output,) = self.get_output_tensors(op)
        if pool_type != "average" or output.qnn_params is None:
            return super().convert_pool2d(op, pool_type)
        self._plain = True
        try:
            mean = super().convert_pool2d(op, pool_type)
        finally:
            self._plain = False
        options = self._options(op, "Pool2DOptions")
        # Halves are exact but for the division; no other mean is that near to one.
        half = 0.5 + 0.25 / (options.FilterHeight() * options.FilterWidth())
        size = ir.relax.op.floor(ir.relax.op.add(ir.relax.op.abs(mean), ir.relax.const(half)))
        return self._activated(_stored(ir.relax.op.multiply(ir.relax.op.sign(mean), size)), output, options)

    def _convert_elemwise(self, op: Any, relax_op: Any, comparison_op: bool = False) -> Any:
        """Convert an operator on two tensors."""
        first, second = self.get_input_tensors(op)
        (output,) = self.get_output_tensors(op)
        kind = {"add": "Add", "subtract": "Sub", "multiply": "Mul"}.get(relax_op.__name__)
        if kind is None or first.qnn_params is None or output.qnn_params is None:
            return super()._convert_elemwise(op, relax_op, comparison_op)
        data = [
            ir.relax.op.subtract(
                ir.relax.op.astype(self.get_tensor_expr(each), "int32"), ir.relax.const(zero(each), "int32")
            )
            for each in (first, second)
        ]
        if kind == "Mul":
            product = ir.relax.op.astype(ir.relax.op.multiply(*data), "float32")
            self._factor = scale(first) * scale(second) / scale(output)
            found = self.quantize(product, output)
            self._factor = None
        else:
            found = _sum(relax_op, data, [scale(each) / scale(output) for each in (first, second)], output)
        return self._activated(found, output, self._options(op, f"{kind}Options"))

    def _options(self, op: Any, kind: str) -> Any:
        found, table = getattr(import_module("tflite"), kind)(), op.BuiltinOptions()
        found.Init(table.Bytes, table.Pos)
        return found

    def _activated(self, data: Any, output: Any, options: Any) -> Any:
        return self.convert_qnn_fused_activation_function(
            data, options.FusedActivationFunction(), scale(output).item(), zero(output), "int8"
        )


def scale(tensor: Any) -> NDArray[np.float32]:
    """Return the scale that the importer noted of a tensor: one number, or one for each channel."""
    found: NDArray[np.float32] = np.asarray(tensor.qnn_params["scale"].value.numpy(), np.float32)
    return found


def zero(tensor: Any) -> int:
    """Return the whole number that stands for zero, of a tensor that is quantised as a whole."""
    return int(tensor.qnn_params["zero_point"].value.numpy())


def _stored(data: Any, dtype: str = "int8") -> Any:
    bounds = np.iinfo(dtype)
    return ir.relax.op.astype(ir.relax.op.clip(data, int(bounds.min), int(bounds.max)), dtype)


def _sum(relax_op: Any, data: list[Any], factors: list[Any], output: Any) -> Any:
    """Return a sum or difference as XNNPACK computes it: in whole multiples of the factors, shifted down."""
    shift = SUM_BITS + 1 - math.frexp(max(factors))[1]
    first, second = (
        ir.relax.op.multiply(each, ir.relax.const(int(np.rint(float(factor) * 2**shift)), "int32"))
        for each, factor in zip(data, factors, strict=True)
    )
    rounded = ir.relax.op.add(relax_op(first, second), ir.relax.const(1 << shift - 1, "int32"))
    shifted = ir.relax.op.right_shift(rounded, ir.relax.const(shift, "int32"))
    return _stored(ir.relax.op.add(shifted, ir.relax.const(zero(output), "int32")))
