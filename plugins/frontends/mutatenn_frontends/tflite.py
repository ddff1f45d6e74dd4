"""Imports image classifiers from TFLite files; TFLite's interpreter is their reference."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np

from mutatenn import Frontend, InputError, Model, hookimpl
from mutatenn_frontends import _tflite_file, _tflite_import
from mutatenn_frontends._files import naming

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Tflite(Frontend):
    """TFLite models (.tflite) of floats, compared with TFLite's interpreter."""

    name: ClassVar[str] = "tflite"
    suffixes: ClassVar[tuple[str, ...]] = (".tflite",)

    def load(self, source: Path) -> Model:
        """Import the model with batch 1 and one float32 ``[1, classes]`` output.

        The image stays ``[1, height, width, channels]``; weights become constants; code that does not reach
        the output is gone. Raises :class:`mutatenn.InputError` as the contract says, for a quantised model
        and where the packages of the extra ``tflite`` are missing.
        """
        with naming(source):
            content = _tflite_file.read(source)
            proto = _tflite_file.parse(content)
            interpreter = _tflite_file.interpreter(content)
            _tflite_import.require_float(proto)
            image = _tflite_file.image_input(interpreter)
            scores = _tflite_file.scores_output(interpreter)
            module = _tflite_import.to_relax(proto, image, scores)
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
            number, _ = _tflite_file.scores_output(interpreter)
            scores = np.empty((len(images), model.output.shape[1]), np.float32)
            for row, image in zip(scores, images, strict=True):
                interpreter.set_tensor(image_input["index"], image[np.newaxis])
                interpreter.invoke()
                row[:] = interpreter.get_tensor(number).ravel()
        return scores


def _ready(model: Model) -> Any:
    """Return the interpreter of the model as it was imported, its memory allocated."""
    content = _tflite_file.read(model.source)
    if hashlib.sha256(content).hexdigest() != model.digest:
        raise InputError("has changed since it was imported; run the campaign again")
    interpreter = _tflite_file.interpreter(content)
    try:
        interpreter.allocate_tensors()
    except Exception as error:  # RuntimeError or ValueError: shapes or operators that do not fit together
        raise _tflite_file.refused(error) from error
    return interpreter


@hookimpl
def mutatenn_frontends() -> Iterable[type[Frontend]]:
    """Contribute the frontend."""
    return (Tflite,)
