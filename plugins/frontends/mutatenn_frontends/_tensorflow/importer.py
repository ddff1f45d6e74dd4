"""Turns what TensorFlow's converters wrote into Relax modules, by the code of the other frontends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn_frontends._onnx import file as onnx_file
from mutatenn_frontends._onnx import importer as onnx_importer
from mutatenn_frontends._tflite import file as tflite_file
from mutatenn_frontends._tflite import importer as tflite_importer

if TYPE_CHECKING:
    from mutatenn import TensorSpec


def from_onnx(content: bytes, _image: TensorSpec, _scores: TensorSpec) -> Any:
    """Return the Relax module of an ONNX model, which has the names and shapes of image and scores in it."""
    import onnx

    proto = onnx.load_model_from_string(content)
    onnx_importer.require_operators(proto)
    onnx_file.check(proto)
    module, _ = onnx_importer.to_relax(proto)
    return module


def from_tflite(content: bytes, image: TensorSpec, scores: TensorSpec) -> Any:
    """Return the Relax module of a TFLite model with this image and, as its one output, these scores."""
    model = tflite_file.parse(content)
    tflite_importer.require_float(model)
    return tflite_importer.to_relax(model, image, (int(model.Subgraphs(0).Outputs(0)), scores))
