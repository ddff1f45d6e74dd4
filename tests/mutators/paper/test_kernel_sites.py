"""How kernel operators number and describe sites, and what they leave alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from mutatenn import Example, KernelMutator, PluginError, ir
from mutatenn.compiler.sites import kernel_occurrences, node_classes, replace_in_kernel
from mutatenn_mutators.paper.comparison import LeToLt, LtToLe
from mutatenn_mutators.paper.store_epsilon import StoreMinusEpsilon, StoreTimesOnePlusEpsilon
from mutatenn_mutators.paper.store_narrow import StoreFloat16, StoreInt8


class AddToMul(KernelMutator):
    """Replace integer addition by multiplication."""

    name = "add-to-mul"
    nodes = ("Add",)

    def matches(self, node: Any) -> bool:
        return str(node.ty.dtype).startswith("int")

    def rewrite(self, node: Any) -> Any:
        return ir.tirx.Mul(node.a, node.b)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return ()


class NextInteger(AddToMul):
    """Raise an integer literal."""

    name = "next-integer"
    nodes = ("IntImm",)

    def rewrite(self, node: Any) -> Any:
        return ir.tirx.IntImm(node.ty.dtype, int(node) + 1)


class Misspelt(AddToMul):
    """Name a class that does not exist."""

    name = "misspelt"
    nodes = ("LessThan",)


@attrs.frozen(kw_only=True)
class StoreAfter(AddToMul):
    """Store zero from some index on."""

    name = "store-after"
    nodes = ("BufferStore",)
    index: int = 0

    def matches(self, node: Any) -> bool:
        return int(node.indices[0]) >= self.index

    def rewrite(self, node: Any) -> Any:
        return ir.tirx.BufferStore(node.buffer, ir.tirx.const(0.0, "float32"), node.indices)


def kernel(*lines: str) -> Any:
    body = "\n".join(" " * 4 + line for line in lines)
    header = '@T.prim_func(private=True, s_tir=True)\ndef main(A: T.Buffer((16,), "float32"),'
    return ir.script.from_source(f'{header} B: T.Buffer((16,), "float32")):\n{body}\n')


def test_a_shared_node_is_one_site_per_occurrence() -> None:
    index = ir.tirx.Var("i", "int32")
    shared = ir.tirx.LT(index, ir.tirx.IntImm("int32", 3))
    condition = ir.tirx.And(shared, ir.tirx.Or(shared, shared))
    function = ir.tirx.PrimFunc([index], ir.tirx.IfThenElse(condition, ir.tirx.Evaluate(0), None))
    assert LtToLe().sites(function) == ["i < 3  in if"] * 3
    texts = [str(LtToLe().apply(function, [site]).body.condition) for site in range(3)]
    assert texts == [
        "i <= 3 and (i < 3 or i < 3)",
        "i < 3 and (i <= 3 or i < 3)",
        "i < 3 and (i < 3 or i <= 3)",
    ]
    assert "<=" not in str(function.body.condition)


def test_sites_tell_the_kind_of_condition() -> None:
    function = kernel(
        "for i in range(4):",
        '    with T.sblock("b"):',
        "        v = T.axis.spatial(16, i * 5)",
        "        T.where(i * 5 < 16)",
        "        if v < 1:",
        "            B[v] = T.if_then_else(v < 2, A[v], T.Select(v < 3, A[0], A[1]))",
        "        while A[v] < A[0]:",
        '            B[v] = T.Cast("float32", v < 4)',
    )
    assert LtToLe().sites(function) == [
        "i * 5 < 16  in predicate",
        "v < 1  in if",
        "v < 2  in if_then_else",
        "v < 3  in select",
        "A[v] < A[0]  in while",
        "v < 4",
    ]


def test_the_innermost_condition_is_told() -> None:
    function = kernel(
        "for i in range(4):",
        "    if T.if_then_else(i < 1, i < 2, T.Select(i < 3, i < 4, i < 5)):",
        "        if i < 6:",
        "            B[T.Select(i < 7, i, 0)] = A[T.if_then_else(T.Select(i < 8, i < 9, i < 10), i, 0)]",
        "        B[T.Select(i < 11, 1, 0)] = A[0]",
        '    B[0] = T.Cast("float32", i < 12)',
    )
    assert [text.removeprefix("i < ") for text in LtToLe().sites(function)] == [
        "1  in if_then_else",
        "2  in if",
        "3  in select",
        "4  in if",
        "5  in if",
        "6  in if",
        "8  in select",
        "9  in if_then_else",
        "10  in if_then_else",
        "7  in select",
        "11  in select",
        "12",
    ]


def test_matching_may_depend_on_options() -> None:
    function = kernel("B[1] = A[1]", "B[2] = A[2]", "B[3] = A[3]")
    after, everywhere = StoreAfter(index=2), StoreAfter()
    assert everywhere.sites(function) == ["B[1] = A[1]", "B[2] = A[2]", "B[3] = A[3]"]
    assert after.sites(function) == ["B[2] = A[2]", "B[3] = A[3]"]
    assert StoreAfter(index=3).sites(function) == ["B[3] = A[3]"]
    assert everywhere.sites(function) == ["B[1] = A[1]", "B[2] = A[2]", "B[3] = A[3]"]
    lines = [line.strip() for line in after.apply(function, [0]).script().splitlines()[-3:]]
    assert lines == ["B[1] = A[1]", "B[2] = T.float32(0.0)", "B[3] = A[3]"]


def test_sites_read_like_a_list() -> None:
    found = StoreMinusEpsilon().sites(kernel("B[1] = A[1]", "B[2] = A[2]", "B[3] = A[3]"))
    every = ["B[1] = A[1]", "B[2] = A[2]", "B[3] = A[3]"]
    assert (len(found), list(found), repr(found)) == (3, every, repr(every))
    assert (found[0], found[-1], found[1:]) == (every[0], every[-1], every[1:])
    assert found == every
    assert every == found
    assert found != every[1:]
    assert found != 3
    with pytest.raises(IndexError):
        found[3]


def test_only_matching_nodes_are_counted() -> None:
    function = kernel("for i in range(8):", "    B[i + 1] = A[i] + A[i + 2]", "    B[i + 3] = A[i + 4]")
    assert AddToMul().sites(function) == ["i + 2", "i + 1", "i + 4", "i + 3"]
    lines = AddToMul().apply(function, [2]).script().splitlines()
    assert [line.strip() for line in lines[-2:]] == ["B[i + 1] = A[i] + A[i + 2]", "B[i + 3] = A[i * 4]"]


def test_nested_sites_change_together() -> None:
    function = kernel("for i in range(8):", "    B[i + (i + 2)] = A[i]")
    changed = AddToMul().apply(function, [0, 1])
    assert changed.script().splitlines()[-1].strip() == "B[i * (i * 2)] = A[i]"


def test_types_and_annotations_are_not_sites() -> None:
    function = kernel(
        "C = T.sblock_alloc_buffer((99,))",
        "for i in range(8):",
        '    with T.sblock("b"):',
        "        v = T.axis.spatial(8, i)",
        "        T.reads(A[v + 77])",
        "        T.writes(C[v])",
        "        C[v] = A[v + 77]",
    )
    literals = NextInteger().sites(function)
    assert literals.count("77") == 1
    assert "99" not in literals
    assert "16" not in literals


@pytest.mark.parametrize("stage", ["schedulable", "scheduled", "lowered"])
@pytest.mark.parametrize(
    "name", ["IntImm", "Add", "And", "TensorLoad", "Call", "SBlock", "For", "IfThenElse"]
)
def test_finding_and_replacing_agree_on_numbers(name: str, stage: str, stages: dict[str, list[Any]]) -> None:
    for function in stages[stage]:
        replaced: list[Any] = []

        def keep(number: int, node: Any, replaced: list[Any] = replaced) -> Any:
            assert number == len(replaced)
            replaced.append(node)
            return node

        classes = node_classes([name])
        found = kernel_occurrences(function.body, classes)
        assert replace_in_kernel(function.body, classes, keep).same_as(function.body)
        assert len(found) == len(replaced)
        assert all(one.node.same_as(other) for one, other in zip(found, replaced, strict=True))


@pytest.mark.parametrize("stage", ["schedulable", "scheduled", "lowered"])
def test_one_site_changes_one_node(stages: dict[str, list[Any]], stage: str) -> None:
    undone = 0
    for function in stages[stage]:
        for site, description in enumerate(LtToLe().sites(function)):
            changed = LtToLe().apply(function, [site])
            expected = description.replace("<", "<=")
            places = [n for n, text in enumerate(LeToLt().sites(changed)) if text == expected]
            back = [LeToLt().apply(changed, [place]) for place in places]
            undone += any(ir.ffi.structural_equal(each, function) for each in back)
            assert len(LeToLt().sites(changed)) == len(LeToLt().sites(function)) + 1
    assert undone == sum(len(LtToLe().sites(function)) for function in stages[stage]) > 0


def test_only_float32_stores_are_sites(stages: dict[str, list[Any]]) -> None:
    function = ir.script.from_source(
        "@T.prim_func(private=True, s_tir=True)\n"
        'def main(A: T.Buffer((8,), "float16"), B: T.Buffer((8,), "int32"), C: T.Buffer((8,), "float32")):\n'
        "    A[0] = A[1]\n    B[0] = B[1]\n    C[0] = C[1]\n"
    )
    assert StoreInt8().sites(function) == StoreMinusEpsilon().sites(function) == ["C[0] = C[1]"]


def test_literals_are_not_narrowed() -> None:
    function = kernel("B[0] = T.float32(0)", "B[1] = T.float32(0.5)", "B[2] = A[2]")
    assert StoreInt8().sites(function) == StoreFloat16().sites(function) == ["B[2] = A[2]"]
    assert len(StoreMinusEpsilon().sites(function)) == 3
    assert len(StoreTimesOnePlusEpsilon().sites(function)) == 2


def test_epsilon_is_an_option() -> None:
    changed = StoreMinusEpsilon(epsilon=0.5).apply(kernel("B[0] = A[0]"), [0])
    assert changed.script().splitlines()[-1].strip() == "B[0] = A[0] - T.float32(0.5)"


def test_unknown_node_class_is_a_plugin_error() -> None:
    with pytest.raises(PluginError, match="LessThan"):
        Misspelt().sites(kernel("B[0] = A[0]"))
