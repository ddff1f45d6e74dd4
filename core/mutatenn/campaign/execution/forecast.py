"""How long the mutants of a campaign take, and how much memory and disk: told by a few on a few images."""

from __future__ import annotations

import os
import random
import resource
import time
from statistics import mean
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.executor import Job
from mutatenn.campaign.execution.derive import derive
from mutatenn.campaign.execution.observed import observations
from mutatenn.campaign.gate import agreement, gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn.api.executor import Observation
    from mutatenn.api.mutant import Mutant
    from mutatenn.campaign.execution.setup import Setup

TRIED, IMAGES = 12, 2
KEPT_BYTES = 48 * 2**10
"""On disk for a mutant, its outputs aside: its rows in the database, its code before and after the change."""


@attrs.frozen
class Forecast:
    """What an environment's mutants take: wall seconds, bytes of memory at most, bytes of disk.

    ``tried`` is how many mutants were run to tell, on so many ``images``.
    """

    seconds: float
    memory: int
    disk: int
    tried: int
    images: int


def forecast(setup: Setup, environment: str, mutants: Sequence[Mutant], workers: int) -> Forecast:
    """Run a few mutants, drawn anew each time, on a few images; keep nothing of it.

    Raises KernelError, BuildError or InfrastructureError if the original cannot be built and run.
    """
    toolchain, images = setup.toolchains[environment], setup.inputs[environment][:IMAGES]
    start = time.monotonic()
    measured = gate.measure(toolchain.backend, toolchain.program, images)
    gate_seconds = time.monotonic() - start
    drawn = random.sample(mutants, min(TRIED, len(mutants)))  # kernels of those tried before are known by now
    planned = {mutant.id: mutant for mutant in drawn}
    job = Job(
        backend=toolchain.backend,
        original=toolchain.program,
        images=images,
        derive=lambda name: derive(planned[name], toolchain, setup.host)[0],
        expected=measured.first,
        noise=float(agreement.distance(measured.first, measured.second).max(initial=0.0)),
        limits=setup.campaign.limits,
        workers=workers,
    )
    seen = list(observations(setup.executor(environment), job, list(planned)))
    more = max(0, setup.image_count - len(images))
    beside = min(workers, max(1, len(mutants)))
    seconds = gate_seconds + 2 * more * measured.seconds + len(mutants) * _seconds(setup, seen) / beside
    memory, disk = _memory(setup, environment, beside), _disk(setup, mutants, seen)
    return Forecast(seconds, memory, disk, len(seen), len(images))


def _seconds(setup: Setup, seen: Sequence[Observation]) -> float:
    """Return what a mutant takes on average: to be made once, and to run on each image."""
    if not seen:
        return 0.0
    running = [each.seconds.get("running", 0.0) for each in seen]
    making = [each.seconds.get("total", 0.0) - run for each, run in zip(seen, running, strict=True)]
    ran = [run / len(each.infected) for each, run in zip(seen, running, strict=True) if len(each.infected)]
    share = len(ran) / len(seen)
    return mean(making) + share * setup.image_count * (mean(ran) if ran else 0.0)


def _memory(setup: Setup, environment: str, workers: int) -> int:
    """Return this process' memory, that of the original's values, and what a child has for itself alone."""
    program, limits = setup.toolchains[environment].program, setup.campaign.limits
    values = sum(spec.nbytes for spec in program.values)
    kept = min(limits.shard_bytes, setup.image_count * values)
    own = _resident()
    child = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    alone = max(values, child - own - min(limits.shard_bytes, IMAGES * values))
    return own + kept + workers * alone


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _disk(setup: Setup, mutants: Sequence[Mutant], seen: Sequence[Observation]) -> int:
    rows = sum(len(each.rows) + (len(each.again.rows) if each.again else 0) for each in seen)
    changed = rows / max(1, sum(len(each.infected) for each in seen))
    output = setup.image_count * setup.model.output.nbytes
    return round(len(mutants) * (KEPT_BYTES + changed * output))
