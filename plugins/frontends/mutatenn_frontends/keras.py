"""Imports image classifiers from files that Keras saved; Keras itself is their reference."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np

from mutatenn import Frontend, Model, TensorSpec, hookimpl
from mutatenn_frontends._keras import file as keras_file
from mutatenn_frontends._keras import importer as keras_importer
from mutatenn_frontends._keras.applications import APPLICATIONS
from mutatenn_frontends._keras.process import ask, require
from mutatenn_frontends._shared.classifier import size_option
from mutatenn_frontends._shared.files import PREPROCESS, naming, require_unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

DEFAULT = "onnx"
PACKAGES = {
    "onnx": ("keras", "tensorflow", "tf2onnx"),
    "tflite": ("keras", "tensorflow", "tflite"),
    "torch": ("keras", "torch"),
}
"""What each route needs."""


@attrs.frozen(kw_only=True)
class Keras(Frontend):
    """Keras models (.keras, .h5), compared with Keras on TensorFlow (install with mutatenn[keras]).

    ``output`` names the scores, where several outputs could be, ``size`` is the (height, width) in pixels of
    an image that leaves them open.
    """

    name: ClassVar[str] = "keras"
    packages: ClassVar[tuple[str, ...]] = (
        "keras",
        "tensorflow-cpu",
        "tensorflow",
        "tf2onnx",
        "tflite",
        "torch",
    )
    suffixes: ClassVar[tuple[str, ...]] = (".keras", ".h5", ".hdf5")
    routes: ClassVar[tuple[str, ...]] = tuple(PACKAGES)
    schemes: ClassVar[tuple[str, ...]] = ("keras",)

    route: str = attrs.field(default=DEFAULT, validator=attrs.validators.in_(routes))
    """By way of tf2onnx or PyTorch, which keep batch normalisations, or of TFLite, which folds them."""
    output: str = ""
    size: tuple[int, ...] = size_option()

    def obtain(self, scheme: str, name: str, folder: Path) -> Path:  # noqa: ARG002  # there is but one
        """Download a model of ``keras.applications`` with its weights, by its name there: ``MobileNetV2``.

        Raises :class:`mutatenn.InputError` for an unknown name, where Keras is not installed, and where
        nothing can be downloaded.
        """
        path = folder / f"{name}.keras"
        if not (name.isidentifier() and path.exists()):
            require("keras", "tensorflow")
            with TemporaryDirectory(dir=folder) as scratch:
                ask(Path(scratch), {"task": "obtain", "name": name})
                os.replace(Path(scratch, "model.keras"), path)
        if name in APPLICATIONS:
            (folder / PREPROCESS).write_text(json.dumps(APPLICATIONS[name]))
        return path

    def load(self, source: Path) -> Model:
        """Import the model with batch 1 and one float32 ``[1, classes]`` output.

        The image stays as Keras takes it, usually ``[1, height, width, channels]``; weights become constants.
        Keras and its backend run in a process of their own. Nothing that a file holds is run: one with other
        than standard layers is refused. Raises :class:`mutatenn.InputError` as the contract says, and where
        the packages of the extra ``keras`` are missing.
        """
        with naming(source):
            file = keras_file.read(source)
            with _workplace(file, *PACKAGES[self.route]) as folder:
                request = {**self._request("convert", file), "route": self.route}
                answer = ask(folder, request, "torch" if self.route == "torch" else "tensorflow", folder)
                image, scores = (_spec(*answer[name]) for name in ("image", "scores"))
                module = keras_importer.to_relax(self.route, folder, image, scores, answer["layers"])
        return Model(source.stem, source, self._digest(file), module, image, scores)

    def reference(self, model: Model, images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run Keras, its backend TensorFlow, on one CPU thread, one image at a time.

        ``images`` is float32 ``[images, *model.input.shape[1:]]``; returns float32 ``[images, classes]``.
        Raises :class:`mutatenn.InputError` if the file has changed, or as :meth:`load` does.
        """
        with naming(model.source):
            file = keras_file.read(model.source)
            require_unchanged(model, self._digest(file))
            if not len(images):
                return np.empty((0, model.output.shape[1]), np.float32)
            with _workplace(file, "keras", "tensorflow") as folder:
                np.save(folder / "images.npy", images, allow_pickle=False)
                ask(folder, self._request("run", file), home=folder)
                scores: NDArray[np.float32] = np.load(folder / "scores.npy", allow_pickle=False)
        return scores

    def _request(self, task: str, file: keras_file.File) -> dict[str, Any]:
        return {"task": task, "file": f"model{file.suffix}", "output": self.output, "size": self.size}

    def _digest(self, file: keras_file.File) -> str:
        """Return the sha256 (hex) of the file, and of route and output if they are not the default ones."""
        others = [self.route] if self.route != DEFAULT else []
        others += [f"output {self.output}"] if self.output else []
        return (
            hashlib.sha256(" ".join([file.digest, *others]).encode()).hexdigest() if others else file.digest
        )


@contextmanager
def _workplace(file: keras_file.File, *packages: str) -> Iterator[Path]:
    """Yield a folder with the file in it; raises InputError if packages are missing."""
    require(*packages)
    with TemporaryDirectory(prefix="mutatenn-keras-") as folder:
        Path(folder, f"model{file.suffix}").write_bytes(file.content)
        yield Path(folder)


def _spec(name: str, shape: list[int], dtype: str) -> TensorSpec:
    return TensorSpec(name, tuple(shape), dtype)


@hookimpl
def mutatenn_frontends() -> Iterable[type[Frontend]]:
    """Contribute the frontend."""
    return (Keras,)
