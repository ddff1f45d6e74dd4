"""Files that people have of a network, and that cannot be imported: what each is, what to give instead."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = (
    'weights without a network; give the code that makes it: model.source = "python:MODULE:FUNCTION", with '
    'options = {{ weights = "{name}" }}'
)
CONVERT = "{kind}; convert it to ONNX, and give that"
COMPILED = "{kind}, compiled for one device; give the model that it was built from, an .onnx file for example"
SCRIPT = "TorchScript, which has no graph to import; export the model by torch.export.save to a .pt2 file"
SAFE = "weights without a network; load them in the function of python:MODULE:FUNCTION, which makes it"

PACKED = "packed; unpack it, and give the model in it"
PICKLED = "a pickle, which may run any code; give the model that it holds, exported to ONNX"

KINDS: dict[str, str] = {
    **dict.fromkeys((".pth", ".pt", ".ckpt", ".t7", ".bin"), WEIGHTS),
    ".safetensors": SAFE,
    **dict.fromkeys((".index", ".meta", ".data-00000-of-00001"), CONVERT.format(kind="part of a checkpoint")),
    **dict.fromkeys((".mlmodel", ".mlpackage", ".mlmodelc"), CONVERT.format(kind="a Core ML model")),
    **dict.fromkeys((".caffemodel", ".prototxt"), CONVERT.format(kind="a Caffe model")),
    **dict.fromkeys((".pdmodel", ".pdiparams", ".pdparams"), CONVERT.format(kind="a PaddlePaddle model")),
    **dict.fromkeys((".params", ".mxnet"), CONVERT.format(kind="an MXNet model")),
    ".weights": CONVERT.format(kind="a Darknet model"),
    **dict.fromkeys((".mnn", ".param", ".tmfile"), CONVERT.format(kind="a model of a mobile runtime")),
    ".xml": CONVERT.format(kind="an OpenVINO model"),
    ".nnef": CONVERT.format(kind="an NNEF model"),
    ".ort": CONVERT.format(kind="an onnxruntime format of its own"),
    ".onnxtxt": CONVERT.format(kind="ONNX as text"),
    ".gguf": "a language model, and MutateNN takes image classifiers; give one of those",
    **dict.fromkeys((".engine", ".trt", ".plan"), COMPILED.format(kind="a TensorRT engine")),
    ".om": COMPILED.format(kind="an Ascend model"),
    ".rknn": COMPILED.format(kind="a Rockchip model"),
    ".hef": COMPILED.format(kind="a Hailo model"),
    ".dlc": COMPILED.format(kind="a Snapdragon model"),
    ".kmodel": COMPILED.format(kind="a Kendryte model"),
    ".blob": COMPILED.format(kind="a Myriad model"),
    ".uff": COMPILED.format(kind="a TensorRT model"),
    **dict.fromkeys((".so", ".dll", ".dylib"), COMPILED.format(kind="a library")),
    **dict.fromkeys((".zip", ".gz", ".tgz", ".tar", ".7z", ".xz", ".mar"), PACKED),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), PICKLED),
}


def told(path: Path) -> str:
    """Return what a file is by its suffix, or its content, and what to give instead; "" where unknown."""
    text = KINDS.get(path.suffix.lower(), "")
    if text is WEIGHTS and _is_script(path):
        return SCRIPT
    return text.format(name=path.name) if text is WEIGHTS else text


def _is_script(path: Path) -> bool:
    """Tell whether a file of PyTorch holds code, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
