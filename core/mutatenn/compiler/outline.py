"""What a model's graph is made of, without its numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mutatenn.compiler import ir

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPING = frozenset(
    f"relax.{name}" for name in ("astype", "expand_dims", "flatten", "permute_dims", "reshape", "squeeze")
)


def bindings(main: Any) -> Iterator[Any]:
    """Yield the bindings of a graph's function, in order."""
    for block in getattr(main.body, "blocks", ()):
        yield from block.bindings


def operators(main: Any) -> dict[str, int]:
    """Count the operators of a graph's function, without ``relax.`` and ``nn.``, the most frequent first."""
    found: Counter[str] = Counter()

    def visit(expression: Any) -> None:
        if isinstance(expression, ir.tvm.ir.Call):
            found[_operator(expression).removeprefix("relax.").removeprefix("nn.")] += 1

    ir.relax.analysis.post_order_visit(main, visit)
    return dict(found.most_common())


def last_operator(main: Any) -> str:
    """Return the operator that the output comes from, or empty; see :func:`last_call`."""
    return _operator(last_call(main))


def last_call(main: Any) -> Any:
    """Return the expression that the output comes from, whatever its shape and dtype were changed to."""
    values = {binding.var: binding.value for binding in bindings(main)}
    found = getattr(main.body, "body", main.body)
    while found in values or _operator(found) in SHAPING:
        found = values[found] if found in values else found.args[0]
    return found


def _operator(expression: Any) -> str:
    return str(getattr(getattr(expression, "op", None), "name", ""))
