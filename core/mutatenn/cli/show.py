"""``mutatenn show``: one mutant, what it changes, and what became of it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.command import Command
from mutatenn.api.values import CATEGORIES
from mutatenn.cli._text import coloured, columns, some
from mutatenn.errors import InputError
from mutatenn.host.hookspecs import hookimpl
from mutatenn.nearest import unknown_name
from mutatenn.printable import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mutatenn.analysis.mutant.trace import Trace, TraceStep
    from mutatenn.api.verdict import Verdict
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.record import Record
    from mutatenn.results.run import Run

EPILOG = """
With --json, an object: id, operator, summary (the operator's), category, level, stage, options, sites (unit,
ordinal, detail, layers) and "environments", an object by name: "verdict" (null before it ran), "diff" (of its
code, null where none was stored), "labels" (per killed image: image, original, mutant: output indices, the
mutant's null where its outputs are not finite).

With --trace, the results of all calls from the first that differs: the share of elements that changed, the
largest absolute difference, that over the original's largest value, its order of magnitude, and the layers of
the network that are computed into it. * marks changed kernels; a new result has no counterpart in the
original. With --json too, a list of objects: environment, mutant, image, original_label, mutant_label, hops.

With --source, the code generated for the changed kernels, of a kind that the backend has (llvm and asm for
CPUs), as a diff of original and mutant, which passes over how the compiler numbers values. With --json too, a
list of objects: environment, mutant, kind, diff (empty where the code is the same).
"""
SHOWN = 5
LONGEST_BAR = 12


@attrs.frozen
class Labels:
    """The top-1 output index of one image, the original's and the mutant's (None: not finite)."""

    image: str
    original: int
    mutant: int | None


class ShowCommand(Command):
    """Show one mutant: where it is, what it changes, what became of it."""

    name = "show"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("run", metavar="RUN", help="the run directory")
        parser.add_argument("mutant", metavar="MUTANT", help="its id, or the beginning of it")
        parser.add_argument("--environment", metavar="NAME", help="only this environment")
        ways = parser.add_mutually_exclusive_group()
        ways.add_argument("--trace", action="store_true", help="follow the difference kernel by kernel")
        ways.add_argument(
            "--source", metavar="KIND", help="compare generated code: llvm, asm, opencl, cuda, ptx"
        )
        parser.add_argument(
            "--image", metavar="NAME", help="the image to trace (default: one that noticed it)"
        )
        parser.add_argument("--json", action="store_true", help="print an object")
        parser.epilog = EPILOG

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Print the mutant."""
        import mutatenn

        run = mutatenn.open_run(args.run)
        if args.environment is not None and args.environment not in run.environments:
            raise InputError(unknown_name("environment", args.environment, run.environments))
        record = run.mutant(args.mutant)
        names = [name for name in run.environments if args.environment in (None, name)]
        if args.trace:
            return _print_traces(run, record, names, args, host)
        if args.image is not None:
            raise InputError("--image goes with --trace; give both")
        if args.source is not None:
            return _print_code(run, record, names, args, host)
        mutator = host.mutators().get(record.operator)
        summary = mutator.summary() if mutator else ""  # its plugin may be gone since
        print(
            json.dumps(_plain(run, record, summary, names), indent=2)
            if args.json
            else "\n\n".join(_sections(run, record, summary, names))
        )
        return 0


def _print_traces(
    run: Run, record: Record, names: Sequence[str], args: argparse.Namespace, host: PluginHost
) -> int:
    from mutatenn.analysis.mutant.trace import trace

    traces = [trace(run, record.id, name, args.image, host) for name in names]
    if args.json:
        print(json.dumps([_finite(attrs.asdict(each)) for each in traces], indent=2))
    else:
        print("\n\n".join(_trace(each) for each in traces))
    return 0


def _print_code(
    run: Run, record: Record, names: Sequence[str], args: argparse.Namespace, host: PluginHost
) -> int:
    from mutatenn.analysis.mutant.code_diff import code_diffs

    diffs = code_diffs(run, record.mutant, names, args.source, host)
    if args.json:
        shown = [
            {"environment": name, "mutant": record.id, "kind": args.source, "diff": diff}
            for name, diff in diffs.items()
        ]
        print(json.dumps(shown, indent=2))
        return 0
    for diff in dict.fromkeys(diffs.values()):
        where = ", ".join(name for name in diffs if diffs[name] == diff)
        print(printable(f"{record.id} in {where}, {args.source}:"))
        print(coloured(diff) if diff else "the code is the original's")
    return 0


def _finite(trace: dict[str, Any]) -> dict[str, Any]:
    """Return a trace with null for what is infinite: a difference to a value that is 0 everywhere."""
    for hop in trace["hops"]:
        hop["relative"] = hop["relative"] if hop["relative"] != math.inf else None
    return trace


def _trace(trace: Trace) -> str:
    labels = f"label {trace.original_label}, the original's"
    if trace.mutant_label != trace.original_label:
        labels = f"label {trace.mutant_label} instead of {trace.original_label}"
    head = printable(f"{trace.mutant} on {trace.image} in {trace.environment}: {labels}")
    first = trace.first
    if first is None:
        return f"{head}\nno value differs from the original's"
    rows: list[tuple[str, ...]] = [
        ("call", "kernel", "result", "changed", "max abs", "relative", "", "layers")
    ]
    rows += [_hop(hop) for hop in trace.hops[trace.hops.index(first) :]]
    where = f" ({', '.join(first.layers)})" if first.layers else ""
    start = f"first divergent: call {first.position} of {trace.hops[-1].position + 1}, {first.kernel}{where}"
    return "\n".join([head, printable(start), columns(rows, right=[0, 3, 4, 5])])


def _hop(hop: TraceStep) -> tuple[str, ...]:
    shape = "x".join(map(str, hop.shape)) or "scalar"
    name = f"{hop.kernel} *" if hop.mutated else hop.kernel
    if hop.changed is None or hop.max_abs is None or hop.relative is None:
        return (str(hop.position), name, shape, "new", "", "", "", "")
    wild = f"  {hop.non_finite} not finite" if hop.non_finite else ""
    numbers = (f"{hop.changed:.1%}", f"{hop.max_abs:.2g}", f"{hop.relative:.2g}")
    return (str(hop.position), name, shape, *numbers, f"{_bar(hop.relative)}{wild}", some(hop.layers))


def _bar(relative: float) -> str:
    """Draw an error's order of magnitude: one sign for 1e-8 of the scale, nine for all of it."""
    if relative in (0, math.inf):
        return "#" * (LONGEST_BAR if relative else 0)
    return "#" * max(0, min(LONGEST_BAR, 9 + math.floor(math.log10(relative))))


def _plain(run: Run, record: Record, summary: str, names: Sequence[str]) -> dict[str, Any]:
    diffs = run.changes(record.id)
    environments = {}
    for name in names:
        verdict = record.verdicts.get(name)
        environments[name] = {
            "verdict": attrs.asdict(verdict) if verdict else None,
            "diff": diffs.get(name),
            "labels": [attrs.asdict(each) for each in _labels(run, verdict)],
        }
    mutant = attrs.asdict(record.mutant)
    return {**mutant, "summary": summary, "environments": environments}


def _sections(run: Run, record: Record, summary: str, names: Sequence[str]) -> Iterator[str]:
    yield _head(record, summary)
    diffs = {name: diff for name, diff in run.changes(record.id).items() if name in names}
    for diff in dict.fromkeys(diffs.values()):
        where = [name for name in diffs if diffs[name] == diff]
        title = "" if len(where) == len(names) else f"in {', '.join(where)}:\n"
        yield f"{title}{coloured(diff)}"
    for name in names:
        yield _outcome(run, name, record.verdicts.get(name))


def _head(record: Record, summary: str) -> str:
    category = CATEGORIES.get(record.category, "")
    rows = [
        ("mutant", record.id),
        ("operator", f"{record.operator}: {summary}" if summary else record.operator),
        ("category", f"{record.category}, {category}" if category else record.category),
        ("level", record.level),
        ("stage", record.stage),
    ]
    rows += [("part", part.id) for part in record.mutant.parts]
    rows += [("option", f"{name} = {value!r}") for name, value in record.mutant.options.items()]
    rows += [("site", f"{site.unit} {site.ordinal}  {site.detail}") for site in record.sites]
    if record.mutant.layers:
        rows.append(("layers", ", ".join(record.mutant.layers)))
    return columns(rows, whole=True)


def _outcome(run: Run, environment: str, verdict: Verdict | None) -> str:
    if verdict is None:
        return printable(f"{environment}: not run yet")
    by = f" by {', '.join(verdict.by)}" if verdict.by else ""
    message = f": {' '.join(verdict.message.split())}" if verdict.message else ""
    lines = [printable(f"{environment}: {verdict.status}{by}{message} ({verdict.seconds:.2f} s)")]
    if verdict.images:
        lines.append(_counts(verdict))
    if verdict.masked:
        died = ", ".join(f"{kernel} ({count})" for kernel, count in sorted(verdict.masked.items()))
        lines.append(printable(f"  the infection died in (images): {died}"))
    if verdict.memory:
        lines.append(printable(f"  {verdict.memory}"))
    if first := run.duplicates(environment).get(verdict.mutant):
        lines.append(f"  a duplicate: {first} has the same program")
    if verdict.oracles:
        rows = [(name, *map(_number, summary.values())) for name, summary in verdict.oracles.items()]
        lines.append(_indented(columns([("oracle", "mean", "worst"), *rows], right=[1, 2])))
    if labels := _labels(run, verdict):
        lines.append(_changes(labels))
    return "\n".join(lines)


def _counts(verdict: Verdict) -> str:
    counts = {
        "killed": verdict.killed,
        "infected": verdict.infected,
        "propagated": verdict.propagated,
        "label changed": verdict.labels_changed,
        "not finite": verdict.non_finite,
    }
    degenerate = ", outputs degenerate" if verdict.degenerate else ""
    return (
        f"  of {verdict.images} images: {', '.join(f'{n} {what}' for what, n in counts.items())}{degenerate}"
    )


def _changes(labels: Sequence[Labels]) -> str:
    rows = [("image", "original", "mutant")]
    rows += [(each.image, str(each.original), _label(each.mutant)) for each in labels[:SHOWN]]
    more = [f"and {len(labels) - SHOWN} more"] if len(labels) > SHOWN else []
    table = _indented("\n".join([columns(rows, right=[1, 2]), *more]))
    return f"  killed on (top-1 output index):\n{table}"


def _labels(run: Run, verdict: Verdict | None) -> list[Labels]:
    """Return the labels of the images on which the mutant was killed."""
    if verdict is None or not verdict.killed_images:
        return []
    rows = [run.image_names.index(name) for name in verdict.killed_images]
    before = run.outputs(verdict.environment, None)[rows]
    after = run.outputs(verdict.environment, verdict.mutant)[rows]
    return [
        Labels(name, int(np.argmax(original)), _top(mutant))
        for name, original, mutant in zip(verdict.killed_images, before, after, strict=True)
    ]


def _top(values: NDArray[np.float32]) -> int | None:
    return int(np.argmax(values)) if np.isfinite(values).all() else None


def _label(label: int | None) -> str:
    return "not finite" if label is None else str(label)


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


@hookimpl
def mutatenn_commands() -> list[type[Command]]:
    """Contribute the command."""
    return [ShowCommand]
