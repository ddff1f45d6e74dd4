"""What the options of a campaign settle about an ONNX model: the size of its image, and which scores."""

from __future__ import annotations

from typing import Any

from mutatenn import InputError

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
