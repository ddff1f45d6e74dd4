"""ONNX models that would take more than any classifier does are refused before anything is made of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from mutatenn import InputError
from mutatenn_frontends._onnx import size as onnx_size
from mutatenn_frontends.onnx import Onnx

SETS = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]


def node(operator: str, *inputs: str, output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(operator, inputs, [output], **attributes)


def model(
    *nodes: Any, shape: Sequence[int] = (1, 1, 8, 8), functions: Sequence[Any] = (), **weights: Any
) -> Any:
    graph = helper.make_graph(
        [*nodes],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=SETS, ir_version=9, functions=functions)


def calls(level: int, name: str, times: int) -> Any:
    """Return a function that calls another so many times."""
    values = ["a", *(f"t{number}" for number in range(1, times)), "b"]
    domain = "local" if level else ""
    nodes = [helper.make_node(name, [values[n]], [values[n + 1]], domain=domain) for n in range(times)]
    return helper.make_function("local", f"f{level}", ["a"], ["b"], nodes, SETS)


def test_functions_are_counted_without_being_inlined() -> None:
    functions = [calls(level, f"f{level - 1}" if level else "Relu", 10) for level in range(12)]
    laughing = model(node("f11", "x", domain="local"), functions=functions)
    with pytest.raises(InputError, match=r"has more than 10\^9 operators, at most 10000 are supported"):
        onnx_size.require_few_operators(laughing)
    onnx_size.require_few_operators(model(node("f3", "x", domain="local"), functions=functions[:4]))


def test_a_function_that_calls_itself() -> None:
    circle = model(node("f1", "x", domain="local"), functions=[calls(1, "f1", 2)])
    with pytest.raises(InputError, match="has a function 'f1' that calls itself"):
        onnx_size.require_few_operators(circle)


def test_a_long_chain(tmp_path: Path) -> None:
    names = ["x", *(f"t{number}" for number in range(10_000)), "y"]
    chain = model(*(node("Relu", names[n], output=names[n + 1]) for n in range(len(names) - 1)))
    path = tmp_path / "chain.onnx"
    path.write_bytes(chain.SerializeToString())
    with pytest.raises(InputError, match=r"chain\.onnx: has 10001 operators"):
        Onnx().load(path)


def test_many_inputs() -> None:
    with pytest.raises(InputError, match="an operator Concat with 1001 inputs, at most 1000"):
        onnx_size.require_few_operators(model(node("Concat", *["x"] * 1001, axis=2)))


@pytest.mark.parametrize(
    ("large", "value"),
    [
        (
            model(node("Relu", "x"), shape=(1, 1, 30_000, 30_000)),
            "'x' of 1x1x30000x30000 would take 3.35 GiB",
        ),
        (model(node("Relu", "x"), shape=(1, 1, 2**40, 2**40)), "'x' of 1x1x1099511627776x1099511627776"),
        (
            model(node("MaxPool", "x", kernel_shape=[2, 2], pads=[2**31 - 1] * 4)),
            "'y' of 1x1x4294967301x4294967301",
        ),
        (model(node("Expand", "x", "s"), s=np.array([100_000, 100, 8, 8])), "'y' of 100000x100x8x8"),
        (
            model(node("ConstantOfShape", "s"), s=np.array([10**5, 10**5])),
            "'y' of 100000x100000 would take 37.3",
        ),
        (model(node("Tile", "x", "s"), s=np.array([1, 1, 10_000, 10_000])), "'y' of 1x1x80000x80000"),
        (
            model(node("Conv", "x", "k", dilations=[2**31 - 1] * 2), k=np.ones((1, 1, 3, 3), np.float32)),
            "'y' would",
        ),
    ],
)
def test_large_values(large: Any, value: str) -> None:
    with pytest.raises(InputError) as caught:
        onnx_size.require_small_values(large)
    assert value in str(caught.value)


@pytest.mark.parametrize(
    "weights", [{"location": "pipe"}, {"location": "real", "length": str(2**40)}, {"location": "x" * 300}]
)
def test_external_weights(tmp_path: Path, weights: dict[str, str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "real").write_bytes(bytes(4))
    outside = model(node("Add", "x", "w"), w=np.ones(1, np.float32))
    tensor = outside.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in weights.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (tmp_path / "net.onnx").write_bytes(outside.SerializeToString())
    with pytest.raises(InputError, match=r"its (external )?weights"):
        Onnx().load(tmp_path / "net.onnx")


@pytest.mark.parametrize("place", ["pipe", "large"])
def test_what_cannot_be_read_at_once(tmp_path: Path, place: str) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "large.onnx").touch()
    os.truncate(tmp_path / "large.onnx", 2**40)
    with pytest.raises(InputError, match=r"is neither a file nor a folder|is larger than 2 GiB"):
        Onnx().load(tmp_path / f"{place}.onnx")
