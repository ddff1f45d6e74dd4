"""The mutation score, and the counts it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from mutatenn.api.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mutatenn.results.estimate import Interval


@attrs.frozen
class MutationScore:
    """How many mutants ended how; every mutant is counted once.

    ``interval`` is what they tell of all mutants that they were drawn from, each operator's weighed by how
    many there are. It is a point where all have run, and None where they are no random sample of a known
    number: of some operators or environments together, or while others wait.
    """

    counts: dict[Status, int]
    interval: Interval | None = None

    @classmethod
    def of(cls, statuses: Sequence[Status]) -> MutationScore:
        """Count statuses."""
        return cls({status: statuses.count(status) for status in Status})

    @classmethod
    def total(cls, counts: Iterable[Mapping[Status, int]]) -> MutationScore:
        """Return the score of all these numbers of mutants, by status."""
        every = list(counts)
        return cls({status: sum(each.get(status, 0) for each in every) for status in Status})

    @property
    def judged(self) -> int:
        """Mutants that have ended, in whatever way."""
        return sum(self.counts.values())

    @property
    def without_verdict(self) -> dict[Status, int]:
        """How many of them ended without a verdict on the images, by status, the most frequent first."""
        found = {status: count for status, count in self.counts.items() if count and not status.is_verdict}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def verdict_share(self) -> float:
        """The share of them that have a verdict on the images, NaN where none has ended."""
        told = self.judged - sum(self.without_verdict.values())
        return told / self.judged if self.judged else float("nan")

    @property
    def detected(self) -> int:
        """Mutants that were noticed: killed, crashed, or timed out."""
        return sum(count for status, count in self.counts.items() if status.detected)

    @property
    def valid(self) -> int:
        """Mutants that ran to an end that counts: those noticed, survivors, and those never infected."""
        return sum(count for status, count in self.counts.items() if status.valid)

    @property
    def value(self) -> float:
        """The mutation score: detected / valid, weighted where sampled; NaN when nothing was valid."""
        if self.interval:
            return self.interval.score
        return self.detected / self.valid if self.valid else float("nan")

    @property
    def low(self) -> float:
        """The low end of the score's interval, NaN where that is not known."""
        return self.interval.low if self.interval else float("nan")

    @property
    def sampled(self) -> bool:
        """Whether another sample might have given another score."""
        return bool(self.interval and self.interval.width)

    def line(self) -> str:
        """Return the score and all counts as name value pairs on one line.

        ``low`` and ``high`` follow the score where it was sampled; a score of nothing is ``-``.
        """
        pairs = ["score", f"{self.value:.2f}" if self.valid else "-"]
        if self.interval and self.sampled:
            pairs += ["low", f"{self.interval.low:.2f}", "high", f"{self.interval.high:.2f}"]
        pairs += [f"{status} {count}" for status, count in self.counts.items() if count or not status.rare]
        return " ".join(pairs)
