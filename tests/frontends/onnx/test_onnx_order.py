"""Nodes are put into order on load: ONNX asks for one, onnxruntime does not."""

from __future__ import annotations

from random import Random
from typing import Any

import onnx
import pytest

from mutatenn_frontends._onnx.order import sort_nodes

BODY = """
c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, w)
r = Relu(c)
d = Add(r, c)
x = GlobalAveragePool(d)
flat = Flatten(x)
scores = MatMul(flat, fc)
"""


def shuffled(proto: Any, seed: int) -> Any:
    nodes = list(proto.graph.node)
    Random(seed).shuffle(nodes)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto


@pytest.mark.parametrize("seed", range(4))
def test_any_order_is_read(load: Any, build: Any, agree: Any, seed: int) -> None:
    model = load(shuffled(build(BODY), seed))
    agree(model)
    assert model.digest != load(build(BODY)).digest


def test_sorted_nodes_stay_as_they_are(build: Any) -> None:
    proto = build(BODY)
    before = proto.SerializeToString()
    sort_nodes(proto.graph)
    assert proto.SerializeToString() == before


def test_what_a_branch_takes_comes_before_it() -> None:
    node, graph = onnx.helper.make_node, onnx.helper.make_graph
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1])
    branch = graph([node("Neg", ["late"], ["out"])], "branch", [], [out])
    nodes = [node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch), node("Abs", ["x"], ["late"])]
    whole = graph(nodes, "whole", [], [])
    sort_nodes(whole)
    assert [each.op_type for each in whole.node] == ["Abs", "If"]


def test_a_branch_may_call_its_result_as_the_node_calls_its_own() -> None:
    node, graph = onnx.helper.make_node, onnx.helper.make_graph
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    branch = graph([node("Neg", ["late"], ["y"])], "branch", [], [out])
    nodes = [node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch), node("Abs", ["x"], ["late"])]
    whole = graph(nodes, "whole", [], [])
    sort_nodes(whole)
    assert [each.op_type for each in whole.node] == ["Abs", "If"]


def test_a_circle(refused: Any, build: Any) -> None:
    body = f"r = Relu(d) d = Neg(r) {BODY}".replace("r = Relu(c)\nd = Add(r, c)", "")
    refused(build(body), "has operators that wait for each other: ")
