"""A small classifier with one of everything, and its kernels at every stage."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scratch import poison_scratch

from mutatenn import Kernel, TensorSpec, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn_backends.llvm import Llvm


@pytest.fixture(scope="session")
def classifier() -> Any:
    """Return the graph of conv+bn+relu, depthwise+residual, pointwise, pool, dense and softmax."""
    from tvm.relax.frontend.onnx import from_onnx

    return from_onnx(_onnx_model(), keep_params_in_input=False)


@pytest.fixture(scope="session")
def run_kernel() -> Callable[..., NDArray[np.float32]]:
    """Return what runs a kernel on arrays, its output and scratch memory full of NaN, and returns the output.

    A kernel that is not lowered yet is scheduled first where told so. One that leaves the bounds of its
    memory needs a process of its own, where it finds 0.747 beside the arrays.
    """
    backend = Llvm()
    target, device, numbers = backend.target(), backend.open(), count()

    def run(
        function: Any, *arrays: NDArray[np.float32], schedule: bool = False, lowered: bool = False
    ) -> NDArray[np.float32]:
        ready = backend.schedule(function) if schedule else function
        code = poison_scratch(ready if lowered else lower_kernel(ready, target))
        built = device.build(Kernel(f"run{next(numbers)}", "kernel", code))
        shape = tuple(int(size) for size in function.params[-1].ty.shape)
        result = device.allocate(TensorSpec("result", shape))
        device.launch(built, [device.upload(each) for each in arrays], [result])
        return np.asarray(device.fetch(result), np.float32)

    return run


@pytest.fixture(scope="session")
def target() -> Any:
    return ir.tvm.target.Target("llvm")


@pytest.fixture(scope="session")
def fused(classifier: Any) -> Any:
    """Return the classifier as kernels and calls of them, schedulable."""
    transform = ir.relax.transform
    passes = [
        transform.DecomposeOpsForInference(),
        transform.LegalizeOps(),
        transform.AnnotateTIROpPattern(),
        transform.FuseOps(),
        transform.FuseTIR(),
        transform.DeadCodeElimination(),
    ]
    return ir.tvm.ir.transform.Sequential(passes)(classifier)


@pytest.fixture(scope="session")
def stages(fused: Any, target: Any) -> dict[str, list[Any]]:
    """Return the classifier's kernels at each kernel stage."""
    kernels = [f for _, f in fused.functions_items() if isinstance(f, ir.tirx.PrimFunc)]
    scheduled = [_vectorised(kernel) for kernel in kernels]
    return {
        "schedulable": kernels,
        "scheduled": scheduled,
        "lowered": [lower_kernel(kernel, target) for kernel in scheduled],
    }


def _vectorised(kernel: Any) -> Any:
    schedule = ir.s_tir.Schedule(kernel)
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        loops = schedule.get_loops(block)
        if loops and not _reduces(schedule.get(block)):
            # 4 divides the images but not the 5 scores, whose tail needs a predicate.
            _, inner = schedule.split(schedule.fuse(*loops), [None, 4])
            schedule.vectorize(inner)
    return schedule.mod["main"]


def _reduces(block: Any) -> bool:
    return any(var.iter_type == ir.tirx.IterVar.CommReduce for var in block.iter_vars)


def _onnx_model() -> Any:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(rng.uniform(0.1, 1, shape).astype(np.float32), name)

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], pads=[1] * 4),
        node("BatchNormalization", ["c1", "scale", "shift", "mean", "var"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("Conv", ["r", "w2", "b2"], ["c2"], pads=[1] * 4, group=4),
        node("Add", ["c2", "r"], ["s"]),
        node("Conv", ["s", "w3"], ["c3"]),
        node("GlobalAveragePool", ["c3"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "w4", "b4"], ["g"], transB=1),
        node("Softmax", ["g"], ["y"]),
    ]
    weights = [
        weight("w1", 4, 3, 3, 3),
        *(weight(name, 4) for name in ("scale", "shift", "mean", "var")),
        weight("w2", 4, 1, 3, 3),
        weight("b2", 4),
        weight("w3", 4, 4, 1, 1),
        weight("w4", 5, 4),
        weight("b4", 5),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    scores = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])
    graph = helper.make_graph(nodes, "classifier", [image], [scores], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
