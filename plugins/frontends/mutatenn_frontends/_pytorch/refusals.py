"""Names the operator of a program that TVM's importer cannot convert, or makes something else of."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mutatenn import InputError, LayerNotes, ir
from mutatenn_frontends._pytorch.layers import layer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CURE = "compute it by other operators in the model's code, and export it again"
INEXACT = ("torch.bfloat16",)
MOST_SHOWN = 100
"""Characters of the arguments that a message shows."""


@cache
def node_by_node() -> Any:
    """Return TVM's importer, which knows here which operator it could not convert, and notes layers."""
    translator = import_module("tvm.relax.frontend.torch.exported_program_translator")

    class Importer(translator.ExportedProgramImporter):  # type: ignore[misc,name-defined]  # TVM is not typed
        def __init__(self) -> None:
            super().__init__()
            self.notes = LayerNotes()

        def create_convert_map(self) -> dict[str, Callable[..., Any]]:
            known: dict[str, Callable[[Any], Any]] = super().create_convert_map()
            return {name: naming(_of_node_alone(convert), self) for name, convert in known.items()}

    return Importer


def _of_node_alone(convert: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda node, _: convert(node)


def naming(convert: Callable[[Any, Any], Any], importer: Any = None) -> Callable[..., Any]:
    """Return a conversion that raises InputError, naming the operator, for whatever goes wrong in it.

    ``convert`` takes a node and the importer. What it returns must have the shape that PyTorch says, and be
    of whole numbers or not as there.
    """

    def named(node: Any, importer: Any = importer) -> Any:
        if str(getattr(node.meta.get("val"), "dtype", "")) in INEXACT:
            raise InputError(f"has {_described(node)} of bfloat16, which TVM rounds otherwise; {CURE}")
        try:
            found = convert(node, importer)
        except InputError:
            raise
        except Exception as error:  # whatever a conversion may raise
            raise InputError(f"has {_described(node)}, which cannot be imported; {CURE}") from error
        if not _is_as_told(found, node.meta.get("val")):
            raise InputError(f"has {_described(node)}, of which the importer makes another result; {CURE}")
        layer = layer_of(node)
        return found if layer is None else importer.notes.note(importer.block_builder, found, layer)

    return named


def _is_as_told(found: Any, told: Any) -> bool:
    """Tell whether a value of the graph can be what PyTorch says of it."""
    kind = getattr(found, "ty", None)
    if not (isinstance(kind, ir.relax.TensorType) and hasattr(told, "shape")):
        return True
    if not isinstance(kind.shape, ir.relax.ShapeExpr):
        return False
    sizes = [int(size) if isinstance(size, ir.tirx.IntImm) else None for size in kind.shape]
    return sizes == list(told.shape) and ("float" in str(kind.dtype)) == told.dtype.is_floating_point


def _described(node: Any) -> str:
    """Return an operator with its arguments, tensors aside."""
    shown = ", ".join(_shown(node))
    if len(shown) > MOST_SHOWN:
        shown = f"{shown[:MOST_SHOWN]}..."
    return f"{node.target} ({shown})" if shown else str(node.target)


def _shown(node: Any) -> Iterator[str]:
    arguments = zip(node.target._schema.arguments, node.args, strict=False)
    given = {argument.name: value for argument, value in arguments} | dict(node.kwargs)
    for name, value in given.items():
        plain = value if isinstance(value, list | tuple) else [value]
        if all(isinstance(each, bool | int | float | str) for each in plain):
            yield f"{name}={value}"
