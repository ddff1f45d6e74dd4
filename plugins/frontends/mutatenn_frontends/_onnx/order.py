"""Puts the nodes of an ONNX graph into an order in which they can be computed."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from mutatenn import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def sort_nodes(graph: Any) -> None:
    """Put nodes behind those whose outputs they take, in place; sorted ones stay as they are.

    ONNX asks for such an order, but onnxruntime does not, and some editors leave none. Raises InputError
    for nodes that wait for each other.
    """
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    needs = {
        place: {makers[name] for name in taken(node) if name in makers}
        for place, node in enumerate(graph.node)
    }
    if all(other < place for place, others in needs.items() for other in others):
        return
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        waiting = ", ".join(_named(graph.node[place]) for place in error.args[1][:5])
        raise InputError(f"has operators that wait for each other: {waiting}; export it again") from error
    nodes = [graph.node[place] for place in order]
    del graph.node[:]
    graph.node.extend(nodes)


def taken(node: Any) -> Iterator[str]:
    """Yield the names of values that a node takes, those in its subgraphs included."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            made = {name for inner in graph.node for name in inner.output}
            made |= {value.name for value in (*graph.input, *graph.initializer)}
            names = {output.name for output in graph.output}
            names.update(name for inner in graph.node for name in taken(inner))
            yield from names - made


def _named(node: Any) -> str:
    return f"{node.op_type} {node.name or node.output[0]!r}"
