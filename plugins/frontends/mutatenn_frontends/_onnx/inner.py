"""What an ONNX model computes on the way to its scores: the output of every operator."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import Inner
from mutatenn_frontends._onnx import importer as onnx_importer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def inner(proto: Any, image: Mapping[str, NDArray[np.generic]]) -> Inner:
    """Return the inner values of a model of batch 1 for an image, by its input's name.

    Raises InputError if it cannot be imported with all of them as outputs.
    """
    written = onnx_importer.written_out(proto)
    folded = onnx_importer.simplified(copy.deepcopy(written))
    known = {name for node in written.graph.node for name in node.output if name}
    places = {name: node for node in folded.graph.node for name in node.output if name in known}
    values = _run(written, list(places), image)
    module = onnx_importer.convert(_returning(folded, list(values)))
    operators = tuple(_named(places[name], name) for name in values)
    layers = tuple(places[name].name or places[name].output[0] for name in values)
    return Inner(module, operators, tuple(values.values()), layers)


def _run(proto: Any, names: list[str], image: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[Any]]:
    """Return those of these values that are tensors of numbers, as onnxruntime computes them unoptimised."""
    onnxruntime = quiet_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    content = _returning(proto, names).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found = dict(zip(names, session.run(names, dict(image)), strict=True))
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray) and _telling(value)}


def quiet_onnxruntime() -> Any:
    """Return onnxruntime, its telemetry off: nothing leaves this machine, nothing is kept on it."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _telling(value: NDArray[Any]) -> bool:
    """Tell whether these are numbers of an image: int64 are sizes and indices."""
    return value.dtype.kind == "f" or (value.dtype.kind in "biu" and value.dtype != np.int64)


def _returning(proto: Any, names: list[str]) -> Any:
    """Return a copy of the model whose outputs are these values."""
    from onnx import ValueInfoProto

    changed = copy.deepcopy(proto)
    del changed.graph.output[:]
    changed.graph.output.extend(ValueInfoProto(name=name) for name in names)
    return changed


def _named(node: Any, output: str) -> str:
    name = f" {node.name!r}" if node.name else ""
    return f"{node.op_type}{name} (output {output!r})"
