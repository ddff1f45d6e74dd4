"""How graph operators number and describe sites, and what they leave alone."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

import pytest

from mutatenn import GraphMutator, ir
from mutatenn_mutators.paper import add_to_subtract, insert_exp, relu_to_sigmoid, transpose_input

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
    assert add_to_subtract.AddToSubtract().sites(classifier) == ["lv9 = R.add(lv8[1x4x8x8], lv5[1x4x8x8])"]
    assert add_to_subtract.SubtractBias().sites(classifier) == [
        "lv8 = R.add(lv6[1x4x8x8], lv7[1x4x1x1])",
        "lv15 = R.add(lv14[1x5], const[5])",
    ]


BIAS = "R.const([1.0, 2.0, 3.0, 4.0], 'float32')"


@pytest.mark.parametrize(
    ("lines", "changed"),
    [
        ((f"y = R.add(x, {BIAS})",), "R.subtract(x, "),
        ((f"y = R.add({BIAS}, x)",), "R.subtract(x, "),
        (("y = R.add(x, R.const(1.0, 'float32'))",), "R.subtract(x, "),
        ((f"b = R.reshape({BIAS}, (1, 4))", "y = R.add(b, x)"), "R.subtract(x, b)"),
        ((f"b = R.reshape({BIAS}, (1, 4))", "e = R.exp(x)", "y = R.add(e, b)"), "R.subtract(e, b)"),
        ((f"b = R.broadcast_to({BIAS}, (1, 4))", "c = R.negative(b)", "y = R.add(c, x)"), "R.subtract(x, c)"),
        ((f"a = {BIAS}", "b = R.add(a, a)", "y = R.add(b, x)"), "R.subtract(x, b)"),
        (("t = R.split(R.const([1.0, 2.0], 'float32'), 2)", "y = R.add(t[1], x)"), "R.subtract(x, "),
        (("t = R.split(x, 2, axis=1)", "y = R.add(R.const(1.0, 'float32'), t[1])"), "= R.subtract(gv1, "),
    ],
)
def test_what_is_added_to_a_constant_is_no_residual(lines: tuple[str, ...], changed: str) -> None:
    module = graph(*lines, "return y")
    assert add_to_subtract.AddToSubtract().sites(module) == []
    (site,) = add_to_subtract.SubtractBias().sites(module)
    assert site.startswith("y = R.add(")
    assert changed in add_to_subtract.SubtractBias().apply(module, [0]).script()


@pytest.mark.parametrize(
    "lines",
    [
        ("y = R.add(x, x)",),
        ("e = R.exp(x)", "y = R.add(e, x)"),
        (f"b = R.multiply(x, {BIAS})", "y = R.add(b, x)"),
        ("m = R.mean(x, axis=1, keepdims=True)", "y = R.add(m, x)"),
        ("t = R.split(x, 2, axis=1)", "y = R.add(t[0], t[1])"),
    ],
)
def test_both_operands_of_a_residual_are_computed(lines: tuple[str, ...]) -> None:
    module = graph(*lines, "return y")
    assert len(add_to_subtract.AddToSubtract().sites(module)) == 1
    assert add_to_subtract.SubtractBias().sites(module) == []
    assert "R.subtract(" in add_to_subtract.AddToSubtract().apply(module, [0]).script()


def test_a_long_chain_of_calls_is_followed_to_the_image() -> None:
    chain = [f"v{n + 1} = R.exp(v{n})" for n in range(1200)]
    module = graph("v0 = R.exp(x)", *chain, f"y = R.add(v1200, {BIAS})", "return y")
    assert "R.subtract(v1200, " in add_to_subtract.SubtractBias().apply(module, [0]).script()


def test_calls_that_do_not_depend_on_the_image_are_no_sites() -> None:
    module = graph(f"a = R.add({BIAS}, {BIAS})", f"b = R.add(a, {BIAS})", "y = R.add(x, b)", "return y")
    assert add_to_subtract.SubtractBias().sites(module) == ["y = R.add(x[1x4], b[4])"]
    changed = add_to_subtract.SubtractBias().apply(module, [0]).script()
    assert changed.count("R.add") == 2
    assert "R.subtract(x, b)" in changed


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


@pytest.mark.parametrize("operator", [cls for cls in OPERATORS if "-dense-" in cls.name])
def test_a_dense_layer_is_a_product_by_a_matrix(operator: type[GraphMutator]) -> None:
    shapes = "x: R.Tensor((2, 4, 4), 'float32'), w: R.Tensor((4, 4), 'float32')"
    module = graph("d = R.matmul(x, w)", "y = R.matmul(d, x)", "return y", parameters=shapes)
    assert [text.split("(")[0] for text in operator().sites(module)] == ["d = R.matmul"]


def test_transposing_needs_two_equal_axes() -> None:
    shapes = "x: R.Tensor((1, 3, 8, 6), 'float32'), w: R.Tensor((4, 3, 1, 1), 'float32')"
    module = graph("y = R.nn.conv2d(x, w)", "return y", parameters=shapes)
    assert transpose_input.TransposeConv2dData().sites(module) == []
    assert transpose_input.TransposeConv2dWeight().sites(module) == []


def test_unknown_shapes_are_no_sites() -> None:
    module = graph("y = R.matmul(x, x)", "return y", parameters="x: R.Tensor(('n', 'n'), 'float32')")
    assert transpose_input.TransposeDenseData().sites(module) == []
    assert insert_exp.ExpDenseBefore().sites(module) == ["y = R.matmul(x[nxn], x[nxn])"]
