"""A plugin module is checked in all its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mutatenn import Executor, Job, Observation, Run, Scores, hookimpl
from mutatenn.testing import check_plugin_module
from mutatenn_comparators.max_abs import MaxAbs
from mutatenn_mutators.paper.insert_exp import mutatenn_mutators
from mutatenn_reporters.json import Json


class Silent(Json):
    """Returns nothing."""

    def report(self, run: Run, directory: Path) -> Any:
        super().report(run, directory)


class Ignores(Executor):
    """Runs no mutant."""

    name = "ignores"

    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        return iter(())


class Narrow(MaxAbs):
    """Measures in float32."""

    def measure(self, original: Scores, candidate: Scores) -> Any:
        return super().measure(original, candidate).astype(np.float32)


def module(**hooks: Any) -> ModuleType:
    made = ModuleType("made")
    vars(made).update(hooks)
    return made


def test_a_module_is_checked_in_all_its_parts() -> None:
    good, bad = mutatenn_mutators, hookimpl(lambda: [Narrow])
    check_plugin_module(module(mutatenn_mutators=good))
    with pytest.raises(AssertionError, match="float64"):
        check_plugin_module(module(mutatenn_mutators=good, mutatenn_comparators=bad))
    with pytest.raises(AssertionError, match="report returns a str"):
        check_plugin_module(module(mutatenn_reporters=hookimpl(lambda: [Silent])))
    with pytest.raises(AssertionError, match="every mutant has one observation"):
        check_plugin_module(module(mutatenn_executors=hookimpl(lambda: [Ignores])))
    with pytest.raises(AssertionError, match=r"put @mutatenn\.hookimpl above it"):
        check_plugin_module(module(mutatenn_mutators=lambda: mutatenn_mutators()))
    with pytest.raises(AssertionError, match="marks at least one hook"):
        check_plugin_module(module())
