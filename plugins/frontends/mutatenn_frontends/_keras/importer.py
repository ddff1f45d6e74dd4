"""Turns what Keras models were converted to into Relax modules, by the code of the other frontends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mutatenn import InputError, Layer, rename_layers
from mutatenn_frontends._keras import layout as keras_layout
from mutatenn_frontends._onnx import file as onnx_file
from mutatenn_frontends._onnx import importer as onnx_importer
from mutatenn_frontends._pytorch import file as pytorch_file
from mutatenn_frontends._pytorch import importer as pytorch_importer
from mutatenn_frontends._tflite import file as tflite_file
from mutatenn_frontends._tflite import importer as tflite_importer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mutatenn import TensorSpec


def _from_onnx(folder: Path, _image: TensorSpec, _scores: TensorSpec) -> Any:
    proto, _ = onnx_file.read(folder / "model.onnx")
    onnx_importer.require_operators(proto)
    onnx_file.check(proto)
    module, _ = onnx_importer.to_relax(proto)
    return module


def _from_tflite(folder: Path, image: TensorSpec, scores: TensorSpec) -> Any:
    model = tflite_file.parse(tflite_file.read(folder / "model.tflite"))
    tflite_importer.require_float(model)
    return tflite_importer.to_relax(model, image, (int(model.Subgraphs(0).Outputs(0)), scores))


def _from_torch(folder: Path, _image: TensorSpec, _scores: TensorSpec) -> Any:
    archive, _ = pytorch_file.read(folder / "model.pt2")
    program, _, scores = pytorch_importer.load(archive)
    return keras_layout.sink_transposes(pytorch_importer.to_relax(program, scores))


_ROUTES: dict[str, Callable[[Path, TensorSpec, TensorSpec], Any]] = {
    "onnx": _from_onnx,
    "tflite": _from_tflite,
    "torch": _from_torch,
}
"""How to get from the file that a route leaves in a folder to the Relax module."""


def to_relax(
    route: str, folder: Path, image: TensorSpec, scores: TensorSpec, layers: Mapping[str, Sequence[str]]
) -> Any:
    """Return the Relax module of what a route left in a folder, from image to scores; raises InputError.

    ``layers`` are the names and classes of Keras's layers by what they are called in the file.
    """
    try:
        module = _ROUTES[route](folder, image, scores)
    except InputError as error:
        why, _, _ = str(error).rpartition("; ")  # without the advice, which is to export it in another way
        others = " or ".join(f'"{name}"' for name in _ROUTES if name != route)
        raise InputError(f"its conversion to {route} {why}; try the option route = {others}") from error
    return rename_layers(module, lambda found: _of_keras(found, layers))


def _of_keras(found: Layer, layers: Mapping[str, Sequence[str]]) -> Layer:
    """Return the layer of Keras whose mark a converter's name has in it: ``functional/layer.3._1/Conv2D``."""
    marks = [mark for mark in re.findall(r"layer\.\d+\.", found.name) if mark in layers]
    return Layer(*layers[marks[-1]]) if marks else found
