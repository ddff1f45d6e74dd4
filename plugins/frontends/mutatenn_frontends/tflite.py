"""Imports image classifiers from TFLite files; TFLite's interpreter is their reference."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np

from mutatenn import Frontend, Model, hookimpl
from mutatenn_frontends._shared.files import naming, require_unchanged
from mutatenn_frontends._shared.scores import stacked
from mutatenn_frontends._tflite import exact as tflite_exact
from mutatenn_frontends._tflite import file as tflite_file
from mutatenn_frontends._tflite import importer as tflite_importer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Tflite(Frontend):
    """TFLite models (.tflite) of floats or int8, compared with TFLite's interpreter.

    ``output`` names the scores, where several outputs could be.
    """

    name: ClassVar[str] = "tflite"
    packages: ClassVar[tuple[str, ...]] = ("ai-edge-litert", "tflite")
    suffixes: ClassVar[tuple[str, ...]] = (".tflite",)
    output: str = ""

    def load(self, source: Path) -> Model:
        """Import the model with batch 1 and one float32 ``[1, classes]`` output.

        The image stays ``[1, height, width, channels]``, in the dtype that the model takes; scores are real
        numbers also where the model gives them quantised. Weights become constants; code that does not reach
        the output is gone. Operators on int8 compute what TFLite's interpreter computes by default, bit for
        bit. Raises :class:`mutatenn.InputError` as the contract says, for a model that is quantised in other
        ways, and where the packages of the extra ``tflite`` are missing.
        """
        with naming(source):
            content = tflite_file.read(source)
            proto = tflite_file.parse(content)
            interpreter = tflite_file.interpreter(content)
            tflite_exact.require(proto)
            image = tflite_file.image_input(interpreter)
            scores = tflite_file.scores_output(interpreter, self.output)
            module = tflite_importer.to_relax(proto, image, scores)
        digest = hashlib.sha256(content).hexdigest()
        return Model(source.stem, source, digest, module, image, scores[1])

    def reference(self, model: Model, images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run TFLite's interpreter on one CPU thread, one image at a time.

        ``images`` is ``[images, *model.input.shape[1:]]`` in the model's dtype; returns float32
        ``[images, classes]``. Raises :class:`mutatenn.InputError` if the interpreter cannot run the model or
        the file has changed.
        """
        with naming(model.source):
            interpreter = _ready(model)
            (image_input,) = interpreter.get_input_details()
            number, _ = tflite_file.scores_output(interpreter, self.output)

            def scores() -> Iterator[NDArray[Any]]:
                for image in images:
                    interpreter.set_tensor(image_input["index"], image[np.newaxis])
                    interpreter.invoke()
                    yield _real(interpreter, number)

            return stacked(scores(), model.output.shape[1])


def _ready(model: Model) -> Any:
    """Return the interpreter of the model as it was imported, its memory allocated."""
    content = tflite_file.read(model.source)
    require_unchanged(model, hashlib.sha256(content).hexdigest())
    proto = tflite_file.parse(content)
    default = tflite_exact.is_quantised(proto) and not tflite_exact.is_dynamic(proto)
    with _silent() if default else nullcontext():
        interpreter = tflite_file.interpreter(content, default=default)
        try:
            interpreter.allocate_tensors()
        except Exception as error:  # RuntimeError or ValueError: shapes or operators that do not fit together
            raise tflite_file.refused(error) from error
    return interpreter


@contextmanager
def _silent() -> Iterator[None]:
    """Drop what is written to standard error: that XNNPACK is used."""
    with ExitStack() as stack, open(os.devnull, "wb") as null:
        stack.callback(os.close, saved := os.dup(2))
        stack.callback(os.dup2, saved, 2)
        os.dup2(null.fileno(), 2)
        yield


def _real(interpreter: Any, number: int) -> NDArray[np.float32]:
    """Return the scores, flat: real numbers also where the model gives them quantised."""
    (detail,) = (each for each in interpreter.get_output_details() if each["index"] == number)
    values: NDArray[Any] = interpreter.get_tensor(number).ravel()
    if not tflite_file.is_scaled(detail):
        return values
    scale, zero = detail["quantization"]
    return (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)


@hookimpl
def mutatenn_frontends() -> Iterable[type[Frontend]]:
    """Contribute the frontend."""
    return (Tflite,)
