"""Imports image classifiers that torch.export.save wrote; PyTorch itself is their reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs

from mutatenn import Frontend, InputError, Model, hookimpl
from mutatenn_frontends._pytorch import file as pytorch_file
from mutatenn_frontends._pytorch import importer as pytorch_importer
from mutatenn_frontends._pytorch import source as pytorch_source
from mutatenn_frontends._shared.classifier import size_option
from mutatenn_frontends._shared.files import naming, require_unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class PyTorch(Frontend):
    """Exported PyTorch programs (.pt2), compared with PyTorch (install with mutatenn[torch]).

    ``torchvision:NAME`` is a model of torchvision with its best weights, ``python:MODULE:FUNCTION`` the model
    that the user's own function returns, with an image's place-holder. The module is looked for in
    ``folder``; ``weights`` is a file of weights (a state dict) for either. ``output`` names the scores, where
    several outputs could be, ``size`` is the (height, width) in pixels of an image that leaves them open.
    """

    name: ClassVar[str] = "pytorch"
    packages: ClassVar[tuple[str, ...]] = ("torch", "torchvision")
    suffixes: ClassVar[tuple[str, ...]] = (".pt2",)
    schemes: ClassVar[tuple[str, ...]] = ("torchvision", "python")
    output: str = ""
    size: tuple[int, ...] = size_option()
    folder: str = attrs.field(default=".", metadata={"path": True})
    weights: str | None = attrs.field(
        default=None,
        metadata={"path": True},
        validator=attrs.validators.optional(attrs.validators.instance_of(str)),
    )

    def obtain(self, scheme: str, name: str, folder: Path) -> Path:
        """Export the model in a process of its own, which runs the code that makes it; return the .pt2 file.

        A model of torchvision is exported once, the user's own every time. Raises
        :class:`mutatenn.InputError` for whatever fails there.
        """
        with naming(f"{scheme}:{name}"):
            return pytorch_source.obtain(scheme, name, folder, self.folder, self.weights)

    def load(self, source: Path) -> Model:
        """Import a program of batch 1 with one float32 image and one float32 ``[1, classes]`` output.

        Weights become constants; code that does not reach the output is gone. Batch normalisation stays an
        operator of its own. PyTorch decomposes other layers first: linear layers into ``permute_dims``,
        ``matmul`` and ``add``, hard-swish and the like into arithmetic, dropout into nothing; TVM's importer
        makes the bias of a convolution an ``add``.

        A ``.pt2`` file may hold pickles, which can run any code, and text that PyTorch would evaluate. What
        PyTorch gets to see is made anew from the checked parts of the file, without either. Raises
        :class:`mutatenn.InputError` as the contract says, and where PyTorch is not installed.
        """
        # In this process: TVM imports an installed PyTorch itself, and no thread that computes is started.
        with naming(source):
            if self.weights and pytorch_source.made_with(source).get("weights") != self.weights:
                raise InputError("has weights of its own; remove model.options.weights")
            archive, digest = pytorch_file.read(source)
            program, image, scores = pytorch_importer.load(archive, self.output, self.size)
            module = pytorch_importer.to_relax(program, scores)
        return Model(source.stem, source, digest, module, image, scores)

    def reference(self, model: Model, images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run the program in PyTorch on one CPU thread, one image at a time; return ``[images, classes]``.

        ``images`` is float32 ``[images, *model.input.shape[1:]]``. Raises :class:`mutatenn.InputError` if the
        file has changed, or as :meth:`load` does.
        """
        with naming(model.source):
            archive, digest = pytorch_file.read(model.source)
            require_unchanged(model, digest)
            program, _, _ = pytorch_importer.load(archive, self.output, self.size)
            return pytorch_importer.run(program, images, model.output.shape[1])


@hookimpl
def mutatenn_frontends() -> Iterable[type[Frontend]]:
    """Contribute the frontend."""
    return (PyTorch,)
