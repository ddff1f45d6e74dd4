"""Finds the operator or kernel at which an original begins to differ from its own framework."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.values import Scores
from mutatenn.border import opened
from mutatenn.campaign.gate.agreement import gaps
from mutatenn.campaign.gate.gate import nudged
from mutatenn.compiler.plain import run_graph, run_kernel
from mutatenn.engine.evaluate import Evaluator
from mutatenn.engine.isolate import call_isolated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mutatenn.api.frontend import Inner
    from mutatenn.api.program import Call
    from mutatenn.campaign.inputs.models import ImportedModel
    from mutatenn.compiler.toolchain import Toolchain

    Ran = tuple[Call, list[NDArray[Any]], list[NDArray[Any]]]

SECONDS = 120


def first_to_differ(
    imported: ImportedModel, toolchain: Toolchain, image: NDArray[np.generic], tolerance: float
) -> str:
    """Say which operator or kernel is the first to differ on an image, ``[*input.shape[1:]]``.

    Empty where that cannot be told: this explains a red gate, and must not replace what the gate says.
    """
    search = _Search(imported, toolchain, image, tolerance)
    for look in (search.operator, search.kernel):
        with contextlib.suppress(Exception):  # the user did not ask about this
            if found := call_isolated(look, SECONDS):
                return f"the first to differ is {found}"
    return ""


@attrs.frozen(eq=False)
class _Search:
    imported: ImportedModel
    toolchain: Toolchain
    image: NDArray[np.generic]
    tolerance: float

    def operator(self) -> str:
        """Return the first operator that differs from the framework even when it is compiled by itself."""
        inner = self._inner(self.image)
        if inner is None:
            return ""
        values = run_graph(inner.module, self.image[np.newaxis])
        for name, value, expected in zip(inner.operators, values, self._expected(inner), strict=True):
            if how := self._differs(value, *expected):
                return f"operator {name}, {how}"
        return ""

    def kernel(self) -> str:
        """Return the first kernel that differs from its own code without a schedule, or the framework."""
        if self.toolchain.fallback:
            return ""
        calls = list(self._calls())
        return self._scheduled_wrongly(calls) or self._unknown(calls)

    def _scheduled_wrongly(self, calls: Sequence[Ran]) -> str:
        for call, arguments, results in calls:
            specs = [self.toolchain.program.values[value] for value in call.results]
            given = [arguments, *zip(*(nudged(each) or [each] * 2 for each in arguments), strict=True)]
            plain = run_kernel(self.toolchain.units[call.kernel.name], given, specs)
            for value, *expected in zip(results, *plain, strict=True):
                if how := self._differs(value, *expected):
                    return f"kernel {call.kernel.name} (from its unscheduled code), {how}"
        return ""

    def _unknown(self, calls: Sequence[Ran]) -> str:
        """Return the first kernel that computes nothing that the framework does, nor leads to such.

        Passes change what is computed on the way; but what leads to a right value is right.
        """
        inner = self._inner(self.image)
        if inner is None:
            return ""
        known = self._expected(inner)
        right: set[int] = set()
        for call, _, results in reversed(calls):
            if not right.isdisjoint(call.results) or all(self._is_known(each, known) for each in results):
                right.update(call.results, call.arguments)
        wrong = [call.kernel.name for call, _, _ in calls if right.isdisjoint(call.results)]
        return f"kernel {wrong[0]}, though every operator by itself agrees" if wrong else ""

    def _is_known(self, value: NDArray[Any], known: Sequence[Sequence[NDArray[Any]]]) -> bool:
        """Tell whether the framework computes a value, in whatever layout."""
        for expected in (each for each in known if each[0].size == value.size):
            arrays = [value, *expected]
            if value.shape != expected[0].shape:
                arrays = [np.sort(each, axis=None) for each in arrays]
            if not self._differs(*arrays):
                return True
        return False

    def _inner(self, image: NDArray[np.generic]) -> Inner | None:
        return self.imported.frontend.inner(self.imported.model, image)

    def _expected(self, inner: Inner) -> list[tuple[NDArray[Any], ...]]:
        """Return each of the framework's inner values, and what it is for images one rounding away."""
        others = (self._inner(each) for each in nudged(self.image))
        return list(zip(inner.values, *(each.values for each in others if each), strict=True))

    def _calls(self) -> Iterator[Ran]:
        """Yield the program's calls with their arguments and results."""
        evaluator = Evaluator(opened(self.toolchain.backend))
        linked = evaluator.link(self.toolchain.program)
        evaluator.output(linked, np.flip(self.image))  # a kernel may depend on what it finds in memory
        known = evaluator.original(linked, self.image)

        def fetched(values: Sequence[int]) -> list[NDArray[Any]]:
            constants = self.toolchain.program.constants
            return [
                constants[value].value
                if value in constants
                else evaluator.device.fetch(known.tensors[linked.numbers[value]])
                for value in values
            ]

        for call in self.toolchain.program.calls:
            yield call, fetched(call.arguments), fetched(call.results)

    def _differs(self, value: NDArray[Any], expected: NDArray[Any], *others: NDArray[Any]) -> str:
        """Say how an inner value differs by the gate's own rule, or return nothing."""
        if value.shape != expected.shape:
            return f"by its shape: {list(value.shape)}, not {list(expected.shape)}"
        if not value.size:
            return ""
        one, other, *moved = (each.reshape(1, -1).astype(np.float64) for each in (value, expected, *others))
        ours, theirs = np.isfinite(one), np.isfinite(other)
        if (ours != theirs).any():
            return (
                "not finite where it should be" if (theirs & ~ours).any() else "finite where it should not be"
            )
        (gap,) = gaps(one, Scores(other, "logits"), self.tolerance, moved)
        return f"by {gap.apart[gap.worst]:.2g}" if gap.images else ""
