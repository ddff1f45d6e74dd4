"""What the terminal reporter says of a run: header, a section per environment, the score lines."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mutatenn_reporters._answer import answer
from mutatenn_reporters._terminal import layers as by_layer
from mutatenn_reporters._terminal import notable
from mutatenn_reporters._terminal.between import between
from mutatenn_reporters._terminal.table import WIDTH, invalid, table, zeros
from mutatenn_reporters._text import changes, clean, count, environment, ratio, verdict_of_gate
from mutatenn_reporters._view import views

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn import Run
    from mutatenn_reporters._terminal.between import EnvironmentsSection
    from mutatenn_reporters._view import View

MOST = 5
"""Operators of which it is told that they have few verdicts."""


def page(run: Run, stream: TextIO) -> str:
    """Return the whole text: as wide as a terminal, or 80 columns (more if a table needs more) elsewhere."""
    every, together = views(run), between(run)
    tables = [*(table(each) for each in every if each.judged), *(together.tables if together else ())]
    natural = max([WIDTH, *(len(line) for each in tables for line in each.plain.splitlines())])
    width = None if stream.isatty() else natural
    console = Console(file=stream, highlight=False, width=width, force_jupyter=False)
    with console.capture() as capture:
        for line in _first(run):
            console.print(line, soft_wrap=True)  # one line for each, however long
        for block in _blocks(run, every, together):
            console.print(block, width=min(console.width, natural))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    return "\n".join([*lines, *_for_programs(run)])


def _for_programs(run: Run) -> list[str]:
    """Return the score lines, none where there is nothing to score."""
    mutated = [name for name in run.environments if run.mutants_of(name)]
    if not mutated and len(run.environments) > 1:
        return []
    if len(run.environments) == 1:
        return [run.score().line()]
    return [f"environment {clean(name)} {run.score(name).line()}" for name in mutated]


def _first(run: Run) -> Iterator[Text]:
    """Yield what a reader must know before any number: failed thresholds, operators without verdicts."""
    for failed in run.failed_thresholds:
        yield Text(clean(failed), "bold red")
    several = len(run.environments) > 1
    found = [
        f"{f'environment {name}: ' * several}{operator}: {told}"
        for name in run.environments
        for operator, told in run.few_verdicts(name).items()
    ]
    for line in found[:MOST]:
        yield Text(f"warning: {clean(line)}", "yellow")
    if len(found) > MOST:
        more = count(len(found) - MOST, "operator")
        yield Text(f"warning: {more} more, most of whose mutants have no verdict", "yellow")


def _blocks(
    run: Run, every: Sequence[View], together: EnvironmentsSection | None
) -> Iterator[RenderableType]:
    yield _header(run)
    yield ""
    for each in every:
        yield from _environment(run, each)
        yield ""
    if together:
        yield from _between(together)


def _header(run: Run) -> RenderableType:
    facts = run.facts
    model, oracles = facts.get("model", {}), facts.get("oracles", {})
    also = [name for name in oracles.get("all", ()) if name != oracles.get("kill")]
    rows = {
        "model": f"{model.get('name', '?')}: {model.get('input', '?')} -> {model.get('output', '?')}",
        "images": str(len(run.image_names)),
    }
    if any(map(run.mutants_of, run.environments)):
        rows["killed by"] = f"{oracles.get('kill', '?')}{'; measured too: ' if also else ''}{', '.join(also)}"
    grid = Table.grid(padding=(0, 2, 0, 0))
    for label, value in rows.items():
        grid.add_row(Text(f"  {label}"), Text(clean(value)))
    return Group(Text(f"campaign {clean(run.name)}", "bold"), grid)


def _environment(run: Run, each: View) -> Iterator[RenderableType]:
    yield Text.assemble((f"environment {clean(each.name)}", "bold"), f": {environment(each.facts)}")
    if each.baseline:
        gate = Text(verdict_of_gate(each.baseline), "red" if each.baseline.problems else "green")
        yield Padding.indent(gate, 2)
    elif each.name in run.failures:
        yield Padding.indent(Text(f"original failed: {clean(run.failures[each.name])}", "red"), 2)
    if each.judged:
        yield from _results(run, each)
    if reasons := Counter(run.skipped.values()):
        told = "; ".join(f"{clean(reason)} ({number})" for reason, number in reasons.most_common())
        yield Text(f"{count(reasons.total(), 'mutant')} skipped by the campaign file: {told}")
    if each.waiting:
        red = each.baseline and each.baseline.problems
        cure = "the original must pass the gate first" if red else _rest(run, each)
        yield Text(f"{each.waiting} of {count(each.mutants, 'mutant')} not run yet; {cure}", "red")


def _rest(run: Run, each: View) -> str:
    """Tell why mutants wait."""
    stop = run.stop
    interval = run.interval(each.name, stop.confidence) if stop else None
    if each.facts.get("offline"):
        return f"`mutatenn bundle {shlex.quote(str(run.directory))} --environment {each.name}` packs them"
    if stop and interval and interval.narrow_enough(stop.width):
        return f"the score's interval is no wider than {stop.width:g}, as the campaign asks"
    return "`mutatenn run` continues"


def _results(run: Run, each: View) -> Iterator[RenderableType]:
    yield ""
    yield table(each)
    yield ""
    if together := invalid(each):
        yield Text(together)
    none = zeros(each)
    if none:
        yield Text(", ".join(f"0 {status}" for status in none))
    for why, left_out in (
        ("no site in this model", [row for row in each.rows if not (row.sites or row.mutants)]),
        ("no mutant in this plan", [row for row in each.rows if row.sites and not row.mutants]),
    ):
        if left_out:
            yield Text(f"{why}: {', '.join(clean(row.operator) for row in left_out)}")
    if (delta := run.since(each.name)) and run.against:
        yield Text(f"since {clean(run.against.directory)}: {changes(delta)}")
    if known := run.accepted_survivors(each.name):
        yield Text(f"{count(known, 'survivor')} accepted by the campaign file")
    if copies := len(run.duplicates(each.name)):
        yield Text(f"{count(copies, 'duplicate')}: another mutant has the same program")
    if strays := run.strays(each.name):
        yield Text(
            f"{count(strays, 'mutant')} read memory outside a buffer, or unwritten, and ended alike "
            "with something else there"
        )
    if layers := by_layer.table(run.layer_scores(each.name)):
        yield ""
        yield Text(layers)
        yield ""
    for group in notable.notable(run, each):
        yield _group(group)
    yield _score(run, each)
    if told := answer(run, each):
        yield ""
        yield Text(told, "bold")


def _group(group: notable.Group) -> RenderableType:
    lines: list[RenderableType] = [Text(f"{group.title}:")]
    for mutant, about in group.mutants:
        lines.append(Padding.indent(Text(clean(mutant), "bold"), 2))
        lines.append(Padding.indent(Text(about), 4))
    if group.more:
        lines.append(Padding.indent(Text(f"and {group.more} more"), 2))
    return Group(*lines)


def _score(run: Run, each: View) -> Text:
    score, interval = each.score, each.score.interval
    if not score.valid:
        return Text("no score: no mutant ran that is not equivalent")
    if interval and score.sampled:
        population = sum(entry.population for entry in run.operators(each.name))
        told = (
            f", {interval.low:.2f} to {interval.high:.2f} with {interval.confidence:.0%} confidence: "
            f"{score.detected} detected of {score.valid} valid,\n  weighted by how many of all {population} "
            "such mutants are of each operator"
        )
    else:
        told = f" = {score.detected} detected / {score.valid} valid"
        if each.infected:
            told += f"; of the {each.infected} that infected a value: {ratio(score.detected / each.infected)}"
    return Text.assemble(
        (f"score {ratio(score.value)}", "bold"),
        told,
        "\n  detected: killed, crashed, timed out; valid: those, survived, never infected",
    )


def _between(together: EnvironmentsSection) -> Iterator[RenderableType]:
    yield Text("between environments", "bold")
    for each in together.tables:
        yield each
        yield ""
    if together.diverging:
        yield _group(together.diverging)
        yield Text("  `mutatenn compare --discrepancies` compares the outputs, too")
        yield ""
