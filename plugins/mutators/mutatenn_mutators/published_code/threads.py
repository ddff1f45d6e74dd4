"""Changes how many threads and blocks a GPU kernel is launched with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mutatenn import Example, KernelPatternMutator, Mutator, hookimpl, ir
from mutatenn_mutators._shared.paper import CODE
from mutatenn_mutators._shared.sources import kernel
from mutatenn_mutators._shared.tir import integer, integer_like, loop_with, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@attrs.frozen(kw_only=True)
class LaunchExtent(KernelPatternMutator):
    """Change one dimension of a launch by ``amount``, in all places that name it."""

    groups = ("threads",)
    stage = "lowered"
    origin = CODE
    nodes = ("For", "AttrStmt")
    amount: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    tag: ClassVar[str]
    """What the names of these dimensions begin with."""
    sign: ClassVar[int]
    needs = "threads of a GPU"

    def edits(self, nodes: Sequence[Any]) -> Sequence[Mapping[int, Callable[[Any], Any]]]:
        """Return one site for each dimension of each launch whose extent is known and stays above 0."""
        found = []
        for places in _dimensions(nodes):
            first = nodes[places[0]]
            fits = (integer(_extent(first)) or 0) + self.sign * self.amount > 0
            if _tag(first).startswith(self.tag) and integer(_extent(first)) is not None and fits:
                found.append(dict.fromkeys(places, self.rewrite))
        return found

    def rewrite(self, node: Any) -> Any:
        """Return the loop over threads, or what says their number, with another extent."""
        old = _extent(node)
        extent = integer_like(int(old) + self.sign * self.amount, old)
        if isinstance(node, ir.tirx.For):
            return loop_with(node, extent=extent)
        axis = node.node
        domain = ir.tvm.ir.Range(integer_like(0, old), extent)
        axis = ir.tirx.IterVar(domain, axis.var, axis.iter_type, axis.thread_tag)
        return ir.tirx.AttrStmt(axis, node.attr_key, extent, node.body)

    @classmethod
    def examples(cls) -> list[Example]:
        """Show a loop over threads, and what has become of it at the lowered stage."""
        found = []
        for spanning in (
            'for i in T.thread_binding({0}, thread="{1}.x"):',
            'with T.launch_thread("{1}.x", {0}) as i:',
        ):
            before, after = (
                kernel("B[i] = A[i]").replace("for i in range(8):", spanning.format(extent, cls.tag))
                for extent in (8, 8 + cls.sign)
            )
            found.append(Example(before, after))
        return found


@attrs.frozen(kw_only=True)
class IncreaseThreadExtent(LaunchExtent):
    """Launch blocks with ``amount`` more threads in one dimension, at their end."""

    name = "increase-thread-extent"
    tag = "threadIdx"
    sign = 1


@attrs.frozen(kw_only=True)
class DecreaseThreadExtent(LaunchExtent):
    """Launch blocks with ``amount`` fewer threads in one dimension, without the last."""

    name = "decrease-thread-extent"
    tag = "threadIdx"
    sign = -1


@attrs.frozen(kw_only=True)
class IncreaseBlockExtent(LaunchExtent):
    """Launch ``amount`` more blocks in one dimension, at its end."""

    name = "increase-block-extent"
    tag = "blockIdx"
    sign = 1


@attrs.frozen(kw_only=True)
class DecreaseBlockExtent(LaunchExtent):
    """Launch ``amount`` fewer blocks in one dimension, without the last."""

    name = "decrease-block-extent"
    tag = "blockIdx"
    sign = -1


def _tag(node: Any) -> str:
    """Return the name of the dimension that a node spans, such as ``threadIdx.x``, or nothing."""
    if isinstance(node, ir.tirx.For):
        return str(node.thread_binding.thread_tag) if node.thread_binding is not None else ""
    return str(node.node.thread_tag) if node.attr_key == "thread_extent" else ""


def _extent(node: Any) -> Any:
    return node.extent if isinstance(node, ir.tirx.For) else node.value


def _dimensions(nodes: Sequence[Any]) -> list[list[int]]:
    """Return the dimensions of all launches, in the order of the code, each as the places that name it."""
    spanning = [node for node in nodes if _tag(node)]
    inner = {part for node in spanning for part in parts_of(node.body, *{type(each) for each in spanning})}
    found: list[list[int]] = []
    launch: dict[str, list[int]] = {}
    for place, node in enumerate(nodes):
        if not _tag(node):
            continue
        launch.setdefault(_tag(node), []).append(place)
        if node not in inner:  # the outermost, which comes last
            found.extend(launch.values())
            launch = {}
    return found


@hookimpl
def mutatenn_mutators() -> list[type[Mutator]]:
    """Contribute one operator per level and direction."""
    return [IncreaseThreadExtent, DecreaseThreadExtent, IncreaseBlockExtent, DecreaseBlockExtent]
