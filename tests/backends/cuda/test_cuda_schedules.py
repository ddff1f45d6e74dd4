"""Kernels keep their results under the schedules for CUDA devices, on a GPU."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from device_bench import Bench, check_styles, check_values, hand_made

from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends._cuda.compile import missing_tool
from mutatenn_backends.cuda import SCHEDULES, Cuda, missing
from mutatenn_frontends.onnx import Onnx

ABSENT = [*missing(), *filter(None, [missing_tool("nvcc")])]
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=f"no {', '.join(ABSENT)}")


@pytest.mark.parametrize("style", SCHEDULES)
def test_kernels_of_all_kinds_compute_what_llvm_computes(style: str) -> None:
    check_values(Bench(Cuda(schedules=style)), hand_made())


@pytest.mark.parametrize("style", SCHEDULES)
def test_the_bundled_models_kernels_compute_what_llvm_computes(style: str) -> None:
    model = Onnx().load(Path(str(files("mutatenn") / "data" / "digits.onnx")))
    units = Toolchain(model, Cuda(), Profile()).units
    check_values(Bench(Cuda(schedules=style)), list(units.items()))


@pytest.mark.parametrize("seeds", [range(10), range(10, 20), range(20, 30), range(30, 40)])
def test_random_kernels_in_all_styles(random_graph: Any, seeds: range) -> None:
    check_styles({style: Bench(Cuda(schedules=style)) for style in SCHEDULES}, random_graph, seeds)
