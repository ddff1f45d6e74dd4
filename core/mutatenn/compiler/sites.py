"""Finds the places an operator can change, and changes them, in one fixed order per IR level."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.compiler import ir
from mutatenn.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator


@attrs.frozen
class Occurrence:
    """One node in a unit.

    ``where`` names the kind of condition (kernel) or the bound variable (graph) it stands in. ``constant``
    marks a call that depends on no parameter of its function.
    """

    node: Any
    where: str = ""
    constant: bool = False


def node_classes(names: Collection[str]) -> tuple[Any, ...]:
    """Return the TIR node classes of these names; raises PluginError for a name TVM does not have."""
    return tuple(_node_class(name) for name in names)


def _node_class(name: str) -> Any:
    for module in (ir.tirx, ir.s_tir, ir.tvm.ir):
        # Some names are helper functions in one module and classes in another.
        if isinstance(found := getattr(module, name, None), type):
            return found
    raise PluginError(f"TVM has no TIR node class named {name!r}; see the classes in tvm.tirx and tvm.ir")


def kernel_occurrences(body: Any, classes: tuple[Any, ...]) -> list[Occurrence]:
    """Return every occurrence of the node classes in a TIR statement, operands before what uses them.

    A node object that stands in several places occurs several times. Types, buffer shapes and access
    annotations are not code and are left out.
    """
    found: list[Occurrence] = []

    def enter(node: Any, visitor: Any) -> None:
        parts = _parts(node)
        for where, part in parts:
            start = len(found)
            visitor.visit(part)
            found[start:] = [attrs.evolve(each, where=each.where or where) for each in found[start:]]
        if not (parts or isinstance(node, _not_code())):
            visitor.default_visit(node)
        if isinstance(node, classes):
            found.append(Occurrence(node))

    ir.ffi.structural_visit(body, ((*_not_code(), *_conditionals(), *classes), enter))
    return found


def replace_in_kernel(body: Any, classes: tuple[Any, ...], change: Callable[[int, Any], Any]) -> Any:
    """Return the statement with ``change(n, node)`` in place of occurrence ``n`` of the classes.

    Numbers as :func:`kernel_occurrences` lists them; ``node`` already contains the changes made inside it.
    """
    number = count()

    def enter(node: Any, mutator: Any) -> Any:
        changed = node if isinstance(node, _not_code()) else mutator.default_mutate(node)
        return change(next(number), changed) if isinstance(node, classes) else changed

    return ir.ffi.structural_mutate(body, ((*_not_code(), *classes), enter))


def _not_code() -> tuple[Any, ...]:
    # A variable carries its type, a buffer's its shape; TVM's own walk and map number those differently.
    return (ir.tirx.Var, ir.tvm.ir.TensorRegion)


def _conditionals() -> tuple[Any, ...]:
    return (ir.tirx.IfThenElse, ir.tirx.While, ir.tirx.Select, ir.s_tir.SBlockRealize, ir.tvm.ir.Call)


def _parts(node: Any) -> list[tuple[str, Any]]:
    """Return the children of a node that has a condition, in traversal order, the condition labelled."""
    if isinstance(node, ir.tirx.IfThenElse):
        return [("if", node.condition), ("", node.then_case), ("", node.else_case)]
    if isinstance(node, ir.tirx.While):
        return [("while", node.condition), ("", node.body)]
    if isinstance(node, ir.tirx.Select):
        return [("select", node.condition), ("", node.true_value), ("", node.false_value)]
    if isinstance(node, ir.s_tir.SBlockRealize):
        return [("", node.iter_values), ("predicate", node.predicate), ("", node.block)]
    if isinstance(node, ir.tvm.ir.Call) and getattr(node.op, "name", "") == "prim.if_then_else":
        return list(zip(("if_then_else", "", ""), node.args, strict=True))
    return []


def graph_occurrences(module: Any, operators: Collection[str]) -> list[Occurrence]:
    """Return every call of the named Relax operators, in program order.

    The module is in normal form, as importers leave it: every call is bound to a variable.
    """
    found: list[Occurrence] = []
    constants: set[Any] = set()
    for binding in _bindings(module):
        constant = _is_constant(binding.value, constants)
        if constant:
            constants.add(binding.var)
        if operator_name(binding.value) in operators:
            found.append(Occurrence(binding.value, binding.var.name, constant))
    return found


def replace_in_graph(module: Any, operators: Collection[str], change: Callable[[int, Any, Any], Any]) -> Any:
    """Return the module with ``change(n, call, builder)`` in place of occurrence ``n`` of the operators.

    Numbers as :func:`graph_occurrences` lists them; changed expressions are brought to normal form.
    """
    number = count()

    class Rewriter(ir.relax.PyExprMutator):  # type: ignore[misc]  # TVM is untyped
        def visit_call_(self, call: Any) -> Any:
            changed = self.visit_expr_post_order(call)
            if operator_name(call) not in operators:
                return changed
            return self.builder_.normalize(change(next(number), changed, self.builder_))

    rewriter = ir.relax.expr_functor.mutator(Rewriter)(module)
    for binding in _bindings(module):
        # Or a new variable takes the name of an old one, and the change looks larger than it is.
        rewriter.builder_.get_unique_name(binding.var.name)
    for name, function in _functions(module):
        rewriter.builder_.update_func(name, rewriter.visit_expr(function))
    return rewriter.builder_.get()


def operator_name(expression: Any) -> str | None:
    """Return the name of the Relax operator an expression calls, or None."""
    return getattr(getattr(expression, "op", None), "name", None)


def _functions(module: Any) -> list[tuple[Any, Any]]:
    return [(n, f) for n, f in module.functions_items() if isinstance(f, ir.relax.Function)]


def _bindings(module: Any) -> Iterator[Any]:
    for _, function in _functions(module):
        bindings: list[Any] = []
        # Before its value's own bindings, as the rewriter reaches a conditional's branches.
        ir.ffi.structural_walk(function, (ir.relax.Binding, bindings.append), order="pre")
        yield from bindings


def _is_constant(value: Any, constants: set[Any]) -> bool:
    """Tell whether an expression reads only constants and variables bound to constant expressions."""
    if isinstance(value, ir.tvm.ir.Call):
        return all(_is_constant(argument, constants) for argument in value.args)
    if isinstance(value, ir.tvm.ir.Tuple):
        return all(_is_constant(field, constants) for field in value.fields)
    if isinstance(value, ir.tvm.ir.TupleGetItem):
        return _is_constant(value.tuple_value, constants)
    return value in constants if isinstance(value, ir.relax.Var) else not isinstance(value, ir.relax.If)
