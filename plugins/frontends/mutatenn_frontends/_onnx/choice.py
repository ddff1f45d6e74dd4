"""What the options of a campaign settle about an ONNX model: the size of its image, and which scores."""

from __future__ import annotations

from typing import Any

from mutatenn import InputError
from mutatenn_frontends._onnx.size import outline

PASSING = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
"""Operators that leave one number what it is."""
SIGMOIDS = {"HardSigmoid", "Sigmoid"}
IMAGE_RANK, CHANNELS = 4, (1, 3)


def set_size(image: Any, graph: Any, size: tuple[int, ...]) -> None:
    """Fix height and width (pixels), and channels, where an image input leaves them open, in place.

    A convolution of the image tells the channels, if the model does not.
    """
    dims = image.type.tensor_type.shape.dim
    if len(dims) != IMAGE_RANK:
        return
    last = dims[3].dim_value in CHANNELS and not dims[1].dim_value
    for place, pixels in zip((1, 2) if last else (2, 3), size, strict=True):
        dims[place].dim_value = dims[place].dim_value or pixels
    if not dims[1].dim_value:
        dims[1].dim_value = _channels(image.name, graph)


def _channels(image: str, graph: Any) -> int:
    """Return the channels that convolutions of an image want, 0 where there are none."""
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] == image and node.input[1] in shapes:
            group = next((each.i for each in node.attribute if each.name == "group"), 1)
            return int(shapes[node.input[1]][1]) * group
    return 0


def choose_output(graph: Any, name: str) -> None:
    """Make one of a graph's outputs the only one, in place; raises InputError if it is none of them."""
    names = [output.name for output in graph.output]
    if name not in names:
        raise InputError(f"has no output {name!r}; set model.options.output to one of {', '.join(names)}")
    kept = [output for output in graph.output if output.name == name]
    del graph.output[:]
    graph.output.extend(kept)


def make_two_scores(proto: Any) -> None:
    """Give a model of one score, for one of two classes, a score for either, in place.

    A probability p (of a sigmoid) becomes (1 - p, p), any other score z the logits (0, z): the softmax of
    these is the sigmoid of z. The first class is the one against which the score speaks.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    graph = proto.graph
    kind = _one_number(proto) if len(graph.output) == 1 else 0
    if not kind:
        return
    name, dtype = graph.output[0].name, helper.tensor_dtype_to_np_dtype(kind)
    probability = _is_probability(graph, name)
    first = np.full((1, 1), float(probability), dtype)
    values = {f"{name}/shape": np.array([1, 1]), f"{name}/first": first}
    graph.initializer.extend(numpy_helper.from_array(value, each) for each, value in values.items())
    graph.node.append(helper.make_node("Reshape", [name, f"{name}/shape"], [f"{name}/second"]))
    pair = [f"{name}/first", f"{name}/second"]
    if probability:
        graph.node.append(helper.make_node("Sub", pair, [f"{name}/rest"]))
        pair[0] = f"{name}/rest"
    graph.node.append(helper.make_node("Concat", pair, [f"{name}/two"], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(f"{name}/two", kind, [1, 2]))


def _one_number(proto: Any) -> int:
    """Return the ONNX type of the model's output if that is one floating-point number, else 0."""
    import onnx.shape_inference
    from onnx import TensorProto

    (output,) = onnx.shape_inference.infer_shapes(outline(proto), data_prop=True).graph.output
    kind = output.type.tensor_type
    sizes = [size.dim_value for size in kind.shape.dim]
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
    return int(kind.elem_type) if kind.elem_type in floats and sizes and set(sizes) == {1} else 0


def _is_probability(graph: Any, name: str) -> bool:
    """Tell whether a value is what a sigmoid returned."""
    makers = {output: node for node in graph.node for output in node.output}
    while name in makers and makers[name].op_type in PASSING:
        name = makers[name].input[0]
    return name in makers and makers[name].op_type in SIGMOIDS
