"""Turns a parsed TFLite model into a Relax module, by way of TVM's importer."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import InputError, Layer, LayerNotes, TensorSpec, ir
from mutatenn_frontends._shared.files import reason
from mutatenn_frontends._tflite.file import tensor_numbers
from mutatenn_frontends._tflite.forms import Forms
from mutatenn_frontends._tflite.quantised import WholeNumbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUANTISED = ("int4", "int8", "uint8", "int16")
"""Dtypes of quantised values; those of biases, int32 and int64, come with them."""


def importer() -> Any:
    """Return the module of TVM's TFLite importer."""
    return import_module("tvm.relax.frontend.tflite.tflite_frontend")


def require_float(model: Any) -> None:
    """Raise InputError that names the operators on quantised values: of a model that was float before."""
    found = {name: notes for name, operator in operators(model) if (notes := quantised(model, operator))}
    if found:
        dtypes = sorted({dtype for notes in found.values() for dtype, _ in notes.values()})
        raise InputError(
            f"is quantised ({', '.join(dtypes)} in {', '.join(sorted(found))}), unlike its reference; "
            "export it without quantisation"
        )


def quantised(model: Any, operator: Any) -> dict[int, tuple[str, tuple[float, ...]]]:
    """Return dtype and scales of the quantised tensors that an operator reads or writes, by their numbers."""
    graph, types = model.Subgraphs(0), vars(import_module("tflite").TensorType)
    dtypes = {types[dtype.upper()]: dtype for dtype in QUANTISED}
    found = {}
    for number in tensor_numbers(operator):
        if number >= 0:
            tensor = graph.Tensors(number)
            notes = tensor.Quantization()
            if notes and notes.ScaleLength() and tensor.Type() in dtypes:
                found[number] = dtypes[tensor.Type()], tuple(map(float, notes.ScaleAsNumpy()))
    return found


def operators(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and operator of the main graph, in order; custom ones are ``custom:Name``."""
    graph = model.Subgraphs(0)
    builtin = import_module("tflite").BuiltinOperator
    names = {value: name for name, value in vars(builtin).items() if isinstance(value, int)}
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        # Numbers above 126 do not fit the old field, files of old converters lack the new one.
        value = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        own = (code.CustomCode() or b"").decode(errors="replace")
        yield f"custom:{own}" if value == builtin.CUSTOM else names.get(value, f"#{value}"), operator


def to_relax(model: Any, image: TensorSpec, scores: tuple[int, TensorSpec]) -> Any:
    """Return the Relax module from the image to the scores, as float32 ``[1, classes]``.

    ``scores`` is the number of its tensor and what to make of it. Raises InputError if the importer does
    not support the model.
    """
    builder, notes = ir.relax.BlockBuilder(), LayerNotes()
    try:
        _build(builder, notes, model, image, scores)
        module = notes.write(ir.relax.transform.DeadCodeElimination()(builder.get()))
        ir.relax.analysis.well_formed(module)
    except InputError:
        raise
    except Exception as error:  # whatever a conversion may raise
        raise InputError(
            f"cannot be imported with batch 1 ({reason(error, last=True)}); convert it with batch 1 and "
            "fixed shapes, from a model in inference mode"
        ) from error
    return module


def _build(
    builder: Any, notes: LayerNotes, model: Any, image: TensorSpec, scores: tuple[int, TensorSpec]
) -> None:
    """Add ``main``; TVM's own function around the converter would give all outputs, and the weights twice."""
    graph = model.Subgraphs(0)
    variable = ir.relax.Var(image.name, ir.relax.TensorType(image.shape, image.dtype))
    table = importer().ExprTable()
    table.set_expr(importer().get_tensor_name(graph, int(graph.Inputs(0))), variable)
    converter = _converter()(model, graph, table, builder)
    _require_operators(model, converter.convert_map)
    converter.convert_map = {
        name: _noting(converter, notes, name, convert) for name, convert in converter.convert_map.items()
    }
    number, wanted = scores
    with builder.function("main", [variable]):
        try:
            with builder.dataflow():
                converter.convert_op_to_relax()
                (tensor,) = converter.get_tensors(np.array([number]))
                result = converter.get_tensor_expr(tensor)
                if tensor.qnn_params:
                    result = converter.dequantize(result, tensor)
                result = builder.normalize(result)
                if tuple(map(int, result.ty.shape)) != wanted.shape:
                    result = ir.relax.op.reshape(result, wanted.shape)
                result = builder.emit_output(result)
            builder.emit_func_output(result)
        except Exception:
            with suppress(RuntimeError):  # TVM would warn of the block left open on standard error
                builder._end_block()
            raise


def _noting(converter: Any, notes: LayerNotes, name: str, convert: Callable[..., Any]) -> Callable[..., Any]:
    """Return a conversion that notes the operator, by its first result, as the layer."""

    def noting(op: Any) -> Any:
        found = convert(op=op)
        if found is None:
            return None
        tensor = converter.get_output_tensors(op)[0].tensor
        # Of several operators that a converter made one of, the first one's name comes last.
        *_, own = (tensor.Name() or b"").decode(errors="replace").split(";")
        return notes.note(converter.bb, converter.bb.normalize(found), Layer(own, name))

    return noting


def _require_operators(model: Any, supported: dict[str, Any]) -> None:
    """Raise InputError that names every operator the importer does not support."""
    foreign = sorted({name for name, _ in operators(model)} - supported.keys())
    if foreign:
        raise InputError(
            f"uses operators that TVM's TFLite importer does not support: {', '.join(foreign)}; convert it "
            "with standard TFLite operators in their place"
        )


@cache
def _converter() -> Any:
    """Return TVM's converter with whole numbers for int8, and with the shapes noted in the file for batch 1.

    Converters write ``Reshape`` to sizes taken from ``Shape``, to keep the batch free; TVM's importer wants
    them constant, and with batch 1 they are.
    """

    class Converter(Forms, WholeNumbers, importer().OperatorConverter):  # type: ignore[misc]  # TVM is not typed
        def convert_shape(self, op: Any) -> Any:
            (data,), (output,) = self.get_input_tensors(op), self.get_output_tensors(op)
            sizes = ir.relax.get_shape_of(self.bb.normalize(self.get_tensor_expr(data)))
            dtype = self.get_tensor_type_as_numpy(output)
            return self.exp_tab.new_const(np.array(list(map(int, sizes)), dtype), dtype=np.dtype(dtype).name)

        def convert_reshape(self, op: Any) -> Any:
            data, *sizes = self.get_input_tensors(op)
            if not (sizes and self.has_expr(sizes[0].tensor_idx)):
                return super().convert_reshape(op)
            (output,) = self.get_output_tensors(op)
            return ir.relax.op.reshape(self.get_tensor_expr(data), self._get_tensor_shape_tuple(output))

    return Converter
