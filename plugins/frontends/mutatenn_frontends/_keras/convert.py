"""What Keras is asked in a process of its own: to convert, run or obtain a model."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn_frontends._keras import graph as keras_graph
from mutatenn_frontends._keras import model as keras_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def respond(request: Mapping[str, Any], _payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Do a ``task`` in a ``folder``; return the answer, and no bytes. Raises InputError."""
    return TASKS[request["task"]](Path(request["folder"]), request), b""


def convert(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Convert ``model.keras`` or ``model.h5`` to ``model.onnx`` or whatever else the ``route`` is."""
    model = keras_model.load(folder / request["file"])
    image, (model, scores) = (
        keras_model.image(model, request["size"]),
        keras_model.with_scores(model, request["output"]),
    )
    layers = keras_graph.mark(model)
    if request["route"] == "torch":
        import_module("mutatenn_frontends._keras.torch").export(model, image, folder / "model.pt2")
    else:
        function = keras_graph.freeze(model, image)
        content = {"onnx": keras_graph.to_onnx, "tflite": keras_graph.to_tflite}[request["route"]](function)
        (folder / f"model.{request['route']}").write_bytes(content)
    return {"image": attrs.astuple(image), "scores": attrs.astuple(scores), "layers": layers}


def run(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Compute ``scores.npy``, float32 ``[images, classes]``, of ``images.npy``."""
    model, _ = keras_model.with_scores(keras_model.load(folder / request["file"]), request["output"])
    images = np.load(folder / "images.npy", allow_pickle=False)
    np.save(folder / "scores.npy", keras_graph.run(model, images), allow_pickle=False)
    return {}


def obtain(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Save the application called ``name``, with its weights, to ``model.keras``."""
    keras_model.application(request["name"]).save(folder / "model.keras")
    return {}


TASKS: dict[str, Callable[[Path, Mapping[str, Any]], dict[str, Any]]] = {
    "convert": convert,
    "run": run,
    "obtain": obtain,
}
