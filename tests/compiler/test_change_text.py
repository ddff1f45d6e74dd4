"""What a mutant changed, as text: code, or constants where nothing else changed."""

from __future__ import annotations

import difflib
from typing import Any

from mutatenn.compiler.toolchain import Toolchain
from mutatenn_mutators.paper.add_to_subtract import AddToSubtract
from mutatenn_mutators.weights.weights import ShuffleWeights


def lines(toolchain: Toolchain, mutator: Any) -> list[str]:
    _, (change,) = toolchain.derive(mutator, "graph", {"main": [1]})
    diff = difflib.unified_diff(change.before.splitlines(), change.after.splitlines(), n=0)
    return [line for line in diff if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def test_changed_constants_are_listed(toolchain: Toolchain) -> None:
    before, after = lines(toolchain, ShuffleWeights())
    assert before.startswith("-# const[")
    assert before.split()[:3] == ["-#", *after.split()[1:3]]
    assert before.split()[-1] != after.split()[-1]


def test_changed_code_lists_no_constants(toolchain: Toolchain) -> None:
    changed = lines(toolchain, AddToSubtract())
    assert any("R.subtract" in line for line in changed)
    assert not any("# const[" in line for line in changed)
