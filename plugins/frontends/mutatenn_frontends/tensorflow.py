"""Imports image classifiers from SavedModels and frozen graphs; TensorFlow itself is their reference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mutatenn import Frontend, Model, TensorSpec, hookimpl
from mutatenn_frontends._shared import npy
from mutatenn_frontends._shared.child import ask
from mutatenn_frontends._shared.classifier import size_option
from mutatenn_frontends._shared.files import naming, require_unchanged
from mutatenn_frontends._shared.packages import require
from mutatenn_frontends._shared.scores import stacked
from mutatenn_frontends._tensorflow import files as tensorflow_files
from mutatenn_frontends._tensorflow import importer as tensorflow_importer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

MODULE = "mutatenn_frontends._tensorflow.convert"
PACKAGES = {"onnx": ("tensorflow", "tf2onnx"), "tflite": ("tensorflow", "tflite"), "run": ("tensorflow",)}
"""What each task needs."""
TO_RELAX = {"onnx": tensorflow_importer.from_onnx, "tflite": tensorflow_importer.from_tflite}


@attrs.frozen(kw_only=True)
class TensorFlow(Frontend):
    """TensorFlow SavedModels and frozen graphs (.pb), compared with TensorFlow (mutatenn[tensorflow])."""

    name: ClassVar[str] = "tensorflow"
    packages: ClassVar[tuple[str, ...]] = ("tensorflow-cpu", "tensorflow", "tf2onnx", "tflite")
    suffixes: ClassVar[tuple[str, ...]] = (".pb",)
    routes: ClassVar[tuple[str, ...]] = ("onnx", "tflite")

    route: str = attrs.field(default="onnx", validator=attrs.validators.in_(routes))
    """By way of tf2onnx, which keeps batch normalisations, or of TFLite's converter, which folds them."""
    signature: str = ""
    input: str = ""
    output: str = ""
    size: tuple[int, ...] = size_option()

    @classmethod
    def reads(cls, source: Path) -> bool:
        """Tell whether this is the directory of a SavedModel, or a .pb file."""
        return tensorflow_files.is_saved_model(source) or super().reads(source)

    def load(self, source: Path) -> Model:
        """Import the model with batch 1 and one float32 ``[1, classes]`` output.

        The image stays as TensorFlow takes it, usually ``[1, height, width, channels]``; weights become
        constants; code that does not reach the output is gone. The options ``signature``, ``input`` and
        ``output`` are names that the model has, needed only where it leaves a choice; ``size`` is the
        (height, width) in pixels of an image that leaves them open.

        A model may hold operators that read and write files or call Python: only a graph made of a list of
        operators that compute is ever loaded. Raises :class:`mutatenn.InputError` as the contract says, and
        where the packages of the extra ``tensorflow`` are missing.
        """
        with naming(source):
            digest = self._digest(source)
            answer, content = self._ask(source, self.route, self.output)
            image, scores = (TensorSpec(name, tuple(shape), dtype) for name, shape, dtype in answer["specs"])
            module = TO_RELAX[self.route](content, image, scores)
        return Model(tensorflow_files.name(source), source, digest, module, image, scores)

    def reference(self, model: Model, images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run the model in TensorFlow on one CPU thread, one image at a time; return ``[images, classes]``.

        ``images`` is ``[images, *model.input.shape[1:]]`` in the model's dtype. Raises
        :class:`mutatenn.InputError` if the file has changed, or as :meth:`load` does.
        """
        with naming(model.source):
            require_unchanged(model, self._digest(model.source))
            _, content = self._ask(model.source, "run", model.output.name, npy.dump(images))
        return stacked(npy.load(content), model.output.shape[1])

    def _digest(self, source: Path) -> str:
        """Return the sha256 (hex) of the files and of the options that are not the default, save ``size``."""
        options = attrs.asdict(self, filter=lambda field, value: value != field.default)
        options.pop("size", None)
        return tensorflow_files.digest(source, json.dumps(options, sort_keys=True) if options else "")

    def _ask(
        self, source: Path, task: str, output: str, payload: bytes = b""
    ) -> tuple[dict[str, Any], bytes]:
        """Return TensorFlow's answer; raises InputError if packages for it are missing."""
        require("tensorflow", *PACKAGES[task])
        choice = {"signature": self.signature, "input": self.input, "output": output, "size": self.size}
        request = {"task": task, "source": str(source.absolute()), "choice": choice}
        return ask("TensorFlow's process", MODULE, request, payload)


@hookimpl
def mutatenn_frontends() -> Iterable[type[Frontend]]:
    """Contribute the frontend."""
    return (TensorFlow,)
