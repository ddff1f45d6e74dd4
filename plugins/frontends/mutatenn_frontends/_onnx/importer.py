"""Turns a checked ONNX model into a Relax module, by way of TVM's importer."""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout, suppress
from functools import cache
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from mutatenn import InputError, Layer, LayerNotes, TensorSpec, ir
from mutatenn_frontends._onnx.conversions import importer, own_conversions
from mutatenn_frontends._onnx.expand import expand, is_defined
from mutatenn_frontends._onnx.file import CLASSIFIER, operators
from mutatenn_frontends._onnx.fold import fold
from mutatenn_frontends._onnx.old_forms import modernise
from mutatenn_frontends._onnx.refusals import FIXED, require_dtypes, require_fixed, unconvertible
from mutatenn_frontends._shared.classifier import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

IN_IMPORTER = {"If", "Constant"}
"""Operators that TVM's importer handles without an entry in its table."""


def require_operators(proto: Any, *, written_out: bool = False) -> None:
    """Raise InputError that names every operator that the importer does not support.

    Before a model is written out, those that ONNX defines by others pass.
    """
    import onnx

    table = importer()._get_convert_map()

    def known(domain: str, name: str) -> bool:
        # TVM ignores domains; a few of the names it knows are onnxruntime's own operators.
        ours = domain == "" or (domain == "com.microsoft" and not onnx.defs.has(name))
        return ours and (name in table or name in IN_IMPORTER)

    foreign = sorted(
        f"{domain}:{name}".lstrip(":")
        for domain, name in operators(proto)
        if not (known(domain, name) or (not written_out and is_defined(proto, domain, name)))
    )
    if foreign:
        raise InputError(
            f"uses operators that TVM's ONNX importer does not support: {', '.join(foreign)}; export it "
            "with standard ONNX operators in their place"
        )


def simplified(proto: Any) -> Any:
    """Return the model of operators that the importer knows, with plain constants.

    May be the same one, changed in place. Raises InputError where that is not possible.
    """
    written = written_out(proto)
    require_operators(written, written_out=True)
    fold(written)
    modernise(written)
    return written


def written_out(proto: Any) -> Any:
    """Return the model with ONNX's definitions in the place of what the importer does not know."""
    return expand(proto, {*importer()._get_convert_map(), *IN_IMPORTER})


def to_relax(proto: Any) -> tuple[Any, TensorSpec]:
    """Return the Relax module and the ONNX output it computes, as float32 ``[1, classes]``.

    Raises InputError if it cannot be imported or does not classify.
    """
    layers = _layers(proto.graph)
    proto = simplified(proto)
    module = convert(proto, layers)
    outputs = _outputs(module, [output.name for output in proto.graph.output])
    place, spec = CLASSIFIER.scores_of(outputs)
    if outputs != [Tensor(spec.name, spec.shape, spec.dtype)]:
        _keep_only(proto.graph, outputs[place], spec)
        module = convert(proto, layers)
    module = ir.relax.transform.DeadCodeElimination()(module)
    ir.relax.analysis.well_formed(module)
    return module, spec


def _layers(graph: Any) -> dict[str, Layer]:
    """Return the nodes of a graph by what they compute; those without a name have that of their output."""
    return {
        output: Layer(node.name or node.output[0], node.op_type)
        for node in graph.node
        for output in node.output
        if output
    }


def convert(proto: Any, layers: Mapping[str, Layer] = MappingProxyType({})) -> Any:
    """Return the Relax module of a model as it is; raises InputError if it cannot be imported.

    ``layers`` are the layers of values, by name; what leads to one is of that layer, too.
    """
    require_dtypes(proto)
    graph = _node_by_node()({}, "float32")
    graph.layers = layers
    printed = io.StringIO()  # it prints what it fails on, which the error says as well
    try:
        with own_conversions(), redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return graph.notes.write(graph.from_onnx(proto.graph, _operator_set(proto)))
    except Exception as error:  # whatever a conversion may raise
        with suppress(RuntimeError):  # TVM would warn of the block left open on standard error
            graph.bb._end_block()
        raise (
            error if isinstance(error, InputError) else InputError(f"cannot be imported; {FIXED}")
        ) from error


@cache
def _node_by_node() -> Any:
    """Return TVM's importer, which knows here which operator it could not convert."""

    class Importer(importer().ONNXGraphImporter):  # type: ignore[misc]  # TVM is not typed
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.notes = LayerNotes()
            self.layers: Mapping[str, Layer] = {}

        def _construct_nodes(self, graph: Any) -> None:
            for node in graph.node:
                try:
                    super()._construct_nodes(SimpleNamespace(node=[node]))
                except InputError:
                    raise
                except Exception as error:
                    raise unconvertible(node, self.opset) from error
                for name in node.output:
                    require_fixed(node, self.opset, self._nodes.get(name))
                    if name in self.layers and name in self._nodes:
                        value = self._nodes[name]
                        self._nodes[name] = self.notes.note(self.bb, value, self.layers[name])

    return Importer


def _operator_set(proto: Any) -> int:
    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    return int(versions[0]) if versions else 1


def _outputs(module: Any, names: list[str]) -> list[Tensor]:
    """Return what a module's ``main`` returns, under the names of the ONNX outputs."""
    kind = module["main"].ret_ty
    kinds = kind.fields if isinstance(kind, ir.relax.TupleType) else [kind]
    return [*map(_tensor, names, kinds)]


def _tensor(name: str, kind: Any) -> Tensor:
    if not isinstance(kind, ir.relax.TensorType):
        return Tensor(f"{name} (no tensor)")
    shape = kind.shape if isinstance(kind.shape, ir.relax.ShapeExpr) else ("?",)
    sizes = (int(size) if isinstance(size, ir.tirx.IntImm) else None for size in shape)
    return Tensor(name, tuple(sizes), str(kind.dtype))


def _keep_only(graph: Any, found: Tensor, wanted: TensorSpec) -> None:
    """Make one output the only one, and give it the shape and dtype that are wanted."""
    from onnx import TensorProto, helper

    name = found.name
    if found.shape != wanted.shape:
        graph.node.append(helper.make_node("Flatten", [name], [f"{name}/flat"], axis=1))
        name += "/flat"
    if found.dtype != wanted.dtype:
        graph.node.append(helper.make_node("Cast", [name], [f"{name}/float32"], to=TensorProto.FLOAT))
        name += "/float32"
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, wanted.shape))
