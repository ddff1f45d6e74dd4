"""Turns what Keras models were converted to into Relax modules, by the code of the other frontends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import InputError
from mutatenn_frontends import (
    _keras_layout,
    _onnx_file,
    _onnx_import,
    _pytorch_file,
    _pytorch_import,
    _tflite_file,
    _tflite_import,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mutatenn import TensorSpec


def _from_onnx(folder: Path, _image: TensorSpec, _scores: TensorSpec) -> Any:
    proto, _ = _onnx_file.read(folder / "model.onnx")
    _onnx_import.require_operators(proto)
    _onnx_file.check(proto)
    module, _ = _onnx_import.to_relax(proto)
    return module


def _from_tflite(folder: Path, image: TensorSpec, scores: TensorSpec) -> Any:
    model = _tflite_file.parse(_tflite_file.read(folder / "model.tflite"))
    _tflite_import.require_float(model)
    return _tflite_import.to_relax(model, image, (int(model.Subgraphs(0).Outputs(0)), scores))


def _from_torch(folder: Path, _image: TensorSpec, _scores: TensorSpec) -> Any:
    archive, _ = _pytorch_file.read(folder / "model.pt2")
    program, _, _ = _pytorch_import.load(archive)
    return _keras_layout.sink_transposes(_pytorch_import.to_relax(program))


_ROUTES: dict[str, Callable[[Path, TensorSpec, TensorSpec], Any]] = {
    "onnx": _from_onnx,
    "tflite": _from_tflite,
    "torch": _from_torch,
}
"""How to get from the file that a route leaves in a folder to the Relax module."""


def to_relax(route: str, folder: Path, image: TensorSpec, scores: TensorSpec) -> Any:
    """Return the Relax module of what a route left in a folder, from image to scores; raises InputError."""
    try:
        return _ROUTES[route](folder, image, scores)
    except InputError as error:
        why, _, _ = str(error).rpartition("; ")  # without the advice, which is to export it in another way
        others = " or ".join(f'"{name}"' for name in _ROUTES if name != route)
        raise InputError(f"its conversion to {route} {why}; try the option route = {others}") from error
