"""Measures how long the original takes in every environment, in turns: what else runs meets all alike."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.border import opened
from mutatenn.campaign.execution.provenance import cpus
from mutatenn.engine.evaluate import Evaluator
from mutatenn.engine.isolate import isolated
from mutatenn.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

    from mutatenn.campaign.config.values import TimeSection
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.results.store import Store

    Seconds = NDArray[np.float32]

SECONDS = 600.0
"""That one turn of an environment may take."""


def measure_times(setup: Setup, store: Store, environments: Sequence[str]) -> None:
    """Measure the original in these environments as ``[time]`` asks, and keep the seconds of every image.

    Environments of one machine take turns, in one order and then in the other; a device that holds one
    process at a time has all its turns in a row. What was measured in the same way before is kept.
    """
    section = setup.campaign.time
    if section is None:
        return
    about = attrs.asdict(section)
    waiting = [name for name in environments if not _measured(store, name, about)]
    together = [name for name in waiting if setup.backends[name].places is None]
    for group in ([together] if together else []) + [[name] for name in waiting if name not in together]:
        setup.tell(f"timing {', '.join(group)}")
        before, seconds = os.getloadavg()[0], _turns(setup, group, section)
        told = about | {
            "load": before,
            "processors": cpus(),
            "together": len(group),
        }
        for name, values in seconds.items():
            store.set_times(name, values, told)


def _measured(store: Store, environment: str, about: dict[str, Any]) -> bool:
    kept = store.about_times(environment)
    return kept is not None and about.items() <= kept.items()


def _turns(setup: Setup, environments: Sequence[str], section: TimeSection) -> dict[str, Seconds]:
    """Return the seconds by environment, float32 ``[repeats, images]``."""
    number = min(section.images, setup.image_count)
    with contextlib.ExitStack() as stack:
        players = {name: stack.enter_context(_player(setup, name, section, number)) for name in environments}
        rounds: dict[str, list[list[float]]] = {name: [] for name in environments}
        for turn in range(section.repeats):
            for name in environments if turn % 2 == 0 else reversed(environments):
                rounds[name].append(players[name]())
    return {name: np.array(found, np.float32) for name, found in rounds.items()}


@contextlib.contextmanager
def _player(
    setup: Setup, environment: str, section: TimeSection, images: int
) -> Iterator[Callable[[], list[float]]]:
    """Start a process that has an original ready; yields a function that runs it on all images once."""
    ours, theirs = multiprocessing.Pipe()

    def play() -> None:
        ours.close()
        _play(setup, environment, section.warmup, images, theirs)

    def turn() -> list[float]:
        try:
            ours.send(True)
            if ours.poll(SECONDS):
                found: list[float] = ours.recv()
                return found
        except (EOFError, OSError):  # it has ended
            answer()  # raises why
        raise InfrastructureError(f"timing {environment} took more than {SECONDS:g} s")

    with isolated(play) as answer, ours:
        theirs.close()
        yield turn


def _play(setup: Setup, environment: str, warmup: int, images: int, pipe: Connection) -> None:
    """Run an original on images, each by itself, as often as a pipe asks for it."""
    toolchain = setup.toolchains[environment]
    evaluator = Evaluator(opened(toolchain.backend))
    linked = evaluator.link(toolchain.program)

    def seconds(image: NDArray[np.generic]) -> float:
        start = time.perf_counter()
        evaluator.device.fetch(evaluator.output(linked, image))  # waits for the device
        return time.perf_counter() - start

    for _ in range(warmup):
        for image in setup.inputs[environment][:images]:
            seconds(image)
    while pipe.recv():
        pipe.send([seconds(image) for image in setup.inputs[environment][:images]])
