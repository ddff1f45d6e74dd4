"""Freezes Keras models into TensorFlow graphs, converts and runs them; only ever in a process of its own."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import InputError
from mutatenn_frontends._keras.model import why
from mutatenn_frontends._shared.classifier import IMAGE_RANK
from mutatenn_frontends._shared.files import reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mutatenn import TensorSpec

RAISE = "TF2ONNX_CATCH_ERRORS"
"""Where this is set, tf2onnx makes no copies of the graph to go back to, which takes most of its time."""
OPERATOR_SET = 17
"""Of the ONNX operators to convert to: TVM's importer knows all of it that tf2onnx writes."""


def freeze(model: Any, image: TensorSpec) -> Any:
    """Return a concrete function of batch 1, all variables constant, from the image to ``[1, classes]``.

    Batch normalisations are operators of their own in it. Changes the model.
    """
    tf = import_module("tensorflow")
    _keep_batch_norms(model)
    spec = tf.TensorSpec(image.shape, image.dtype, name=image.name)

    def scores(image: Any) -> Any:
        found = tf.cast(model(image, training=False), tf.float32)
        return found if len(found.shape) == 2 else tf.reshape(found, (1, -1))  # noqa: PLR2004  # [1, classes]

    with _running():
        function = tf.function(scores, jit_compile=False).get_concrete_function(spec)
    constants = import_module("tensorflow.python.framework.convert_to_constants")
    return constants.convert_variables_to_constants_v2(function)


@contextmanager
def _running() -> Iterator[None]:
    """Say in an InputError that a model cannot be run."""
    try:
        yield
    except Exception as error:  # whatever a layer, or TensorFlow's kernel for it, may raise
        raise InputError(
            f"Keras cannot run it with TensorFlow on a CPU ({why(error)}); build it so that it can, with "
            "channels last"
        ) from error


def layers(model: Any) -> Iterator[Any]:
    """Yield every layer, those of layers that are models themselves as well."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from layers(layer)


def mark(model: Any) -> dict[str, tuple[str, str]]:
    """Give every layer a name that is told from others in whatever is made of it, in place.

    Returns the layers' own names and classes by these. TensorFlow makes ``add_1`` of a second ``add``, which
    may be another layer's name.
    """
    found = {}
    for number, layer in enumerate(layers(model)):
        mark = f"layer.{number}."
        found[mark] = layer.name, type(layer).__name__
        layer.name = mark
    return found


def _keep_batch_norms(model: Any) -> None:
    """Let batch normalisations call TensorFlow's operator; Keras itself writes out its arithmetic."""
    keras, tf = import_module("keras"), import_module("tensorflow")

    class Whole(keras.layers.BatchNormalization):  # type: ignore[misc,name-defined]  # Keras is not typed
        def call(self, inputs: Any, **_: Any) -> Any:
            if not is_of_channels(self, inputs):
                return super().call(inputs, training=False)
            scale = self.gamma if self.scale else tf.ones_like(self.moving_mean)
            offset = self.beta if self.center else tf.zeros_like(self.moving_mean)
            mean, variance = self.moving_mean, self.moving_variance
            return tf.raw_ops.FusedBatchNormV3(
                x=inputs,
                scale=scale,
                offset=offset,
                mean=mean,
                variance=variance,
                epsilon=self.epsilon,
                is_training=False,
            ).y

    for layer in layers(model):
        if type(layer) is keras.layers.BatchNormalization:
            layer.__class__ = Whole


def is_of_channels(layer: Any, inputs: Any) -> bool:
    """Tell whether a batch normalisation is one of images, [batch, height, width, channels] of float32."""
    dtype = import_module("keras").backend.standardize_dtype(inputs.dtype)
    return dtype == "float32" and len(inputs.shape) == IMAGE_RANK and layer.axis in (-1, IMAGE_RANK - 1)


def to_onnx(function: Any, image: str = "image", scores: str = "scores") -> bytes:
    """Return the ONNX model of a frozen function; its input and output get these names.

    Batch normalisations stay operators of their own. Raises InputError.
    """
    _mend_tf2onnx()
    os.environ[RAISE] = "0"
    try:
        return _convert(function, image, scores)
    except Exception:  # whatever one of its optimisers raises: then without that one
        del os.environ[RAISE]
    try:
        return _convert(function, image, scores)
    except Exception as error:  # ValueError of what it does not know, and whatever its rewriters raise
        raise InputError(
            f'tf2onnx cannot convert it ({reason(error)}); try the option route = "tflite"'
        ) from error


def _convert(function: Any, image: str, scores: str) -> bytes:
    source, target = function.inputs[0].name, function.outputs[0].name
    model, _ = import_module("tf2onnx").convert.from_graph_def(
        _without_xla(function.graph.as_graph_def()),
        input_names=[source],
        output_names=[target],
        opset=OPERATOR_SET,
        custom_op_handlers={"Erfc": (_convert_erfc, [])},
        tensors_to_rename={source: image, target: scores},
    )
    content: bytes = model.SerializeToString()
    return content


def _mend_tf2onnx() -> None:
    """Let it neither fold batch normalisations into convolutions nor stumble on adding a single number."""
    rules = import_module("tf2onnx.optimizer.back_to_back_optimizer")._func_map
    rules.pop(("Conv", "BatchNormalization"), None)
    optimizer = import_module("tf2onnx.optimizer.transpose_optimizer").TransposeOptimizer
    original = optimizer._add_handler

    def add(self: Any, transpose: Any, node: Any) -> Any:
        if node.inputs[1].is_const() and not node.inputs[1].get_tensor_value(as_list=False).shape:
            return self._handle_node_having_branches(transpose, node)
        return original(self, transpose, node)

    optimizer._add_handler = add


def _without_xla(graph: Any) -> Any:
    """Let all functions be inlined: Keras has XLA compile grouped convolutions on CPUs."""
    for holder in (*graph.node, *graph.library.function):
        for name in ("_XlaMustCompile", "_noinline"):
            holder.attr.pop(name, None)
    return graph


def _convert_erfc(graph: Any, node: Any, name: str, _arguments: Any) -> None:
    """Write the complement of the error function, of which GELU is made, as ONNX has it: 1 - Erf."""
    node.type = "Erf"
    one = graph.make_const(f"{name}/one", np.ones((), np.float32)).output[0]
    graph.insert_new_node_on_output("Sub", node.output[0], f"{name}/complement", [one, node.output[0]])


def to_tflite(function: Any) -> bytes:
    """Return the TFLite model of a frozen function; batch normalisations are folded. Raises InputError."""
    converter = import_module("tensorflow").lite.TFLiteConverter
    try:
        content: bytes = converter.from_concrete_functions([function]).convert()
    except Exception as error:  # ConverterError of what it does not know, and others
        raise InputError(
            f"TensorFlow's TFLite converter cannot convert it ({reason(error)}); "
            'try the option route = "onnx"'
        ) from error
    return content


def run(model: Any, images: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the scores, float32 ``[images, classes]``, computed image by image."""
    tf = import_module("tensorflow")
    compute = tf.function(lambda image: model(image, training=False), jit_compile=False)
    with _running():
        rows = [np.ravel(compute(tf.constant(image[np.newaxis])).numpy()) for image in images]
    return np.array(rows, np.float32).reshape(len(images), -1)
