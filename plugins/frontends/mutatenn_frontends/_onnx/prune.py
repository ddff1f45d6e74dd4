"""Removes from an ONNX graph what its outputs do not need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn_frontends._onnx.order import taken

if TYPE_CHECKING:
    from collections.abc import Iterator


ONE_OR_ALL = "BatchNormalization"
"""The operator that gives one of its results, or all of them."""


def prune(proto: Any) -> None:
    """Remove operators that no output needs, and optional results that nothing takes, in place.

    Nodes must be in order.
    """
    graph = proto.graph
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            del node.output[_results(proto, node, needed) :]
            needed.update(taken(node))
            kept.append(node)
    if len(kept) < len(graph.node):
        kept.reverse()
        del graph.node[:]
        graph.node.extend(kept)


def _results(proto: Any, node: Any, needed: set[str]) -> int:
    """Return how many results of a node are kept: all but the last optional ones that nothing takes."""
    count = len(node.output)
    optional = list(_optional(proto, node)) if count > 1 else []
    while (
        count > 1
        and node.output[count - 1] not in needed
        and count - 1 < len(optional)
        and optional[count - 1]
    ):
        count -= 1
    return len(node.output) if node.op_type == ONE_OR_ALL and count > 1 else count


def _optional(proto: Any, node: Any) -> Iterator[bool]:
    """Yield of each result that an operator may have whether it may be left out."""
    import onnx.defs

    from mutatenn_frontends._onnx.file import version_of

    try:
        schema = onnx.defs.get_schema(node.op_type, version_of(proto, node.domain), node.domain)
    except onnx.defs.SchemaError:
        return
    for output in schema.outputs:
        yield output.option == onnx.defs.OpSchema.FormalParameterOption.Optional
