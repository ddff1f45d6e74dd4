"""``mutatenn plan``: the sites and mutants of a campaign, and what running them takes."""

from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.command import Command
from mutatenn.cli._text import columns, fitted, size, some, terminal_width
from mutatenn.errors import InputError, MutatennError
from mutatenn.nearest import unknown_name
from mutatenn.printable import duration, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from mutatenn.api.mutant import Mutant
    from mutatenn.campaign.execution.forecast import Forecast
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.campaign.planning.plan import Plan
    from mutatenn.host.plugin_host import PluginHost

EPILOG = """
With --json, an object: "campaign" (its name), "model", "images" (how many) and "environments", a list of
objects: "name", "backend", "target", "profile", "kernels" (how many different ones), "fallback" (why the
model runs as a whole, or ""), "operators" (per entry of the campaign and operator: operator, category, level,
sites, mutants, population, absence: why it found no site, or ""), "estimate" (only with --estimate: seconds,
memory and disk in bytes, tried and images: how many mutants on how many; or why there is none) and "mutants"
(id, operator, category, level, stage, options, parts, sites: unit, ordinal, detail, layers).
"""

SHORTEST = 40
"""Columns of code that a line has room for, or the list of mutants has two lines for each."""


class PlanCommand(Command):
    """Count the sites and mutants of a campaign; tell what running it takes."""

    name = "plan"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", metavar="FILE", help="the campaign file")
        parser.add_argument(
            "--list", action="store_true", help="a line per mutant: id, unit, ordinal, layers, code"
        )
        parser.add_argument(
            "--layers", action="store_true", help="count mutants by layer instead of operator"
        )
        parser.add_argument(
            "--only",
            metavar="MUTANT",
            action="append",
            default=[],
            help="only this mutant, by id, its beginning, or a pattern with * and ?; may be repeated",
        )
        parser.add_argument("--environment", metavar="NAME", help="only this environment")
        parser.add_argument(
            "--estimate",
            action="store_true",
            help="run a few mutants, to tell how long the campaign takes, and how much memory and disk",
        )
        parser.add_argument("--json", action="store_true", help="print an object, every mutant in it")
        parser.epilog = EPILOG

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Print the plan of each environment."""
        from mutatenn.campaign.execution.setup import set_up

        setup = set_up(args.file, host)
        if args.environment is not None and args.environment not in setup.toolchains:
            raise InputError(unknown_name("environment", args.environment, setup.toolchains))
        plans = {name: plan for name, plan in setup.plans().items() if args.environment in (None, name)}
        if args.only:
            plans = {name: _filtered(plan, args.only) for name, plan in plans.items()}
        told = {name: _estimate(setup, name, plan) for name, plan in plans.items() if args.estimate}
        sys.stdout.writelines(_json(setup, plans, told) if args.json else _text(setup, plans, args, told))
        return 0


def _estimate(setup: Setup, environment: str, plan: Plan) -> Forecast | str:
    """Return what an environment's mutants take, or why that cannot be told."""
    from mutatenn.campaign.execution.forecast import forecast
    from mutatenn.campaign.execution.provenance import cpus
    from mutatenn.engine.evaluate import KernelError

    try:
        return forecast(setup, environment, plan.mutants, cpus())
    except (MutatennError, KernelError) as error:
        return f"the original cannot be built and run: {error}"


def _takes(found: Forecast | str) -> str:
    if isinstance(found, str):
        return f"no estimate: {printable(found)}"
    takes = f"{duration(found.seconds)}, {size(found.memory)} of memory and {size(found.disk)} of disk"
    return f"`mutatenn run` takes about {takes}, by {found.tried} mutants on {found.images} images"


def _filtered(plan: Plan, names: Sequence[str]) -> Plan:
    from mutatenn.campaign.planning.select_mutants import select

    ids = [mutant.id for mutant in plan.mutants]
    wanted = {mutant for name in names for mutant in select(name, ids)}
    plan.mutants = [mutant for mutant in plan.mutants if mutant.id in wanted]
    return plan.recounted()


def _text(
    setup: Setup, plans: dict[str, Plan], args: argparse.Namespace, told: Mapping[str, Forecast | str]
) -> Iterator[str]:
    for number, (name, plan) in enumerate(plans.items()):
        yield "\n" * bool(number)
        yield f"{_title(setup, name)}\n\n"
        if args.list:
            yield from _list(plan.mutants)
        else:
            yield f"{_layers(plan) if args.layers else _table(plan)}\n"
            yield from _absences(plan)
        if name in told:
            yield f"\n{_takes(told[name])}\n"


def _title(setup: Setup, name: str) -> str:
    toolchain = setup.toolchains[name]
    kernels, calls = len(toolchain.program.kernels), len(toolchain.program.calls)
    parts = [toolchain.backend.name, f"profile {toolchain.profile}", f"{kernels} kernels in {calls} calls"]
    parts += [f"runs as a whole: {toolchain.fallback}"] if toolchain.fallback else []
    return f"environment {name} ({', '.join(parts)})"


def _table(plan: Plan) -> str:
    head = ("operator", "category", "level", "sites", "mutants")
    rows = [tuple(getattr(entry, name) for name in head) for entry in plan.operators]
    total = ("total", "", "", sum(entry.sites for entry in plan.operators), len(plan.mutants))
    return columns([head, *rows, total], right=[-2, -1])


def _absences(plan: Plan) -> Iterator[str]:
    """Yield why operators found nothing."""
    reasons: dict[str, list[str]] = {}
    for operator, reason in plan.absences.items():
        reasons.setdefault(reason, []).append(operator)
    yield "\nno site:\n" * bool(reasons)
    for reason, operators in reasons.items():
        line = f"{printable(', '.join(operators))}: {printable(reason)}"
        room = terminal_width()
        yield f"{textwrap.indent(line if room is None else textwrap.fill(line, room - 2), '  ')}\n"


def _layers(plan: Plan) -> str:
    """Return the mutants by place: a kernel, or an operator of the graph with the variable it is bound to."""
    layers: dict[tuple[str, str, str], Counter[str]] = {}
    for mutant in plan.mutants:
        places = {
            (some(site.layers), site.unit, site.detail.partition("(")[0] * (mutant.level == "graph"))
            for site in mutant.sites
        }
        place = places.pop() if len(places) == 1 else ("several", "", "")
        layers.setdefault(place, Counter())[mutant.category] += 1
    categories = sorted({category for counts in layers.values() for category in counts})
    rows = [
        (*place, *(counts[c] or "." for c in categories), counts.total()) for place, counts in layers.items()
    ]
    head = ("layers", "unit", "operator", *categories, "mutants")
    return columns([head, *rows], right=range(3, len(head)))


def _list(mutants: Sequence[Mutant]) -> Iterator[str]:
    """Yield the lines of aligned columns one by one: there may be very many."""
    rows = [("mutant", "unit", "ordinal", "layers", "code"), *map(_line, mutants)]
    widths = [max(len(str(cell)) for cell in column) for column in list(zip(*rows, strict=True))[:4]]
    room = terminal_width()
    if room is not None and sum(widths) + SHORTEST > room:
        yield from _narrow(rows[1:], room)
        return
    for row in rows:
        name, unit, ordinal, layers, code = map(printable, row)
        place = f"{unit:<{widths[1]}}  {ordinal:>{widths[2]}}  {layers:<{widths[3]}}"
        line = f"{name:<{widths[0]}}  {place}  {code}"
        yield f"{line.rstrip()}\n"


def _narrow(rows: Sequence[Sequence[object]], room: int) -> Iterator[str]:
    """Yield two lines for each mutant, no wider than the terminal: its id, and where it is."""
    for name, _, _, layers, code in (map(printable, row) for row in rows):
        yield f"{fitted(name, room)}\n"
        yield f"{fitted(f'  {layers}: {code}' if layers else f'  {code}', room)}\n"


def _line(mutant: Mutant) -> Sequence[object]:
    if len(mutant.sites) > 1:
        return (mutant.id, f"{len(mutant.sites)} sites", "-", some(mutant.layers), "")
    (site,) = mutant.sites
    return (mutant.id, site.unit, site.ordinal, some(site.layers), site.detail)


def _json(setup: Setup, plans: dict[str, Plan], told: Mapping[str, Forecast | str]) -> Iterator[str]:
    """Yield the text of the object piece by piece, a line per mutant."""
    about = {"campaign": setup.campaign.name, "model": setup.model.name, "images": setup.image_count}
    yield json.dumps(about, indent=2).removesuffix("\n}") + ',\n  "environments": ['
    for number, (name, plan) in enumerate(plans.items()):
        entry = _environment(setup, name, plan)
        if name in told:
            found = told[name]
            entry["estimate"] = found if isinstance(found, str) else attrs.asdict(found)
        environment = json.dumps(entry, indent=2).removesuffix("\n}")
        yield ("," * bool(number)) + textwrap.indent(f'\n{environment},\n  "mutants": [', "    ")
        for index, mutant in enumerate(plan.mutants):
            yield f"{',' * bool(index)}\n        {json.dumps(attrs.asdict(mutant))}"
        yield "\n      ]\n    }"
    yield "\n  ]\n}\n"


def _environment(setup: Setup, name: str, plan: Plan) -> dict[str, Any]:
    """Return all about an environment but its mutants."""
    toolchain = setup.toolchains[name]
    return {
        "name": name,
        "backend": toolchain.backend.name,
        "target": str(toolchain.target),
        "profile": str(toolchain.profile),
        "kernels": len(toolchain.program.kernels),
        "fallback": toolchain.fallback,
        "operators": [
            attrs.asdict(entry) | {"absence": plan.absences.get(entry.operator, "")}
            for entry in plan.operators
        ],
    }
