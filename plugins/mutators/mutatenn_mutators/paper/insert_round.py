"""Inserts a rounding before a layer."""

from __future__ import annotations

from typing import Any

from mutatenn import Example, GraphMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import is_float, with_argument
from mutatenn_mutators._shared.paper import PAPER
from mutatenn_mutators._shared.sources import graph

_BATCH_NORM: dict[str, tuple[int, ...]] = {"x": (1, 4, 8, 8)} | dict.fromkeys("gbmv", (4,))


class RoundBatchNormBefore(GraphMutator):
    """Round to integers what a batch normalisation reads."""

    name = "round-batch-norm-before"
    category = "NIO"
    groups = ("paper",)
    origin = PAPER
    ops = ("relax.nn.batch_norm",)

    def matches(self, call: Any) -> bool:
        """Accept layers of floats; integers are round."""
        return is_float(call.args[0])

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the call on its first argument rounded to the nearest integers."""
        return with_argument(call, 0, builder.emit(ir.relax.op.round(call.args[0])))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show one layer."""
        before = "n = R.nn.batch_norm(x, g, b, m, v, axis=1)\ny = n[0]"
        after = "r = R.round(x)\nn = R.nn.batch_norm(r, g, b, m, v, axis=1)\ny = n[0]"
        return [Example(graph(before, **_BATCH_NORM), graph(after, **_BATCH_NORM))]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operator."""
    return [RoundBatchNormBefore]
