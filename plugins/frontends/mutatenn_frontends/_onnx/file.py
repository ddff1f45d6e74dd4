"""Reads ONNX files: one image in, batch 1."""

from __future__ import annotations

import hashlib
import math
import os
from typing import TYPE_CHECKING, Any

from mutatenn import InputError, TensorSpec
from mutatenn_frontends._onnx.choice import set_size
from mutatenn_frontends._onnx.order import sort_nodes
from mutatenn_frontends._onnx.size import LARGEST_VALUE, require_few_operators
from mutatenn_frontends._shared import files
from mutatenn_frontends._shared.classifier import Classifier, Tensor
from mutatenn_frontends._shared.files import reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLASSIFIER = Classifier(
    images=("float32", "float16", "uint8"),
    scores=("float32", "float16", "float64"),
    options=["output"],
    open_size=True,
)
STANDARD = ("", "ai.onnx")
"""The names of the domain of ONNX's own operators."""


def read(source: Path) -> tuple[Any, str]:
    """Return the ``onnx.ModelProto``, weights included, and the sha256 (hex) of all it is made of.

    Functions local to the model are inlined, nodes sorted. Raises InputError if files are missing or damaged.
    """
    content = files.content(source, "an ONNX model", ".onnx")
    proto = _parse(content)
    require_few_operators(proto)
    digest = hashlib.sha256(content)
    for tensor in _load_external(proto, source.parent):
        digest.update(tensor.raw_data)
    proto = _inline(proto)
    sort_nodes(proto.graph)
    return proto, digest.hexdigest()


def _parse(content: bytes) -> Any:
    import onnx

    damaged = "is not an ONNX model, or is damaged or cut short; export or download it again"
    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # each implementation of protobuf raises its own
        raise InputError(damaged) from error
    if not proto.graph.node:  # nothing at all is valid protobuf for an empty model
        raise InputError(damaged)
    return proto


def _load_external(proto: Any, directory: Path) -> list[Any]:
    """Load weights kept in other files; return the tensors they belong to, in the model's order."""
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    external = [tensor for tensor in _tensors(proto.graph) if uses_external_data(tensor)]
    _require_files(external, directory)
    try:
        load_external_data_for_model(proto, str(directory))
    except Exception as error:  # OSError, ValueError or ValidationError, depending on the release of onnx
        raise InputError(
            f"its external weights cannot be read ({reason(error)}); keep the data files beside the model, "
            "under the names they were saved with"
        ) from error
    return external


def _require_files(external: list[Any], directory: Path) -> None:
    """Raise InputError for weights kept in what is no file, or of more bytes than there can be."""
    for tensor in external:
        about = {entry.key: entry.value for entry in tensor.external_data}
        file = directory / about.get("location", "")
        if os.path.exists(file) and not os.path.isfile(file):  # False of a name that no file can have
            raise InputError(f"its external weights are in {file.name!r}, which is no file; export it again")
        length = about.get("length", "0")
        largest = max(math.prod(tensor.dims), int(length) if length.isdigit() else 0)
        if largest > LARGEST_VALUE:
            raise InputError(f"its weights {tensor.name!r} take {largest} bytes or more; export it again")


def _inline(proto: Any) -> Any:
    if not proto.functions:
        return proto
    import onnx.inliner

    try:
        return onnx.inliner.inline_local_functions(proto)
    except Exception as error:
        raise InputError(f"its functions cannot be inlined ({reason(error)}); export it again") from error


def check(proto: Any) -> None:
    """Raise InputError for a model that breaks ONNX's own rules."""
    import onnx

    _check_version(proto, onnx.defs.onnx_opset_version())
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # ValidationError, or ValueError above protobuf's limit of 2 GiB
        raise InputError(f"is not a valid ONNX model ({reason(error)}); export it again") from error


def _check_version(proto: Any, newest: int) -> None:
    """Raise InputError for operators of a later version than any that is known here."""
    version = max((each.version for each in proto.opset_import if each.domain in STANDARD), default=1)
    if version > newest:
        raise InputError(
            f"is of ONNX operator set {version}, which does not exist or is newer than what is installed "
            f"(up to {newest}); export it with an earlier one"
        )


def version_of(proto: Any, domain: str) -> int:
    """Return the version of the operators of a domain that a model uses; 1 where it does not say."""
    names = STANDARD if domain in STANDARD else (domain,)
    return next((int(each.version) for each in proto.opset_import if each.domain in names), 1)


def operators(proto: Any) -> set[tuple[str, str]]:
    """Return (domain, name) of every operator the model uses, control flow included."""
    return {
        ("" if node.domain in STANDARD else node.domain, node.op_type)
        for graph in graphs(proto.graph)
        for node in graph.node
    }


def graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and those of its control flow."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)


def _tensors(graph: Any) -> Iterator[Any]:
    for part in graphs(graph):
        yield from part.initializer
        yield from (a.t for node in part.node for a in node.attribute if a.HasField("t"))


def fix_image(proto: Any, size: tuple[int, ...]) -> TensorSpec:
    """Set batch 1, and (height, width) in pixels where the model leaves them open; return the image input.

    Done in place. Raises InputError unless exactly one input is no weight and it is one image.
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    weights |= {tensor.values.name for tensor in proto.graph.sparse_initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    before = [size.dim_value for value in inputs for size in value.type.tensor_type.shape.dim]
    for value in inputs if size else ():
        set_size(value, proto.graph, size)
    image = CLASSIFIER.image_of([*map(_tensor, inputs)])
    inputs[0].type.tensor_type.shape.dim[0].dim_value = 1
    if before != list(image.shape):
        _forget_shapes(proto.graph)
    return image


def _forget_shapes(graph: Any) -> None:
    """Drop the shapes noted for values and outputs, which may hold another batch size."""
    del graph.value_info[:]
    for output in graph.output:
        for size in output.type.tensor_type.shape.dim:
            size.Clear()


def _tensor(value: Any) -> Tensor:
    """Return an input as the model tells of it, but for a fixed batch, which can be made 1."""
    from onnx.helper import tensor_dtype_to_np_dtype

    kind = value.type.tensor_type
    if not kind.elem_type:
        return Tensor(f"{value.name} (no tensor)")
    try:
        dtype = str(tensor_dtype_to_np_dtype(kind.elem_type))
    except (KeyError, TypeError, AttributeError):
        dtype = f"type {kind.elem_type}"
    shape = [size.dim_value if size.dim_value > 0 else size.dim_param or None for size in kind.shape.dim]
    return Tensor(value.name, [1 if isinstance(size, int) else size for size in shape[:1]] + shape[1:], dtype)
