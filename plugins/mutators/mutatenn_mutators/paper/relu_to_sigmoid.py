"""Replaces an activation function."""

from __future__ import annotations

from typing import Any

from mutatenn import Example, GraphMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import is_float
from mutatenn_mutators._shared.paper import PAPER
from mutatenn_mutators._shared.sources import graph


class ReluToSigmoid(GraphMutator):
    """Replace ReLU by the logistic sigmoid.

    ReLU6 counts too. It is a clip with lower bound 0, in ONNX as in Relax; a network with no other
    activation would have no site.
    """

    name = "relu-to-sigmoid"
    category = "LN"
    groups = ("paper",)
    origin = PAPER
    ops = ("relax.nn.relu", "relax.clip")

    def matches(self, call: Any) -> bool:
        """Accept activations of floats; other clips than ReLU6's kind are no activation."""
        is_clip = call.op.name == "relax.clip"
        return is_float(call.args[0]) and not (is_clip and getattr(call.args[1], "value", None) != 0)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the sigmoid of the same input."""
        del builder
        return ir.relax.op.sigmoid(call.args[0])

    @classmethod
    def examples(cls) -> list[Example]:
        """Show ReLU and ReLU6."""
        return [
            Example(graph("y = R.nn.relu(x)", x=(1, 8)), graph("y = R.sigmoid(x)", x=(1, 8))),
            Example(graph("y = R.clip(x, 0, 6)", x=(1, 8)), graph("y = R.sigmoid(x)", x=(1, 8))),
        ]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operator."""
    return [ReluToSigmoid]
