from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray
from refusals import check_refusal

from mutatenn import Model, ir
from mutatenn_frontends.onnx import Onnx

Write = Callable[[Any], Path]
Refused = Callable[[Any, str], None]


def build(
    body: str,
    image: str = "float[1,3,8,8] image",
    scores: str = "float[1,5] scores",
    opset: int = 17,
    domains: str = "",
    **weights: NDArray[Any],
) -> Any:
    """Build an ONNX model from the text of its nodes; weights w (convolution) and fc are always there."""
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}{domains}]> net ({image}) => ({scores}) {{ {body} }}'
    )
    random = np.random.default_rng(3)
    weights = {
        "w": random.standard_normal((4, 3, 3, 3), np.float32),
        "fc": random.standard_normal((4, 5), np.float32),
        **weights,
    }
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in weights.items()
    )
    return proto


def execute(model: Model, images: NDArray[Any]) -> NDArray[Any]:
    """Compile with TVM's own defaults and run image by image."""
    machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
    return np.concatenate(
        [machine["main"](ir.tvm.runtime.tensor(image[np.newaxis])).numpy() for image in images]
    )


@pytest.fixture(name="build")
def build_fixture() -> Callable[..., Any]:
    return build


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write bytes, or an ONNX model, to a file."""

    def to_file(content: Any) -> Path:
        path = tmp_path / "net.onnx"
        path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
        return path

    return to_file


@pytest.fixture
def load(write: Write) -> Callable[[Any], Model]:
    return lambda content: Onnx().load(write(content))


@pytest.fixture
def agree() -> Callable[..., NDArray[np.float32]]:
    """Check that the compiled model and onnxruntime agree, on outputs that can disagree; return them."""

    def check(model: Model, images: NDArray[Any] | None = None) -> NDArray[np.float32]:
        if images is None:
            images = np.random.default_rng(5).uniform(-1, 1, (2, *model.input.shape[1:]))
            images = images.astype(model.input.dtype)
        expected = Onnx().reference(model, images)
        assert expected.shape == (len(images), model.output.shape[1])
        assert expected.dtype == np.float32
        assert all(4 * np.unique(row).size > row.size for row in expected)  # saturated scores always agree
        actual = execute(model, images)
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * abs(expected).max())
        assert actual.dtype == np.float32
        return expected

    return check


@pytest.fixture
def refused(write: Write) -> Refused:
    """Check that loading (a path, or content) fails in one line: the file, a text, and a cure."""

    def check(source: Any, text: str) -> None:
        check_refusal(Onnx().load, source if isinstance(source, Path) else write(source), text)

    return check
