"""Runs code as plainly as can be, unscheduled on this processor: what other code is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn.compiler import ir
from mutatenn.compiler.legalize import Legalizer
from mutatenn.compiler.profiles import Profile, lower_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mutatenn.api.values import TensorSpec

HOST = "llvm"


def run_graph(module: Any, image: NDArray[np.generic]) -> list[NDArray[Any]]:
    """Return what a graph module's ``main`` returns for an image of batch 1, every operator by itself."""
    target = ir.tvm.target.Target(HOST)
    lowered = lower_graph(module, Profile("basic"), target, Legalizer())
    machine = ir.relax.VirtualMachine(ir.tvm.compile(lowered, target), ir.tvm.cpu())
    result = machine["main"](ir.tvm.runtime.tensor(np.ascontiguousarray(image)))
    return [each.numpy() for each in ([result] if hasattr(result, "numpy") else result)]


def run_kernel(
    function: Any, given: Sequence[Sequence[NDArray[Any]]], results: Sequence[TensorSpec]
) -> list[list[NDArray[Any]]]:
    """Return the results of a schedulable PrimFunc for each of several lists of arguments."""
    built = ir.tvm.compile(ir.tvm.IRModule({"main": function.with_attr("global_symbol", "main")}), HOST)
    found = []
    for arguments in given:
        tensors = [ir.tvm.runtime.tensor(np.ascontiguousarray(each)) for each in arguments]
        made = [ir.tvm.runtime.tensor(np.zeros(spec.shape, spec.dtype)) for spec in results]
        built["main"](*tensors, *made)
        found.append([each.numpy() for each in made])
    return found
