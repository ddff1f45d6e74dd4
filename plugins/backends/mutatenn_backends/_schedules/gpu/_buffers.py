"""Which buffers a statement uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import ir

if TYPE_CHECKING:
    from collections.abc import Mapping


def stored_in(statement: Any) -> set[Any]:
    """Return the buffers that a statement writes."""
    found: set[Any] = set()
    ir.ffi.structural_walk(statement, (ir.tirx.BufferStore, lambda store: found.add(store.buffer)))
    return found


def loaded_in(statement: Any) -> set[Any]:
    """Return the buffers that a statement reads."""
    found: set[Any] = set()
    ir.ffi.structural_walk(statement, (ir.tvm.ir.TensorLoad, lambda load: found.add(load.source)))
    return found


def rename(statement: Any, names: Mapping[Any, Any]) -> Any:
    """Return a statement that uses other buffers in place of some."""

    def load(node: Any) -> Any:
        return ir.tirx.BufferLoad(names[node.source], node.indices) if node.source in names else node

    def store(node: Any) -> Any:
        if node.buffer not in names:
            return node
        return ir.tirx.BufferStore(names[node.buffer], node.value, node.indices)

    rewrites = [(ir.tvm.ir.TensorLoad, load), (ir.tirx.BufferStore, store)]
    return ir.ffi.structural_map(statement, rewrites, order="post")
