"""Base classes of mutation operators: say which nodes and how one changes, the rest is done here."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, overload

import attrs

from mutatenn.api.mutator import Mutator
from mutatenn.compiler import ir
from mutatenn.compiler.sites import (
    Bound,
    Occurrence,
    graph_occurrences,
    kernel_occurrences,
    node_classes,
    replace_in_graph,
    replace_in_kernel,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from mutatenn.api.values import Level, Stage

Rewrite = Callable[[Any], Any]
"""Returns what stands in a node's place."""


@attrs.frozen(eq=False)
class Descriptions(Sequence[str]):
    """Descriptions of occurrences, each made when it is read: a plan may take few of very many."""

    _found: Sequence[Occurrence]

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [each.description for each in self._found[index]]
        return self._found[index].description

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        return repr(list(self))


@attrs.frozen(kw_only=True)
class KernelPatternMutator(Mutator):
    """Changes patterns of TIR nodes; a unit is one PrimFunc, at any kernel stage.

    For faults that depend on more than one node, or change more than one; else see :class:`KernelMutator`.
    """

    level: ClassVar[Level] = "kernel"
    stage: ClassVar[Stage] = "schedulable"
    nodes: ClassVar[tuple[str, ...]]
    """Names of TIR node classes, such as ``("LT", "BufferStore")``."""

    @abstractmethod
    def edits(self, nodes: Sequence[Any]) -> Sequence[Mapping[int, Rewrite]]:
        """Return the sites: for each, the places that change there and what each is rewritten to.

        ``nodes`` are all the kernel's nodes of the classes, operands first, in the order of the code; a place
        is an index into them. A rewrite is given the node with what has changed inside it, which it cannot
        modify. The first place describes the site.
        """

    def sites(self, unit: Any) -> Sequence[str]:
        """Describe each site: its line of code, and after ``in`` the kind of condition it belongs to."""
        found = self._occurrences(unit)
        edits = self.edits([each.node for each in found])
        return Descriptions([found[next(iter(edit))] for edit in edits])

    def absence(self, units: Sequence[Any]) -> str:
        """Say that what the operator needs, or else a node of its classes, is missing."""
        if not units:
            return "no kernels: the model runs as a whole"
        return super().absence(units) or f"no {' or '.join(self.nodes)} in the kernels"

    def apply(self, unit: Any, sites: Collection[int]) -> Any:
        """Return a PrimFunc with the fault at the given sites, identical elsewhere."""
        edits = self.edits([each.node for each in self._occurrences(unit)])
        rewrites: dict[int, list[Rewrite]] = {}
        for site in sorted(_chosen(range(len(edits)), sites)):
            for place, rewrite in edits[site].items():
                rewrites.setdefault(place, []).append(rewrite)

        def change(number: int, node: Any) -> Any:
            for rewrite in rewrites.get(number, ()):
                node = rewrite(node)
            return node

        return unit.with_body(replace_in_kernel(unit.body, self._classes(), change))

    def _classes(self) -> tuple[Any, ...]:
        return node_classes(self.nodes)

    def _occurrences(self, unit: Any) -> tuple[Occurrence, ...]:
        return kernel_occurrences(unit.body, self._classes())


@attrs.frozen(kw_only=True)
class KernelMutator(KernelPatternMutator):
    """Changes TIR nodes of some classes; a unit is one PrimFunc, at any kernel stage.

    Sites are numbered operands first, in the order of the code.
    """

    def matches(self, node: Any) -> bool:
        """Tell whether a node of the right class can be changed, and a change can make a difference."""
        del node
        return True

    @abstractmethod
    def rewrite(self, node: Any) -> Any:
        """Return what stands in the node's place; the node itself cannot be modified."""

    def edits(self, nodes: Sequence[Any]) -> Sequence[Mapping[int, Rewrite]]:
        """Return one site for each node that matches."""
        return [{place: self.rewrite} for place, node in enumerate(nodes) if self.matches(node)]


@attrs.frozen(kw_only=True)
class GraphMutator(Mutator):
    """Changes calls of some Relax operators; a unit is a Relax IRModule in normal form.

    Sites are numbered in the order of the program. A call that does not depend on the input image is
    never a site.
    """

    level: ClassVar[Level] = "graph"
    stage: ClassVar[Stage] = "graph"
    ops: ClassVar[tuple[str, ...]]
    """Names of Relax operators, such as ``("relax.nn.conv2d",)``.

    The graph is as the frontend gives it, not lowered nor fused: what an importer spells out, such as a dense
    layer, has the names of its parts. Print a :class:`mutatenn.Model`'s ``module`` to see those of a model.
    """
    computed: ClassVar[int | None] = None
    """How many of a call's arguments depend on the input image, the others being constant; None: any."""

    def matches(self, call: Any) -> bool:
        """Tell whether a call of the right operator can be changed, and a change can make a difference.

        ``call`` is a Relax call: ``call.args`` are variables or constants, which have a ``ty`` of shape and
        dtype as the call itself has, and ``call.attrs`` what else the operator is told, strides and the like.
        """
        del call
        return True

    @abstractmethod
    def rewrite(self, call: Any, builder: Any) -> Any:
        """Return what stands in the call's place, which the calls that read it can take.

        That is an expression, made with ``mutatenn.ir.relax.op`` of ``call.args``, say;
        ``builder.emit(expr)`` binds an intermediate value and returns its variable. The call itself cannot be
        modified.
        """

    def sites(self, unit: Any) -> Sequence[str]:
        """Describe each site: the variable, the operator and the shapes it reads."""
        found = graph_occurrences(unit, self.ops)
        return Descriptions([each for each in found if self._is_site(each)])

    def absence(self, units: Sequence[Any]) -> str:
        """Say that no operator is there, or what all of these that are there lack."""
        found = [each for unit in units for each in graph_occurrences(unit, self.ops) if not each.constant]
        names = Counter(str(each.node.op.name).removeprefix("relax.") for each in found)
        if not found:
            return f"no {' or '.join(name.removeprefix('relax.') for name in self.ops)} in this model"
        there = " and ".join(f"{count} {name}" for name, count in names.items())
        return f"{super().absence(units) or 'nothing that fits'} in {there}"

    def apply(self, unit: Any, sites: Collection[int]) -> Any:
        """Return a well-formed IRModule with the fault at the given sites, identical elsewhere."""
        found = graph_occurrences(unit, self.ops)
        chosen = _chosen([n for n, each in enumerate(found) if self._is_site(each)], sites)

        def change(number: int, call: Any, builder: Any) -> Any:
            return self.rewrite(call, builder) if number in chosen else call

        changed = replace_in_graph(unit, self.ops, change)
        ir.relax.analysis.well_formed(changed, check_ty=False)  # the rewriter has just made the types
        return changed

    def _is_site(self, occurrence: Bound) -> bool:
        fits = self.computed in (None, occurrence.computed)
        return fits and not occurrence.constant and self.matches(occurrence.node)


def _chosen(matching: Sequence[int], sites: Collection[int]) -> set[int]:
    """Return the occurrence numbers of these sites; raises IndexError for one that does not exist."""
    for site in sites:
        if not 0 <= site < len(matching):
            raise IndexError(f"site {site} does not exist; there are {len(matching)}")
    return {matching[site] for site in sites}
