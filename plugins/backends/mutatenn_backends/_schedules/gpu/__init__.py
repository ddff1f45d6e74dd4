"""Schedules kernels for OpenCL devices.

CPU devices get the schedules of CPUs, bound to threads; all else is left to TVM's own rules for GPUs, of
which the plain one has a thread compute an element.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mutatenn import ir, lower_kernel
from mutatenn_backends._schedules.cpu import SIDE_BY_SIDE
from mutatenn_backends._schedules.cpu import apply_schedules as apply_cpu_schedules
from mutatenn_backends._schedules.gpu._bind import bind_threads
from mutatenn_backends._schedules.gpu._sound_stages import with_sound_stages

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)


def apply_schedules(function: Any, target: Any, style: str, cpu: Any) -> Any:
    """Return a schedulable PrimFunc scheduled in a style: for ``cpu`` or ``gpu`` devices, or ``plain``.

    ``cpu`` is the LLVM target that has the vectors and registers of a CPU device.
    """
    try:
        scheduled = _schedule(function, target, style, cpu)
        if scheduled is not None:
            lower_kernel(scheduled, target)  # TVM's rules make some schedules that TVM cannot lower
            return scheduled
    except MemoryError:
        raise
    except Exception as error:  # whatever a rule stumbles over, the kernel can do without it
        logger.debug("scheduled plainly: %s: %s", type(error).__name__, error)
    return _apply_dlight([ir.s_tir.dlight.gpu.Fallback()], function, target)


def _schedule(function: Any, target: Any, style: str, cpu: Any) -> Any:
    """Return the kernel in a style, or None where that is the plain one."""
    if style == "gpu":
        gpu = ir.s_tir.dlight.gpu
        rules = [gpu.Matmul(), gpu.GEMV(), gpu.Reduction(), gpu.GeneralReduction(), gpu.Fallback()]
        return _apply_dlight(rules, function, target)
    scheduled = apply_cpu_schedules(function, cpu, SIDE_BY_SIDE) if style == "cpu" else function
    if scheduled.same_as(function):
        return None
    return bind_threads(scheduled, int(target.attrs["max_num_threads"]))


def _apply_dlight(rules: Sequence[Any], function: Any, target: Any) -> Any:
    module = ir.tvm.IRModule({"kernel": with_sound_stages(function)})
    with target:
        return ir.s_tir.dlight.ApplyDefaultSchedule(*rules)(module)["kernel"]
