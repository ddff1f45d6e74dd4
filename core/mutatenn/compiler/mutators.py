"""Base classes of mutation operators: say which nodes and how one changes, the rest is done here."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mutatenn.api.mutator import Mutator
from mutatenn.compiler import ir
from mutatenn.compiler.sites import (
    Occurrence,
    graph_occurrences,
    kernel_occurrences,
    node_classes,
    replace_in_graph,
    replace_in_kernel,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mutatenn.api.values import Level, Stage

LONGEST = 120
"""Characters of a site's description."""


@attrs.frozen(kw_only=True)
class KernelMutator(Mutator):
    """Changes TIR nodes of some classes; a unit is one PrimFunc, at any kernel stage.

    Sites are numbered operands first, in the order of the code.
    """

    level: ClassVar[Level] = "kernel"
    stage: ClassVar[Stage] = "schedulable"
    nodes: ClassVar[tuple[str, ...]]
    """Names of TIR node classes, such as ``("LT", "BufferStore")``."""

    def matches(self, node: Any) -> bool:
        """Tell whether a node of the right class can be changed, and a change can make a difference."""
        del node
        return True

    @abstractmethod
    def rewrite(self, node: Any) -> Any:
        """Return what stands in the node's place; the node itself cannot be modified."""

    def sites(self, unit: Any) -> list[str]:
        """Describe each site: its line of code, and after ``in`` the kind of condition it belongs to."""
        return [_describe(each) for each in self._occurrences(unit) if self.matches(each.node)]

    def apply(self, unit: Any, sites: Collection[int]) -> Any:
        """Return a PrimFunc with the fault at the given sites, identical elsewhere."""
        matching = [n for n, each in enumerate(self._occurrences(unit)) if self.matches(each.node)]
        chosen = _chosen(matching, sites)

        def change(number: int, node: Any) -> Any:
            return self.rewrite(node) if number in chosen else node

        return unit.with_body(replace_in_kernel(unit.body, self._classes(), change))

    def _classes(self) -> tuple[Any, ...]:
        return node_classes(self.nodes)

    def _occurrences(self, unit: Any) -> list[Occurrence]:
        return kernel_occurrences(unit.body, self._classes())


@attrs.frozen(kw_only=True)
class GraphMutator(Mutator):
    """Changes calls of some Relax operators; a unit is a Relax IRModule in normal form.

    Sites are numbered in the order of the program. A call that does not depend on the input image is
    never a site.
    """

    level: ClassVar[Level] = "graph"
    stage: ClassVar[Stage] = "graph"
    ops: ClassVar[tuple[str, ...]]
    """Names of Relax operators, such as ``("relax.nn.conv2d",)``."""

    def matches(self, call: Any) -> bool:
        """Tell whether a call of the right operator can be changed, and a change can make a difference."""
        del call
        return True

    @abstractmethod
    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return what stands in the call's place; ``builder.emit(expr)`` binds an intermediate value."""

    def sites(self, unit: Any) -> list[str]:
        """Describe each site: the variable, the operator and the shapes it reads."""
        found = graph_occurrences(unit, self.ops)
        return [_describe_call(each) for each in found if self._is_site(each)]

    def apply(self, unit: Any, sites: Collection[int]) -> Any:
        """Return a well-formed IRModule with the fault at the given sites, identical elsewhere."""
        found = graph_occurrences(unit, self.ops)
        chosen = _chosen([n for n, each in enumerate(found) if self._is_site(each)], sites)

        def change(number: int, call: Any, builder: Any) -> Any:
            return self.rewrite(call, builder) if number in chosen else call

        changed = replace_in_graph(unit, self.ops, change)
        ir.relax.analysis.well_formed(changed)
        return changed

    def _is_site(self, occurrence: Occurrence) -> bool:
        return not occurrence.constant and self.matches(occurrence.node)


def _chosen(matching: Sequence[int], sites: Collection[int]) -> set[int]:
    """Return the occurrence numbers of these sites; raises IndexError for one that does not exist."""
    for site in sites:
        if not 0 <= site < len(matching):
            raise IndexError(f"site {site} does not exist; there are {len(matching)}")
    return {matching[site] for site in sites}


def _describe(occurrence: Occurrence) -> str:
    lines = [line.strip() for line in str(occurrence.node).splitlines()]
    # TVM prints a declaration of every free variable before the code itself.
    code = [line for line in lines if line and not re.match(r"#|\w+ = T\.(?:Buffer|\w+\(\))", line)]
    text = _shorten((code or lines)[0])
    return f"{text}  in {occurrence.where}" if occurrence.where else text


def _describe_call(occurrence: Occurrence) -> str:
    call = occurrence.node
    operator = call.op.name.replace("relax.", "R.", 1)
    return _shorten(f"{occurrence.where} = {operator}({', '.join(map(_argument, call.args))})")


def _argument(argument: Any) -> str:
    shape = getattr(argument.ty, "shape", None)
    if shape is None:
        return str(argument)
    name = argument.name if isinstance(argument, ir.relax.Var) else "const"
    extents = (getattr(extent, "value", extent) for extent in shape)  # a number, or a symbol
    return f"{name}[{'x'.join(map(str, extents))}]"


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
