"""Which module of the user's own code each operator of an exported program is of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mutatenn import Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

STACK = "nn_module_stack"
"""PyTorch's name for the modules around an operator, in a file ``key,path,class;...``, the innermost last."""
UNSAFE = re.compile(r"[^\w.-]")


def noted(nodes: Sequence[Any]) -> list[dict[str, str]]:
    """Return the metadata of nodes of a file that tell their layer and nothing else.

    A layer is a module without modules of its own, such as ``features.0.1``. What another module computes
    itself, such as the sum of a residual block, is named after the operator: ``layer1.0.add``.
    """
    inner = [_innermost(node) for node in nodes]
    holders = {""} | {path[: dot.start()] for path, _ in inner for dot in re.finditer(r"\.", path)}
    found = []
    for node, (path, cls) in zip(nodes, inner, strict=True):
        operator = str(node["target"]).rpartition(".")[0].rpartition(".")[2].strip("_")
        name, kind = (f"{path}.{operator}".lstrip("."), operator) if path in holders else (path, cls)
        found.append({STACK: f"layer,{_safe(name)},{_safe(kind)}"})
    return found


def layer_of(node: Any) -> Layer | None:
    """Return the layer that was noted for a node, if it still has one."""
    stack = list((node.meta.get(STACK) or {}).values())
    return Layer(*map(str, stack[-1])) if stack else None


def _innermost(node: Any) -> tuple[str, str]:
    """Return path and class of the innermost module, which is "" where nothing is told."""
    parts = str(node.get("metadata", {}).get(STACK, "")).split(";")[-1].split(",")
    path, cls = parts[1:] if len(parts) == 3 else ("", "")  # noqa: PLR2004  # key, path, class
    return path, cls.rpartition(".")[2]


def _safe(text: str) -> str:
    return UNSAFE.sub("_", text)
