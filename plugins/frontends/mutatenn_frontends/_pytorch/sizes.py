"""Settles the sizes that an exported program leaves open: batch 1, and the height and width of its image.

PyTorch notes an open size as an expression of sympy's, which it would evaluate as code. Here it is read.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LARGEST_BASE, LARGEST_EXPONENT = 2**31, 8
"""Of powers."""


def _power(base: int, exponent: int) -> int:
    """Return a power of a size; raises ValueError for what could not be one."""
    if not (0 <= exponent <= LARGEST_EXPONENT and abs(base) < LARGEST_BASE):
        raise ValueError(exponent)
    return int(base**exponent)


ARITHMETIC: dict[str, Callable[..., int]] = {
    "Add": lambda *terms: sum(terms),
    "Mul": lambda *factors: math.prod(factors),
    "FloorDiv": lambda one, other: one // other,
    "CleanDiv": lambda one, other: one // other,
    "Mod": lambda one, other: one % other,
    "PythonMod": lambda one, other: one % other,
    "Pow": _power,
    "Max": max,
    "Min": min,
}
"""What sizes are computed by, under sympy's and PyTorch's names."""
LONGEST = 10_000
"""Characters of an expression."""
CHECKS = ("_assert_scalar", "sym_constrain_range", "sym_constrain_range_for_size")
"""Operators that only require something of sizes."""
UNKNOWN = (ArithmeticError, AttributeError, KeyError, RecursionError, SyntaxError, TypeError, ValueError)


def settle(program: Any, image: Sequence[int]) -> Any:
    """Return the program with every size a number that follows from the shape of its image alone.

    ``image`` is that shape, 0 where it is not known. What else is open stays so.
    """
    graph = program["graph_module"]["graph"]
    names = [
        spec["user_input"]["arg"]["as_tensor"]["name"]
        for spec in program["graph_module"]["signature"]["input_specs"]
        if "as_tensor" in spec.get("user_input", {}).get("arg", {})
    ]
    given = [size for name in names for size in graph["tensor_values"][name]["sizes"]]
    symbols: dict[str, int] = {}
    for size, number in zip(given, image, strict=False):
        symbols.update(_solved(size, number) if number else {})
    if not symbols:
        return program
    settled = _settled(graph, symbols, _numbers(graph, symbols))
    settled["nodes"] = [node for node in settled["nodes"] if not _is_of_sizes(node)]
    return {**program, "graph_module": {**program["graph_module"], "graph": settled}}


def _solved(size: Any, number: int) -> dict[str, int]:
    """Return the symbol by which a size is that number: the size is a symbol, or a multiple of one."""
    try:
        found, factor = _parsed(size), 1
        if found.func.id == "Mul":
            one, found = found.args
            factor = _evaluated(one, {})
        known = found.func.id == "Symbol" and not number % factor
        return {found.args[0].value: number // factor} if known else {}
    except UNKNOWN:
        return {}


def _numbers(graph: Any, symbols: Mapping[str, int]) -> dict[str, int]:
    """Return the graph's whole numbers by name, as far as symbols tell them."""
    found = {name: _number(value, symbols) for name, value in graph["sym_int_values"].items()}
    return {name: number for name, number in found.items() if number is not None}


def _number(value: Any, symbols: Mapping[str, int]) -> int | None:
    """Return what the file calls a symbolic number, or None."""
    if "as_int" in value:
        return int(value["as_int"])
    try:
        return _evaluated(_parsed(value), symbols)
    except UNKNOWN:
        return None


def _parsed(value: Any) -> Any:
    """Return the call that an open size is written as; raises some error of ``UNKNOWN`` for other text."""
    return ast.parse(value["as_expr"]["expr_str"][:LONGEST], mode="eval").body


def _evaluated(expression: Any, symbols: Mapping[str, int]) -> int:
    """Return the number; raises some error of ``UNKNOWN`` for what is no arithmetic of symbols."""
    kind, arguments = expression.func.id, expression.args
    if kind == "Integer":
        return int(ast.literal_eval(arguments[0]))
    if kind == "Symbol":
        return symbols[arguments[0].value]
    return ARITHMETIC[kind](*(_evaluated(argument, symbols) for argument in arguments))


def _settled(tree: Any, symbols: Mapping[str, int], numbers: Mapping[str, int]) -> Any:
    """Return what a file holds with numbers for sizes."""
    if isinstance(tree, list):
        return [_settled(each, symbols, numbers) for each in tree]
    if not isinstance(tree, dict):
        return tree
    if "as_expr" in tree:
        number = _number(tree, symbols)
        return tree if number is None else {"as_int": number}
    if "as_sym_int" in tree:
        number = _argument(tree["as_sym_int"], numbers)
        return tree if number is None else {"as_int": number}
    if "as_sym_ints" in tree:
        listed = [_argument(each, numbers) for each in tree["as_sym_ints"]]
        return tree if None in listed else {"as_ints": listed}
    return {key: _settled(value, symbols, numbers) for key, value in tree.items()}


def _argument(value: Any, numbers: Mapping[str, int]) -> int | None:
    """Return the number that an argument is, or names."""
    return value["as_int"] if "as_int" in value else numbers.get(value["as_name"])


def _is_of_sizes(node: Any) -> bool:
    """Tell whether a node computes, or checks, nothing but sizes."""
    kinds = {kind for output in node["outputs"] for kind in output}
    return kinds <= {"as_int", "as_sym_int", "as_sym_bool"} and (
        bool(kinds) or str(node["target"]).split(".")[-2] in CHECKS
    )
