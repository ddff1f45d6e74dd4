"""``mutatenn plan``: the sites and mutants of a campaign; nothing is run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.cli.text import columns
from mutatenn.errors import InputError
from mutatenn.nearest import unknown_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from mutatenn.api.mutant import Mutant
    from mutatenn.campaign.plan import Plan
    from mutatenn.campaign.setup import Setup
    from mutatenn.host import PluginHost

NAME = "plan"
HELP = "count the sites and mutants of a campaign, running nothing"
EPILOG = """
With --json, an object: "campaign" (its name), "model", "images" (how many) and "environments", a list of
objects: "name", "backend", "target", "profile", "kernels" (how many different ones), "fallback" (why the
model runs as a whole, or ""), "operators" (per entry of the campaign and operator: operator, category, level,
sites, mutants) and "mutants" (id, operator, category, level, stage, options, sites: unit, ordinal, detail).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="FILE", help="the campaign file")
    parser.add_argument("--list", action="store_true", help="a line per mutant: id, unit, ordinal, code")
    parser.add_argument("--environment", metavar="NAME", help="only this environment")
    parser.add_argument("--json", action="store_true", help="print an object, every mutant in it")
    parser.epilog = EPILOG


def execute(args: argparse.Namespace, host: PluginHost) -> int:
    """Print the plan of each environment."""
    from mutatenn.campaign.setup import set_up

    setup = set_up(args.file, host)
    if args.environment is not None and args.environment not in setup.toolchains:
        raise InputError(unknown_name("environment", args.environment, setup.toolchains))
    plans = {name: plan for name, plan in setup.plans().items() if args.environment in (None, name)}
    if args.json:
        print(json.dumps(_plain(setup, plans), indent=2))
        return 0
    texts = [f"{_title(setup, name)}\n\n{_text(plan, args.list)}" for name, plan in plans.items()]
    print("\n\n".join(texts))
    return 0


def _title(setup: Setup, name: str) -> str:
    toolchain = setup.toolchains[name]
    kernels, calls = len(toolchain.program.kernels), len(toolchain.program.calls)
    parts = [toolchain.backend.name, f"profile {toolchain.profile}", f"{kernels} kernels in {calls} calls"]
    parts += [f"runs as a whole: {toolchain.fallback}"] if toolchain.fallback else []
    return f"environment {name} ({', '.join(parts)})"


def _text(plan: Plan, listed: bool) -> str:
    if listed:
        return columns([("mutant", "unit", "ordinal", "code"), *map(_line, plan.mutants)], right=[2])
    head = [field.name for field in attrs.fields(type(plan.operators[0]))]
    rows = [attrs.astuple(entry) for entry in plan.operators]
    total = ("total", "", "", sum(entry.sites for entry in plan.operators), len(plan.mutants))
    return columns([head, *rows, total], right=[-2, -1])


def _line(mutant: Mutant) -> Sequence[object]:
    if len(mutant.sites) > 1:
        return (mutant.id, f"{len(mutant.sites)} sites", "-", "")
    (site,) = mutant.sites
    return (mutant.id, site.unit, site.ordinal, site.detail)


def _plain(setup: Setup, plans: dict[str, Plan]) -> dict[str, Any]:
    return {
        "campaign": setup.campaign.name,
        "model": setup.model.name,
        "images": len(setup.images),
        "environments": list(_environments(setup, plans)),
    }


def _environments(setup: Setup, plans: dict[str, Plan]) -> Iterator[dict[str, Any]]:
    for name, plan in plans.items():
        toolchain = setup.toolchains[name]
        yield {
            "name": name,
            "backend": toolchain.backend.name,
            "target": str(toolchain.target),
            "profile": str(toolchain.profile),
            "kernels": len(toolchain.program.kernels),
            "fallback": toolchain.fallback,
            "operators": [attrs.asdict(entry) for entry in plan.operators],
            "mutants": [attrs.asdict(mutant) for mutant in plan.mutants],
        }
