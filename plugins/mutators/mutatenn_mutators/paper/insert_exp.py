"""Inserts an exponential before or after a layer."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from mutatenn import Example, GraphMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import is_dense, is_float, with_argument
from mutatenn_mutators._shared.paper import PAPER
from mutatenn_mutators._shared.sources import graph

_CONV2D = "y = R.nn.conv2d(x, w)"
_DENSE = "y = R.matmul(x, w)"
_BATCH_NORM = "n = R.nn.batch_norm(x, g, b, m, v, axis=1)\ny = n[0]"
_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    _CONV2D: {"x": (1, 3, 8, 8), "w": (4, 3, 3, 3)},
    _DENSE: {"x": (1, 8), "w": (8, 4)},
    _BATCH_NORM: {"x": (1, 4, 8, 8)} | dict.fromkeys("gbmv", (4,)),
}


class InsertExp(GraphMutator):
    """Insert an exponential at a layer of floats."""

    category = "NIO"
    groups = ("paper",)
    origin = PAPER
    needs = "layer of floats"
    layer: ClassVar[str]
    """The layer in an example."""

    def matches(self, call: Any) -> bool:
        """Accept layers of floats, not of integers, which have no exponential; no products of two batches."""
        return is_float(call.args[0]) and (call.op.name != "relax.matmul" or is_dense(call))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one layer."""
        shapes = _SHAPES[cls.layer]
        return [Example(graph(cls.layer, **shapes), graph(cls.with_exp(), **shapes))]

    @classmethod
    @abstractmethod
    def with_exp(cls) -> str:
        """Return the layer of the example with the exponential."""


class ExpBefore(InsertExp):
    """Insert an exponential before a layer."""

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the call on the exponential of its first argument."""
        return with_argument(call, 0, builder.emit(ir.relax.op.exp(call.args[0])))

    @classmethod
    def with_exp(cls) -> str:
        """Return the layer on the exponential."""
        return "e = R.exp(x)\n" + cls.layer.replace("(x,", "(e,")


class ExpAfter(InsertExp):
    """Insert an exponential after a layer."""

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the exponential of the call's value."""
        return ir.relax.op.exp(builder.emit(call))

    @classmethod
    def with_exp(cls) -> str:
        """Return the exponential of the layer."""
        return cls.layer.replace("y =", "c =") + "\ny = R.exp(c)"


class ExpConv2dBefore(ExpBefore):
    """Insert an exponential before a convolution."""

    name = "exp-conv2d-before"
    ops = ("relax.nn.conv2d",)
    layer = _CONV2D


class ExpConv2dAfter(ExpAfter):
    """Insert an exponential after a convolution."""

    name = "exp-conv2d-after"
    ops = ("relax.nn.conv2d",)
    layer = _CONV2D


class ExpDenseBefore(ExpBefore):
    """Insert an exponential before a dense layer (product by a matrix)."""

    name = "exp-dense-before"
    version = 2
    ops = ("relax.matmul",)
    layer = _DENSE


class ExpDenseAfter(ExpAfter):
    """Insert an exponential after a dense layer (product by a matrix)."""

    name = "exp-dense-after"
    version = 2
    ops = ("relax.matmul",)
    layer = _DENSE


class ExpBatchNormBefore(ExpBefore):
    """Insert an exponential before a batch normalisation."""

    name = "exp-batch-norm-before"
    ops = ("relax.nn.batch_norm",)
    layer = _BATCH_NORM


class ExpBatchNormAfter(InsertExp):
    """Insert an exponential after a batch normalisation."""

    name = "exp-batch-norm-after"
    ops = ("relax.nn.batch_norm",)
    layer = _BATCH_NORM

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the layer's results, the normalised tensor (the first) replaced by its exponential."""
        results = builder.emit(call)
        normalised, mean, variance = (ir.relax.TupleGetItem(results, n) for n in range(3))
        return ir.relax.Tuple([ir.relax.op.exp(normalised), mean, variance])

    @classmethod
    def with_exp(cls) -> str:
        """Return the layer with the exponential among its results."""
        return """
            r = R.nn.batch_norm(x, g, b, m, v, axis=1)
            f = r[0]
            e = R.exp(f)
            mean = r[1]
            var = r[2]
            n = e, mean, var
            y = n[0]
        """


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per layer and side."""
    return [
        ExpConv2dBefore,
        ExpConv2dAfter,
        ExpDenseBefore,
        ExpDenseAfter,
        ExpBatchNormBefore,
        ExpBatchNormAfter,
    ]
