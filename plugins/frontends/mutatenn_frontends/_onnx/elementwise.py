"""Conversions of ONNX operators on single elements that TVM imports wrongly, or cannot build."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutatenn import InputError, ir


def hyperbolic(combine: Any, _opset: int, *given: Any) -> Any:
    """Convert Sinh or Cosh, which LLVM does not know, to half a difference or sum of exponentials."""
    _, (data, *_), _, _ = given
    op, dtype = ir.relax.op, str(data.ty.dtype)
    return op.multiply(combine(op.exp(data), op.exp(op.negative(data))), ir.relax.const(0.5, dtype))


def power(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert Pow, whose exponent may be of another type; the result is of the base's."""
    builder, inputs, attributes, params = given
    base, exponent = (str(each.ty.dtype) for each in inputs[:2])
    if base == exponent:
        return theirs.get_converter(opset)(*given)
    whole = "float" not in base and "float" in exponent
    common = exponent if whole else base
    values = [builder.normalize(_cast(each, common)) for each in inputs[:2]]
    result = theirs.get_converter(opset)(builder, [*values], attributes, params)
    return ir.relax.op.astype(builder.normalize(result), base) if whole else result


def remainder(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert Mod; of floating-point numbers only by C's fmod, as onnxruntime does it."""
    _, inputs, attributes, _ = given
    if "float" in str(inputs[0].ty.dtype) and not attributes.get("fmod"):
        raise InputError(
            f"has a Mod (operator set {opset}) of floating-point numbers without fmod, which onnxruntime "
            "does not compute; export it with fmod = 1"
        )
    return theirs.get_converter(opset)(*given)


def one_hot(_theirs: Any, _opset: int, *given: Any) -> Any:
    """Convert OneHot to a comparison with all classes, whose number is constant; an index of none is none."""
    builder, (indices, depth, values, *_), attributes, _ = given
    op, const = ir.relax.op, ir.relax.const
    classes, rank = int(depth.value.numpy().item()), len(indices.ty.shape)
    axis = int(attributes.get("axis", -1)) % (rank + 1)
    whole = builder.normalize(op.astype(indices, "int64"))
    counted = op.where(op.less(whole, const(0, "int64")), op.add(whole, const(classes, "int64")), whole)
    shape = [classes if place == axis else 1 for place in range(rank + 1)]
    hit = op.equal(op.expand_dims(counted, axis), const(np.arange(classes).reshape(shape), "int64"))
    off, on = (op.take(values, const(place, "int64"), axis=0) for place in (0, 1))
    return op.where(hit, on, off)


def _cast(value: Any, dtype: str) -> Any:
    if isinstance(value, ir.tvm.ir.GenericConst):
        return ir.relax.const(value.value.numpy().astype(dtype))
    return ir.relax.op.astype(value, dtype)
