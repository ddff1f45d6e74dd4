"""The contract of an executor: run many mutants, let none of them harm the others."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np

from mutatenn.api.capability import Capability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from mutatenn.api.backend import Backend
    from mutatenn.api.program import Program

Outcome = Literal[
    "ran",
    "duplicate",
    "equivalent",
    "build-error",
    "crashed",
    "timed-out",
    "out-of-bounds",
    "unstable",
    "infrastructure-error",
]


@attrs.frozen
class Limits:
    """What one mutant may use, in multiples of what the original needs.

    ``time_factor`` times the original's seconds per image, but at least ``time_floor`` seconds of
    processor time, for each image; ``build_seconds`` to derive and compile; ``memory_factor`` times the
    bytes of the original's values for one image, plus ``memory_floor`` bytes. ``shard_bytes`` bounds what the
    original's kept values of all images that run together may take.
    """

    time_factor: float = 20.0
    time_floor: float = 10.0
    build_seconds: float = 120.0
    memory_factor: float = 4.0
    memory_floor: int = 2 * 2**30
    shard_bytes: int = 3 * 2**27


@attrs.frozen(eq=False)
class Job:
    """One environment, one shard of images: what every mutant of a batch shares.

    ``images`` is ``[images, *input.shape[1:]]``. ``derive`` returns the changed program of a mutant, by id;
    it raises BuildError where the compiler rejects the mutant, and is called in the mutant's own process.
    ``expected`` are the original's float32 outputs ``[images, classes]`` from the baseline, ``noise`` the
    largest absolute difference between two runs of it.
    """

    backend: Backend
    original: Program
    images: NDArray[np.generic]
    derive: Callable[[str], Program]
    expected: NDArray[np.float32]
    noise: float = 0.0
    limits: Limits = Limits()
    workers: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    reuse: bool = True


@attrs.frozen(eq=False)
class Observation:
    """What the machinery saw of one mutant on one shard of images.

    ``rows`` are the images whose output differs from the original's bit for bit, ``outputs`` their
    float32 outputs ``[len(rows), classes]``; every other image's output is the original's.
    ``executed`` counts the calls run whose value name the original does not have (the proof of
    activation), ``kernels`` are the digests of their kernels; a mutant that only takes another of the
    original's values as its output counts the call that gives this value. ``infected`` marks the images
    on which at least one value differed from every value of the original; ``masked`` counts, by kernel
    name, those on which the infection died there. ``program`` is the identity of its program. A
    ``duplicate`` was not run: an earlier mutant, named by ``message``, has the same program. ``seconds`` is
    wall time per phase. ``signal`` is set for a crash by signal, ``message`` for anything but ``ran``.
    ``memory`` says how the mutant read memory that it must not: it left a buffer, or nothing had been
    written there. Where its outputs depend on what it found, ``again`` is what was seen with another content.
    """

    mutant: str
    outcome: Outcome
    message: str = ""
    signal: int | None = None
    executed: int = 0
    kernels: tuple[str, ...] = ()
    program: str = ""
    masked: dict[str, int] = attrs.field(factory=dict)
    infected: NDArray[np.bool_] = attrs.field(factory=lambda: np.zeros(0, bool))
    rows: NDArray[np.intp] = attrs.field(factory=lambda: np.zeros(0, np.intp))
    outputs: NDArray[np.float32] = attrs.field(factory=lambda: np.zeros((0, 0), np.float32))
    seconds: dict[str, float] = attrs.field(factory=dict)
    memory: str = ""
    again: Observation | None = None

    def patched(self, original: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mutant's outputs ``[images, classes]``: the original's but for ``rows``."""
        values = original.copy()
        if len(self.rows):
            values[self.rows] = self.outputs
        return values


@attrs.frozen(kw_only=True)
class Executor(Capability):
    """Runs mutants of one job and yields an observation for each, in any order."""

    @abstractmethod
    def run(self, job: Job, mutants: Sequence[str]) -> Iterator[Observation]:
        """Run the original once, keep its values, then run each mutant against them.

        Yields exactly one observation per mutant. A mutant's crash, hang or build error is its own
        observation. Raises :class:`mutatenn.InfrastructureError` if the original does not repeat the
        expected outputs within the noise.
        """
