"""Replaces additions by subtractions."""

from __future__ import annotations

from typing import Any

from mutatenn import Example, GraphMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.calls import reads_input
from mutatenn_mutators._shared.paper import PAPER
from mutatenn_mutators._shared.sources import graph


class AddToSubtract(GraphMutator):
    """Subtract where two tensors are added that are both computed from the image, as in residual connections.

    The paper's ``add``, which is Relay's: there a convolution's bias is another operator, ``nn.bias_add``.
    Biases and other constants are subtract-bias's.
    """

    name = "add-to-subtract"
    category = "AN"
    groups = ("paper",)
    origin = PAPER
    version = 2
    ops = ("relax.add",)
    computed = 2
    needs = "sum of two computed tensors"

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return the difference of the operands."""
        del builder
        return ir.relax.op.subtract(*call.args)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a residual connection, beside a bias that stays."""
        before = """
            c = R.add(x, R.const([[1.0, 2.0, 3.0, 4.0]], "float32"))
            y = R.add(c, x)
        """
        after = before.replace("R.add(c, x)", "R.subtract(c, x)")
        return [Example(graph(before, x=(1, 4)), graph(after, x=(1, 4)))]


class SubtractBias(GraphMutator):
    """Subtract a bias, or another constant, instead of adding it.

    The other additions of a graph than those of add-to-subtract: of biases, of the shift of a normalisation
    that is written out, of embeddings of positions.
    """

    name = "subtract-bias"
    category = "AN"
    ops = ("relax.add",)
    computed = 1
    needs = "constant operand"

    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return what is computed minus the constant, whichever comes first."""
        first, second = call.args
        return ir.relax.op.subtract(*((first, second) if reads_input(first, builder) else (second, first)))

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a bias, as it is and reshaped; the second is what something is added to."""
        vector = 'R.const([1.0, 2.0, 3.0, 4.0], "float32")'
        plain, changed = f"y = R.add(x, {vector})", f"y = R.subtract(x, {vector})"
        reshaped = f"b = R.reshape({vector}, (1, 4))\ny = R.add(b, x)"
        return [
            Example(graph(plain, x=(1, 4)), graph(changed, x=(1, 4))),
            Example(
                graph(reshaped, x=(1, 4)),
                graph(reshaped.replace("R.add(b, x)", "R.subtract(x, b)"), x=(1, 4)),
            ),
        ]


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator for what is computed, one for constants."""
    return [AddToSubtract, SubtractBias]
