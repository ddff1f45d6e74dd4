"""CPUs, GPUs and accelerators through OpenCL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from mutatenn import Backend, InputError, hookimpl, ir, source_digest
from mutatenn_backends._opencl.cache import use_kernel_cache
from mutatenn_backends._opencl.code import generate
from mutatenn_backends._opencl.devices import choose_device, find_devices, open_context

if TYPE_CHECKING:
    from mutatenn import Device, Kernel
    from mutatenn_backends._opencl.devices import Found

SCHEDULES = ("auto", "cpu", "gpu", "plain")


@attrs.frozen(kw_only=True)
class OpenCl(Backend):
    """Any device with an OpenCL driver; PoCL makes a CPU one.

    ``platform`` and ``device`` choose it, each by part of its name or by number. ``schedules`` are those for
    ``cpu`` or ``gpu`` devices, those that suit the device (``auto``), or ``plain``: a thread per element.
    ``max_num_threads`` bounds a work group.
    """

    name = "opencl"
    packages = ("pyopencl", "pocl-binary-distribution")
    shares_fork = False
    sources = ("opencl",)
    platform: str = ""
    device: str = ""
    schedules: str = attrs.field(default="auto", validator=attrs.validators.in_(SCHEDULES))
    max_num_threads: int = attrs.field(default=256, validator=attrs.validators.ge(1))

    def target(self) -> Any:
        """Return the OpenCL target, with the device's limits."""
        found = self._found()
        limits = {
            "max_num_threads": min(self.max_num_threads, found.threads),
            "max_shared_memory_per_block": found.local,
        }
        return ir.tvm.target.Target({"kind": "opencl", **limits}, host="llvm")

    def schedule(self, function: Any) -> Any:
        """Return the kernel scheduled by the first rule that fits it."""
        from mutatenn_backends._schedules.gpu import apply_schedules

        return apply_schedules(function, self.target(), self._style(), self._cpu())

    def schedule_identity(self) -> str:
        """Return the digest of the schedule rules, and what they are asked for."""
        return f"{self._style()} {self._cpu()} {source_digest(__file__)}"

    def source(self, kernel: Kernel, kind: str) -> str:
        """Return the generated OpenCL C, and in comments how the host launches it."""
        if kind not in self.sources:
            raise ValueError(kind)
        return generate(kernel, self.target()).listing

    def open(self) -> Device:
        """Open the device."""
        from mutatenn_backends._opencl.device import OpenClDevice

        use_kernel_cache()
        return OpenClDevice(open_context(self._found()), self.target())

    def _found(self) -> Found:
        return choose_device(self.platform, self.device)

    def _cpu(self) -> Any:
        """Return the LLVM target of the processor whose code a CPU device's driver generates."""
        codegen = ir.tvm.target.codegen
        name = self._found().processor
        known = name in codegen.llvm_get_cpu_archlist(ir.tvm.target.Target("llvm"))
        return ir.tvm.target.Target(
            {"kind": "llvm", "mcpu": name if known else codegen.llvm_get_system_cpu()}
        )

    def _style(self) -> str:
        if self.schedules != "auto":
            return self.schedules
        return "cpu" if self._found().is_cpu else "gpu"

    @classmethod
    def diagnose(cls) -> tuple[bool, str]:
        """Name the devices."""
        try:
            choose_device("", "")
        except InputError as reason:
            return False, str(reason)
        return True, ", ".join(f"{each} ({each.version})" for each in find_devices())


@hookimpl
def mutatenn_backends() -> list[type[Backend]]:
    """Contribute the backend."""
    return [OpenCl]
