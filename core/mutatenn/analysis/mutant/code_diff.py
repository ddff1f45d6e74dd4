"""What a mutant changes in the code that is generated for a device."""

from __future__ import annotations

import difflib
import itertools
import re
from typing import TYPE_CHECKING

from mutatenn.campaign.execution.derive import derive
from mutatenn.campaign.execution.reopen import reopened
from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import BuildError, InputError
from mutatenn.nearest import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn.api.backend import Backend
    from mutatenn.api.mutant import Mutant
    from mutatenn.api.program import Kernel, Program
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.run import Run

# Of values, metadata, constants and labels: after one instruction more, all have other numbers.
NUMBERED = re.compile(r"(?<=[%!])\d+\b|(?<=\.L\.str\.)\d+|(?<=LBB)\d+_\d+|(?<=L__BB)\d+_\d+")


def code_diffs(
    run: Run, mutant: Mutant, environments: Sequence[str], kind: str, host: PluginHost
) -> dict[str, str]:
    """Return unified diffs of the code generated for original and mutant, by environment.

    They are of those environments that have the mutant and generate this kind of code; an empty one says
    that the code is the same. Raises InputError if there is no such environment, or no code.
    """
    setup = reopened(run, host)
    planned = [name for name in environments if mutant.id in run.mutants_of(name)]
    kinds = {name: setup.backends[name].sources for name in planned if name in setup.backends}
    able = [name for name, known in kinds.items() if kind in known]
    if not able:
        known = set(itertools.chain.from_iterable(kinds.values()))
        raise InputError(unknown_name("kind of code", kind, known))
    return {name: _isolated_diff(setup, mutant, name, kind) for name in able}


def _isolated_diff(setup: Setup, mutant: Mutant, environment: str, kind: str) -> str:
    toolchain = setup.toolchains[environment]

    def compare() -> str:
        program, _ = derive(mutant, toolchain, setup.host)
        pairs = pair_kernels(toolchain.program, program)
        return "\n".join(line for pair in pairs for line in _diff(toolchain.backend, *pair, kind))

    try:
        return call_isolated(compare)
    except BuildError as error:
        raise InputError(
            f"mutant {mutant.id!r} has no code in {environment!r}: the compiler rejects it ({error})"
        ) from error


def pair_kernels(original: Program, mutant: Program) -> list[tuple[Kernel | None, Kernel | None]]:
    """Return pairs of kernels that differ, original and mutant, in the order of the calls.

    None stands for what one of the two does not have. They are without what only mutants get.
    """
    before, after = ([call.kernel for call in program.calls] for program in (original, mutant))
    one, other = ([kernel.digest for kernel in kernels] for kernels in (before, after))
    matcher: difflib.SequenceMatcher[str] = difflib.SequenceMatcher(None, one, other, autojunk=False)
    pairs = [
        pair
        for tag, i, end, j, stop in matcher.get_opcodes()
        if tag != "equal"
        for pair in itertools.zip_longest(before[i:end], [each.plain or each for each in after[j:stop]])
    ]
    return list({tuple(each and each.digest for each in pair): pair for pair in pairs}.values())


class _Line(str):
    """A line of code, equal to others but for the numbers that the compiler gives to values and labels."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Line) and NUMBERED.sub("", self) == NUMBERED.sub("", other)

    def __hash__(self) -> int:
        return hash(NUMBERED.sub("", self))


def _diff(backend: Backend, before: Kernel | None, after: Kernel | None, kind: str) -> list[str]:
    one, other = (
        backend.source(kernel, kind).expandtabs().splitlines() if kernel else [] for kernel in (before, after)
    )
    old, new = (
        f"{side}/{kernel.name}.{kind}" if kernel else "(none)"
        for side, kernel in (("original", before), ("mutant", after))
    )
    lines = list(difflib.unified_diff([*map(_Line, one)], [*map(_Line, other)], old, new, lineterm=""))
    return lines or list(difflib.unified_diff(one, other, old, new, lineterm=""))
