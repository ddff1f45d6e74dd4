"""Every hook a plugin may implement, in the order a campaign calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from mutatenn.border import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mutatenn.api.backend import Backend
    from mutatenn.api.baseline import Baseline
    from mutatenn.api.command import Command
    from mutatenn.api.comparator import Comparator
    from mutatenn.api.executor import Executor
    from mutatenn.api.frontend import Frontend
    from mutatenn.api.mutant import Mutant
    from mutatenn.api.mutator import Mutator
    from mutatenn.api.verdict import Verdict
    from mutatenn.results.reporter import Reporter
    from mutatenn.results.run import Run

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def mutatenn_frontends() -> Iterable[type[Frontend]]:
    """Return the frontend classes this plugin contributes; called once, when it is registered."""
    return ()


@hookspec
def mutatenn_mutators() -> Iterable[type[Mutator]]:
    """Return the mutation operators this plugin contributes; called once, when it is registered."""
    return ()


@hookspec
def mutatenn_backends() -> Iterable[type[Backend]]:
    """Return the backend classes this plugin contributes; called once, when it is registered."""
    return ()


@hookspec
def mutatenn_executors() -> Iterable[type[Executor]]:
    """Return the executor classes this plugin contributes; called once, when it is registered."""
    return ()


@hookspec
def mutatenn_comparators() -> Iterable[type[Comparator]]:
    """Return the comparator classes this plugin contributes; called once, when it is registered."""
    return ()


@hookspec
def mutatenn_reporters() -> Iterable[type[Reporter]]:
    """Return the reporter classes this plugin contributes; called once, when it is registered."""
    return ()


@hookspec
def mutatenn_commands() -> Iterable[type[Command]]:
    """Return the command classes this plugin contributes; called once, when it is registered."""
    return ()


@hookspec
def mutatenn_stage_started(stage: str) -> None:
    """Tell what begins that may take a while before mutants run: a line such as ``importing net.onnx``."""


@hookspec
def mutatenn_modify_plan(plan: list[Mutant], environment: str) -> None:
    """Drop or reorder an environment's planned mutants in place; called once each, before anything runs."""


@hookspec
def mutatenn_campaign_start(run: Run) -> None:
    """Tell that a campaign begins or continues; the plan is stored, nothing has run in this process."""


@hookspec
def mutatenn_baseline_finished(run: Run, baseline: Baseline) -> None:
    """Tell how the original did in one environment; called before any of its mutants runs."""


@hookspec
def mutatenn_trial_finished(run: Run, verdict: Verdict) -> None:
    """Tell that one mutant has its verdict in one environment and the store has kept it."""


@hookspec
def mutatenn_campaign_finish(run: Run, error: BaseException | None) -> None:
    """Tell that the campaign ended; ``error`` is what ended it early, or None."""
