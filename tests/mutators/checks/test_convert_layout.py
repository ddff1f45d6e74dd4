"""A convolution in another layout computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mutatenn import ir
from mutatenn_mutators.checks.convert_layout import ConvertLayoutToNchw, ConvertLayoutToNhwc


@pytest.mark.slow
def test_one_convolution_of_a_classifier_changes_its_code_and_not_its_result(classifier: Any) -> None:
    sites = ConvertLayoutToNhwc().sites(classifier)
    assert len(sites) == 3
    assert ConvertLayoutToNchw().sites(classifier) == []
    expected = run(classifier)
    for site in range(len(sites)):
        changed = ConvertLayoutToNhwc().apply(classifier, [site])
        ir.relax.analysis.well_formed(changed)
        assert 'data_layout="NHWC"' in changed.script()
        np.testing.assert_allclose(run(changed), expected, rtol=1e-5)


def test_there_and_back() -> None:
    parameters = 'x: R.Tensor((1, 6, 9, 8), "float32"), w: R.Tensor((4, 3, 3, 2), "float32")'
    options = "strides=[2, 1], padding=[1, 0, 2, 1], dilation=[1, 2], groups=2"
    module = ir.script.from_source(
        f"@I.ir_module\nclass Module:\n    @R.function\n    def main({parameters}):\n"
        f"        y = R.nn.conv2d(x, w, {options})\n        return y"
    )
    there = ConvertLayoutToNhwc().apply(module, [0])
    assert len(ConvertLayoutToNhwc().sites(there)) == 0
    back = ConvertLayoutToNchw().apply(there, [0])
    ir.relax.analysis.well_formed(back)
    rng = np.random.default_rng(0)
    tensors = [rng.normal(size=size).astype(np.float32) for size in ((1, 6, 9, 8), (4, 3, 3, 2))]
    expected = run(module, *tensors)
    for changed in (there, back):
        np.testing.assert_allclose(run(changed, *tensors), expected, rtol=1e-5, atol=1e-5)


def test_other_layouts_are_no_sites() -> None:
    parameters = 'x: R.Tensor((1, 8, 8, 3), "float32"), w: R.Tensor((3, 3, 3, 4), "float32")'
    module = ir.script.from_source(
        f"@I.ir_module\nclass Module:\n    @R.function\n    def main({parameters}):\n"
        '        y = R.nn.conv2d(x, w, data_layout="NHWC", kernel_layout="HWIO")\n        return y'
    )
    assert ConvertLayoutToNhwc().sites(module) == ConvertLayoutToNchw().sites(module) == []


def run(module: Any, *tensors: Any) -> Any:
    image = np.random.default_rng(1).uniform(0.1, 1, (1, 3, 8, 8)).astype("float32")
    machine = ir.relax.VirtualMachine(ir.tvm.compile(module, target="llvm"), ir.tvm.cpu())
    return machine["main"](*(ir.tvm.runtime.tensor(each) for each in tensors or (image,))).numpy()
