"""Reads TFLite files by way of TFLite's own interpreter: one image in, batch 1."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import InputError, TensorSpec
from mutatenn_frontends._shared import files
from mutatenn_frontends._shared.classifier import Classifier, Tensor
from mutatenn_frontends._shared.files import reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INTERPRETERS = (
    "ai_edge_litert.interpreter",
    "tflite_runtime.interpreter",
    "tensorflow.lite.python.interpreter",
)
"""Modules that offer TFLite's interpreter, under one interface; the first installed one is taken."""
CLASSIFIER = Classifier(
    images=("float32", "uint8", "int8"),
    scores=("float32", "quantised int8", "quantised uint8"),
    options=["output"],
)
DAMAGED = "is damaged or cut short; export or download it again"
INSTALL = "TFLite models need packages of their own; install them: pip install 'mutatenn[tflite]'"


def read(source: Path) -> bytes:
    """Return the file's content; raises InputError if it cannot be read or is no TFLite model at all."""
    content = files.content(source, "a TFLite model", ".tflite")
    if content[4:8] != b"TFL3":  # the file identifier of TFLite's FlatBuffers schema
        raise InputError("is not a TFLite model; give a .tflite file, exported or downloaded again")
    return content


def parse(content: bytes) -> Any:
    """Return the ``tflite.Model`` over the bytes.

    Raises InputError if the parser is not installed, or if numbers in the main graph point nowhere, on some
    of which the interpreter would crash. All other checks of the file are the interpreter's.
    """
    try:
        import_module("tflite.Operator")
        tflite = import_module("tflite")
    except ImportError:
        raise InputError(INSTALL) from None
    try:
        model = tflite.Model.GetRootAsModel(content, 0)
        sound = _is_sound(model)
    except Exception as error:  # struct.error, AttributeError and others
        raise InputError(DAMAGED) from error
    if not sound:
        raise InputError(DAMAGED)
    return model


def _is_sound(model: Any) -> bool:
    graph, buffers, codes = model.Subgraphs(0), model.BuffersLength(), model.OperatorCodesLength()
    operators = [*map(graph.Operators, range(graph.OperatorsLength()))]
    used = [
        *tensor_numbers(graph),
        *(number for operator in operators for number in tensor_numbers(operator)),
    ]
    return (
        all(operator.OpcodeIndex() < codes for operator in operators)
        and all(-1 <= number < graph.TensorsLength() for number in used)
        and all(graph.Tensors(number).Buffer() < buffers for number in range(graph.TensorsLength()))
    )


def tensor_numbers(reader: Any) -> list[int]:
    """Return the numbers of the tensors that an operator or the graph takes and gives; -1 for absent ones."""
    inputs = map(reader.Inputs, range(reader.InputsLength()))
    return [*inputs, *map(reader.Outputs, range(reader.OutputsLength()))]


def interpreter(content: bytes, *, default: bool = False) -> Any:
    """Return TFLite's interpreter, one CPU thread, no memory allocated yet.

    It checks every offset of the file first. ``content`` must have passed :func:`parse`. With ``default`` it
    computes as it does by default, with XNNPACK, which tells so on standard error; else with TFLite's own
    kernels. Raises InputError if no interpreter is installed or it refuses the model.
    """
    module = _interpreter_module()
    resolvers = module.OpResolverType
    kernels = resolvers.AUTO if default else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        found = module.Interpreter(
            model_content=content, num_threads=1, experimental_op_resolver_type=kernels
        )
        found.get_input_details(), found.get_output_details()  # fail on names that are no text
    except Exception as error:  # ValueError, of damage as well as of what it does not know
        if isinstance(error, UnicodeDecodeError) or "flatbuffer" in str(error).lower():
            raise InputError(DAMAGED) from error
        raise refused(error) from error
    return found


def refused(error: Exception) -> InputError:
    """Return the error of a model that the interpreter cannot run."""
    return InputError(
        f"TFLite's interpreter cannot run it ({reason(error)}); convert it again for this release"
    )


def _interpreter_module() -> Any:
    for name in INTERPRETERS:
        with suppress(ImportError):
            return import_module(name)
    raise InputError(INSTALL)


def image_input(interpreter: Any) -> TensorSpec:
    """Return the image input; raises InputError unless it is the only one, of a fixed size and batch 1."""
    return CLASSIFIER.image_of([*map(_tensor, interpreter.get_input_details())])


def scores_output(interpreter: Any, wanted: str) -> tuple[int, TensorSpec]:
    """Return the tensor number of the one output that can be scores per class, and it as ``[1, classes]``.

    With ``wanted`` it is the output of that name.
    """
    details = interpreter.get_output_details()
    place, scores = CLASSIFIER.scores_of([*map(_score_tensor, details)], wanted)
    return details[place]["index"], scores


def _tensor(detail: Mapping[str, Any]) -> Tensor:
    """Return what the interpreter says of a tensor; sizes that are not fixed, but for the batch, are None."""
    shape, signature = detail["shape"], detail["shape_signature"]
    free = {place for place, size in (*enumerate(shape), *enumerate(signature)) if place and size < 1}
    sizes = [None if place in free else int(size) for place, size in enumerate(shape)]
    return Tensor(detail["name"], sizes, str(np.dtype(detail["dtype"])))


def _score_tensor(detail: Mapping[str, Any]) -> Tensor:
    """Return the same of an output: whole numbers are scores where they have a scale."""
    found = _tensor(detail)
    quantised = is_scaled(detail) and found.dtype != "float32"
    return attrs.evolve(found, dtype=f"quantised {found.dtype}") if quantised else found


def is_scaled(detail: Mapping[str, Any]) -> bool:
    """Tell whether what the interpreter says of a tensor has one scale: that it is quantised."""
    return len(detail["quantization_parameters"]["scales"]) == 1
