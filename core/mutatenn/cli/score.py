"""``mutatenn score``: judge the stored outputs again, with another oracle; nothing is run or changed."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.cli._text import columns
from mutatenn.cli._thresholds import add_thresholds, conclude, demanding, demands, earlier
from mutatenn.errors import InputError
from mutatenn.json_values import jsonable
from mutatenn.printable import one_line, printable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from mutatenn.api.command import Command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from mutatenn.api.comparator import Comparator
    from mutatenn.api.verdict import Status
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.run import Run
    from mutatenn.results.score import MutationScore
    from mutatenn.results.thresholds import Failed

EPILOG = """
With --json, an object: "kill", "options", and "environments", an object by name: "score" (null when no mutant
was valid), "interval" (as in report.json), "counts" (by status), "waiting" (mutants that have not run); and
"failed_thresholds", a list of objects as in report.json, which docs/report-schema.md describes. Exit codes: 0
done, 1 a threshold failed, 2 wrong input.
"""


class ScoreCommand(Command):
    """Judge the stored outputs again, with another oracle; runs and changes nothing."""

    name = "score"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("run", metavar="RUN", help="the run directory")
        parser.add_argument(
            "--kill", metavar="NAME", help="the oracle that decides (default: the campaign's)"
        )
        parser.add_argument(
            "--option",
            metavar="KEY=VALUE",
            action="append",
            default=[],
            help="an option of the oracle, such as threshold=0.1; may be repeated",
        )
        add_thresholds(parser)
        parser.add_argument("--json", action="store_true", help="print an object")
        parser.epilog = EPILOG

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Print the counts and the score line of each environment."""
        import mutatenn
        from mutatenn.host.options import create

        run = demanding(mutatenn.open_run(args.run), demands(args), earlier(args))
        kill, options = (args.kill, {}) if args.kill else _configured(run)
        options |= _options(args.option)
        oracle = create(host.get("comparator", kill), options)
        statuses = {name: _judged(run, name, kill, oracle) for name in run.environments}
        operators = {name: _counted(run, name, found) for name, found in statuses.items()}
        failed = run.check_thresholds(operators, statuses)
        scores = {name: run.total(name, found) for name, found in operators.items()}
        waiting = {name: sum(run.waiting(name).values()) for name in scores}
        if args.json:
            environments = {name: _plain(score, waiting[name]) for name, score in scores.items()}
            judged = {"kill": kill, "options": options, "environments": environments}
            print(json.dumps({**judged, "failed_thresholds": list(map(_failure, failed))}, indent=2))
            return conclude(run, failed, told=True)
        for each in failed:
            print(printable(each))
        shown = "".join(f" {name}={value}" for name, value in options.items())
        print(one_line(f"killed by {kill}{shown}") + "\n")
        print("\n\n".join(_text(name, score, waiting[name]) for name, score in scores.items()))
        return conclude(run, failed, told=True)


def _configured(run: Run) -> tuple[str, dict[str, Any]]:
    """Return the campaign's own kill oracle and its options."""
    from mutatenn.campaign.config.load import load_oracles
    from mutatenn.results.run import CAMPAIGN_FILE

    kill = load_oracles(run.directory / CAMPAIGN_FILE).kill
    return kill.name, dict(kill.options)


def _options(pairs: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs, the values as in a campaign file; what is none there is a string."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise InputError(f"--option takes KEY=VALUE, such as threshold=0.1, not {pair!r}")
        try:
            found[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = text
    return found


def _judged(run: Run, environment: str, kill: str, oracle: Comparator) -> dict[str, Status]:
    """Return the statuses by mutant, as :meth:`Run.statuses` does."""
    baseline = run.baselines.get(environment)
    if baseline is None or baseline.problems:
        return {}
    judge = run.judge(environment, kill, {kill: oracle})
    seen = ((mutant, run.observation(environment, mutant)) for mutant in run.mutants_of(environment))
    return {mutant: judge.judge(found).status for mutant, found in seen if found}


def _counted(run: Run, environment: str, statuses: Mapping[str, Status]) -> dict[str, MutationScore]:
    """Return the scores by operator, as :meth:`Run.scores` does."""
    from mutatenn.results.score import MutationScore

    found: dict[str, list[Status]] = {name: [] for name in run.scores(environment)}
    operators = {mutant.id: mutant.operator for mutant in run.planned()} if statuses else {}
    for mutant, status in statuses.items():
        found[operators[mutant]].append(status)
    return {name: MutationScore.of(ended) for name, ended in found.items()}


def _failure(failed: Failed) -> dict[str, Any]:
    return {**attrs.asdict(failed), "value": _number(failed.value)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _plain(score: MutationScore, waiting: int) -> dict[str, Any]:
    interval = jsonable(attrs.asdict(score.interval)) if score.interval else None
    counts = dict(score.counts)
    return {"score": _number(score.value), "interval": interval, "counts": counts, "waiting": waiting}


def _text(environment: str, score: MutationScore, waiting: int) -> str:
    rows = [("environment", environment), *score.counts.items()]
    rows += [("waiting", waiting)] if waiting else []
    return f"{columns(rows, right=[1])}\n{score.line()}"
