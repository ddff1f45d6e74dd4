"""Runs and freezes graphs that were checked, with TensorFlow; only ever in a process of its own."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import InputError, TensorSpec
from mutatenn_frontends._shared.classifier import Classifier, Tensor
from mutatenn_frontends._shared.files import reason
from mutatenn_frontends._tensorflow.operators import node_of, nodes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mutatenn_frontends._tensorflow.file import Graph

CLASSIFIER = Classifier(images=("float32", "uint8"), options=["input", "output"], open_size=True)
WHERE = ("Graph execution error", "Detected at node", "<stack traces", "[[", "File ")
"""How the lines of TensorFlow's errors begin that tell places, not causes."""


def fix_image(graph: Graph, wanted: str, size: Sequence[int] = ()) -> tuple[Graph, TensorSpec, str]:
    """Make the image the only placeholder, batch 1; return the graph, the image, and the tensor it is.

    ``wanted`` is the tensor, or the model's name of it, or empty; ``size`` is the (height, width) in pixels
    of an image that leaves them open. Raises InputError if there is not exactly one image.
    """
    computation = graph.computation
    specs = _placeholders(graph, computation, wanted)
    image = CLASSIFIER.image_of([*map(_tensor, specs.values())], size)
    (tensor,) = specs
    definition = type(graph.definition).FromString(graph.definition.SerializeToString())
    (node,) = (node for node in definition.node if node.name == node_of(tensor))
    _make_placeholder(node, image.shape, specs[tensor])
    for each in nodes_of(definition):
        if each.op == "PlaceholderWithDefault":  # a switch for training, say
            each.op = "Identity"
            each.attr["T"].type = each.attr.pop("dtype").type
            del each.attr["shape"]
    found = graph.replaced(definition)
    _require_alone(found.computation, node.name)
    name = next((name for name, each in graph.inputs.items() if each == tensor), node.name)
    return found, attrs.evolve(image, name=name), tensor


def _placeholders(graph: Graph, computation: Any, wanted: str) -> dict[str, Any]:
    """Return the symbolic tensors that may be the image, by name."""
    tensor = graph.inputs.get(wanted, wanted if ":" in wanted else f"{wanted}:0")
    with _imported(computation) as imported:
        if not wanted:
            operations = imported.get_operations()
            return {
                each.outputs[0].name: each.outputs[0] for each in operations if each.type == "Placeholder"
            }
        try:
            return {tensor: imported.get_tensor_by_name(tensor)}
        except (KeyError, ValueError):
            raise InputError(
                f"has no tensor {tensor} on the way to its output; set the option input to one"
            ) from None


def _require_alone(computation: Any, image: str) -> None:
    others = [node.name for node in computation.node if node.op == "Placeholder" and node.name != image]
    if others:
        raise InputError(
            f"needs more inputs than {image}: {', '.join(others)}; export it with the image alone"
        )


def _make_placeholder(node: Any, shape: tuple[int, ...], tensor: Any) -> None:
    node.op = "Placeholder"
    node.attr.clear()
    del node.input[:]
    node.attr["dtype"].type = tensor.dtype.as_datatype_enum
    for size in shape:
        node.attr["shape"].shape.dim.add(size=size)


@contextmanager
def _imported(definition: Any) -> Iterator[Any]:
    """Enter a graph of the definition; importing runs no operator that has an effect."""
    tf = import_module("tensorflow")
    with tf.Graph().as_default() as graph:
        try:
            tf.graph_util.import_graph_def(definition, name="")
        except Exception as error:  # ValueError, or what an operator makes of its attributes
            raise InputError(
                f"TensorFlow cannot load its graph ({reason(error)}); export it again"
            ) from error
        yield graph


@contextmanager
def session(graph: Graph) -> Iterator[Any]:
    """Enter a session of one thread in which the variables have their values."""
    tf = import_module("tensorflow")
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    with (
        _imported(graph.definition) as imported,
        tf.compat.v1.Session(graph=imported, config=config) as found,
    ):
        if graph.restore:
            try:
                found.run(f"{node_of(graph.restore.node)}", {graph.restore.filename: graph.restore.path})
            except Exception as error:  # NotFoundError, DataLossError, OutOfRangeError and others
                raise InputError(
                    f"the values of its variables cannot be read ({_said(error)}); export or copy it again"
                ) from error
        yield found


def freeze(graph: Graph, image: str) -> Any:
    """Return a ``ConcreteFunction`` from the image to the outputs: weights constant, functions inlined."""
    tf = import_module("tensorflow")
    constants = import_module("tensorflow.python.framework.convert_to_constants")
    outputs = list(graph.outputs.values())
    with session(graph) as found:
        _add_reads(found.graph)
        names = [*map(node_of, outputs)]
        convert = tf.compat.v1.graph_util.convert_variables_to_constants
        try:
            frozen = convert(found, graph.computation, names)
        except Exception as error:  # FailedPreconditionError of a variable without a value, and others
            raise InputError(f"its variables cannot be frozen ({_said(error)}); export it again") from error
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(frozen, name=""), [])
    try:
        pruned = wrapped.prune([image], outputs)
    except Exception as error:  # KeyError or ValueError of a name
        raise InputError(
            f"has no such output ({reason(error)}); set the option output to one that it has"
        ) from error
    _forget(frozen)
    return constants.convert_variables_to_constants_v2(pruned, lower_control_flow=False)


def _forget(definition: Any) -> None:
    """Let TensorFlow forget the functions of a graph, which it would not take in a rewritten form."""
    context = import_module("tensorflow.python.eager.context").context()
    for function in definition.library.function:
        context.remove_function(function.signature.name)


def _add_reads(graph: Any) -> None:
    """Add the node by which ``convert_variables_to_constants`` reads each variable, under its fixed name."""
    tf = import_module("tensorflow")
    with graph.as_default():
        for variable in [each for each in graph.get_operations() if each.type == "VarHandleOp"]:
            tf.raw_ops.ReadVariableOp(
                resource=variable.outputs[0],
                dtype=variable.get_attr("dtype"),
                name=f"{variable.name}/Read/ReadVariableOp",
            )


def scores(outputs: dict[str, Any]) -> TensorSpec:
    """Return the one output that can be scores per class, under its name, as ``[1, classes]``.

    ``outputs`` are symbolic tensors. Raises InputError if there is none, or several.
    """
    _, found = CLASSIFIER.scores_of([_tensor(each, name) for name, each in outputs.items()])
    return found


def run(graph: Graph, image: str, output: str, images: NDArray[np.generic]) -> NDArray[np.float32]:
    """Run the graph on image after image; returns float32 ``[images, classes]``."""
    with session(graph) as found:
        try:
            rows = [found.run(output, {image: each[np.newaxis]}).ravel() for each in images]
        except Exception as error:  # InvalidArgumentError of sizes that do not fit together, and others
            raise InputError(f"TensorFlow cannot run it ({_said(error)}); export it again") from error
    return np.array(rows, np.float32)


def _tensor(symbolic: Any, name: str = "") -> Tensor:
    shape = ("?",) if symbolic.shape.rank is None else symbolic.shape.as_list()
    return Tensor(name or symbolic.op.name, shape, symbolic.dtype.name)


def _said(error: Any) -> str:
    """Return what an error of TensorFlow says, without where the graph was built."""
    lines = [line.strip() for line in getattr(error, "message", str(error)).splitlines()]
    return reason(Exception(next((line for line in lines if line and not line.startswith(WHERE)), "")))
