"""The OpenCL device of this machine."""

from __future__ import annotations

import pytest
from device_bench import Bench

from mutatenn import InputError
from mutatenn_backends._opencl.devices import choose_device
from mutatenn_backends.opencl import OpenCl


@pytest.fixture(scope="session")
def bench() -> Bench:
    try:
        choose_device("", "")
    except InputError as reason:
        pytest.skip(str(reason))
    return Bench(OpenCl())
