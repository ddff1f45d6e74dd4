"""Replaces an arithmetic node."""

from __future__ import annotations

from typing import Any

from mutatenn import Example, GraphMutator, Mutator, hookimpl, ir
from mutatenn_mutators._paper import PAPER
from mutatenn_mutators._sources import graph


class AddToSubtract(GraphMutator):
    """Replace addition by subtraction.

    The addition of a bias is a node of its own in the graph and counts as well as that of a residual
    connection.
    """

    name = "add-to-subtract"
    category = "AN"
    groups = ("paper",)
    origin = PAPER
    ops = ("relax.add",)

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the difference of the operands."""
        del builder
        return ir.relax.op.subtract(*call.args)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show an addition with a broadcast operand."""
        shapes = {"x": (1, 4, 8, 8), "b": (1, 4, 1, 1)}
        return [Example(graph("y = R.add(x, b)", **shapes), graph("y = R.subtract(x, b)", **shapes))]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute the operator."""
    return [AddToSubtract]
