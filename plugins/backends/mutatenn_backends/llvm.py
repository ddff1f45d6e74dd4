"""CPUs through TVM's LLVM code generator."""

from __future__ import annotations

from typing import Any

import attrs

from mutatenn import Backend, Device, Kernel, compile_kernel, hookimpl, ir, kernel_library, source_digest
from mutatenn_backends._cpu.device import Cpu
from mutatenn_backends._cpu.llvm_text import tidy_assembly, tidy_ir
from mutatenn_backends._cpu.processor import NATIVE, make_target, refuse_elsewhere, runnable


@attrs.frozen(kw_only=True)
class Llvm(Backend):
    """The CPU of this machine, through LLVM.

    ``mcpu`` is an LLVM processor name, ``mattr`` a list of features such as ``+avx2``, ``mtriple`` the
    architecture and system of another machine, whose code is generated but does not run here. ``native`` is
    this machine's processor, or the most general one of another. Without ``schedules`` kernels run as the
    importer leaves them, many times slower.
    """

    name = "llvm"
    sources = ("llvm", "asm")
    mcpu: str = NATIVE
    mattr: tuple[str, ...] = ()
    mtriple: str = ""
    schedules: bool = True

    def target(self) -> Any:
        """Return the LLVM target; raise InputError for a name that LLVM does not know."""
        return make_target(self.mcpu, self.mattr, self.mtriple)

    def schedule(self, function: Any) -> Any:
        """Return the kernel scheduled by the first rule that fits it."""
        if not self.schedules:
            return function
        from mutatenn_backends._schedules.cpu import apply_schedules

        return apply_schedules(function, self.target())

    def schedule_identity(self) -> str:
        """Return the digest of the schedule rules."""
        return f"{self.schedules} {source_digest(__file__)}"

    def source(self, kernel: Kernel, kind: str) -> str:
        """Return a kernel's optimised LLVM IR (``llvm``) or machine code (``asm``), debugging left out."""
        if kind not in self.sources:
            return super().source(kernel, kind)
        if kind == "llvm":
            return tidy_ir(str(compile_kernel(kernel, self.target()).inspect_source("ll")))
        library = compile_kernel(_with_numbered_parameters(kernel), self.target())
        return tidy_assembly(str(library.inspect_source("asm")))

    def open(self) -> Device:
        """Open the CPU; raise InputError where it cannot execute the target's code."""
        refuse_elsewhere(self.target())
        return Cpu(self.target())

    def export(self, kernel: Kernel) -> bytes:
        """Return a kernel as a shared library."""
        return kernel_library(kernel, self.target())

    def open_elsewhere(self) -> Device:
        """Open the CPU of a machine that only runs what was built for it."""
        return Cpu(None)

    @classmethod
    def diagnose(cls) -> tuple[bool, str]:
        """Tell what LLVM builds for, and what this machine's processor runs."""
        if not ir.tvm.runtime.enabled("llvm"):
            return False, "this build of TVM has no LLVM; install the apache-tvm wheel"
        codegen = ir.tvm.target.codegen
        builds = (
            f"LLVM {codegen.llvm_version_major()} builds for {len(codegen.llvm_get_targets())} architectures"
        )
        return (
            True,
            f"{builds}; this processor, {codegen.llvm_get_system_cpu()}, runs {', '.join(runnable())}",
        )


def _with_numbered_parameters(kernel: Kernel) -> Kernel:
    """Return a kernel that does not name its parameters as it did: machine code has messages about them."""
    if isinstance(kernel.ir, ir.tvm.IRModule):
        return kernel
    names = {each: ir.tirx.Var(f"p{number}", each.ty) for number, each in enumerate(kernel.ir.params)}
    renamed = ir.ffi.structural_map(
        kernel.ir, (ir.tvm.ir.Var, lambda each: names.get(each, each)), order="post"
    )
    return Kernel(kernel.digest, kernel.name, renamed)


@hookimpl
def mutatenn_backends() -> list[type[Backend]]:
    """Contribute the backend."""
    return [Llvm]
