"""Imports image classifiers from ONNX files; onnxruntime is their reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np

from mutatenn import Frontend, Inner, InputError, Model, hookimpl
from mutatenn_frontends._onnx import file as onnx_file
from mutatenn_frontends._onnx import importer as onnx_importer
from mutatenn_frontends._onnx import inner as onnx_inner
from mutatenn_frontends._onnx import size as onnx_size
from mutatenn_frontends._onnx.choice import choose_output
from mutatenn_frontends._onnx.prune import prune
from mutatenn_frontends._shared.classifier import size_option
from mutatenn_frontends._shared.files import naming, reason, require_unchanged
from mutatenn_frontends._shared.scores import stacked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Onnx(Frontend):
    """ONNX models (.onnx), compared with onnxruntime.

    ``output`` names the scores, where several outputs could be. ``size`` is the (height, width) in pixels of
    images whose size the model leaves open; by default a campaign's ``preprocess.crop``.
    """

    name: ClassVar[str] = "onnx"
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)
    output: str = ""
    size: tuple[int, ...] = size_option()

    def load(self, source: Path) -> Model:
        """Import the model with batch 1 and one float32 ``[1, classes]`` output.

        Batch normalisation stays an operator of its own; weights become constants; code that does not
        reach the output is gone. Raises :class:`mutatenn.InputError` as the contract says.
        """
        with naming(source):
            proto, digest = onnx_file.read(source)
            self._choose(proto)
            onnx_importer.require_operators(proto)
            onnx_file.check(proto)
            image = onnx_file.fix_image(proto, self.size)
            onnx_size.require_small_values(proto)
            module, scores = onnx_importer.to_relax(proto)
        return Model(source.stem, source, digest, module, image, scores)

    def reference(self, model: Model, images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run onnxruntime on one CPU thread, one image at a time; return float32 ``[images, classes]``.

        ``images`` is ``[images, *model.input.shape[1:]]`` in the model's dtype. Raises
        :class:`mutatenn.InputError` if onnxruntime cannot run the model or the file has changed.
        """
        with naming(model.source):
            session = _session(self._proto(model))
            name, given = model.output.name, ({model.input.name: image[np.newaxis]} for image in images)
            return stacked((session.run([name], each)[0] for each in given), model.output.shape[1])

    def inner(self, model: Model, image: NDArray[np.generic]) -> Inner:
        """Run onnxruntime without its optimisations on one image; return what every operator computes."""
        with naming(model.source):
            return onnx_inner.inner(self._proto(model), {model.input.name: image[np.newaxis]})

    def _proto(self, model: Model) -> Any:
        """Return the ONNX model as it was imported."""
        proto, digest = onnx_file.read(model.source)
        require_unchanged(model, digest)
        self._choose(proto)
        onnx_file.fix_image(proto, self.size)
        return proto

    def _choose(self, proto: Any) -> None:
        """Choose the output, in place, and drop what it does not need."""
        if self.output:
            choose_output(proto.graph, self.output)
        prune(proto)


def _session(proto: Any) -> Any:
    """Return onnxruntime's session of a model."""
    onnxruntime = onnx_inner.quiet_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # it warns of old models, and raises what it logs as an error
    try:
        return onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no common base class
        why = reason(error)
        raise InputError(f"onnxruntime cannot load it ({why}); export it for onnxruntime") from error


@hookimpl
def mutatenn_frontends() -> Iterable[type[Frontend]]:
    """Contribute the frontend."""
    return (Onnx,)
