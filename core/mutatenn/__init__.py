"""Public API for users and plugin authors."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mutatenn.api import memory
from mutatenn.api.backend import Backend, Device
from mutatenn.api.baseline import Baseline
from mutatenn.api.capability import Kind
from mutatenn.api.command import Command
from mutatenn.api.comparator import Comparator
from mutatenn.api.executor import Executor, Job, Limits, Observation, Outcome
from mutatenn.api.frontend import Frontend, Inner
from mutatenn.api.mutant import Mutant, Site
from mutatenn.api.mutator import Mutator
from mutatenn.api.program import Call, Constant, Kernel, Program
from mutatenn.api.values import (
    CATEGORIES,
    Bounds,
    Category,
    Example,
    Layer,
    Level,
    Model,
    Scores,
    Stage,
    TensorSpec,
)
from mutatenn.api.verdict import Status, Verdict
from mutatenn.api.wrapping import WrappedBackend, WrappedDevice
from mutatenn.code_digest import source_digest
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
from mutatenn.compiler.layers import LayerNotes, rename_layers
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
from mutatenn.files import whole
from mutatenn.host.hookspecs import hookimpl
from mutatenn.json_values import jsonable
from mutatenn.nearest import unknown_name
from mutatenn.printable import duration, one_line, signal_name
from mutatenn.results.reporter import Reporter

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn.analysis.colours import STATUS_COLOURS
    from mutatenn.analysis.environments.compared import Ending, MutantComparison, Pair
    from mutatenn.analysis.environments.comparison import Comparison, Floor, compare
    from mutatenn.analysis.environments.distance import Distance, Spread
    from mutatenn.analysis.environments.document import comparison_document, save_comparison
    from mutatenn.analysis.environments.flips import Flip, Flips
    from mutatenn.analysis.environments.sides import ComparedEnvironment, EndStatus
    from mutatenn.analysis.environments.times import TimeRatio, TimeSummary
    from mutatenn.analysis.images.kill_matrix import KillMatrix, kill_matrix
    from mutatenn.analysis.images.missing import Border, borders
    from mutatenn.analysis.images.pictures import thumbnails
    from mutatenn.analysis.images.worth import ImageWorth, Survivor, closest_survivors, worth
    from mutatenn.analysis.layers.compare import LayerComparison, LayerDifference, compare_layers
    from mutatenn.analysis.mutant.trace import Trace, TraceStep, trace
    from mutatenn.analysis.table import Table
    from mutatenn.campaign.execution.session import run
    from mutatenn.engine.workbench import Workbench
    from mutatenn.host.installed import installed_backend
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.offline.pack import pack_job
    from mutatenn.offline.packed import PackedJob
    from mutatenn.results.delta import Delta
    from mutatenn.results.estimate import Interval
    from mutatenn.results.layer_score import LayerScore
    from mutatenn.results.planned import PlannedOperator
    from mutatenn.results.record import Image, Record
    from mutatenn.results.run import Run
    from mutatenn.results.score import MutationScore

__version__ = "0.2.0"


def open_run(directory: str | Path) -> Run:
    """Open a run directory for reading; raises InputError where there is none."""
    from mutatenn.results.run import Run

    return Run.open(directory)


_LATER = {
    "run": "mutatenn.campaign.execution.session",
    "Image": "mutatenn.results.record",
    "Record": "mutatenn.results.record",
    "Run": "mutatenn.results.run",
    "PluginHost": "mutatenn.host.plugin_host",
    "installed_backend": "mutatenn.host.installed",
    "Delta": "mutatenn.results.delta",
    "Interval": "mutatenn.results.estimate",
    "LayerScore": "mutatenn.results.layer_score",
    "PlannedOperator": "mutatenn.results.planned",
    "MutationScore": "mutatenn.results.score",
    "Comparison": "mutatenn.analysis.environments.comparison",
    "Floor": "mutatenn.analysis.environments.comparison",
    "compare": "mutatenn.analysis.environments.comparison",
    "comparison_document": "mutatenn.analysis.environments.document",
    "save_comparison": "mutatenn.analysis.environments.document",
    "MutantComparison": "mutatenn.analysis.environments.compared",
    "Ending": "mutatenn.analysis.environments.compared",
    "TimeRatio": "mutatenn.analysis.environments.times",
    "TimeSummary": "mutatenn.analysis.environments.times",
    "Table": "mutatenn.analysis.table",
    "Flip": "mutatenn.analysis.environments.flips",
    "Flips": "mutatenn.analysis.environments.flips",
    "Pair": "mutatenn.analysis.environments.compared",
    "Distance": "mutatenn.analysis.environments.distance",
    "Spread": "mutatenn.analysis.environments.distance",
    "Workbench": "mutatenn.engine.workbench",
    "EndStatus": "mutatenn.analysis.environments.sides",
    "ComparedEnvironment": "mutatenn.analysis.environments.sides",
    "KillMatrix": "mutatenn.analysis.images.kill_matrix",
    "kill_matrix": "mutatenn.analysis.images.kill_matrix",
    "Survivor": "mutatenn.analysis.images.worth",
    "ImageWorth": "mutatenn.analysis.images.worth",
    "closest_survivors": "mutatenn.analysis.images.worth",
    "Border": "mutatenn.analysis.images.missing",
    "borders": "mutatenn.analysis.images.missing",
    "STATUS_COLOURS": "mutatenn.analysis.colours",
    "LayerComparison": "mutatenn.analysis.layers.compare",
    "LayerDifference": "mutatenn.analysis.layers.compare",
    "compare_layers": "mutatenn.analysis.layers.compare",
    "Trace": "mutatenn.analysis.mutant.trace",
    "TraceStep": "mutatenn.analysis.mutant.trace",
    "trace": "mutatenn.analysis.mutant.trace",
    "thumbnails": "mutatenn.analysis.images.pictures",
    "worth": "mutatenn.analysis.images.worth",
    "PackedJob": "mutatenn.offline.packed",
    "pack_job": "mutatenn.offline.pack",
}
"""Where names are that a device elsewhere, which runs a bundle, has no use for."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "CATEGORIES",
    "STATUS_COLOURS",
    "Backend",
    "Baseline",
    "BaselineError",
    "Border",
    "Bounds",
    "BuildError",
    "Call",
    "Category",
    "Command",
    "Comparator",
    "ComparedEnvironment",
    "Comparison",
    "Constant",
    "Delta",
    "Device",
    "DeviceCode",
    "DeviceLostError",
    "Distance",
    "EndStatus",
    "Ending",
    "Example",
    "Executor",
    "Flip",
    "Flips",
    "Floor",
    "Frontend",
    "GraphMutator",
    "Image",
    "ImageWorth",
    "InfrastructureError",
    "Inner",
    "InputError",
    "Interval",
    "Job",
    "Kernel",
    "KernelMutator",
    "KernelPatternMutator",
    "KillMatrix",
    "Kind",
    "Launch",
    "Layer",
    "LayerComparison",
    "LayerDifference",
    "LayerNotes",
    "LayerScore",
    "Level",
    "Limits",
    "Model",
    "Mutant",
    "MutantComparison",
    "MutatennError",
    "MutationScore",
    "Mutator",
    "Observation",
    "Outcome",
    "PackedJob",
    "Pair",
    "PlannedOperator",
    "PluginError",
    "PluginHost",
    "Program",
    "Record",
    "Reporter",
    "Run",
    "Scores",
    "Site",
    "Spread",
    "Stage",
    "Status",
    "Survivor",
    "Table",
    "TensorSpec",
    "TimeRatio",
    "TimeSummary",
    "Trace",
    "TraceStep",
    "Verdict",
    "Workbench",
    "WrappedBackend",
    "WrappedDevice",
    "borders",
    "build_kernel",
    "cached_bytes",
    "call_isolated",
    "closest_survivors",
    "compare",
    "compare_layers",
    "comparison_document",
    "compile_kernel",
    "device_code",
    "duration",
    "hookimpl",
    "installed_backend",
    "ir",
    "jsonable",
    "kernel_cache",
    "kernel_library",
    "kernel_symbol",
    "kill_matrix",
    "link_library",
    "link_objects",
    "load_library",
    "lower_kernel",
    "memory",
    "one_line",
    "open_run",
    "pack_job",
    "rename_layers",
    "run",
    "save_comparison",
    "signal_name",
    "source_digest",
    "thumbnails",
    "trace",
    "unknown_name",
    "whole",
    "worth",
]
