"""Public API for users and plugin authors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn.api import memory
from mutatenn.api.backend import Backend, Device
from mutatenn.api.comparator import Comparator
from mutatenn.api.executor import Executor, Job, Limits, Observation
from mutatenn.api.frontend import Frontend, Inner
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.mutator import Mutator
from mutatenn.api.program import Call, Constant, Kernel, Program
from mutatenn.api.reporter import Reporter
from mutatenn.api.values import CATEGORIES, Example, Model, Scores, TensorSpec
from mutatenn.compiler import ir
from mutatenn.compiler.cache import cached_bytes, kernel_cache, load_library
from mutatenn.compiler.device_code import DeviceCode, Launch, device_code
from mutatenn.compiler.kernels import (
    build_kernel,
    compile_kernel,
    kernel_library,
    kernel_symbol,
    lower_kernel,
)
from mutatenn.compiler.linking import link_library, link_objects
from mutatenn.compiler.mutators import GraphMutator, KernelMutator, KernelPatternMutator
from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import (
    BaselineError,
    BuildError,
    DeviceLostError,
    InfrastructureError,
    InputError,
    MutatennError,
    PluginError,
)
from mutatenn.hookspecs import hookimpl
from mutatenn.nearest import unknown_name
from mutatenn.printable import one_line
from mutatenn.sources import source_digest

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn.campaign.run import Run

__version__ = "0.1.0"


def run(campaign: str | Path, out: str | Path | None = None, **options: Any) -> Run:
    """Run a campaign file, or continue it, and return the run; see :func:`mutatenn.campaign.execute.run`."""
    from mutatenn.campaign.execute import run as execute

    return execute(campaign, out, **options)


def open_run(directory: str | Path) -> Run:
    """Open a run directory for reading; raises InputError where there is none."""
    from mutatenn.campaign.run import Run

    return Run.open(directory)


__all__ = [
    "CATEGORIES",
    "Backend",
    "BaselineError",
    "BuildError",
    "Call",
    "Comparator",
    "Constant",
    "Device",
    "DeviceCode",
    "DeviceLostError",
    "Example",
    "Executor",
    "Frontend",
    "GraphMutator",
    "InfrastructureError",
    "Inner",
    "InputError",
    "Job",
    "Kernel",
    "KernelMutator",
    "KernelPatternMutator",
    "Launch",
    "Limits",
    "Model",
    "Mutant",
    "MutatennError",
    "Mutator",
    "Observation",
    "PluginError",
    "Program",
    "Reporter",
    "Scores",
    "Site",
    "TensorSpec",
    "build_kernel",
    "cached_bytes",
    "call_isolated",
    "compile_kernel",
    "device_code",
    "hookimpl",
    "ir",
    "kernel_cache",
    "kernel_library",
    "kernel_symbol",
    "link_library",
    "link_objects",
    "load_library",
    "lower_kernel",
    "memory",
    "one_line",
    "open_run",
    "run",
    "source_digest",
    "unknown_name",
]
