"""Binds the loops of a kernel that was scheduled for a CPU to blocks of threads."""

from __future__ import annotations

from math import gcd, prod
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import ir
from mutatenn_backends._schedules.cpu._emit import rebuild, sequence
from mutatenn_backends._schedules.cpu._map import unfuse
from mutatenn_backends._schedules.cpu._stages import integer, is_rounded, need, replace
from mutatenn_backends._schedules.gpu._buffers import loaded_in, rename, stored_in

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

ENOUGH = 512  # iterations to share out among threads; loops further inside stay loops
FEW = 16  # iterations, below which a loop over several statements becomes one loop for each
BLOCKS = 8  # the fewest, to keep processors busy to the end
MOST_THREADS = 64
SPARE = 2  # threads
PRIVATE_BYTES = 2**16  # the most of a buffer that a thread has for itself, on its stack


@attrs.frozen(eq=False)
class Work:
    """A statement inside loops whose iterations do not depend on each other, outermost first."""

    loops: tuple[Any, ...]
    body: Any

    @property
    def iterations(self) -> int:
        """How often the statement runs."""
        return prod(integer(each.extent) for each in self.loops)

    def at(self, position: Any) -> Any:
        """Return the statement at an iteration, counted from 0."""
        need(all(integer(each.min) == 0 for each in self.loops), "a loop that starts elsewhere")
        extents = {each.loop_var: integer(each.extent) for each in self.loops}
        return replace(self.body, unfuse(list(extents), extents, position))


def bind_threads(function: Any, most_threads: int) -> Any:
    """Return a function, as the rules for CPUs make it, with its loops launched on grids of threads.

    Loops around a reduction and what starts and ends it compute outputs side by side, in any order; others
    are refused (NotApplicableError), for threads would write over each other's sums. The threads of a block
    do not divide the iterations if it can be avoided: so, as with most sizes, a guard keeps the last threads
    from computing.
    """
    root = function.body.block
    body = _without_prefetches(root.body)
    works = list(_split(body, FEW))
    if not _fit(works, root.alloc_buffers):
        works = list(_split(body, ENOUGH))
        need(_fit(works, root.alloc_buffers), "more than a thread can hold")
    own = {buffer: _private(buffer) for buffer in _own_bytes(works, root.alloc_buffers)}
    need(all(_is_apart(work, own) for work in works), "iterations that depend on each other")
    buffers = [own.get(buffer, buffer) for buffer in root.alloc_buffers]
    launches = _joined(works)
    body = sequence(_launch(launch, min(most_threads, MOST_THREADS)) for launch in launches)
    return rebuild(function, rename(body, own), buffers)


def _without_prefetches(body: Any) -> Any:
    """Return code without prefetches, which only LLVM knows; of its functions, fences of values stay."""

    def call(node: Any) -> None:
        foreign = getattr(node.op, "name", "") == "tirx.call_llvm_pure_intrin"
        need(not foreign or is_rounded(node), "a function of LLVM's")

    def block(node: Any) -> Any:
        return sequence(each for each in node.seq if not isinstance(each, ir.tirx.Evaluate))

    ir.ffi.structural_walk(body, (ir.tvm.ir.Call, call))
    return ir.ffi.structural_map(body, (ir.tirx.SeqStmt, block), order="post")


def _split(statement: Any, few: int, loops: tuple[Any, ...] = ()) -> Iterator[Work]:
    """Yield a statement inside loops as work to share out; of fewer than so many iterations, in pieces."""
    while isinstance(statement, ir.tirx.For) and statement.kind == ir.tirx.ForKind.SERIAL:
        if Work(loops, None).iterations >= ENOUGH:
            break
        loops, statement = (*loops, statement), statement.body
    groups = _groups(statement)
    if len(groups) > 1 and Work(loops, None).iterations < few:
        for group in groups:
            yield from _split(group, few, loops)
    else:
        yield Work(loops, statement)


def _groups(body: Any) -> list[Any]:
    """Return a body as statements that share no registers: a reduction, its start and its end are one."""
    groups: list[tuple[list[Any], set[Any]]] = []
    for part in body.seq if isinstance(body, ir.tirx.SeqStmt) else [body]:
        statements = [part]
        registers = {each for each in stored_in(part) | loaded_in(part) if each.scope() == "local"}
        while any(registers & theirs for _, theirs in groups):
            earlier, theirs = groups.pop()  # or what stands between them would change its place
            statements, registers = earlier + statements, registers | theirs
        groups.append((statements, registers))
    return [sequence(statements) for statements, _ in groups]


def _joined(works: Iterable[Work]) -> Iterator[list[Work]]:
    """Yield work in launches: neighbours share one unless one of them uses what another computes."""
    launch: list[Work] = []
    made: set[Any] = set()
    used: set[Any] = set()
    for work in works:
        makes, uses = stored_in(work.body), loaded_in(work.body)
        if made & uses or used & makes:
            yield launch
            launch, made, used = [], set(), set()
        launch.append(work)
        made, used = made | makes, used | uses
    yield launch


def _own_bytes(works: Sequence[Work], buffers: Iterable[Any]) -> dict[Any, float]:
    """Return the buffers that only one work uses, and how many bytes of each belong to an iteration."""
    own = {}
    for buffer in buffers:
        users = [work for work in works if buffer in stored_in(work.body) | loaded_in(work.body)]
        if buffer.scope() != "local" and len(users) == 1:
            elements = prod(integer(extent) for extent in buffer.ty.shape)
            own[buffer] = elements * buffer.ty.dtype.dtype.bits / 8 / users[0].iterations
    return own


def _fit(works: Sequence[Work], buffers: Iterable[Any]) -> bool:
    return all(size <= PRIVATE_BYTES for size in _own_bytes(works, buffers).values())


def _is_apart(work: Work, own: Container[Any]) -> bool:
    """Tell whether all loops of some work have a part in where it writes, in buffers that all threads write.

    Rules for CPUs write each place of an output once, so that iterations then have places of their own.
    """
    stores: list[Any] = []
    ir.ffi.structural_walk(work.body, (ir.tirx.BufferStore, stores.append))
    shared = [store for store in stores if store.buffer.scope() != "local" and store.buffer not in own]
    loops = {each.loop_var for each in work.loops if integer(each.extent) > 1}
    return all(loops <= _variables(store.indices) for store in shared)


def _variables(indices: Iterable[Any]) -> set[Any]:
    found: set[Any] = set()
    for index in indices:
        ir.ffi.structural_walk(index, (ir.tvm.ir.Var, found.add))
    return found


def _private(buffer: Any) -> Any:
    """Return a buffer like another that each thread has for itself; TVM cuts it to what a thread uses."""
    return ir.tirx.decl_buffer(list(buffer.ty.shape), buffer.ty.dtype, buffer.name, scope="local")


def _launch(works: Sequence[Work], most: int) -> Any:
    """Return work on a grid of threads: the first threads do the first work, and so on."""
    total = sum(work.iterations for work in works)
    threads = _threads(total, most)
    block, thread = (ir.tvm.ir.Var(name, "int64") for name in ("block", "thread"))
    body = _chosen(works, block * _number(threads) + thread, total % threads > 0)
    return _over("blockIdx.x", block, -(-total // threads), _over("threadIdx.x", thread, threads, body))


def _chosen(works: Sequence[Work], position: Any, guarded: bool) -> Any:
    """Return the iteration at a position of all work; ``guarded``, there may be none."""
    *front, last = works
    start = sum(work.iterations for work in front)
    body = last.at(position - _number(start) if start else position)
    if guarded:
        body = ir.tirx.IfThenElse(_below(position, start + last.iterations), body, None)
    for work in reversed(front):
        start -= work.iterations
        mine = work.at(position - _number(start) if start else position)
        body = ir.tirx.IfThenElse(_below(position, start + work.iterations), mine, body)
    return body


def _below(position: Any, bound: int) -> Any:
    return ir.tirx.LT(position, _number(bound))


def _threads(total: int, most: int) -> int:
    """Return the number of threads in a block: about as many as make enough blocks, coprime to the total.

    At least two threads are to spare, or TVM would drop a guard that lets one more through.
    """
    wanted = max(1, min(most, total // BLOCKS))
    near = (*range(wanted, min(most, total - 1) + 1), *range(wanted - 1, 1, -1))
    fitting = (count for count in near if gcd(count, total) == 1 and -total % count >= SPARE)
    return next(fitting, total + SPARE if total < min(FEW, most) else wanted)


def _over(tag: str, variable: Any, extent: int, body: Any) -> Any:
    domain = ir.tvm.ir.Range(_number(0), _number(extent))
    axis = ir.tirx.IterVar(domain, ir.tvm.ir.Var("", "int64"), ir.tirx.IterVar.ThreadIndex, tag)
    kind = ir.tirx.ForKind.THREAD_BINDING
    return ir.tirx.For(variable, _number(0), _number(extent), kind, body, axis)


def _number(value: int) -> Any:
    return ir.tirx.IntImm("int64", value)
