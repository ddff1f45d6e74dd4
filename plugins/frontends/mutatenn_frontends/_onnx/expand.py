"""Writes out operators that TVM's ONNX importer does not know, where ONNX defines them by simpler ones."""

from __future__ import annotations

from typing import Any

from mutatenn_frontends._onnx.file import STANDARD, graphs, version_of
from mutatenn_frontends._onnx.refusals import unconvertible
from mutatenn_frontends._onnx.size import outline

OTHERWISE = {"Attention", "CastLike"}
"""Operators that the importer takes for others of the same name, or of another form."""
FIRST_RESULT_ONLY = {"LayerNormalization"}
"""Operators of which the importer makes up the further results."""
BY_TYPE = {"CastLike"}
"""Operators whose definition depends on types, which are not known inside of other definitions."""
STEPS = 8
"""Definitions may be of operators that are defined by others in turn."""


def expand(proto: Any, known: set[str]) -> Any:
    """Return the model with definitions in the place of what is not ``known`` by that name and form.

    The definitions are ONNX's own, those of the model's operator set. Raises InputError for a model in whose
    place no definition can be put.
    """
    import onnx.inliner

    for _ in range(STEPS):
        nodes = [node for graph in graphs(proto.graph) for node in graph.node]
        taken = {name for node in nodes for name in node.input}
        taken |= {output.name for graph in graphs(proto.graph) for output in graph.output}
        unknown = {
            (node.domain, node.op_type)
            for node in nodes
            if not _is_known(node, known, taken) and is_defined(proto, node.domain, node.op_type)
        }
        if not unknown:
            break
        unknown = {(domain, name) for domain, name in unknown if name not in BY_TYPE} or unknown
        _note_types(proto)
        written = [node for node in nodes if (node.domain, node.op_type) in unknown]
        for node in written:
            _note_defaults(proto, node)
        try:
            proto = onnx.inliner.inline_selected_functions(
                proto, sorted(unknown), inline_schema_functions=True
            )
        except Exception as error:  # of forms with inputs left out, and others that it cannot cope with
            raise unconvertible(written[0], version_of(proto, written[0].domain)) from error
    return proto


def _note_types(proto: Any) -> None:
    """Note the types of all values, which definitions may depend on, in place."""
    import onnx.shape_inference
    from onnx import helper

    graph = onnx.shape_inference.infer_shapes(outline(proto), data_prop=True).graph
    weights = [
        helper.make_tensor_value_info(each.name, each.data_type, each.dims)
        for each in proto.graph.initializer
    ]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend([*graph.value_info, *weights])


def _note_defaults(proto: Any, node: Any) -> None:
    """Write out the attributes that a node leaves at their defaults, which definitions may refer to."""
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in _schema(proto, node.domain, node.op_type).attributes.items():
        if attribute.default_value.name and name not in given:
            node.attribute.append(attribute.default_value)


def is_defined(proto: Any, domain: str, name: str) -> bool:
    """Tell whether ONNX defines an operator by simpler ones, in the model's operator set."""
    schema = _schema(proto, domain, name)
    return schema is not None and bool(schema.has_function or schema.has_context_dependent_function)


def _schema(proto: Any, domain: str, name: str) -> Any:
    import onnx.defs

    try:
        return onnx.defs.get_schema(name, version_of(proto, domain), "" if domain in STANDARD else domain)
    except onnx.defs.SchemaError:
        return None


def _is_known(node: Any, known: set[str], taken: set[str]) -> bool:
    if node.op_type in FIRST_RESULT_ONLY and taken & set(node.output[1:]):
        return False
    return node.domain in STANDARD and node.op_type in known - OTHERWISE
