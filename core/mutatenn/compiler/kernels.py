"""Kernels: lowering one PrimFunc stage by stage, and building it."""

from __future__ import annotations

import ctypes
import functools
import importlib
import re
from typing import TYPE_CHECKING, Any

from mutatenn.compiler import ir
from mutatenn.compiler.cache import kernel_cache, load_library
from mutatenn.compiler.lane_masks import takes_signs_apart, without_mask_moves
from mutatenn.compiler.linking import find_linker, link_library
from mutatenn.compiler.rounding import expose_products, fix_device_rounding, fix_rounding
from mutatenn.errors import BuildError, InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mutatenn.api.program import Kernel
    from mutatenn.compiler.cache import KernelCache

# All kernels are lowered under one name, so that equal code has equal hashes.
SYMBOL = "kernel"
NO_IDENTIFIER = re.compile(r"^(?=\d)|\W", re.ASCII)


def lower_kernel(function: Any, target: Any) -> Any:
    """Return a scheduled PrimFunc lowered up to, not including, the split of host and device code.

    This is the last form in which a kernel is one function: thread and tail guards have become if statements.
    Raises BuildError if the compiler rejects it.
    """
    before, _ = pipeline()
    module = ir.tvm.IRModule({SYMBOL: function.with_attr("global_symbol", SYMBOL)})
    module = ir.tirx.transform.BindTarget(_with_host(target))(module)
    with target:
        return as_build_error(ir.tvm.ir.transform.Sequential(before), module)[SYMBOL]


def build_kernel(kernel: Kernel, target: Any) -> Callable[..., Any]:
    """Compile a kernel and return the function to call with (arguments, results) as tensors.

    What was built before comes from the kernel cache. A kernel that holds a whole Relax module is compiled
    for TVM's virtual machine, and not cached. Raises BuildError if the compiler rejects it.
    """
    if not kernel.checksum and isinstance(kernel.ir, ir.tvm.IRModule):
        return _build_module(kernel.ir, target)
    symbol = kernel_symbol(kernel)
    cache = kernel_cache() if "cpu" in target.keys and find_linker() else None
    built = cache.load(kernel, symbol) if cache else None
    if built is None:
        library = compile_kernel(kernel, target, symbol)
        path = _keep(cache, kernel, library) if cache else None
        built = load_library(path, symbol) if path else None
    if built is None:
        built = as_build_error(lambda lib: lib[symbol], library)  # links the code in memory
    return built  # type: ignore[no-any-return]


def _keep(cache: KernelCache, kernel: Kernel, library: Any) -> Path | None:
    try:
        return cache.store(kernel, link_library(library))
    except (InputError, OSError):  # a linker that fails is missed later, by those who cannot do without
        return None


def kernel_library(kernel: Kernel, target: Any) -> bytes:
    """Compile a kernel for a processor, maybe another machine's, and return it as a shared library's content.

    Its function is :func:`kernel_symbol`. What was built before comes from the kernel cache. Raises
    BuildError if the compiler rejects it, InputError where no linker for the target is installed.
    """
    cache = kernel_cache()
    shared = cache.library(kernel) if cache else None
    if shared is None:
        triple = str(target.attrs.get("mtriple", ""))
        shared = link_library(compile_kernel(kernel, target, kernel_symbol(kernel)), triple)
        if cache:
            cache.store(kernel, shared)
    return shared


def kernel_symbol(kernel: Kernel) -> str:
    """Return a kernel's name in its library; as it has the digest in it, it resolves to no other's code."""
    return f"k_{kernel.digest}"


def compile_kernel(kernel: Kernel, target: Any, symbol: str = SYMBOL) -> Any:
    """Compile a kernel and return TVM's runtime module with it under a symbol, device code among its imports.

    Raises BuildError if the compiler rejects it, InputError for a kernel that holds a whole Relax module.
    """
    return compile_kernels({symbol: kernel}, target)


def compile_kernels(kernels: Mapping[str, Kernel], target: Any) -> Any:
    """Compile several kernels, by symbol, into one runtime module; raises as :func:`compile_kernel`."""
    functions = {}
    for symbol, kernel in kernels.items():
        if isinstance(kernel.ir, ir.tvm.IRModule):
            raise InputError(f"{kernel.name} has no code of its own: the model runs on TVM's virtual machine")
        if "cpu" in target.keys:
            function = kernel.ir
            _refuse_undefined(function)
        else:
            function = plain_names(kernel.ir)
        functions[symbol] = as_build_error(expose_products, function).with_attr("global_symbol", symbol)
    split, *rest = pipeline()[1]
    with target:
        module = as_build_error(split, ir.tvm.IRModule(functions))
        if "cpu" not in target.keys:
            for symbol in functions:
                _refuse_host_work(module[symbol])
        module = as_build_error(ir.tvm.ir.transform.Sequential(rest), module)
        library = as_build_error(functools.partial(_generate, target=target), module)
    spared = without_mask_moves(target)
    if spared is None or not takes_signs_apart(library):
        return library
    with spared:
        return as_build_error(functools.partial(_generate, target=spared), module)


def _refuse_undefined(function: Any) -> None:
    """Raise BuildError for a call of a C function that is not there: in memory it is a null pointer."""
    process = ctypes.CDLL(None)
    missing = []

    def look(call: Any) -> None:
        if str(getattr(call.op, "name", "")).endswith(("call_extern", "call_pure_extern")):
            name = str(call.args[0].value)
            if not hasattr(process, name):
                missing.append(name)

    ir.ffi.structural_walk(function.body, (ir.tvm.ir.Call, look))
    if missing:
        raise BuildError(f"undefined symbol {missing[0]}")


def _refuse_host_work(function: Any) -> None:
    """Raise BuildError for a GPU kernel's host function that accesses tensors, which the device has.

    TVM's VerifyMemory does not see accesses by way of a buffer that another declares again.
    """
    found: list[Any] = []
    kinds = (ir.tirx.BufferStore, ir.tvm.ir.TensorLoad)
    ir.ffi.structural_walk(function.body, (kinds, found.append))
    if found:
        raise BuildError("a tensor's access is left to the host, outside of any thread")


def plain_names(function: Any) -> Any:
    """Return a PrimFunc whose variables have identifiers as names.

    Parameters are named as in the model, and TVM writes names into source as they are: a model could bring
    its own code.
    """
    plain: dict[Any, Any] = {}

    def variable(var: Any) -> Any:
        if var not in plain:
            name = NO_IDENTIFIER.sub("_", var.name)
            plain[var] = var if name == var.name else ir.tvm.ir.Var(name, var.ty)
        return plain[var]

    return ir.ffi.structural_map(function, (ir.tvm.ir.Var, variable))


def _build_module(module: Any, target: Any) -> Callable[..., Any]:
    executable = as_build_error(functools.partial(ir.tvm.compile, target=target), module)
    main = ir.relax.VirtualMachine(executable, ir.tvm.cpu())["main"]

    def call(*tensors: Any) -> None:
        main(*tensors[:-1]).copyto(tensors[-1])

    return call


def _generate(module: Any, target: Any) -> Any:
    build = importlib.import_module("tvm.tirx.build")  # the attribute of that name is the function
    finalize_host, finalize_device = ir.tirx.get_default_tir_pipeline(target)[1:]
    host, devices = build.split_host_device_mods(module)
    devices = {
        where: fix_device_rounding(finalize_device()(device), where) for where, device in devices.items()
    }
    processor = _with_host(target).host
    return build.tir_to_runtime(fix_rounding(finalize_host()(host), processor), devices, processor)


def _with_host(target: Any) -> Any:
    return target if target.host is not None else target.with_host(target)


@functools.cache
def pipeline() -> tuple[Sequence[Any], Sequence[Any]]:
    """Return TVM's default TIR passes in two lists, cut before SplitHostDevice.

    TVM offers the pipeline only as a closure over its pass list; it is read by standing in for the
    Sequential that the closure makes.
    """
    captured: list[Any] = []

    def sequential(passes: Sequence[Any]) -> Callable[[Any], Any]:
        captured.extend(passes)
        return lambda module: module

    transform = ir.tvm.ir.transform
    original, transform.Sequential = transform.Sequential, sequential
    try:
        ir.s_tir.pipeline.default_s_tir_pipeline()[0](ir.tvm.IRModule())
    finally:
        transform.Sequential = original
    cut = [each.info.name for each in captured].index("tirx.SplitHostDevice")
    return captured[:cut], captured[cut:]


def as_build_error(step: Callable[[Any], Any], argument: Any) -> Any:
    """Return ``step(argument)``; raise BuildError for whatever TVM raises there."""
    try:
        return step(argument)
    except (MemoryError, OSError, ImportError, InfrastructureError):  # of the machine, not of the program
        raise
    except Exception as error:  # TVM raises many types, several of them built-in ones
        raise BuildError(f"{type(error).__name__}: {last_line(error)}") from error


def last_line(error: BaseException) -> str:
    """Return the last non-empty line of an error's message, where TVM puts the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
