"""Splits a lowered GPU kernel into the source of its device code and the launches that run it."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.values import TensorSpec
from mutatenn.compiler import ir
from mutatenn.compiler.kernels import SYMBOL, as_build_error, pipeline, plain_names
from mutatenn.compiler.rounding import expose_products, fix_device_rounding
from mutatenn.errors import BuildError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mutatenn.api.program import Kernel

    Extents = tuple[int, int, int]


@attrs.frozen
class Launch:
    """One run of a device kernel: ``grid`` blocks of ``block`` threads each, by dimension x, y, z.

    ``arguments`` are buffers by number: the PrimFunc's parameters in their order, then the scratch buffers.
    """

    kernel: str
    arguments: tuple[int, ...]
    grid: Extents
    block: Extents

    def __str__(self) -> str:
        grid, block = (" x ".join(map(str, extents)) for extents in (self.grid, self.block))
        return f"{self.kernel}({', '.join(map(str, self.arguments))}) on {grid} blocks of {block} threads"


@attrs.frozen
class DeviceCode:
    """Device source, the launches that make up one run of a PrimFunc, its parameters and scratch buffers.

    Nothing in it depends on the name of the kernel.
    """

    source: str
    launches: tuple[Launch, ...]
    parameters: tuple[TensorSpec, ...]
    scratch: tuple[TensorSpec, ...]

    @property
    def listing(self) -> str:
        """The source, and in comments at its end what the host does with it."""
        buffers = [*self.parameters, *(f"scratch {each}" for each in self.scratch)]
        lines = [f"// buffer {number}: {buffer}" for number, buffer in enumerate(buffers)]
        lines += [f"// launch {each}" for each in self.launches]
        return "\n".join([self.source.rstrip(), "", *lines, ""])


def device_code(
    kernel: Kernel, target: Any, prepare: Callable[[Any], Any] = lambda function: function
) -> DeviceCode:
    """Return a kernel's device code as source; ``prepare`` may rewrite each device function before.

    Raises BuildError if the compiler rejects the kernel, or if some of its work is left to the host;
    InputError for a kernel that holds a whole Relax module.
    """
    if isinstance(kernel.ir, ir.tvm.IRModule):
        raise InputError(f"{kernel.name} has no code of its own: the model runs on TVM's virtual machine")
    function = as_build_error(expose_products, plain_names(kernel.ir))
    module = ir.tvm.IRModule({SYMBOL: function.with_attr("global_symbol", SYMBOL)})
    split, *rest = pipeline()[1]
    with target:
        module = as_build_error(split, module)
        host = _Host.read(module[SYMBOL])
        module = as_build_error(ir.tvm.ir.transform.Sequential(rest), module)
        source = as_build_error(functools.partial(_generate, target=target, prepare=prepare), module)
    parameters = tuple(map(_spec, function.params))
    return DeviceCode(source, tuple(host.launches), parameters, tuple(host.scratch))


def _generate(module: Any, target: Any, prepare: Callable[[Any], Any]) -> str:
    build = importlib.import_module("tvm.tirx.build")  # the attribute of that name is the function
    finalize = ir.tirx.get_default_tir_pipeline(target)[2]
    _, devices = build.split_host_device_mods(module)
    if len(devices) != 1:
        raise BuildError("nothing of it runs on the device")
    ((where, functions),) = devices.items()
    finished = fix_device_rounding(finalize()(functions), where)
    prepared = {name: prepare(function) for name, function in finished.functions.items()}
    return str(build.codegen_build(ir.tvm.IRModule(prepared), where).inspect_source())


@attrs.define
class _Host:
    """What the host's half of a split kernel does; ``buffers`` numbers what its variables stand for."""

    buffers: dict[Any, int]
    launches: list[Launch] = attrs.field(factory=list)
    scratch: list[TensorSpec] = attrs.field(factory=list)

    @classmethod
    def read(cls, function: Any) -> _Host:
        """Follow a host function from launch to launch; raises BuildError for any other work in it."""
        host = cls({parameter: number for number, parameter in enumerate(function.params)})
        first = len(host.buffers)
        for statement in _statements(function.body):
            if isinstance(statement, ir.tirx.AllocBuffer):
                host.buffers[statement.buffer] = first + len(host.scratch)
                host.scratch.append(_spec(statement.buffer))
            elif isinstance(statement, ir.tirx.DeclBuffer):
                host.buffers[statement.buffer] = host.number(statement.data)
            else:
                host.launches.append(host.launch(statement))
        return host

    def number(self, data: Any) -> int:
        """Return the number of the buffer behind a pointer."""
        owner = data.args[0] if isinstance(data, ir.tvm.ir.Call) else data
        if owner not in self.buffers:
            raise BuildError(f"a device kernel gets something else than a buffer: {data}")
        return self.buffers[owner]

    def launch(self, statement: Any) -> Launch:
        """Return the launch that a statement is."""
        call: Any = getattr(statement, "value", None)
        if getattr(getattr(call, "op", None), "name", "") != "tirx.call_ffi_kernel":
            raise BuildError(f"{type(statement).__name__} is left to the host, outside of any thread")
        tags = list(call.attrs.launch_params)
        name, *arguments = call.args[: len(call.args) - len(tags)]
        extents = dict(zip(tags, map(_extent, call.args[len(call.args) - len(tags) :]), strict=True))
        return Launch(
            str(name.value),
            tuple(self.number(each) for each in arguments),
            _by_dimension(extents, "blockIdx"),
            _by_dimension(extents, "threadIdx"),
        )


def _statements(body: Any) -> Iterator[Any]:
    if isinstance(body, ir.tirx.SeqStmt):
        for each in body.seq:
            yield from _statements(each)
    else:
        yield body


def _spec(buffer: Any) -> TensorSpec:
    shape = [_extent(size) for size in buffer.ty.shape]
    dtype = buffer.ty.dtype.dtype
    if dtype.lanes > 1:  # a buffer of vectors, where all of its accesses are vectors
        shape.append(dtype.lanes)
    return TensorSpec(str(buffer.name), tuple(shape), str(dtype.with_lanes(1)))


def _extent(extent: Any) -> int:
    if not isinstance(extent, ir.tirx.IntImm):
        raise BuildError(f"an extent that is not a number: {extent}")
    return int(extent.value)


def _by_dimension(extents: dict[str, int], tag: str) -> Extents:
    unknown = [each for each in extents if each.partition(".")[0] not in ("blockIdx", "threadIdx")]
    if unknown:
        raise BuildError(f"a launch by {unknown[0]}")
    x, y, z = (extents.get(f"{tag}.{dimension}", 1) for dimension in "xyz")
    return x, y, z
