"""Public API for users and plugin authors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn.api.backend import Backend, Device
from mutatenn.api.comparator import Comparator
from mutatenn.api.executor import Executor, Job, Limits, Observation
from mutatenn.api.frontend import Frontend
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.mutator import Mutator
from mutatenn.api.program import Call, Constant, Kernel, Program
from mutatenn.api.reporter import Reporter
from mutatenn.api.values import CATEGORIES, Example, Model, Scores, TensorSpec
from mutatenn.compiler import ir
from mutatenn.compiler.kernels import build_kernel
from mutatenn.compiler.mutators import GraphMutator, KernelMutator, KernelPatternMutator
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
    "DeviceLostError",
    "Example",
    "Executor",
    "Frontend",
    "GraphMutator",
    "InfrastructureError",
    "InputError",
    "Job",
    "Kernel",
    "KernelMutator",
    "KernelPatternMutator",
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
    "hookimpl",
    "ir",
    "open_run",
    "run",
    "source_digest",
]
