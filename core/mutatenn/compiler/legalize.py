"""Legalises Relax operators to TIR, an operator on tensors of the same types only once.

Two thirds of the time to lower a graph mutant go into TVM's legalisation, which builds every kernel anew
through its tensor expression language, the same ones for every mutant.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.compiler import ir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Rule = Callable[[Any, Any], Any]

FEW = 16
"""Constants of up to so many elements may be parameters of an operator in truth: their values count."""


@attrs.frozen(eq=False)
class _Legal:
    """What a call of some signature becomes: a PrimFunc on some of the call's leaves, by place."""

    signature: Any
    function: Any = None
    name: str = ""
    places: tuple[int, ...] = ()
    result: Any = None

    def call(self, builder: Any, leaves: list[Any]) -> Any:
        """Return the call of the PrimFunc."""
        arguments = ir.relax.Tuple([leaves[place] for place in self.places])
        return ir.relax.call_tir(builder.add_func(self.function, self.name), arguments, self.result)


@attrs.define(eq=False)
class Legalizer:
    """TVM's LegalizeOps for one target, with a memory."""

    _known: dict[tuple[str, int], _Legal] = attrs.field(init=False, factory=dict, repr=False)

    def __call__(self, module: Any) -> Any:
        """Return the module legalised; always under the same target."""
        rules = {name: functools.partial(self._legalize, rule) for name, rule in _rules().items()}
        return ir.relax.transform.LegalizeOps(rules)(module)

    def _legalize(self, rule: Rule, builder: Any, call: Any) -> Any:
        leaves = list(_leaves(call.args))
        signature = _signature(call, leaves)
        if signature is None:
            return rule(builder, call)
        key = call.op.name, ir.ffi.structural_hash(signature)
        legal = self._known.get(key)
        if legal is None:
            legal = self._known[key] = _learn(rule, call, leaves, signature)
        if legal.function is None or not ir.ffi.structural_equal(legal.signature, signature):
            return rule(builder, call)
        return legal.call(builder, leaves)


@functools.cache
def _rules() -> dict[str, Rule]:
    """Return TVM's legalisation functions by operator."""
    names = [name for name in ir.tvm.ir.Op.list_op_names() if name.startswith("relax.")]
    found = {name: ir.tvm.ir.Op.get(name).get_attr("FLegalize") for name in names}
    return {name: rule for name, rule in found.items() if rule is not None}


def _learn(rule: Rule, call: Any, leaves: list[Any], signature: Any) -> _Legal:
    """Legalise a call aside; the rule keeps what becomes anything but one kernel on some of its leaves."""
    builder = ir.relax.BlockBuilder()
    try:
        legal = _aside(rule, builder, call)
        function, arguments = legal.args
        (result,) = legal.ty_args
    except Exception:  # the rule needs more around it, or tells what is wrong when it is asked again
        return _Legal(signature)
    places = [_place(argument, leaves) for argument in arguments.fields]
    if legal.op.name != "relax.call_tir" or any(place is None for place in places):
        return _Legal(signature)
    types = list(result.fields) if isinstance(result, ir.tvm.ir.TupleType) else result
    return _Legal(signature, builder.get()[function], function.name_hint, tuple(places), types)


def _aside(rule: Rule, builder: Any, call: Any) -> Any:
    builder._begin_binding_block()  # some rules bind what they make
    try:
        return rule(builder, call)
    finally:
        builder._end_block()


def _place(argument: Any, leaves: list[Any]) -> Any:
    return next((place for place, leaf in enumerate(leaves) if argument.same_as(leaf)), None)


def _leaves(arguments: Any) -> Iterator[Any]:
    for argument in arguments:
        if isinstance(argument, ir.tvm.ir.Tuple):
            yield from _leaves(argument.fields)
        else:
            yield argument


def _signature(call: Any, leaves: list[Any]) -> Any:
    """Return an object of all that legalisation can depend on, or None where that is hard to tell.

    Which leaves are one and the same belongs to it: the kernel of ``x * x`` may have one parameter.
    """
    parts = [_part(leaf) for leaf in leaves]
    if any(part is None for part in parts):
        return None
    groups = [_group(each) for each in call.args]
    pattern = [_place(leaf, leaves) for leaf in leaves]
    return ir.ffi.convert([call.attrs, call.ty, groups, pattern, parts, list(call.ty_args)])


def _group(argument: Any) -> Any:
    """Return how an argument groups its leaves: -1 for a leaf, a list for a tuple, which may hold tuples."""
    return [_group(each) for each in argument.fields] if isinstance(argument, ir.tvm.ir.Tuple) else -1


def _part(leaf: Any) -> Any:
    """Return what counts of a leaf: all, or of a tensor its type."""
    if isinstance(leaf, (ir.relax.ShapeExpr, ir.tirx.IntImm, ir.tirx.FloatImm)):
        return leaf
    if not isinstance(leaf.ty, ir.relax.TensorType):
        return None
    small = isinstance(leaf, ir.tvm.ir.GenericConst) and math.prod(leaf.value.shape) <= FEW
    return leaf if small else leaf.ty
