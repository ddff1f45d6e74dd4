"""A network that grows node by node, each evaluated by onnxruntime as it is added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnxruntime
from numpy.typing import NDArray

OPSET = 17
PROVIDERS = ["CPUExecutionProvider"]
PROBES = 2
LARGEST = 40.0
"""No value may be larger on the probes, so that rounding errors are not amplified either."""
ELEMENTS = 3000


class UnfitError(Exception):
    """A node was drawn that is of no use here; another is drawn in its place."""


def need(condition: bool) -> None:
    """Raise UnfitError unless a condition holds."""
    if not condition:
        raise UnfitError


@attrs.frozen(eq=False)
class Value:
    """A tensor of the network, and what it is on the probes; ``floor`` is below all it can be."""

    name: str
    probes: tuple[NDArray[np.float32], ...]
    floor: float = -np.inf

    @property
    def shape(self) -> tuple[int, ...]:
        return self.probes[0].shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return self.probes[0].size


@attrs.define(eq=False)
class Net:
    """A network under construction: nodes, constants, and the values computed so far."""

    rng: np.random.Generator
    image: tuple[int, ...]
    nodes: list[Any] = attrs.field(init=False, factory=list)
    constants: dict[str, NDArray[Any]] = attrs.field(init=False, factory=dict)
    values: list[Value] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        probes = [self.rng.uniform(-1, 1, self.image).astype(np.float32) for _ in range(PROBES)]
        self.values = [Value("image", tuple(probes))]

    def add(self, operator: str, *inputs: Value | str, floor: float = -np.inf, **attributes: Any) -> Value:
        """Append a node and return its result; raises UnfitError for an empty or a large one."""
        names = [each if isinstance(each, str) else each.name for each in inputs]
        node = onnx.helper.make_node(operator, names, [f"v{len(self.nodes)}"], **attributes)
        constants = {name: self.constants[name] for name in names if name in self.constants}
        probes = _evaluate(node, [each for each in inputs if isinstance(each, Value)], constants)
        need(all(0 < each.size <= ELEMENTS for each in probes))
        need(all(abs(each).max() <= LARGEST for each in probes))  # never true of NaN
        self.nodes.append(node)
        self.values.append(Value(node.output[0], probes, floor))
        return self.values[-1]

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        """Return the name of a constant; small ones are often used again."""
        array = np.asarray(array, dtype)
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def weights(self, *shape: int, scale: float = 1.0) -> str:
        """Return the name of a constant of random numbers; often one that is there already."""
        floats = {name: known for name, known in self.constants.items() if known.dtype == np.float32}
        alike = [name for name, known in floats.items() if known.shape == shape]
        if alike and self.chance(0.6):
            return self.pick(alike)
        return self.constant(self.rng.normal(0, scale, shape))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    @contextmanager
    def attempt(self, most: int) -> Iterator[None]:
        """Take back what is added inside if it turns out unfit, or makes more than so many nodes."""
        nodes, values, constants = len(self.nodes), len(self.values), dict(self.constants)
        try:
            yield
            need(len(self.nodes) <= most)
        except UnfitError:
            del self.nodes[nodes:]
            del self.values[values:]
            self.constants = constants

    def model(self, scores: Value) -> Any:
        """Return the ONNX model."""
        used = {name for node in self.nodes for name in node.input}
        proto = _model(
            self.nodes,
            [("image", self.image)],
            (scores.name, scores.shape),
            {name: array for name, array in self.constants.items() if name in used},
        )
        onnx.checker.check_model(proto)
        return proto


def _model(nodes: Any, inputs: Any, output: Any, constants: dict[str, NDArray[Any]]) -> Any:
    def info(name: str, shape: Any) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(
        nodes, "net", [info(*each) for each in inputs], [info(*output)], initializers
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8)


def _evaluate(
    node: Any, inputs: list[Value], constants: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.float32], ...]:
    distinct = {each.name: each for each in inputs}
    shapes = [(each.name, each.shape) for each in distinct.values()]
    proto = _model([node], shapes, (node.output[0], None), constants)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, PROVIDERS)
        feeds = [{each.name: each.probes[probe] for each in distinct.values()} for probe in range(PROBES)]
        return tuple(session.run(None, feed)[0] for feed in feeds)
    except Exception as error:  # its errors have no common base class
        raise UnfitError(str(error)) from error
