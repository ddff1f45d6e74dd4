"""What is different since an earlier run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mutatenn.api.verdict import Status


@attrs.frozen
class Delta:
    """The mutants of an environment that fare otherwise than in an earlier run of it, by id.

    ``surviving`` survive and were noticed, ``noticed`` are noticed and survived; mutants never infected
    survived, too. ``added`` are not in the earlier run's plan, ``gone`` not in this one's. Those that have no
    verdict in one of the runs, or one that counts in no score, are in none of the first two. In the order of
    the plans.
    """

    surviving: tuple[str, ...]
    noticed: tuple[str, ...]
    added: tuple[str, ...]
    gone: tuple[str, ...]

    @classmethod
    def between(
        cls,
        earlier: Mapping[str, Status],
        planned_then: Collection[str],
        now: Mapping[str, Status],
        planned: Collection[str],
    ) -> Delta:
        """Compare statuses by mutant, and the ids of what was planned."""
        before, after = set(planned_then), set(planned)
        return cls(
            tuple(name for name in planned if _missed(now.get(name)) and _noticed(earlier.get(name))),
            tuple(name for name in planned if _noticed(now.get(name)) and _missed(earlier.get(name))),
            tuple(name for name in planned if name not in before),
            tuple(name for name in planned_then if name not in after),
        )


def _noticed(status: Status | None) -> bool:
    return status is not None and status.detected


def _missed(status: Status | None) -> bool:
    return status is not None and status.valid and not status.detected
