"""Finds the places an operator can change, and changes them, in one fixed order per IR level."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.compiler import ir
from mutatenn.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator


LONGEST = 120
"""Characters of a description."""


@attrs.frozen(eq=False)
class Occurrence:
    """One node in a kernel; ``where`` names the kind of condition it stands in, if any."""

    node: Any
    where: str = ""

    @cached_property
    def description(self) -> str:
        """One line for people; made when it is first asked for, because TVM's printer is slow."""
        lines = [line.strip() for line in str(self.node).splitlines()]
        # TVM prints a declaration of every free variable before the code itself.
        code = [line for line in lines if line and not re.match(r"#|\w+ = T\.(?:Buffer|\w+\(\))", line)]
        text = _shorten((code or lines)[0])
        return f"{text}  in {self.where}" if self.where else text


@attrs.frozen(eq=False)
class Bound(Occurrence):
    """One expression in a graph; ``where`` names the variable it is bound to.

    ``constant`` marks one that depends on no parameter of its function; ``computed`` counts the arguments of
    a call that depend on some.
    """

    constant: bool = False
    computed: int = 0

    @cached_property
    def description(self) -> str:
        """One line for people, of a call: the variable, the operator and the shapes it reads."""
        operator = self.node.op.name.replace("relax.", "R.", 1)
        return _shorten(f"{self.where} = {operator}({', '.join(map(_argument, self.node.args))})")


def node_classes(names: Collection[str]) -> tuple[Any, ...]:
    """Return the TIR node classes of these names; raises PluginError for a name TVM does not have."""
    return tuple(_node_class(name) for name in names)


def _node_class(name: str) -> Any:
    for module in (ir.tirx, ir.s_tir, ir.tvm.ir):
        # Some names are helper functions in one module and classes in another.
        if isinstance(found := getattr(module, name, None), type):
            return found
    raise PluginError(f"TVM has no TIR node class named {name!r}; see the classes in tvm.tirx and tvm.ir")


# A plan asks for the same nodes again and again: for other operators, and for the same with other options.
@lru_cache(maxsize=4096)  # of kernels, which hold no weights
def kernel_occurrences(body: Any, classes: tuple[Any, ...]) -> tuple[Occurrence, ...]:
    """Return every occurrence of the node classes in a TIR statement, operands before what uses them.

    A node object that stands in several places occurs several times. Types, buffer shapes and access
    annotations are not code and are left out.
    """
    found: list[Occurrence] = []
    where = ""

    def enter(node: Any, visitor: Any) -> None:
        nonlocal where
        outside, parts = where, _parts(node)
        for label, part in parts:
            where = label or outside
            visitor.visit(part)
        where = outside
        if not (parts or isinstance(node, _not_code())):
            visitor.default_visit(node)
        if isinstance(node, classes):
            found.append(Occurrence(node, where))

    ir.ffi.structural_visit(body, ((*_not_code(), *_conditionals(), *classes), enter))
    return tuple(found)


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


def graph_occurrences(module: Any, operators: Collection[str]) -> list[Bound]:
    """Return every call of the named Relax operators, in program order.

    The module is in normal form, as importers leave it: every call is bound to a variable.
    """
    every = _bound(tuple(function for _, function in _functions(module)))
    return [each for each in every if operator_name(each.node) in operators]


@lru_cache(maxsize=2)  # functions hold all weights of a model
def _bound(functions: tuple[Any, ...]) -> tuple[Bound, ...]:
    """Return every bound expression, in program order."""
    found: list[Bound] = []
    constants: set[Any] = set()
    for binding in _bindings(functions):
        constant = _is_constant(binding.value, constants)
        if constant:
            constants.add(binding.var)
        computed = sum(not _is_constant(each, constants) for each in getattr(binding.value, "args", ()))
        found.append(Bound(binding.value, binding.var.name, constant, computed))
    return tuple(found)


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
    functions = _functions(module)
    for binding in _bindings(function for _, function in functions):
        # Or a new variable takes the name of an old one, and the change looks larger than it is.
        rewriter.builder_.get_unique_name(binding.var.name)
    for name, function in functions:
        rewriter.builder_.update_func(name, rewriter.visit_expr(function))
    return rewriter.builder_.get()


def operator_name(expression: Any) -> str | None:
    """Return the name of the Relax operator an expression calls, or None."""
    return getattr(getattr(expression, "op", None), "name", None)


def _functions(module: Any) -> list[tuple[Any, Any]]:
    return [(n, f) for n, f in module.functions_items() if isinstance(f, ir.relax.Function)]


def _bindings(functions: Iterable[Any]) -> Iterator[Any]:
    for function in functions:
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


def _argument(argument: Any) -> str:
    shape = getattr(argument.ty, "shape", None)
    if shape is None:
        return str(argument)
    name = argument.name if isinstance(argument, ir.relax.Var) else "const"
    extents = (getattr(extent, "value", extent) for extent in shape)  # a number, or a symbol
    return f"{name}[{'x'.join(map(str, extents))}]"


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
