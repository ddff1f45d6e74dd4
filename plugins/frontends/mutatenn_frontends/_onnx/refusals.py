"""Names what of an ONNX model cannot be imported exactly: the operator, its attributes, its dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import InputError, ir

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXED = "export it with batch 1 and fixed shapes, in inference mode"
NARROW = ("BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT8E8M0")
NARROWEST = ("FLOAT4E2M1", "INT4", "UINT4", "INT2", "UINT2")
"""With the last, types of values whose rounding TVM leaves out, or does otherwise than ONNX."""
STRANGE = ("COMPLEX64", "COMPLEX128", "STRING")
MOST_SHOWN = 60
"""Characters of the attributes that a message shows."""


def unconvertible(node: Any, opset: int) -> InputError:
    """Return the error of an operator that the importer cannot convert."""
    return InputError(
        f"has {described(node, opset)} that cannot be imported with batch 1; {FIXED}, or with other "
        "operators in its place"
    )


def described(node: Any, opset: int) -> str:
    """Return what tells a node apart: operator, operator set, name and attributes."""
    article = "an" if node.op_type[0] in "AEIO" and not node.op_type.startswith("One") else "a"
    name = f" {node.name!r}" if node.name else ""
    shown = ", ".join(f"{each.name} = {value}" for each in node.attribute for value in _shown(each))
    if len(shown) > MOST_SHOWN:
        shown = f"{shown[:MOST_SHOWN]}..."
    return f"{article} {node.op_type}{name} (operator set {opset}{f', {shown}' if shown else ''})"


def _shown(attribute: Any) -> Iterator[str]:
    """Yield an attribute as text, if it is a number, a text, or a few of these."""
    from onnx import helper

    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, int | float):
        yield f"{value:g}"
    elif isinstance(value, list) and all(isinstance(each, int | float) for each in value):
        yield str(value)


def require_fixed(node: Any, opset: int, value: Any) -> None:
    """Raise InputError for a result whose size depends on the numbers in the image."""
    kind = getattr(value, "ty", None)
    if not isinstance(kind, ir.relax.TensorType):
        return
    shape = kind.shape
    if not isinstance(shape, ir.relax.ShapeExpr) or any(
        not isinstance(size, ir.tirx.IntImm) for size in shape
    ):
        raise InputError(
            f"has {described(node, opset)} whose result has no fixed size; export it with other operators in "
            "its place, or choose an output that does not need it"
        )


def require_dtypes(proto: Any) -> None:
    """Raise InputError for values of types that TVM rounds otherwise than ONNX, or does not know."""
    from onnx import TensorProto

    refused = {
        getattr(TensorProto, name): name
        for name in (*NARROW, *NARROWEST, *STRANGE)
        if hasattr(TensorProto, name)
    }
    for tensor in proto.graph.initializer:
        if tensor.data_type in refused and refused[tensor.data_type] != "BFLOAT16":
            raise InputError(
                f"has weights {tensor.name!r} of {refused[tensor.data_type].lower()}, which cannot be "
                "imported; export it in float32, float16 or int8"
            )
    types = _types(proto)
    for node in proto.graph.node:
        found = next((refused[types[name]] for name in node.output if types.get(name) in refused), None)
        if found:
            opset = next(
                (entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 1
            )
            raise InputError(
                f"has {described(node, opset)} to {found.lower()}, which TVM rounds otherwise than ONNX; "
                "export it in float32, float16 or int8"
            )


def _types(proto: Any) -> dict[str, int]:
    """Return the ONNX types of values by name, where they are known."""
    import onnx.shape_inference

    from mutatenn_frontends._onnx.size import outline

    graph = onnx.shape_inference.infer_shapes(outline(proto)).graph
    return {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
