"""The mutation score, and the counts it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from mutatenn.api.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@attrs.frozen
class MutationScore:
    """How many mutants ended how; every mutant is counted once."""

    counts: dict[Status, int]

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
        """The mutation score: detected / valid, NaN when nothing was valid."""
        return self.detected / self.valid if self.valid else float("nan")

    def line(self) -> str:
        """Return the score and all counts as name value pairs on one line."""
        pairs = [f"{status} {count}" for status, count in self.counts.items() if count or not status.rare]
        return " ".join([f"score {self.value:.2f}", *pairs])
