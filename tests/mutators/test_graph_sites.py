"""How graph operators number and describe sites, and what they leave alone."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

import numpy as np
import pytest

from mutatenn import GraphMutator, ir
from mutatenn_mutators import add_to_subtract, insert_exp, relu_to_sigmoid, transpose_input

OPERATORS: list[type[GraphMutator]] = [
    operator
    for module in (add_to_subtract, insert_exp, relu_to_sigmoid, transpose_input)
    for operator in module.mutatenn_mutators()
]


def graph(*lines: str, parameters: str = "x: R.Tensor((1, 4), 'float32')") -> Any:
    body = "\n".join(" " * 8 + line for line in lines)
    return ir.script.from_source(
        f"@I.ir_module\nclass Module:\n    @R.function\n    def main({parameters}):\n{body}"
    )


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_one_site_changes_few_lines(operator: type[GraphMutator], classifier: Any) -> None:
    before = classifier.script(show_meta=False).splitlines()
    for site in range(len(operator().sites(classifier))):
        after = operator().apply(classifier, [site]).script(show_meta=False).splitlines()
        diff = list(unified_diff(before, after, lineterm="", n=0))[2:]
        assert 2 <= sum(line[0] in "+-" for line in diff) <= 7
        assert sum(line.startswith("-") for line in diff) == 1


def test_site_names_variable_operator_and_shapes(classifier: Any) -> None:
    assert add_to_subtract.AddToSubtract().sites(classifier) == [
        "lv8 = R.add(lv6[1x4x8x8], lv7[1x4x1x1])",
        "lv9 = R.add(lv8[1x4x8x8], lv5[1x4x8x8])",
        "lv15 = R.add(lv14[1x5], const[5])",
    ]


def test_calls_that_do_not_depend_on_the_image_are_no_sites() -> None:
    builder = ir.relax.BlockBuilder()
    one = ir.relax.const(np.ones((2, 2), "float32"))
    image = ir.relax.Var("x", ir.relax.TensorType((2, 2), "float32"))
    with builder.function("main", [image]):
        direct = builder.emit(ir.relax.op.add(one, one))
        indirect = builder.emit(ir.relax.op.add(direct, one))
        used = builder.emit(ir.relax.op.add(image, indirect))
        builder.emit_func_output(used)
    module = builder.get()
    assert len(add_to_subtract.AddToSubtract().sites(module)) == 1
    changed = add_to_subtract.AddToSubtract().apply(module, [0]).script()
    assert changed.count("R.add") == 2
    assert "R.subtract(x, " in changed


def test_a_module_changed_in_place_is_read_anew() -> None:
    module, other = graph("y = R.add(x, x)", "return y"), graph("z = R.add(x, x)", "return z")
    operator = add_to_subtract.AddToSubtract()
    assert operator.sites(module) == ["y = R.add(x[1x4], x[1x4])"]
    module[module.get_global_var("main")] = other["main"]
    assert operator.sites(module) == ["z = R.add(x[1x4], x[1x4])"]


def test_branches_are_numbered_in_order() -> None:
    module = graph(
        "a = R.add(x, x)",
        "if c:",
        "    y = R.add(a, x)",
        "else:",
        "    y = R.add(x, a)",
        "z = R.add(y, y)",
        "return z",
        parameters="x: R.Tensor((1, 4), 'float32'), c: R.Tensor((), 'bool')",
    )
    operator = add_to_subtract.AddToSubtract()
    calls = [text.split(" = ")[1].replace("[1x4]", "") for text in operator.sites(module)]
    assert len(calls) == 4
    for site, call in enumerate(calls):
        assert call.replace("add", "subtract") in operator.apply(module, [site]).script()


def test_relu_to_sigmoid_leaves_other_clips_alone() -> None:
    module = graph("a = R.clip(x, -1, 1)", "b = R.clip(a, 0, 6)", "c = R.nn.relu(b)", "return c")
    sites = relu_to_sigmoid.ReluToSigmoid().sites(module)
    assert [text.split("(")[0] for text in sites] == ["b = R.clip", "c = R.nn.relu"]


def test_transposing_needs_two_equal_axes() -> None:
    shapes = "x: R.Tensor((1, 3, 8, 6), 'float32'), w: R.Tensor((4, 3, 1, 1), 'float32')"
    module = graph("y = R.nn.conv2d(x, w)", "return y", parameters=shapes)
    assert transpose_input.TransposeConv2dData().sites(module) == []
    assert transpose_input.TransposeConv2dWeight().sites(module) == []


def test_unknown_shapes_are_no_sites() -> None:
    module = graph("y = R.matmul(x, x)", "return y", parameters="x: R.Tensor(('n', 'n'), 'float32')")
    assert transpose_input.TransposeDenseData().sites(module) == []
    assert insert_exp.ExpDenseBefore().sites(module) == ["y = R.matmul(x[nxn], x[nxn])"]
