"""Turns what TensorFlow's converters wrote into Relax modules, by the code of the other frontends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn_frontends import _onnx_file, _onnx_import, _tflite_file, _tflite_import

if TYPE_CHECKING:
    from mutatenn import TensorSpec


def from_onnx(content: bytes, _image: TensorSpec, _scores: TensorSpec) -> Any:
    """Return the Relax module of an ONNX model, which has the names and shapes of image and scores in it."""
    import onnx

    proto = onnx.load_model_from_string(content)
    _onnx_import.require_operators(proto)
    _onnx_file.check(proto)
    module, _ = _onnx_import.to_relax(proto)
    return module


def from_tflite(content: bytes, image: TensorSpec, scores: TensorSpec) -> Any:
    """Return the Relax module of a TFLite model with this image and, as its one output, these scores."""
    model = _tflite_file.parse(content)
    _tflite_import.require_float(model)
    return _tflite_import.to_relax(model, image, (int(model.Subgraphs(0).Outputs(0)), scores))
