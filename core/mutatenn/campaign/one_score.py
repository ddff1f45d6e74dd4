"""Models of one score, for one of two classes, which are given a score for either."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.values import Model
from mutatenn.compiler import ir
from mutatenn.compiler.outline import bindings, last_call
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mutatenn.campaign.config.values import ScoreKind

EVEN = 0.5
"""The threshold of a score that asks for none."""


@attrs.frozen(eq=False, kw_only=True)
class TwoScores(Model):
    """A model whose graph makes two scores of the one that its framework gives.

    A probability p becomes (1 - p, p), any other score z the logits (0, z), of which the softmax is the
    sigmoid of z. Another ``threshold`` t than 0.5 counts as other odds of the classes from the start (Elkan,
    "The foundations of cost-sensitive learning", 2001, theorem 2): p becomes q = (1 - t) p / ((1 - t) p +
    t (1 - p)), z loses ln(t / (1 - t)). So class 1 is the first one where the probability is above t.
    """

    single: Model
    probability: bool
    threshold: float

    def both(self, single: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 ``[images, 2]`` of ``[images, 1]``."""
        first, second = self._both(single, np.zeros_like(single))
        return np.concatenate((first, second), axis=1).astype(np.float32)

    def _both(self, score: Any, zero: Any) -> tuple[Any, Any]:
        """Return both scores of one, of which ``zero`` has the shape; of arrays as of what builds a graph."""
        threshold = self.threshold
        if not self.probability:
            odds = math.log(threshold / (1 - threshold))
            return zero, score - _number(score, odds) if odds else score
        one = _number(score, 1)
        if threshold != EVEN:
            share = score * _number(score, 1 - threshold)
            score = share / (share + (one - score) * _number(score, threshold))
        return one - score, score


def with_two_scores(model: Model, kind: ScoreKind = "auto", threshold: float | None = None) -> Model:
    """Return the model with a score for each of two classes if it has but one.

    ``kind`` says what that is; "auto" takes what ends in a sigmoid for a probability. Raises InputError where
    there is a ``threshold``, a probability, and more than one score.
    """
    if model.output.shape != (1, 1):
        if threshold is not None:
            many = model.output.shape[1]
            raise InputError(f"{model.source}: has {many} scores, no threshold; remove model.threshold")
        return model
    probability = _is_probability(model.module["main"]) if kind == "auto" else kind == "probabilities"
    fields = {field.name: getattr(model, field.name) for field in attrs.fields(Model)}
    fields["output"] = attrs.evolve(model.output, shape=(1, 2))
    threshold = EVEN if threshold is None else threshold
    made = TwoScores(**fields, single=model, probability=probability, threshold=threshold)
    return attrs.evolve(made, module=_extended(model.module, made))


def _number(like: Any, value: float) -> Any:
    """Return a number that can be combined with a score: an array's or a graph's."""
    return np.float32(value) if isinstance(like, np.ndarray) else ir.relax.const(value, str(like.ty.dtype))


def _is_probability(main: Any) -> bool:
    """Tell whether the score is what a sigmoid returned, or a hard one, which is cut at 0 and 1."""
    last = last_call(main)
    name = getattr(getattr(last, "op", None), "name", "")
    if name == "relax.clip":
        return [getattr(bound, "value", None) for bound in last.args[1:]] == [0, 1]
    return bool(name == "relax.sigmoid")


def _extended(module: Any, made: TwoScores) -> Any:
    """Return the graph IR that goes on to both scores."""
    main, builder = module["main"], ir.relax.BlockBuilder()
    with builder.function("main", list(main.params)):
        with builder.dataflow():
            for binding in bindings(main):
                builder.emit_normalized(binding)
            score = getattr(main.body, "body", main.body)
            both = made._both(score, ir.relax.const(np.zeros((1, 1)), str(score.ty.dtype)))
            result = builder.emit_output(ir.relax.op.concat(both, axis=1))
        builder.emit_func_output(result)
    extended = ir.tvm.IRModule(dict(module.functions_items()))
    extended.update_func(
        extended.get_global_var("main"), builder.get()["main"].with_attr("global_symbol", "main")
    )
    return ir.relax.transform.CanonicalizeBindings()(extended)
