"""What the database of a run adds up to, mutant by mutant and in all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.executor import Outcome
from mutatenn.api.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutatenn.results.database import Database


@attrs.frozen(eq=False)
class Tallies:
    """Counts and lists of an environment's trials and verdicts; nothing is written."""

    _db: Database

    def accepted(self, environment: str) -> int:
        """Return how many survivors of an environment are accepted."""
        query = (
            "SELECT COUNT(*) FROM verdicts JOIN remarks USING (mutant) "
            "WHERE environment = ? AND status = 'survived' AND kind = 'accept'"
        )
        return int(self._db.execute(query, (environment,)).fetchone()[0])

    def waiting(self, environment: str) -> dict[str, int]:
        """Return how many mutants have no verdict yet and are not skipped, by operator."""
        query = (
            "SELECT operator, COUNT(*) FROM trials JOIN mutants ON id = trials.mutant "
            "LEFT JOIN verdicts USING (environment, mutant) "
            "LEFT JOIN remarks ON remarks.mutant = trials.mutant AND kind = 'skip' "
            "WHERE trials.environment = ? AND status IS NULL AND reason IS NULL GROUP BY operator"
        )
        return dict(self._db.execute(query, (environment,), (str, int)))

    def progress(self, environment: str) -> dict[str, dict[int, str]]:
        """Return the outcome per mutant and shard of an environment."""
        query = (
            "SELECT mutant, shard, json_extract(record, '$.outcome') FROM observations WHERE environment = ?"
        )
        outcomes: dict[str, dict[int, str]] = {}
        for mutant, shard, outcome in self._db.execute(query, (environment,), (str, int, Outcome)):
            outcomes.setdefault(mutant, {})[shard] = outcome
        return outcomes

    def strays(self, environment: str) -> int:
        """Return how many mutants read memory that they must not, and would have ended alike otherwise."""
        query = (
            "SELECT COUNT(*) FROM verdicts WHERE environment = ? AND status != 'unstable' "
            "AND json_extract(record, '$.memory') != ''"
        )
        return int(self._db.execute(query, (environment,)).fetchone()[0])

    def slow(self, environment: str, times: float, least: float) -> Iterator[tuple[str, float, float]]:
        """Yield the mutants that took so many times the original's processor time, and ``least`` seconds.

        Each with its seconds and the original's, the slowest first.
        """
        query = (
            "SELECT mutant, SUM(json_extract(record, '$.seconds.running')) AS took, "
            "SUM(json_extract(record, '$.seconds.original')) AS usual FROM observations "
            "WHERE environment = ? GROUP BY mutant HAVING took > ? * usual AND took > ? ORDER BY took DESC"
        )
        return iter(self._db.execute(query, (environment, times, least), (str, float, float)))

    def duplicates(self, environment: str) -> dict[str, str]:
        """Return the mutants whose program an earlier one has, with the first that has it."""
        query = (
            "SELECT mutant, FIRST_VALUE(mutant) OVER (PARTITION BY program ORDER BY position) FROM "
            "(SELECT mutant, position, json_extract(record, '$.program') AS program FROM verdicts "
            "JOIN mutants ON id = mutant WHERE environment = ? AND status != 'equivalent') "
            "WHERE program != '' ORDER BY position"
        )
        pairs = self._db.execute(query, (environment,), (str, str))
        return {mutant: first for mutant, first in pairs if mutant != first}

    def statuses(self, environment: str) -> dict[str, Status]:
        """Return the status of every judged mutant of an environment."""
        query = "SELECT mutant, status FROM verdicts WHERE environment = ?"
        rows = self._db.execute(query, (environment,), (str, Status))
        return {mutant: Status(status) for mutant, status in rows}

    def counts(self, environment: str) -> dict[Status, int]:
        """Return how many mutants ended how in an environment."""
        query = "SELECT status, COUNT(*) FROM verdicts WHERE environment = ? GROUP BY status"
        rows = self._db.execute(query, (environment,), (Status, int))
        return {Status(status): number for status, number in rows}

    def operator_counts(self, environment: str) -> dict[str, dict[Status, int]]:
        """Return how many mutants ended how in an environment, by operator in the plan's order.

        An operator whose mutants have no verdict yet has no counts; one without mutants is left out.
        """
        query = (
            "SELECT operator, status, COUNT(status) FROM trials JOIN mutants ON id = trials.mutant "
            "LEFT JOIN verdicts USING (environment, mutant) WHERE trials.environment = ? "
            "GROUP BY operator, status ORDER BY MIN(position)"
        )
        counts: dict[str, dict[Status, int]] = {}
        for operator, status, number in self._db.execute(query, (environment,), (str, Status | None, int)):
            counts.setdefault(operator, {}).update({Status(status): number} if number else {})
        return counts

    def layer_counts(self, environment: str) -> dict[tuple[str, ...], tuple[dict[Status, int], int]]:
        """Return how many mutants ended how in an environment, and how many of them were masked, by layers.

        Left out are mutants of several sites, and those of which no layer is known.
        """
        masked = "SUM(status = 'survived' AND json_extract(record, '$.propagated') = 0)"
        query = (
            f"SELECT json_extract(sites, '$[0][3]') AS layers, status, COUNT(*), {masked} "  # noqa: S608  # ours
            "FROM verdicts JOIN mutants ON id = mutant WHERE environment = ? "
            "AND json_array_length(sites) = 1 GROUP BY layers, status ORDER BY MIN(position)"
        )
        found: dict[tuple[str, ...], tuple[dict[Status, int], int]] = {}
        rows = self._db.execute(query, (environment,), (str | None, Status, int, int))
        for text, status, number, hidden in rows:
            layers = tuple(map(str, json.loads(text or "[]")))
            if layers:
                counts, before = found.get(layers, ({}, 0))
                found[layers] = counts | {Status(status): number}, before + hidden
        return found
