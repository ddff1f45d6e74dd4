"""What the nodes of an exported program are called with."""

from __future__ import annotations

from typing import Any


def arguments(node: Any) -> list[Any]:
    """Return a node's arguments by position, defaults included."""
    given = list(node.args)
    rest = node.target._schema.arguments[len(given) :]
    return given + [node.kwargs.get(each.name, each.default_value) for each in rest]
