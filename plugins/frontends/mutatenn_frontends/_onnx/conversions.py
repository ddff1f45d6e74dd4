"""Conversions of single ONNX operators that differ from those of TVM's importer."""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import partial, reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import InputError, ir
from mutatenn_frontends._onnx import elementwise, passed_over
from mutatenn_frontends._onnx.resize import convert_resize, convert_upsample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOUNDS_ARE_INPUTS = 11
"""The operator set in which Clip's bounds turned from attributes into inputs."""


def importer() -> Any:
    """Return the module of TVM's ONNX importer."""
    return import_module(f"{ir.relax.__name__}.frontend.onnx.onnx_frontend")


@attrs.frozen
class _Conversion:
    """Takes the place of one of the importer's converter classes, for every operator set."""

    convert: Callable[..., Any]
    """Called with the operator set and what the importer gives: builder, inputs, attributes, parameters."""

    def get_converter(self, opset: int) -> Callable[..., Any]:
        """Return the conversion, as the importer asks for it."""
        return partial(self.convert, opset)


@contextmanager
def own_conversions() -> Iterator[None]:
    """Let the importer convert by what is written here and in the modules beside."""
    tvm = importer()
    original = tvm._get_convert_map
    table, op = original(), ir.relax.op
    own = {
        "BatchNormalization": _Conversion(partial(_batch_norm, table["BatchNormalization"])),
        "Clip": _Conversion(partial(_clip, table["Clip"])),
        "Compress": _Conversion(partial(passed_over.compress, table["Compress"])),
        "Concat": _Conversion(partial(passed_over.concat, table["Concat"])),
        "Cosh": _Conversion(partial(elementwise.hyperbolic, op.add)),
        "ConvTranspose": _Conversion(partial(passed_over.conv_transpose, table["ConvTranspose"])),
        "Div": _Conversion(partial(passed_over.divide, table["Div"])),
        "Elu": _Conversion(partial(_in_float32, table["Elu"])),
        "Dropout": _Conversion(_dropout),
        "IsInf": _Conversion(partial(passed_over.is_inf, table["IsInf"])),
        "LRN": _Conversion(partial(_in_float32, table["LRN"])),
        "Max": _Conversion(partial(_pairwise, op.maximum, table["Max"])),
        "MaxPool": _Conversion(partial(passed_over.max_pool, table["MaxPool"])),
        "Mean": _Conversion(partial(_mean, table["Mean"])),
        "Min": _Conversion(partial(_pairwise, op.minimum, table["Min"])),
        "Mod": _Conversion(partial(elementwise.remainder, table["Mod"])),
        "NonMaxSuppression": _Conversion(passed_over.unfixed),
        "OneHot": _Conversion(partial(elementwise.one_hot, table["OneHot"])),
        "Pow": _Conversion(partial(elementwise.power, table["Pow"])),
        "RMSNormalization": _Conversion(partial(passed_over.rms_normalization, table["RMSNormalization"])),
        "RoiAlign": _Conversion(partial(passed_over.require, "mode", b"avg", table["RoiAlign"])),
        "Sinh": _Conversion(partial(elementwise.hyperbolic, op.subtract)),
        "SpaceToDepth": _Conversion(partial(passed_over.require, "mode", b"DCR", table["SpaceToDepth"])),
        "Resize": _Conversion(partial(convert_resize, table["Resize"])),
        "Sum": _Conversion(partial(_pairwise, op.add, table["Sum"])),
        "TopK": _Conversion(partial(passed_over.topk, table["TopK"])),
        "Upsample": _Conversion(partial(convert_upsample, table["Upsample"])),
    }
    tvm._get_convert_map = lambda: original() | own
    try:
        yield
    finally:
        tvm._get_convert_map = original


def _clip(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert to one ``relax.clip``; the importer makes six calls of it, four of them on constants."""
    _, inputs, attributes, _ = given
    data = inputs[0]
    if opset < BOUNDS_ARE_INPUTS:
        bounds = [attributes.get("min"), attributes.get("max")]
    else:
        bounds = [_constant(bound) for bound in inputs[1:3]]
    if "float" not in str(data.ty.dtype) or any(bound is _UNKNOWN for bound in bounds):
        return theirs.get_converter(opset)(*given)
    # An absent bound, or by onnxruntime's rule one that is no number, does not bind.
    low, high = (math.nan if bound is None else bound for bound in bounds)
    low, high = -math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high
    if low > high:  # the upper bound is the last word
        builder, dtype = given[0], str(data.ty.dtype)
        raised = builder.normalize(ir.relax.op.maximum(data, ir.relax.const(low, dtype)))
        return ir.relax.op.minimum(raised, ir.relax.const(high, dtype))
    return data if low == -high == -math.inf else ir.relax.op.clip(data, low, high)


def _batch_norm(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert BatchNormalization; of float16 with its numbers in float32, as onnxruntime computes it."""
    builder, inputs, attributes, params = given
    if attributes.get("training_mode"):
        raise InputError(
            "has a BatchNormalization in training mode, by the image's own mean; export it in inference mode"
        )
    if str(inputs[0].ty.dtype) == "float16":
        inputs = [inputs[0], *(builder.normalize(_float32(each)) for each in inputs[1:])]
    return theirs.get_converter(opset)(builder, inputs, attributes, params)


def _in_float32(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert what has float16 in float32, as onnxruntime computes it."""
    builder, inputs, attributes, params = given
    dtype = str(inputs[0].ty.dtype)
    if dtype != "float16":
        return theirs.get_converter(opset)(*given)
    inputs = [builder.normalize(_float32(each)) for each in inputs]
    result = theirs.get_converter(opset)(builder, inputs, attributes, params)
    return ir.relax.op.astype(builder.normalize(result), dtype)


def _float32(value: Any) -> Any:
    if isinstance(value, ir.tvm.ir.GenericConst):
        return ir.relax.const(value.value.numpy().astype("float32"))
    return ir.relax.op.astype(value, "float32")


_UNKNOWN = object()


def _constant(bound: Any) -> Any:
    """Return a bound as a float, None if it is absent, ``_UNKNOWN`` if it is computed at run time."""
    if bound is None:
        return None
    return float(bound.value.numpy().item()) if isinstance(bound, ir.tvm.ir.GenericConst) else _UNKNOWN


def _dropout(_opset: int, *given: Any) -> Any:
    """Convert to nothing, which is what Dropout does outside training; the mask is all true."""
    _, inputs, attributes, _ = given
    data, training = inputs[0], inputs[2]
    if training is not None and _constant(training) != 0.0:
        raise InputError("has a Dropout in training mode, which is random; export it in inference mode")
    if attributes["tvm_custom"]["num_outputs"] == 1:
        return data
    return ir.relax.Tuple([data, ir.relax.op.full(data.ty.shape, ir.relax.const(True), "bool")])


def _pairwise(operator: Any, theirs: Any, opset: int, *given: Any) -> Any:
    """Convert to one operator after the other, as residual additions are; the importer stacks and reduces."""
    _, inputs, _, _ = given
    values = list(inputs)
    if all(isinstance(each, ir.tvm.ir.GenericConst) for each in values):
        return theirs.get_converter(opset)(*given)  # a constant
    return reduce(operator, values)


def _mean(theirs: Any, opset: int, *given: Any) -> Any:
    total = _pairwise(ir.relax.op.add, theirs, opset, *given)
    if isinstance(total, ir.tvm.ir.GenericConst):
        return total
    _, inputs, _, _ = given
    return ir.relax.op.divide(total, ir.relax.const(len(inputs), str(inputs[0].ty.dtype)))
