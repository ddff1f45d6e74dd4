"""The sarif reporter: survivors as results of a static analysis, for code scanning."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import attrs

from mutatenn import CATEGORIES, Reporter, closest_survivors, compare, hookimpl
from mutatenn_reporters._changes import diff_of
from mutatenn_reporters._endings import clause
from mutatenn_reporters._repository import place
from mutatenn_reporters._text import cut
from mutatenn_reporters._writing import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutatenn import Run
    from mutatenn_reporters._repository import Place

FILE = "mutatenn.sarif"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST = 5000
"""Results: GitHub keeps no more."""
LONGEST, NAME, MESSAGE = 1000, 255, 10_000
DIFFERS = "ended-differently"


@attrs.define(kw_only=True, eq=False)
class Sarif(Reporter):
    """Writes mutatenn.sarif (SARIF 2.1.0): a result for each survivor, a rule for each operator.

    Results stand at the line of the campaign file that asks for their operator, the closest to being noticed
    first, 5,000 at most; so do mutants that ended differently in several environments. Survivors that the
    campaign accepts are suppressed. Thresholds that failed are errors.
    """

    name: ClassVar[str] = "sarif"

    def report(self, run: Run, directory: Path) -> str:
        """Write ``mutatenn.sarif`` into the directory, creating it; return where it is.

        Raises InputError if it cannot be written.
        """
        document = sarif(run, place(run))
        return write(directory / FILE, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def sarif(run: Run, where: Place) -> dict[str, Any]:
    """Return the log of one run."""
    results = [*_failed(run, where), *_survivors(run, where), *_different(run, where)][:MOST]
    rules = list(dict.fromkeys(result["ruleId"] for result in results))
    for result in results:
        result["ruleIndex"] = rules.index(result["ruleId"])
    tool = {
        "name": "mutatenn",
        "version": str(run.facts.get("versions", {}).get("mutatenn", "")) or "unknown",
        "rules": [_rule(run, name) for name in rules],
    }
    about = {"id": f"mutatenn/{cut(run.name, NAME).replace('/', '-')}/"}
    log = {"tool": {"driver": tool}, "automationDetails": about, "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [log]}


def _rule(run: Run, name: str) -> dict[str, Any]:
    summary = run.facts.get("operators", {}).get(name, "")
    if name == DIFFERS:
        summary = "a mutant that did not end alike in all environments"
    elif not summary:
        summary = "a threshold of the campaign" if "/" in name else "a fault in the compiled network"
    told = cut(summary, LONGEST)
    text = f"{told}. No image noticed it: add images, an oracle that sees it, or accept it in the campaign."
    return {
        "id": name,
        "name": name,
        "shortDescription": {"text": told},
        "fullDescription": {"text": told},
        "help": {"text": text},
        "defaultConfiguration": {"level": "error" if "/" in name else "warning"},
        "properties": {"precision": "very-high", "problem.severity": "warning", "tags": ["mutation testing"]},
    }


def _failed(run: Run, where: Place) -> Iterator[dict[str, Any]]:
    for each in run.failed_thresholds:
        key = f"{each.threshold}/{each.environment}"
        rule, text = f"threshold/{each.threshold}", cut(each, LONGEST)
        yield _result(rule, text, _at(where, ""), key, level="error")


def _survivors(run: Run, where: Place) -> Iterator[dict[str, Any]]:
    found, accepted = [], run.accepted
    for environment in run.environments:
        close = closest_survivors(run, environment, MOST)
        found += [(each.lost, environment, each.mutant) for each in close]
    for _, environment, mutant in sorted(found, key=lambda each: -each[0])[:MOST]:
        yield _survivor(run, environment, mutant, where)
    for mutant, reason in accepted.items():
        for environment in run.environments:
            verdict = run.verdict(environment, mutant)
            if verdict and verdict.status == "survived":
                result = _survivor(run, environment, mutant, where)
                told = cut(reason, LONGEST) or "accepted"
                result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": told}]
                yield result


def _survivor(run: Run, environment: str, mutant: str, where: Place) -> dict[str, Any]:
    record, verdict = run.mutant(mutant), run.verdict(environment, mutant)
    told = clause(verdict) if verdict else ""
    layers = f" in layers {', '.join(record.mutant.layers)}" if record.mutant.layers else ""
    category = CATEGORIES.get(record.category, record.category)
    first = f"{mutant} survived in {environment}: {told}{layers} ({category})."
    change = diff_of(run, mutant, environment)
    text = f"{cut(first, LONGEST)}\n{change}"[:MESSAGE] if change else cut(first, LONGEST)
    operator = cut(record.operator, NAME).replace("/", "-")
    return _result(operator, text, _at(where, record.operator), f"{environment}/{mutant}")


def _different(run: Run, where: Place) -> Iterator[dict[str, Any]]:
    if len(run.environments) < 2:  # noqa: PLR2004  # it takes two to disagree
        return
    comparison = compare([run], oracles={})
    if len(comparison.mutated) > 1:
        for each in comparison.diverging(MOST):
            text = cut(f"{each.mutant.id}: {each.reason}", LONGEST)
            yield _result(DIFFERS, text, _at(where, each.mutant.operator), f"{DIFFERS}/{each.mutant.id}")


def _result(rule: str, text: str, place: dict[str, Any], key: str, level: str = "warning") -> dict[str, Any]:
    digest = hashlib.sha256(key.encode(errors="replace")).hexdigest()
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"primaryLocationLineHash": f"{digest[:16]}:1"},
    }


def _at(where: Place, operator: str) -> dict[str, Any]:
    """Return the line that asks for an operator as a physical location."""
    line = where.line(operator)
    return {
        "artifactLocation": {"uri": quote(where.path)},
        "region": {"startLine": line, "endLine": line},
    }


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``sarif``."""
    return [Sarif]
