"""Code for a remote processor: kernels as shared libraries, and helpers that work on its memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mutatenn import BuildError, ir, link_library, link_objects, memory

if TYPE_CHECKING:
    from mutatenn import Kernel

WORD = 8  # bytes
MARGIN = memory.GUARD // WORD
"""Words of a guard: one stands before a tensor's content, another behind it."""
LANES = 8
SAMPLES = 16

# A buffer is [MARGIN words, the content's whole words, one word it may fill in part, MARGIN words].
_SOURCE = """
@I.ir_module(s_tir=True)
class Module:
    @T.prim_func(s_tir=True)
    def address(words: T.int64, buffer: T.Buffer((words,), "uint64")):
        T.func_attr({{"global_symbol": "address"}})
        return buffer.data

    @T.prim_func(s_tir=True)
    def prepare(
        words: T.int64, buffer: T.Buffer((words,), "uint64"), size: T.int64,
        guard: T.int64, fill: T.int64, pattern: T.int64,
    ):
        T.func_attr({{"global_symbol": "prepare"}})
        mask = T.alloc_buffer((1,), "uint64", scope="local")
        for i in range(T.int64({margin})):
            buffer[i] = T.Cast("uint64", guard)
        if fill != T.int64(0):
            for i in range(size // T.int64({word}) + T.int64(1)):
                buffer[i + T.int64({margin})] = T.Cast("uint64", pattern)
        mask[0] = {mask}
        buffer[{last}] = T.bitwise_or(
            T.bitwise_and(buffer[{last}], mask[0]),
            T.bitwise_and(T.Cast("uint64", guard), T.bitwise_not(mask[0])),
        )
        for i in range(T.int64({margin})):
            buffer[i + {last} + T.int64(1)] = T.Cast("uint64", guard)

    @T.prim_func(s_tir=True)
    def differ(
        words: T.int64, one: T.Buffer((words,), "uint64"), other: T.Buffer((words,), "uint64"), size: T.int64
    ):
        T.func_attr({{"global_symbol": "differ"}})
        found = T.alloc_buffer((1,), "uint64", scope="local")
        found[0] = T.bitwise_and(T.bitwise_xor(one[{last}], other[{last}]), {mask})
        for i in range(size // T.int64({word})):
            found[0] = T.bitwise_or(
                found[0], T.bitwise_xor(one[i + T.int64({margin})], other[i + T.int64({margin})])
            )
        return T.Cast("int64", found[0])

    @T.prim_func(s_tir=True)
    def digest(words: T.int64, buffer: T.Buffer((words,), "uint64"), size: T.int64):
        T.func_attr({{"global_symbol": "digest"}})
        state = T.alloc_buffer(({lanes},), "uint64", scope="local")
        for j in T.vectorized({lanes}):
            state[j] = T.Cast("uint64", j)
        for i in range(size // T.int64({word}) // T.int64({lanes})):
            for j in T.vectorized({lanes}):
                state[j] = T.bitwise_xor(
                    state[j], buffer[i * T.int64({lanes}) + T.Cast("int64", j) + T.int64({margin})]
                ) * T.uint64({prime})
                state[j] = T.bitwise_xor(state[j], T.shift_right(state[j], T.uint64(32)))
        for i in range(size // T.int64({word}) % T.int64({lanes})):
            state[0] = T.bitwise_xor(state[0], buffer[{last} - T.int64(1) - i]) * T.uint64({prime})
            state[0] = T.bitwise_xor(state[0], T.shift_right(state[0], T.uint64(32)))
        state[0] = T.bitwise_xor(state[0], T.bitwise_and(buffer[{last}], {mask})) * T.uint64({prime})
        for j in range({lanes} - 1):
            state[0] = T.bitwise_xor(state[0], T.shift_right(state[0], T.uint64(32)))
            state[0] = T.bitwise_xor(state[0], state[j + 1]) * T.uint64({prime})
        return T.Cast("int64", T.bitwise_xor(state[0], T.shift_right(state[0], T.uint64(32))))

    @T.prim_func(s_tir=True)
    def sample(words: T.int64, buffer: T.Buffer((words,), "uint64"), size: T.int64):
        T.func_attr({{"global_symbol": "sample"}})
        state = T.alloc_buffer((1,), "uint64", scope="local")
        state[0] = T.bitwise_and(buffer[{last}], {mask})
        for i in range(T.min(size // T.int64({word}), T.int64({samples}))):
            state[0] = T.bitwise_xor(
                state[0],
                buffer[i * T.max(size // T.int64({word} * {samples}), T.int64(1)) + T.int64({margin})],
            ) * T.uint64({prime})
            state[0] = T.bitwise_xor(state[0], T.shift_right(state[0], T.uint64(32)))
        return T.Cast("int64", state[0])
"""


def helper_library(target: Any) -> bytes:
    """Return a shared library of the helpers ``address``, ``prepare``, ``differ``, ``digest``, ``sample``.

    They work on buffers of any size, as 64-bit words, and return their results as numbers.
    """
    bits = f"T.Cast('uint64', size % T.int64({WORD}) * T.int64(8))"
    source = _SOURCE.format(
        word=WORD,
        margin=MARGIN,
        lanes=LANES,
        samples=SAMPLES,
        prime=0x2545F4914F6CDD1D,  # any large odd number: multiplication by it mixes and loses nothing
        last=f"(size // T.int64({WORD}) + T.int64({MARGIN}))",
        mask=f"(T.shift_left(T.uint64(1), {bits}) - T.uint64(1))",
    )
    library = ir.tvm.tirx.build(ir.script.from_source(source), target=target)
    return link_library(library, triple_of(target))


def machine_library(kernel: Kernel, target: Any) -> bytes:
    """Return a shared library with a whole Relax module for TVM's virtual machine; raises BuildError."""
    try:
        executable = ir.tvm.compile(kernel.ir, target=target)
    except Exception as error:
        raise BuildError(f"{type(error).__name__}: {error}") from error
    with tempfile.TemporaryDirectory(prefix="mutatenn-") as folder:
        shared = Path(folder, "model.so")
        executable.export_library(str(shared), fcompile=_fcompile(target))
        return shared.read_bytes()


def _fcompile(target: Any) -> Any:
    """Return the linker in the form that export_library asks for."""

    def run(output: str, objects: list[str], options: object = None) -> None:
        del options
        link_objects(Path(output), [Path(each) for each in objects if each.endswith(".o")], triple_of(target))

    run.output_format = "so"  # type: ignore[attr-defined]
    return run


def triple_of(target: Any) -> str:
    """Return the triple that a target names, or ""."""
    return str(target.attrs.get("mtriple", ""))
