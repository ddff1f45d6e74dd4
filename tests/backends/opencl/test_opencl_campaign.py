"""A campaign on this machine's CPU by two ways: through LLVM, and through an OpenCL device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mutatenn
from mutatenn.results.run import Run

pytestmark = pytest.mark.slow
CAMPAIGN = """
name = "two-ways"
seed = 3

[model]
path = "mutatenn:digits.onnx"

[preprocess]
mean = 127.5
std = 127.5

[dataset]
images = ["mutatenn:digits/[0-3]_00[01]*.png"]
truth = "filename-prefix"

[[environments]]
name = "cpu"
backend = "llvm"

[[environments]]
name = "cl"
backend = "opencl"

[[mutations]]
operator = "transpose-conv2d-data"
sites = [0]

[[mutations]]
operator = "store-int8"
sites = { sample = 1 }

[[mutations]]
operator = "lt-to-gt"
stage = "lowered"
sites = { sample = 2 }

[[mutations]]
operator = "decrease-block-extent"
sites = { sample = 1 }
"""


@pytest.fixture(scope="module")
def finished(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("two-ways")
    (folder / "two-ways.toml").write_text(CAMPAIGN)
    return mutatenn.run(folder / "two-ways.toml", folder / "run")


def test_the_originals_agree(finished: Run) -> None:
    cpu, cl = (finished.outputs(name, None)[1] for name in ("cpu", "cl"))
    np.testing.assert_allclose(cpu, cl, rtol=1e-5, atol=1e-6)


def test_every_mutant_has_a_verdict(finished: Run) -> None:
    found = [each.verdicts["cl"].status for each in finished.mutants if "cl" in each.verdicts]
    assert len(found) >= 4
    assert set(found) <= {"killed", "survived", "never-infected", "out-of-bounds", "unstable"}
    assert "killed" in found
    assert "survived" in found


def test_faults_above_the_device_have_the_same_verdict_on_both(finished: Run) -> None:
    both = [each for each in finished.mutants if {"cpu", "cl"} <= each.verdicts.keys()]
    assert len(both) >= 2
    for mutant in both:
        assert mutant.verdicts["cpu"].status == mutant.verdicts["cl"].status, mutant.id


def test_only_the_device_with_threads_has_launches_to_change(finished: Run) -> None:
    launches = [each for each in finished.mutants if each.operator == "decrease-block-extent"]
    assert launches
    assert all(each.verdicts.keys() == {"cl"} for each in launches)
    assert "killed" in {each.verdicts["cl"].status for each in launches}
