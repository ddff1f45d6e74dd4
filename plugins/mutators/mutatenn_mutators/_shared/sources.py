"""Frames for the operators' examples: a graph and a kernel around the lines that matter."""

from __future__ import annotations

from textwrap import dedent, indent

_GRAPH = """\
@I.ir_module
class Module:
    @R.function
    def main({parameters}):
        with R.dataflow():
{lines}
            R.output(y)
        return y
"""

_KERNEL = """\
@T.prim_func(private=True, s_tir=True)
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    for i in range(8):
{lines}
"""


def graph(lines: str, **parameters: tuple[int, ...]) -> str:
    """Return the source of a graph that computes ``y`` from float32 parameters of the given shapes."""
    typed = ", ".join(f'{name}: R.Tensor({shape}, "float32")' for name, shape in parameters.items())
    return _GRAPH.format(parameters=typed, lines=indent(dedent(lines).strip(), " " * 12))


def kernel(lines: str) -> str:
    """Return the source of a kernel that computes ``B[i]`` from ``A``, both float32 of 8 elements."""
    return _KERNEL.format(lines=indent(dedent(lines).strip(), " " * 8))


def scratch_kernel(lines: str) -> str:
    """Return the source of a kernel as above with a scratch buffer ``C`` like ``A`` and ``B``."""
    loop = "    for i in range(8):"
    return kernel(lines).replace(loop, f"    C = T.sblock_alloc_buffer((8,))\n{loop}", 1)


def dense(weights: list[list[float]], bias: list[float] | None = None) -> str:
    """Return the source of a graph of one matrix product, its weights ``[inputs, neurons]``."""
    product = f'{"y" if bias is None else "d"} = R.matmul(x, R.const({weights}, "float32"))'
    total = "" if bias is None else f'\ny = R.add(d, R.const({bias}, "float32"))'
    return graph(product + total, x=(1, len(weights)))
