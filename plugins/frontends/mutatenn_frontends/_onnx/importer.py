"""Turns a checked ONNX model into a Relax module, by way of TVM's importer."""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout, suppress
from typing import Any

from mutatenn import InputError, TensorSpec, ir
from mutatenn_frontends._onnx.conversions import importer, own_conversions
from mutatenn_frontends._onnx.file import CLASSIFIER, operators
from mutatenn_frontends._onnx.fold import fold
from mutatenn_frontends._shared.classifier import Tensor
from mutatenn_frontends._shared.files import reason

IN_IMPORTER = {"If", "Constant"}
"""Operators that TVM's importer handles without an entry in its table."""
PRINTER_NOTE = "# Metadata omitted. Use show_meta=True in script() method to show it."
"""What TVM's printer adds to any tensor that it prints into a message."""


def require_operators(proto: Any) -> None:
    """Raise InputError that names every operator the importer does not support."""
    import onnx

    table = importer()._get_convert_map()

    def known(domain: str, name: str) -> bool:
        # TVM ignores domains; a few of the names it knows are onnxruntime's own operators.
        ours = domain == "" or (domain == "com.microsoft" and not onnx.defs.has(name))
        return ours and (name in table or name in IN_IMPORTER)

    foreign = sorted(
        f"{domain}:{name}".lstrip(":") for domain, name in operators(proto) if not known(domain, name)
    )
    if foreign:
        raise InputError(
            f"uses operators that TVM's ONNX importer does not support: {', '.join(foreign)}; export it "
            "with standard ONNX operators in their place"
        )


def to_relax(proto: Any) -> tuple[Any, TensorSpec]:
    """Return the Relax module and the ONNX output it computes, as float32 ``[1, classes]``.

    May add nodes to the model in place. Raises InputError if it cannot be imported or does not classify.
    """
    try:
        fold(proto)
    except Exception as error:  # whatever an operator makes of sizes that do not fit together
        raise _unfit(error) from error
    module = convert(proto)
    outputs = _outputs(module, [output.name for output in proto.graph.output])
    place, spec = CLASSIFIER.scores_of(outputs)
    if outputs != [Tensor(spec.name, spec.shape, spec.dtype)]:
        _keep_only(proto.graph, outputs[place], spec)
        module = convert(proto)
    module = ir.relax.transform.DeadCodeElimination()(module)
    ir.relax.analysis.well_formed(module)
    return module, spec


def convert(proto: Any) -> Any:
    """Return the Relax module of a model as it is; raises InputError if it cannot be imported."""
    graph = importer().ONNXGraphImporter({}, "float32")
    printed = io.StringIO()  # it prints what it fails on, which the error says as well
    try:
        with own_conversions(), redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return graph.from_onnx(proto.graph, _operator_set(proto))
    except Exception as error:  # whatever a conversion may raise
        with suppress(RuntimeError):  # TVM would warn of the block left open on standard error
            graph.bb._end_block()
        raise error if isinstance(error, InputError) else _unfit(error) from error


def _unfit(error: Exception) -> InputError:
    why = reason(error, last=True).removeprefix(PRINTER_NOTE).strip()
    return InputError(
        f"cannot be imported with batch 1 ({why}); export it with batch 1 and fixed shapes, in inference mode"
    )


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
