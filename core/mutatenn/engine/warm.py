"""The original that mutants are tried against: open, built, and its values kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.border import opened
from mutatenn.engine.choose_kept import choose_kept
from mutatenn.engine.evaluate import Evaluator, OriginalValues
from mutatenn.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mutatenn.api.executor import Job
    from mutatenn.engine.link import LinkedProgram


@attrs.define(eq=False)
class PreparedOriginal:
    """An open device that holds the original, and what is known of it per image.

    ``seconds`` is what the original takes for an image, ``work`` the same of processor time. What is kept may
    be ``sealed``: see :meth:`intact`.
    """

    job: Job
    evaluator: Evaluator
    original: LinkedProgram
    kept: frozenset[int]
    seconds: float
    work: float
    sealed: bool = False
    _known: dict[int, OriginalValues] = attrs.field(init=False, factory=dict)
    _seals: list[tuple[Any, bytes]] = attrs.field(init=False, factory=list)

    @classmethod
    def up(cls, job: Job, *, sealed: bool = False) -> PreparedOriginal:
        """Open the device, build the original, and choose the values to keep: all there is room for."""
        evaluator = Evaluator(opened(job.backend))
        original = evaluator.link(job.original)
        kept: frozenset[int] = frozenset()
        seconds, work = [0.0], 0.0
        if len(job.images):
            evaluator.output(original, job.images[0])  # first calls pay for page faults and caches
            start = time.process_time()
            _, seconds = evaluator.timed(original, job.images[0])
            work = time.process_time() - start
            kept = choose_kept(original, seconds, job.limits.shard_bytes // len(job.images))
        warm = cls(job, evaluator, original, kept, sum(seconds), work, sealed)
        warm._seal(constant for constant in original.constants if constant is not None)
        return warm

    def knows(self, index: int) -> bool:
        """Tell whether the original has run on an image."""
        return index in self._known

    def known(self, index: int) -> OriginalValues:
        """Return what is known of the original on an image; runs it there the first time.

        Raises InfrastructureError if it does not repeat its baseline output.
        """
        if index not in self._known:
            known = self.evaluator.original(self.original, self.job.images[index], self.kept)
            _check_repeats(self.job, index, self.evaluator.device.fetch(known.output))
            self._known[index] = known
            self._seal(known.tensors.values())
        return self._known[index]

    def intact(self) -> bool:
        """Tell whether all that was kept and sealed is still what it was."""
        digest = self.evaluator.device.digest
        return all(digest(tensor) == seal for tensor, seal in self._seals)

    def _seal(self, tensors: Iterable[Any]) -> None:
        if self.sealed:
            self._seals += [(tensor, self.evaluator.device.digest(tensor)) for tensor in tensors]


def _check_repeats(job: Job, index: int, output: Any) -> None:
    found, expected = output.reshape(-1).astype(np.float32), job.expected[index]
    with np.errstate(invalid="ignore"):  # infinite scores of both are equal
        difference = float(np.abs(np.where(found == expected, 0, found - expected)).max())
    if not difference <= job.noise:
        raise InfrastructureError(
            f"the original does not repeat its baseline output on image {index}: off by {difference:g}, "
            f"noise {job.noise:g}; check this machine's memory and run again"
        )
