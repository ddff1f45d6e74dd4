"""What TensorFlow is asked in a process of its own: to convert or run a model."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import InputError
from mutatenn_frontends._shared import npy
from mutatenn_frontends._shared.files import reason
from mutatenn_frontends._tensorflow import file as tensorflow_file
from mutatenn_frontends._tensorflow import graph as tensorflow_graph
from mutatenn_frontends._tensorflow.batch_norm import gather

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERATOR_SET = 17
"""Of the ONNX operators to convert to: the newest of which TVM's importer knows all that tf2onnx writes."""


def respond(request: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the answer to a request and the bytes that belong to it.

    A request has a ``source``, a ``choice`` of signature, input and output, and a ``task``: ``onnx`` or
    ``tflite`` to convert to that, ``run`` to compute the scores of images, a .npy file in ``payload``, as
    the one output that was chosen. Raises InputError if it cannot be done with this model.
    """
    choice = tensorflow_file.Choice(**request["choice"])
    graph = tensorflow_file.read(Path(request["source"]), choice)
    graph, image, tensor = tensorflow_graph.fix_image(graph, choice.input, choice.size)
    if request["task"] == "run":  # the request names the one output that was imported
        (output,) = graph.outputs.values()
        images = npy.load(payload)
        return {}, npy.dump(tensorflow_graph.run(graph, tensor, output, images))
    function = tensorflow_graph.freeze(graph, tensor)
    scores = tensorflow_graph.scores(dict(zip(graph.outputs, function.outputs, strict=True)))
    if len(graph.outputs) > 1:
        graph = attrs.evolve(graph, outputs={scores.name: graph.outputs[scores.name]})
        function = tensorflow_graph.freeze(graph, tensor)
    convert = {"onnx": _to_onnx, "tflite": _to_tflite}[request["task"]]
    specs = [attrs.astuple(image), attrs.astuple(scores)]
    return {"specs": specs}, convert(function, image.name, scores.name)


def _to_onnx(function: Any, image: str, scores: str) -> bytes:
    """Return the ONNX model; batch normalisations stay operators of their own."""
    tf2onnx = import_module("tf2onnx")
    rules = import_module("tf2onnx.optimizer.back_to_back_optimizer")._func_map
    rules.pop(("Conv", "BatchNormalization"), None)  # would fold the one into the other
    source, target = function.inputs[0].name, function.outputs[0].name
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            gather(function),
            input_names=[source],
            output_names=[target],
            opset=OPERATOR_SET,
            tensors_to_rename={source: image, target: scores},
        )
    except Exception as error:  # ValueError of what it does not know, and whatever its rewriters raise
        raise _unfit("tf2onnx", "onnx", error) from error
    defs = import_module("onnx").defs
    if unknown := sorted({node.op_type for node in model.graph.node if not defs.has(node.op_type)}):
        raise _unfit("tf2onnx", "onnx", f"operators that ONNX has not: {', '.join(unknown)}")
    content: bytes = model.SerializeToString()
    return content


def _to_tflite(function: Any, _image: str, _scores: str) -> bytes:
    """Return the TFLite model."""
    converter = import_module("tensorflow").lite.TFLiteConverter
    try:
        content: bytes = converter.from_concrete_functions([function]).convert()
    except Exception as error:  # ConverterError of what it does not know, and others
        raise _unfit("TensorFlow's TFLite converter", "tflite", error) from error
    return content


def _unfit(converter: str, route: str, why: Exception | str) -> InputError:
    other = "tflite" if route == "onnx" else "onnx"
    said = why if isinstance(why, str) else reason(why)
    return InputError(f'{converter} cannot convert it ({said}); try the option route = "{other}"')
