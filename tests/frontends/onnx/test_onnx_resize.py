"""Resize and Upsample compute what ONNX's own node tests want of them, and what onnxruntime does."""

from __future__ import annotations

import copy
import functools
import warnings
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from mutatenn import InputError, ir
from mutatenn_frontends._onnx import importer
from mutatenn_frontends.onnx import Onnx

REFUSED = ("_not_larger", "_not_smaller", "_crop_and_resize_axes_2_3", "_crop_and_resize_axes_3_2")
"""Ends of the names of node tests that are refused by name."""
OLD = [
    (7, "scales = [1.0, 1.0, 2.0, 3.0], mode = 'nearest'"),
    (7, "scales = [1.0, 1.0, 1.5, 2.5], mode = 'nearest'"),
    (7, "scales = [1.0, 1.0, 2.0, 3.0], mode = 'linear'"),
    (7, "scales = [1.0, 1.0, 1.3, 1.7], mode = 'linear'"),
]


@functools.cache
def node_tests() -> dict[str, Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {each.name: each for each in collect_testcases("Resize")}


def run(proto: Any, image: Any) -> Any:
    """Compile with TVM's own defaults."""
    machine = ir.relax.VirtualMachine(ir.tvm.compile(importer.convert(proto), "llvm"), ir.tvm.cpu())
    return machine["main"](ir.tvm.runtime.tensor(image)).numpy()


def agree(model: Any) -> None:
    images = np.random.default_rng(5).uniform(-1, 1, (1, *model.input.shape[1:])).astype(np.float32)
    machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
    found = machine["main"](ir.tvm.runtime.tensor(images)).numpy()
    np.testing.assert_allclose(found, Onnx().reference(model, images), rtol=1e-5, atol=1e-6)


def baked(case: Any) -> Any:
    """Return a node test's model, which others use too, with all but its image as initialisers."""
    proto, (given, _) = copy.deepcopy(case.model), case.data_sets[0]
    for value, name in zip(given[1:], [each.name for each in proto.graph.input][1:], strict=True):
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    del proto.graph.input[1:]
    return proto


def name_of(case: str) -> str:
    return case.removeprefix("test_resize_")


@pytest.mark.parametrize(
    "name", sorted(each for each in node_tests() if each.startswith("test_resize")), ids=name_of
)
def test_a_node_test(name: str) -> None:
    case = node_tests()[name]
    proto = baked(case)
    if name.endswith(REFUSED):
        with pytest.raises(InputError, match=r"has a Resize .*cannot be imported; export"):
            importer.convert(proto)
        return
    (image, *_), (expected,) = case.data_sets[0]
    np.testing.assert_allclose(run(proto, image), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("opset", "attributes"), OLD)
def test_upsample(load: Any, build: Any, opset: int, attributes: str) -> None:
    text = attributes.replace("'", '"')
    model = load(
        build(f"u = Upsample <{text}> (image) scores = Flatten(u)", scores="float[1,M] scores", opset=opset)
    )
    agree(model)
    assert ("image.resize2d" in model.module.script()) == ("3.0" in attributes)


@pytest.mark.parametrize(
    ("node", "opset", "scales"),
    [
        ("Upsample", 9, (2, 2)),
        ("Upsample", 9, (3, 1.5)),
        ("Resize", 10, (2, 2)),
        ("Resize", 10, (3, 1.5)),
        ("Resize", 10, (0.5, 0.7)),
    ],
)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_scales_as_an_input(load: Any, build: Any, node: str, opset: int, scales: Any, mode: str) -> None:  # noqa: PLR0917
    body = f'u = {node} <mode = "{mode}"> (image, by) scores = Flatten(u)'
    by = np.array([1, 1, *scales], np.float32)
    agree(load(build(body, scores="float[1,M] scores", opset=opset, by=by)))


@pytest.mark.parametrize("empty", ["scales", "roi", "both"])
def test_inputs_that_are_empty(load: Any, build: Any, empty: str) -> None:
    """PyTorch writes them so."""
    none, wanted = np.zeros(0, np.float32), np.array([1, 3, 12, 20])
    roi, scales = ("" if empty == "scales" else "roi"), ("" if empty == "roi" else "by")
    node = helper.make_node("Resize", ["image", roi, scales, "to"], ["u"], mode="linear")
    proto = build(
        "u = Relu(image) scores = Flatten(u)", scores="float[1,M] scores", roi=none, by=none, to=wanted
    )
    proto.graph.node[0].CopyFrom(node)
    model = load(proto)
    agree(model)
    assert "image.resize2d" in model.module.script()


def test_sizes_from_the_image(write: Any, build: Any) -> None:
    proto = build(
        "s = ReduceMax <keepdims = 0> (image) c = Cast <to = 7> (s) n = Reshape(c, one)"
        " to = Concat <axis = 0> (two, n, n) u = Resize(image, , , to) scores = Flatten(u)",
        scores="float[1,M] scores",
        one=np.array([1]),
        two=np.array([1, 3]),
    )
    with pytest.raises(InputError, match="Resize"):
        Onnx().load(write(proto))


def test_node_tests_are_there() -> None:
    assert len(node_tests()) > 30
