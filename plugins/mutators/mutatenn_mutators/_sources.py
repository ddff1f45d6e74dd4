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
