"""Exports Keras models that run on PyTorch; only ever in a process of its own."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mutatenn import InputError
from mutatenn_frontends._keras.graph import is_of_channels, layers
from mutatenn_frontends._keras.model import why

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mutatenn import TensorSpec

MARK = "layer"
"""Under which PyTorch keeps the name of the layer of an operator."""
NOTHING = ("_assert_tensor_metadata", "contiguous", "lift_fresh_copy", "to", "alias", "detach")
"""Operators that leave the numbers as they are, if they leave the dtype."""


def export(model: Any, image: TensorSpec, path: Path) -> None:
    """Write the exported program, batch 1, from the image to ``[1, classes]``; raises InputError.

    Batch normalisations are operators of their own in it. Changes the model.
    """
    torch = import_module("torch")
    _keep_batch_norms(model)
    for layer in layers(model):
        layer.call = _annotated(torch, layer)

    class Scores(torch.nn.Module):  # type: ignore[misc,name-defined]  # PyTorch may not be installed
        def __init__(self) -> None:
            super().__init__()
            # Keras's own names of weights have slashes in them, which names in programs must not have.
            values = [variable.value for variable in model.variables]
            self.weights = torch.nn.ParameterDict({f"w{n}": value for n, value in enumerate(values)})

        def forward(self, image: Any) -> Any:
            return model(image, training=False).reshape(1, -1)

    try:
        with torch.no_grad(), torch.fx.traceback.preserve_node_meta():
            program = torch.export.export(Scores().eval(), (torch.zeros(image.shape),), strict=False)
    except Exception as error:  # whatever a layer may raise
        raise InputError(
            f'PyTorch cannot export it ({why(error)}); try the option route = "onnx" or "tflite"'
        ) from error
    _drop_nothing(program)
    for node in program.graph.nodes:
        mark = node.meta.get("custom", {}).get(MARK)
        node.meta["nn_module_stack"] = {MARK: (mark, MARK)} if mark else {}
    torch.export.save(program, path)


def _annotated(torch: Any, layer: Any) -> Callable[..., Any]:
    """Return what a layer computes, of which PyTorch notes the layer's name."""
    call = layer.call

    @functools.wraps(call)
    def annotated(*arguments: Any, **options: Any) -> Any:
        with torch.fx.traceback.annotate({MARK: layer.name}):
            return call(*arguments, **options)

    return annotated


def _keep_batch_norms(model: Any) -> None:
    """Let batch normalisations call PyTorch's operator; Keras itself writes out its arithmetic."""
    keras, torch = import_module("keras"), import_module("torch")

    class Whole(keras.layers.BatchNormalization):  # type: ignore[misc,name-defined]  # Keras is not typed
        def call(self, inputs: Any, **_: Any) -> Any:
            if not is_of_channels(self, inputs):
                return super().call(inputs, training=False)
            scale = self.gamma.value if self.scale else None
            offset = self.beta.value if self.center else None
            mean, variance = self.moving_mean.value, self.moving_variance.value
            data = inputs.permute(0, 3, 1, 2)
            result = torch.nn.functional.batch_norm(
                data, mean, variance, scale, offset, training=False, eps=self.epsilon
            )
            return result.permute(0, 2, 3, 1)

    for layer in layers(model):
        if type(layer) is keras.layers.BatchNormalization:
            layer.__class__ = Whole


def _drop_nothing(program: Any) -> None:
    """Remove the operators that do nothing, of which Keras makes many."""
    for node in list(program.graph.nodes):
        name = getattr(getattr(node.target, "overloadpacket", None), "__name__", "")
        if node.op == "call_function" and name in NOTHING:
            data = node.args[0]
            if not node.users or data.meta["val"].dtype == node.meta["val"].dtype:
                node.replace_all_uses_with(data)
                program.graph.erase_node(node)
    program.graph.lint()
