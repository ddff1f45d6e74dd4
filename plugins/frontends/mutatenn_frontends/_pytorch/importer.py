"""Loads checked programs into PyTorch, turns them into Relax modules by way of TVM's importer, runs them."""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn import InputError, TensorSpec, ir
from mutatenn_frontends._pytorch import graph as pytorch_graph
from mutatenn_frontends._pytorch.conversions import conversions
from mutatenn_frontends._pytorch.decompositions import decompositions
from mutatenn_frontends._pytorch.refusals import naming, node_by_node
from mutatenn_frontends._shared.files import reason
from mutatenn_frontends._shared.scores import stacked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mutatenn_frontends._pytorch.file import Archive


COMPOSITE = re.compile(r"aten\.(\w+)\.(\w+)")
NO_ARITHMETIC = ("backward", "set_", "pin_memory", "_cufft", "_test")
"""Parts of names of operators that PyTorch makes of others, but that change what they are given, or more."""


def load(
    archive: Archive, output: str = "", size: tuple[int, ...] = ()
) -> tuple[Any, TensorSpec, TensorSpec]:
    """Return the ``torch.export.ExportedProgram``, its image and its scores; raises InputError.

    ``output`` names the scores, where several outputs could be; ``size`` is the (height, width) in pixels of
    an image that leaves them open.
    """
    program, image, scores = pytorch_graph.check(archive.program, output, size)
    torch = _torch()
    used = {name for name in pytorch_graph.operators(program) if not _is_composite(torch, name)}
    pytorch_graph.require_known(used, _known())
    try:
        with _quiet():
            return torch.export.load(archive.rebuild(program)), image, scores
    except Exception as error:  # whatever does not fit together
        raise InputError(
            f"was exported with PyTorch {archive.program.get('torch_version')}, and PyTorch "
            f"{torch.__version__} cannot load it ({reason(error)}); export it again with the latter"
        ) from error


def _torch() -> Any:
    """Return PyTorch; raises InputError where it is not installed."""
    try:
        import_module("torch.export")
        return import_module("torch")
    except ImportError as error:
        raise InputError(
            f"needs PyTorch, which cannot be imported ({reason(error)}); install it with "
            "pip install 'mutatenn[torch]'"
        ) from error


def _known() -> set[str]:
    """Return the operators, as ``conv2d.default``, that can be imported or decomposed into such.

    PyTorch knows many more, among them some that read and write files.
    """
    with _quiet():
        decomposed = import_module("torch.export").default_decompositions()
    names = {str(operator).removeprefix("aten.") for operator in decomposed} | _importable()
    in_place = {f"{name}_.{overload}" for name, _, overload in (each.partition(".") for each in names)}
    taken_apart = {str(operator).removeprefix("aten.") for operator in decompositions()}
    return names | in_place | taken_apart


def _is_composite(torch: Any, name: str) -> bool:
    """Tell whether an operator, as ``aten.outer.default``, is made of others wherever it is used."""
    found = COMPOSITE.fullmatch(name)
    if not found or any(part in name for part in NO_ARITHMETIC):
        return False
    place = f"aten::{found[1]}" if found[2] == "default" else f"aten::{found[1]}.{found[2]}"
    try:
        return bool(torch._C._dispatch_has_kernel_for_dispatch_key(place, "CompositeImplicitAutograd"))
    except RuntimeError:  # of what does not exist
        return False


def _importable() -> set[str]:
    return {*node_by_node()().convert_map, *conversions()}


def to_relax(program: Any, scores: TensorSpec) -> Any:
    """Return the Relax module of a program and its scores, which :func:`load` returned; raises InputError."""
    try:
        with _quiet():
            program = _decompose(program)
            importer = node_by_node()()
            module = importer.from_exported_program(
                program,
                keep_params_as_input=False,
                unwrap_unit_return_tuple=True,
                no_bind_return_tuple=False,
                custom_convert_map={name: naming(convert) for name, convert in conversions().items()},
            )
            module = importer.notes.write(module)
    except InputError:
        raise
    except Exception as error:  # whatever a conversion may raise
        raise InputError(
            f"cannot be imported ({reason(error, last=True)}); export it in inference mode, "
            "with standard layers"
        ) from error
    module = _as_scores(module, scores)
    passes = (ir.relax.transform.CanonicalizeBindings(), ir.relax.transform.DeadCodeElimination())
    module = ir.tvm.transform.Sequential(passes)(module)
    ir.relax.analysis.well_formed(module)
    return module


def _as_scores(module: Any, scores: TensorSpec) -> Any:
    """Return the module with its result in the shape of the scores."""
    main, builder = module["main"], ir.relax.BlockBuilder()
    if tuple(map(int, main.ret_ty.shape)) == scores.shape:
        return module
    with builder.function("main", list(main.params)):
        with builder.dataflow():
            for binding in (binding for block in main.body.blocks for binding in block.bindings):
                builder.emit_normalized(binding)
            result = builder.emit_output(ir.relax.op.reshape(main.body.body, scores.shape))
        builder.emit_func_output(result)
    return builder.get()


def _decompose(program: Any) -> Any:
    table = import_module("torch.export").default_decompositions()
    # Whole, its bias is added after the product, where mutation operators look for it.
    table.pop(_torch().ops.aten.linear.default)
    table.update(decompositions())
    program = program.run_decompositions(table)
    if program.graph_signature.buffers_to_mutate:
        raise InputError(pytorch_graph.TRAINING)
    calls = (node.target for node in program.graph.nodes if node.op == "call_function")
    importable = _importable()
    pytorch_graph.require_known(
        (str(target) for target in calls if target.__name__ not in importable), importable
    )
    return program


def run(program: Any, images: NDArray[np.generic], classes: int) -> NDArray[np.float32]:
    """Return float32 ``[images, classes]``, computed image by image on one thread."""
    torch = _torch()
    with _quiet(), torch.no_grad(), _one_thread(torch):
        module, given = program.module(), (torch.from_numpy(image[np.newaxis].copy()) for image in images)
        return stacked((module(image).numpy() for image in given), classes)


@contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more would hang where the parent of this process had used more
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _quiet() -> Iterator[None]:
    """Let PyTorch neither warn nor log, both of which go to standard error."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
