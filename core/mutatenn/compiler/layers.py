"""Which layers of the user's own network the calls of a graph compute, kept up through the compiler's passes.

A frontend notes them in the graph as TVM's spans, which passes lose. But passes leave the variables of what
they do not change, and mostly the order of the rest: so a new call is told from what it stands for.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from mutatenn.api.values import Layer
from mutatenn.compiler import ir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Layers = tuple[Layer, ...]
    Binding = tuple[Any, Any]

BETWEEN = "\n"
"""Between a layer's name and its type in a span; neither has it."""


class LayerNotes:
    """What a frontend notes while a ``relax.BlockBuilder`` builds its graph, to be put into the module."""

    def __init__(self) -> None:
        self._noted: dict[Any, Layer] = {}

    def note(self, builder: Any, value: Any, layer: Layer) -> Any:
        """Note that what a value is computed by, and was not noted before, is of a layer; return the value.

        ``value`` is an expression that the builder has bound, or is about to. Where it is a call that is not
        bound yet, another one is returned, to be used in its place.
        """
        if isinstance(value, (list, tuple)):
            return type(value)(self.note(builder, each, layer) for each in value)
        if isinstance(value, ir.tvm.ir.Tuple):
            return ir.relax.Tuple([self.note(builder, field, layer) for field in value.fields])
        self._note_parts(builder, value, layer)
        if isinstance(value, ir.tvm.ir.Call) and value.span is None:
            return builder.normalize(_spanned(value, layer))
        return value

    def _note_parts(self, builder: Any, value: Any, layer: Layer) -> None:
        pending = [value]
        while pending:
            found = pending.pop()
            if isinstance(found, ir.tvm.ir.Var):
                bound = builder.lookup_binding(found)
                if bound is None or found in self._noted:
                    continue
                self._noted[found] = layer
                found = bound
            pending += _parts(found)

    def write(self, module: Any) -> Any:
        """Return the module with what was noted."""
        calls: dict[Any, Layer] = {}
        for function in _functions(module).values():
            calls |= {value: self._noted[var] for var, value in _bound(function) if var in self._noted}
        return _written(module, lambda call: None if call.span is not None else calls.get(call))


def rename_layers(module: Any, rename: Callable[[Layer], Layer]) -> Any:
    """Return a module with other layers in the place of those noted in it, one for one."""
    return _written(module, lambda call: next(map(rename, layers_of(call)), None))


def _written(module: Any, layer_of: Callable[[Any], Layer | None]) -> Any:
    @ir.relax.expr_functor.mutator
    class Writer(ir.relax.PyExprMutator):  # type: ignore[misc]  # TVM is not typed
        def visit_call_(self, call: Any) -> Any:
            layer, changed = layer_of(call), self.visit_expr_post_order(call)
            return changed if layer is None else _spanned(changed, layer)

    writer = Writer(module)
    for name, function in _functions(module).items():
        writer.builder_.update_func(name, writer.visit_expr(function))
    return writer.builder_.get()


def layers_of(call: Any) -> Layers:
    """Return the layers that are noted at a call."""
    span = getattr(call, "span", None)
    spans = getattr(span, "spans", [span])
    texts = (str(each.source_name.name) for each in spans if each is not None)
    return tuple(Layer(name, kind) for name, _, kind in (text.partition(BETWEEN) for text in texts))


def _spanned(call: Any, layer: Layer) -> Any:
    name, kind = (" ".join(text.split(BETWEEN)) for text in (layer.name, layer.type))
    source = ir.tvm.ir.SourceName(f"{name}{BETWEEN}{kind}")
    return ir.relax.Call(call.op, call.args, call.attrs, call.ty_args, ir.tvm.ir.Span(source, 0, 0, 0, 0))


class LayerTracker:
    """The layers of every call of a module that goes through passes, by the variable it is bound to."""

    def __init__(self, module: Any) -> None:
        self._graph = _Graph(module)
        self._layers = {var: layers_of(call) for var, call in self._graph.calls if layers_of(call)}
        if self._layers:
            self._fill()

    def layers(self, variable: Any) -> Layers:
        """Return the layers that are computed into a variable."""
        return self._layers.get(variable, ())

    def by_name(self) -> dict[str, Layers]:
        """Return the layers by the names of the variables, which need not be different."""
        found: dict[str, list[Layers]] = {}
        for var, layers in self._layers.items():
            found.setdefault(var.name, []).append(layers)
        return {name: _union(several) for name, several in found.items()}

    def follow(self, module: Any) -> None:
        """Go on to what a pass made of the module."""
        if not self._layers:
            return
        old, layers, self._graph = self._graph, self._layers, _Graph(module)
        there = {var for var, _ in self._graph.calls}
        self._layers = {var: layers[var] for var in there if var in layers}
        equals = _Equals(old)
        for var, call in self._graph.main:
            parts = equals.parts(var, call, self._graph)
            if var not in self._layers and (found := _union(layers.get(part, ()) for part in parts)):
                self._layers[var] = found
        self._align(old.main, self._graph.main, layers)
        self._fill()

    def _align(self, old: Sequence[Binding], new: Sequence[Binding], layers: Mapping[Any, Layers]) -> None:
        """Give new calls the layers of those that are gone, which stood at the same place.

        The same operators in the same order are the same; what lies between is the same as a whole.
        """
        one, other = ([_token(each, self._layers) for each in bindings] for bindings in (old, new))
        matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
        fresh: list[Any] = []  # a new call, known by its operator, that what is gone stood just behind
        for tag, start, end, first, last in matcher.get_opcodes():
            there = [var for var, _ in new[first:last] if var not in self._layers]
            if tag == "equal":
                for (was, _), (var, _) in zip(old[start:end], new[first:last], strict=True):
                    self._layers.setdefault(var, layers[was])
                fresh = [var for var in there[-1:] if var == new[last - 1][0]]
                continue
            lost = _union(layers[was] for was, _ in old[start:end] if was not in self._layers)
            for var in (there or fresh) if lost else ():
                self._layers[var] = _union((self.layers(var), lost))

    def _fill(self) -> None:
        """Give calls without layers those of the calls that read them, or else of those that they read."""
        readers: dict[Any, list[Any]] = {}
        for var, _ in self._graph.calls:
            for read in self._graph.reads[var]:
                readers.setdefault(read, []).append(var)
        for var, _ in reversed(self._graph.calls):
            if not self.layers(var):
                self._layers[var] = _union(self.layers(reader) for reader in readers.get(var, ()))
        for var, _ in self._graph.calls:
            if not self.layers(var):
                self._layers[var] = _union(self.layers(read) for read in self._graph.reads[var])


class _Graph:
    """The calls of a module with the variables they are bound to, those of ``main`` and of other functions.

    ``reads`` are what a call is given, itself or in tuples: the variables of calls, parameters, constants.
    """

    def __init__(self, module: Any) -> None:
        self.groups: dict[str, list[Binding]] = {}
        self.parameters: dict[str, list[Any]] = {}
        self.reads: dict[Any, tuple[Any, ...]] = {}
        self._between: dict[Any, Any] = {}
        for name, function in _functions(module).items():
            bound = _bound(function)
            self._between |= {var: value for var, value in bound if not isinstance(value, ir.tvm.ir.Call)}
            calls = [(var, value) for var, value in bound if isinstance(value, ir.tvm.ir.Call)]
            self.groups[name.name_hint], self.parameters[name.name_hint] = calls, list(function.params)
            self.reads |= {var: tuple(self._leaves(call)) for var, call in calls}
        self.main = self.groups.pop("main")

    @property
    def calls(self) -> list[Binding]:
        """All calls, those of ``main`` last."""
        return [*(each for calls in self.groups.values() for each in calls), *self.main]

    def _leaves(self, value: Any) -> Iterator[Any]:
        for part in _parts(value):
            if part in self._between:
                whole = self._between[part]
                yield from self._leaves(whole) if _parts(whole) else (whole,)
            elif isinstance(part, (ir.tvm.ir.Var, ir.tvm.ir.GenericConst)):
                yield part
            else:
                yield from self._leaves(part)


class _Equals:
    """Finds the calls of an earlier graph that those of a later one stand for: one on equal values."""

    def __init__(self, old: _Graph) -> None:
        self._stands: dict[Any, Any] = {}
        self._known: dict[tuple[Any, ...], Any] = {}
        for var, call in old.calls:
            self._known.setdefault((_operator(call), *old.reads[var]), var)

    def parts(self, variable: Any, call: Any, graph: _Graph) -> list[Any]:
        """Return the variables of the calls that a call stands for; a call of a function, for those in it."""
        operator, given = _operator(call), self._standing(graph.reads[variable])
        if operator not in graph.groups:
            return self._find(variable, (operator, *given))
        self._stands |= zip(graph.parameters[operator], given, strict=False)
        found: list[Any] = []
        for inner, called in graph.groups[operator]:
            self._stands.pop(inner, None)
            there = self._find(inner, (_operator(called), *self._standing(graph.reads[inner])))
            found += there or [inner]
            self._stands[variable] = self._stands.get(inner, inner)
        return found

    def _standing(self, values: Iterable[Any]) -> list[Any]:
        return [self._stands.get(value, value) for value in values]

    def _find(self, variable: Any, key: tuple[Any, ...]) -> list[Any]:
        if (found := self._known.get(key)) is None:
            return []
        self._stands[variable] = found
        return [found]


def _functions(module: Any) -> dict[Any, Any]:
    return {n: f for n, f in module.functions_items() if isinstance(f, ir.relax.Function)}


def _bound(function: Any) -> list[Binding]:
    """Return the variables and what they are bound to, in order, a conditional's branches after it."""
    found: list[Any] = []
    ir.ffi.structural_walk(function, (ir.relax.Binding, found.append), order="pre")
    return [(each.var, each.value) for each in found]


def _parts(value: Any) -> Sequence[Any]:
    if isinstance(value, ir.tvm.ir.Call):
        return list(value.args)
    if isinstance(value, ir.tvm.ir.Tuple):
        return list(value.fields)
    return [value.tuple_value] if isinstance(value, ir.tvm.ir.TupleGetItem) else []


def _token(binding: Binding, kept: Mapping[Any, Layers]) -> object:
    """Return what tells a call from others: the variable if that is kept, or else its operator."""
    var, call = binding
    return var if var in kept else _operator(call)


def _operator(call: Any) -> str:
    """Return the name of an operator, of ``call_tir`` that of the kernel."""
    callee = call.args[0] if getattr(call.op, "name", "") == "relax.call_tir" else call.op
    return str(getattr(callee, "name_hint", getattr(callee, "name", "")))


def _union(several: Iterable[Layers]) -> Layers:
    return tuple(dict.fromkeys(layer for layers in several for layer in layers))
