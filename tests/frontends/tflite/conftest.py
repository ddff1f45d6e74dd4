"""Small TFLite models, written field by field with the parser package's own builders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from refusals import check_refusal

from mutatenn import Model, ir
from mutatenn_frontends.tflite import Tflite

MISSING = "needs the packages of the extra: pip install 'mutatenn[tflite]'"
CONV = ("Conv2DOptions", {"StrideW": 1, "StrideH": 1})


class Net:
    """A graph of one image, ``[1, 8, 8, 3]`` unless said otherwise; tensors are known by their numbers."""

    def __init__(self, *image: int, dtype: str = "float32", **image_fields: Any) -> None:
        self.tflite = pytest.importorskip("tflite", reason=MISSING)
        flatbuffers = pytest.importorskip("flatbuffers", reason=MISSING)
        self.builder = flatbuffers.Builder(4096)
        self.buffers, self.codes = [self.table("Buffer")], dict[tuple[str, str], tuple[int, int]]()
        self.tensors, self.operators, self.inputs = list[int](), list[int](), list[int]()
        self.random = np.random.default_rng(3)
        self.image = self.input(*(image or (1, 8, 8, 3)), dtype=dtype, **{"name": "image"} | image_fields)

    def table(self, kind: str, **fields: Any) -> int:
        """Write a table of the schema and return its offset."""
        getattr(self.tflite, f"{kind}Start")(self.builder)
        for name, value in fields.items():
            getattr(self.tflite, f"{kind}Add{name}")(self.builder, value)
        return int(getattr(self.tflite, f"{kind}End")(self.builder))

    def offsets(self, tables: list[int]) -> int:
        self.builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self.builder.PrependUOffsetTRelative(table)
        return int(self.builder.EndVector())

    def numbers(self, values: Any, dtype: str = "int32") -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, dtype)))

    def tensor(
        self,
        *shape: int,
        dtype: str = "float32",
        name: str = "",
        value: Any = None,
        scale: float | list[float] = 0.0,
        zero: int = 0,
        axis: int = 0,
        signature: tuple[int, ...] = (),
    ) -> int:
        """Add a tensor and return its number."""
        fields = {"Shape": self.numbers(shape), "Type": getattr(self.tflite.TensorType, dtype.upper())}
        if value is not None:
            data = self.builder.CreateByteVector(np.asarray(value, dtype).tobytes())
            self.buffers.append(self.table("Buffer", Data=data))
            fields["Buffer"] = len(self.buffers) - 1
        if scale:
            steps = scale if isinstance(scale, list) else [scale]
            notes = {"Scale": self.numbers(steps, "float32"), "QuantizedDimension": axis}
            notes["ZeroPoint"] = self.numbers([zero] * len(steps), "int64")
            fields["Quantization"] = self.table("QuantizationParameters", **notes)
        if signature:
            fields["ShapeSignature"] = self.numbers(signature)
        if name:
            fields["Name"] = self.builder.CreateString(name)
        self.tensors.append(self.table("Tensor", **fields))
        return len(self.tensors) - 1

    def input(self, *shape: int, **fields: Any) -> int:
        self.inputs.append(self.tensor(*shape, **fields))
        return self.inputs[-1]

    def weight(self, *shape: int) -> int:
        value = self.random.standard_normal(shape)
        return self.tensor(*shape, value=value, name=f"w{len(self.tensors)}")

    def constant(self, *values: int) -> int:
        shape = (len(values),)
        return self.tensor(*shape, dtype="int32", value=values, name=f"k{len(self.tensors)}")

    def add(
        self,
        operator: str,
        inputs: list[int],
        *shape: int,
        options: tuple[str, dict[str, Any]] | None = None,
        name: str = "",
        **tensor: Any,
    ) -> int:
        """Add an operator and return the number of its output, of this shape."""
        names, own = vars(self.tflite.BuiltinOperator), operator not in vars(self.tflite.BuiltinOperator)
        code = names["CUSTOM" if own else operator]
        fields = {"CustomCode": self.builder.CreateString(operator)} if own else {}
        fields |= {"BuiltinCode": code, "DeprecatedBuiltinCode": min(code, 127), "Version": 1}
        position = len(self.codes)
        index, _ = self.codes.setdefault((operator, ""), (position, self.table("OperatorCode", **fields)))
        output = self.tensor(*shape, name=name or f"t{len(self.tensors)}", **tensor)
        fields = {"OpcodeIndex": index, "Inputs": self.numbers(inputs), "Outputs": self.numbers([output])}
        if options:
            kind, values = options
            fields["BuiltinOptionsType"] = getattr(self.tflite.BuiltinOptions, kind)
            fields["BuiltinOptions"] = self.table(kind, **values)
        self.operators.append(self.table("Operator", **fields))
        return output

    def pooled(self) -> int:
        """Add a convolution, its ReLU and a global mean; return the ``[1, 4]`` features."""
        options = (CONV[0], CONV[1] | {"FusedActivationFunction": self.tflite.ActivationFunctionType.RELU})
        found = self.add(
            "CONV_2D", [self.image, self.weight(4, 3, 3, 3), self.weight(4)], 1, 8, 8, 4, options=options
        )
        return self.mean(found)

    def mean(self, features: int, channels: int = 4) -> int:
        return self.add("MEAN", [features, self.constant(1, 2)], 1, channels, options=("ReducerOptions", {}))

    def dense(self, features: int, width: int = 4, **fields: Any) -> int:
        """Add a layer from ``[1, width]`` to five scores."""
        inputs = [features, self.weight(5, width), self.weight(5)]
        options = ("FullyConnectedOptions", {})
        return self.add("FULLY_CONNECTED", inputs, 1, 5, options=options, **{"name": "scores"} | fields)

    def content(self, *outputs: int) -> bytes:
        """Return the file."""
        graph = self.table(
            "SubGraph",
            Tensors=self.offsets(self.tensors),
            Inputs=self.numbers(self.inputs),
            Outputs=self.numbers(outputs),
            Operators=self.offsets(self.operators),
        )
        model = self.table(
            "Model",
            Version=3,
            OperatorCodes=self.offsets([code for _, code in self.codes.values()]),
            Subgraphs=self.offsets([graph]),
            Buffers=self.offsets(self.buffers),
        )
        self.builder.Finish(model, b"TFL3")
        return bytes(self.builder.Output())


@pytest.fixture(name="net")
def net_fixture() -> type[Net]:
    pytest.importorskip("ai_edge_litert", reason=MISSING)
    return Net


@pytest.fixture
def plain(net: type[Net]) -> bytes:
    """The smallest classifier: a convolution, a mean, a dense layer."""
    built = net()
    return built.content(built.dense(built.pooled()))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def to_file(content: bytes) -> Path:
        path = tmp_path / "net.tflite"
        path.write_bytes(content)
        return path

    return to_file


@pytest.fixture
def load(write: Callable[[bytes], Path]) -> Callable[[bytes], Model]:
    return lambda content: Tflite().load(write(content))


@pytest.fixture
def agree() -> Callable[..., NDArray[np.float32]]:
    """Check that the compiled model and the interpreter agree, on outputs that can disagree; return them."""

    def check(model: Model) -> NDArray[np.float32]:
        images = np.random.default_rng(5).uniform(-1, 1, (2, *model.input.shape[1:])).astype(np.float32)
        if model.input.dtype == "uint8":
            images = images * 100 + 128
        images = images.astype(model.input.dtype)
        expected = Tflite().reference(model, images)
        assert expected.shape == (len(images), model.output.shape[1])
        assert expected.dtype == np.float32
        assert all(2 * np.unique(row).size > row.size for row in expected)
        machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
        actual = [machine["main"](ir.tvm.runtime.tensor(image[np.newaxis])).numpy() for image in images]
        np.testing.assert_allclose(
            np.concatenate(actual), expected, rtol=1e-4, atol=1e-5 * abs(expected).max()
        )
        return expected

    return check


@pytest.fixture
def refused(write: Callable[[bytes], Path]) -> Callable[[Any, str], None]:
    """Check that loading (a path, or content) fails in one line: the file, a text, and a cure."""

    def check(source: Any, text: str) -> None:
        check_refusal(Tflite().load, source if isinstance(source, Path) else write(source), text)

    return check
