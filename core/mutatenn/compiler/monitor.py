"""Makes changed kernels repeatable: what they read where nothing is, and what they do outside their buffers.

A changed kernel takes one buffer more, its monitor, int32 ``[2 + 2 * accesses]``: two words that stand for
what it finds around its buffers, and in memory that nothing has written; then two flags for each access that
is not proven to stay inside its buffer: it left it, and it went where no guard answers for it. So one build
runs on any content of such memory, on every device, and nothing outside a buffer is ever touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.compiler import ir
from mutatenn.compiler.accesses import Scope, all_within, lane, lanes
from mutatenn.compiler.patterns import fill, pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

GUARD_BYTES = 4096
"""How far outside its buffer a read finds the first word, as devices have it around every tensor."""
GUARD_WORD, POISON_WORD = 0, 1
WORDS = 2
BYTE = 8  # bits


def watch(function: Any, *, bounds: bool, strict: bool = False) -> tuple[Any, tuple[str, ...] | None]:
    """Return a lowered PrimFunc with a monitor, and its accesses in the order of their flags.

    Without need of a monitor, return it as it is, and None. Scratch memory is watched, and with ``bounds``
    every access that may leave its buffer; if ``strict``, no guard answers for any.
    """
    writer = _Writer(bounds=bounds, guard=0 if strict else GUARD_BYTES, cpu="cpu" in _target(function).keys)
    body = writer.of(function.body)
    if not writer.used:
        return function, None
    monitor = ir.tirx.decl_buffer((WORDS + 2 * len(writer.accesses),), "int32", "monitor")
    body = ir.ffi.structural_map(
        body, (ir.tvm.ir.Var, lambda var: monitor if var.same_as(writer.monitor) else var)
    )
    params = [*function.params, monitor]
    return ir.tirx.PrimFunc(params, body, function.ret_type, function.attrs), tuple(writer.accesses)


def _target(function: Any) -> Any:
    return function.attrs["target"]


@attrs.define(eq=False)
class _Writer:
    """Rewrites the body of one kernel, statement by statement, with what is known there."""

    bounds: bool
    guard: int
    cpu: bool
    monitor: Any = attrs.field(init=False, factory=lambda: ir.tirx.decl_buffer((WORDS,), "int32", "monitor"))
    accesses: list[str] = attrs.field(init=False, factory=list)
    used: bool = attrs.field(init=False, default=False)
    _scope: Scope = attrs.field(init=False, factory=Scope)
    _names: dict[Any, str] = attrs.field(init=False, factory=dict)
    _path: Any = attrs.field(init=False, default=None)
    """The condition under which an expression is evaluated within its statement; None: always."""
    _checks: list[Any] = attrs.field(init=False, factory=list)
    """Statements to stand before the statement at hand."""

    def of(self, body: Any) -> Any:
        """Return the body rewritten."""
        tirx = ir.tirx
        rules = (
            (tirx.SeqStmt, self._sequence),
            (tirx.For, self._loop),
            (tirx.IfThenElse, self._branch),
            (tirx.AttrStmt, self._attribute),
            (tirx.Bind, self._bind),
            (tirx.DeclBuffer, self._declare),
            (tirx.AllocBuffer, self._allocate),
            (tirx.BufferStore, self._store),
            ((tirx.Evaluate, tirx.AssertStmt, tirx.While), self._plain),
            (ir.tvm.ir.TensorLoad, self._load),
            (ir.tvm.ir.Call, self._call),
        )
        return ir.ffi.structural_mutate(body, rules)

    # Statements.

    def _sequence(self, block: Any, mutator: Any) -> Any:
        """Keep a sequence flat: what a statement binds, those after it see."""
        statements: list[Any] = []
        for statement in block.seq:
            done = mutator.mutate(statement)
            statements += done.seq if isinstance(done, ir.tirx.SeqStmt) else [done]
        return ir.tirx.SeqStmt(statements)

    def _loop(self, loop: Any, mutator: Any) -> Any:
        start, extent = mutator.mutate(loop.min), mutator.mutate(loop.extent)
        checks = self._take_checks()
        self._scope.enter(loop.loop_var, loop.min, loop.extent)
        body = mutator.mutate(loop.body)
        done = ir.tirx.For(
            loop.loop_var, start, extent, loop.kind, body, loop.thread_binding, loop.annotations
        )
        return _after(checks, done)

    def _branch(self, branch: Any, mutator: Any) -> Any:
        condition = mutator.mutate(branch.condition)
        checks = self._take_checks()
        with self._scope.assuming(branch.condition):
            then = mutator.mutate(branch.then_case)
        other = None
        if branch.else_case is not None:
            with self._scope.assuming(ir.tirx.Not(branch.condition)):
                other = mutator.mutate(branch.else_case)
        return _after(checks, ir.tirx.IfThenElse(condition, then, other))

    def _attribute(self, node: Any, mutator: Any) -> Any:
        if node.attr_key in {"thread_extent", "virtual_thread"}:
            self._scope.enter(node.node.var, ir.tirx.const(0, node.value.ty.dtype), node.value)
        return ir.tirx.AttrStmt(node.node, node.attr_key, node.value, mutator.mutate(node.body))

    def _bind(self, bind: Any, mutator: Any) -> Any:
        value = mutator.mutate(bind.value)
        self._scope.bind(bind.var, bind.value)
        return _after(self._take_checks(), ir.tirx.Bind(bind.var, value))

    def _declare(self, declared: Any, mutator: Any) -> Any:
        """Remember of which buffer this is a view."""
        found: list[Any] = []
        ir.ffi.structural_walk(declared.data, (ir.tvm.ir.Var, found.append), order="post")
        self._names[declared.buffer] = self._names.get(found[0], found[0].name) if found else ""
        return mutator.default_mutate(declared)

    def _allocate(self, allocation: Any, _mutator: Any) -> Any:
        """Fill scratch memory with the second word: what a run leaves there is mostly right for the next."""
        buffer = allocation.buffer
        if not self.cpu and buffer.ty.storage_scope != "local":
            return allocation  # the host of a device writes none of its memory, and no thread that of all
        self.used = True
        return ir.tirx.SeqStmt([allocation, fill(buffer, self._word(POISON_WORD, buffer.ty.dtype))])

    def _store(self, store: Any, mutator: Any) -> Any:
        value, indices = mutator.mutate(store.value), [mutator.mutate(each) for each in store.indices]
        checks = self._take_checks()
        done = ir.tirx.BufferStore(store.buffer, value, indices)
        if not self._may_leave(store.buffer, store.indices):
            return _after(checks, done)
        flag = self._flag("store to", store.buffer, store.indices) + 1
        inside = all_within(indices, store.buffer.ty.shape)
        return _after(checks, ir.tirx.IfThenElse(inside, done, self._raise_flag(flag)))

    def _plain(self, statement: Any, mutator: Any) -> Any:
        done = mutator.default_mutate(statement)
        return _after(self._take_checks(), done)

    # Expressions.

    def _call(self, call: Any, mutator: Any) -> Any:
        name = str(getattr(call.op, "name", "")).rpartition(".")[2]
        if name == "address_of":
            return call
        if name != "if_then_else":
            return mutator.default_mutate(call)
        condition = mutator.mutate(call.args[0])
        with self._scope.assuming(call.args[0]):
            then = self._where(condition, mutator, call.args[1])
        with self._scope.assuming(ir.tirx.Not(call.args[0])):
            other = self._where(ir.tirx.Not(condition), mutator, call.args[2])
        return ir.tirx.if_then_else(condition, then, other)

    def _where(self, condition: Any, mutator: Any, expr: Any) -> Any:
        before, self._path = self._path, _both(self._path, condition)
        try:
            return mutator.mutate(expr)
        finally:
            self._path = before

    def _load(self, load: Any, mutator: Any) -> Any:
        indices = [mutator.mutate(index) for index in load.indices]
        buffer, extents = load.source, load.source.ty.shape
        done = ir.tirx.BufferLoad(buffer, indices)
        if not self._may_leave(buffer, load.indices):
            return done
        flag = self._flag("load from", buffer, load.indices)
        inside = all_within(indices, extents)
        margin = self.guard * BYTE // _element_bits(buffer)
        beyond = ir.tirx.Not(all_within(indices, extents, margin))
        left = ir.tirx.IfThenElse(beyond, self._raise_flag(flag + 1), self._raise_flag(flag))
        self._checks.append(ir.tirx.IfThenElse(_both(self._path, ir.tirx.Not(inside)), left, None))
        return ir.tirx.if_then_else(inside, done, self._outside(done, indices))

    def _outside(self, load: Any, indices: Sequence[Any]) -> Any:
        """Return what a load finds that is not wholly inside: the first word, of vectors in lanes outside."""
        count = max(map(lanes, indices))
        if count == 1:
            return self._word(GUARD_WORD, load.ty.dtype)
        return _joined(
            [self._one(load, [lane(index, number) for index in indices]) for number in range(count)]
        )

    def _one(self, load: Any, indices: Sequence[Any]) -> Any:
        """Return what one lane of a load finds."""
        inside = all_within(indices, load.source.ty.shape)
        word = self._word(GUARD_WORD, load.ty.dtype.with_lanes(1))
        return ir.tirx.if_then_else(inside, ir.tirx.BufferLoad(load.source, list(indices)), word)

    # What both need.

    def _may_leave(self, buffer: Any, indices: Sequence[Any]) -> bool:
        return self.bounds and not self._scope.inside(indices, buffer.ty.shape)

    def _flag(self, what: str, buffer: Any, indices: Sequence[Any]) -> int:
        """Return the place of an access's first flag in the monitor."""
        name = self._names.get(buffer) or buffer.name
        place = ", ".join(f"{' '.join(str(index).split())}{self._scope.range_of(index)}" for index in indices)
        extents = ", ".join(str(extent) for extent in buffer.ty.shape)
        text = f"{what} {name}, index [{place}], extent [{extents}]"
        if text not in self.accesses:
            self.accesses.append(text)
        self.used = True
        return WORDS + 2 * self.accesses.index(text)

    def _raise_flag(self, place: int) -> Any:
        return ir.tirx.BufferStore(self.monitor, ir.tirx.const(1, "int32"), [ir.tirx.const(place, "int32")])

    def _word(self, number: int, dtype: Any) -> Any:
        return pattern(ir.tirx.BufferLoad(self.monitor, [ir.tirx.const(number, "int32")]), dtype)

    def _take_checks(self) -> list[Any]:
        checks, self._checks = self._checks, []
        return checks


def _element_bits(buffer: Any) -> int:
    dtype = buffer.ty.dtype.dtype
    return int(dtype.bits) * int(dtype.lanes)


def _after(checks: Sequence[Any], statement: Any) -> Any:
    return ir.tirx.SeqStmt([*checks, statement]) if checks else statement


def _both(one: Any, other: Any) -> Any:
    return other if one is None else ir.tirx.And(one, other)


def _joined(parts: Sequence[Any]) -> Any:
    """Return a vector of scalars."""
    count, found = len(parts), None
    for number, part in enumerate(parts):
        value = ir.tirx.Broadcast(part, count)
        place = ir.tirx.Ramp(ir.tirx.const(0, "int32"), ir.tirx.const(1, "int32"), count)
        here = ir.tirx.EQ(place, ir.tirx.Broadcast(ir.tirx.const(number, "int32"), count))
        found = value if found is None else ir.tirx.Select(here, value, found)
    return found
