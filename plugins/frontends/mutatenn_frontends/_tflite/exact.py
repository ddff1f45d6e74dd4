"""Tells quantised TFLite models that can be imported exactly from others."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mutatenn import InputError
from mutatenn_frontends._tflite.importer import operators, quantised

LIST = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED HARD_SWISH LOGISTIC
    MAX_POOL_2D MEAN MUL PAD RELU RELU6 RESHAPE RESIZE_NEAREST_NEIGHBOR SHAPE SOFTMAX
    STRIDED_SLICE SUB TANH TRANSPOSE
"""
EXACT = frozenset(LIST.split())
"""Operators that compute on int8 what TFLite's do: measured over many scales, not one value differed."""
DYNAMIC = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
"""Operators of these whose weights alone may be int8: what they take is quantised while they run."""
ONE_SCALE = frozenset({"CONCATENATION", "RELU", "RELU6"})
"""Operators of these only where all values have one scale."""
BETWEEN = frozenset({"QUANTIZE", "DEQUANTIZE"})
"""Operators from or to floats, from one scale to another, or from int8 to uint8 and back."""


def is_quantised(model: Any) -> bool:
    """Tell whether any operator of the main graph reads or writes quantised values."""
    return any(quantised(model, operator) for _, operator in operators(model))


def require(model: Any) -> None:
    """Raise InputError that names the quantised operators which TVM and TFLite would compute differently.

    They would differ by a step of the scale now and then, so no comparison with the reference would be fair.
    """
    faults = {fault for name, operator in operators(model) if (fault := _fault(model, name, operator))}
    if faults:
        raise InputError(
            f"is quantised in a way that TVM and TFLite compute differently: {', '.join(sorted(faults))}; "
            "convert it to int8 throughout, with a representative data set, or without quantisation"
        )


def is_dynamic(model: Any) -> bool:
    """Tell whether an operator has quantised weights, but takes floats."""
    return any(
        (found := quantised(model, operator)) and int(operator.Inputs(0)) not in found
        for name, operator in operators(model)
        if name not in BETWEEN
    )


def _is_asymmetric(model: Any, name: str, operator: Any) -> bool:
    """Tell whether a layer's input is quantised such that zero need not be in the middle of its range."""
    tflite = import_module("tflite")
    if name != "FULLY_CONNECTED":  # those with a scale for every channel are
        weights = model.Subgraphs(0).Tensors(int(operator.Inputs(1)))
        notes = weights.Quantization()
        return bool(notes.ScaleLength() == weights.Shape(notes.QuantizedDimension()))
    options, table = tflite.FullyConnectedOptions(), operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return bool(options.AsymmetricQuantizeInputs())


def _fault(model: Any, name: str, operator: Any) -> str:
    """Say what is not exact about an operator; empty if nothing is."""
    found = quantised(model, operator)
    if not found:
        return ""
    dtypes, scales = {dtype for dtype, _ in found.values()}, {scale for _, scale in found.values()}
    kind = f"{'/'.join(sorted(dtypes))} {name}"
    if name in BETWEEN:
        if not dtypes <= {"int8", "uint8"}:
            return kind
        return "" if len(scales) == 1 or dtypes == {"int8"} else f"{kind} of several scales"
    if int(operator.Inputs(0)) not in found:
        sound = name in DYNAMIC and dtypes == {"int8"} and _is_asymmetric(model, name, operator)
        return "" if sound else f"{name} of {'/'.join(sorted(dtypes))} weights alone"
    if name in ONE_SCALE and len(scales) > 1:
        return f"{kind} of several scales"
    return "" if name in EXACT and dtypes == {"int8"} else kind
