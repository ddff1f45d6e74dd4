"""Values that pass between plugins and core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Level = Literal["graph", "kernel"]
Stage = Literal["graph", "schedulable", "scheduled", "lowered"]
Bounds = Literal["auto", True, False]
"""Which accesses of changed kernels are checked: those not proven to stay inside, these strictly, or none."""
Category = Literal["LN", "AN", "NIO", "AT", "SV", "CSO", "OTHER"]

CATEGORIES: dict[str, str] = {
    "LN": "layer node",
    "AN": "arithmetic node",
    "NIO": "node input or output",
    "AT": "arithmetic type",
    "SV": "stored value",
    "CSO": "conditional statement operation",
    "OTHER": "beyond the MutateNN paper",
}


@attrs.frozen
class TensorSpec:
    """Name, shape and dtype (as numpy writes it, ``"float32"``) of one tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{'x'.join(map(str, self.shape))}]"


@attrs.frozen
class Layer:
    """A layer of the user's own network: its name there, and what kind of layer its framework says it is.

    An ONNX node and its operator, a module of PyTorch by its path and its class, a layer of Keras or
    TensorFlow, a tensor of TFLite and the operator that computes it.
    """

    name: str
    type: str = ""

    def __str__(self) -> str:
        return self.name


@attrs.frozen(eq=False)
class Model:
    """An imported image classifier.

    ``module`` is the graph IR (for the built-in toolchain a Relax ``IRModule`` whose ``main`` takes
    the input image alone), with the layers noted at its calls (see :class:`mutatenn.LayerNotes`). ``input``
    has batch 1; ``output`` is ``[1, classes]``, or ``[1, 1]`` for the score of one of two classes, of which a
    campaign makes two. ``digest`` identifies the model's content (sha256, hex).
    """

    name: str
    source: Path
    digest: str
    module: Any
    input: TensorSpec
    output: TensorSpec


@attrs.frozen(eq=False)
class Scores:
    """Classifier outputs: float array ``[images, classes]`` and what its numbers are."""

    values: NDArray[np.floating[Any]]
    kind: Literal["probabilities", "logits"] = "probabilities"

    def ranking(self) -> NDArray[np.intp]:
        """Return class indices ``[images, classes]``, best first; ties by the lower index."""
        return np.argsort(-self.values, axis=1, kind="stable")

    def labels(self) -> NDArray[np.intp]:
        """Return the top-1 class of every image, ``[images]``; ties by the lower index."""
        labels: NDArray[np.intp] = np.argmax(self.values, axis=1)
        return labels

    def probabilities(self) -> NDArray[np.float64]:
        """Return float64 probabilities: the values themselves, or their softmax for logits."""
        values = self.values.astype(np.float64)
        if self.kind == "probabilities":
            return values
        shifted = np.exp(values - values.max(axis=1, keepdims=True))
        result: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
        return result


@attrs.frozen
class Example:
    """A before and after that an operator promises, both as TVMScript source.

    ``before`` and ``after`` define one ``@T.prim_func`` (kernel level) or one ``@I.ir_module`` (graph
    level); ``sites`` are the ordinals the operator is applied to. Used by the contract tests and by
    the documentation.
    """

    before: str
    after: str
    sites: tuple[int, ...] = (0,)
