"""``mutatenn images``: what each image contributes to noticing the mutants."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.command import Command
from mutatenn.cli._text import columns, some
from mutatenn.errors import InputError
from mutatenn.host.hookspecs import hookimpl
from mutatenn.nearest import unknown_name
from mutatenn.printable import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mutatenn.analysis.images.worth import ImageWorth, Survivor
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.run import Run

EPILOG = """
With --json, an object by environment, null before a mutant was judged there: "mutants" (valid ones judged),
"killed" (by some image), "cover" (a smallest set of images that kills these: "images", each with how many
mutants it and those before it kill; "minimal", whether no set can be smaller; "lower_bound", how many images
any such set has at least; "method", greedy or milp; "greedy", the size the greedy search found), "kills"
(mutants per image, most first), "idle" (images that kill none), "dominated" (images that kill only what the
other one does), "sole" (mutants that one image alone kills), "apart" (mutants detected otherwise, and how
they ended; killed: by the outputs as a whole), "survivors" (closest to being noticed first: mutant, lost: the
largest share of its top-1 margin that an image lost, image, labels_changed, propagated).
"""
NEEDED = 10
SHOWN = 5


class ImagesCommand(Command):
    """Say which images are needed, which add nothing, and what they nearly killed."""

    name = "images"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("run", metavar="RUN", help="the run directory")
        parser.add_argument("--environment", metavar="NAME", help="only this environment")
        parser.add_argument("--json", action="store_true", help="print an object, every image in it")
        parser.epilog = EPILOG

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:  # noqa: ARG002  # no plugin is asked
        """Print what the images of each environment are worth."""
        import mutatenn

        run = mutatenn.open_run(args.run)
        if args.environment is not None and args.environment not in run.environments:
            raise InputError(unknown_name("environment", args.environment, run.environments))
        names = [name for name in run.environments if args.environment in (None, name)]
        if args.json:
            print(json.dumps({name: _plain(run, name) for name in names}, indent=2))
        else:
            print("\n\n".join("\n\n".join(_sections(run, name)) for name in names))
        return 0


def _found(run: Run, environment: str) -> ImageWorth | None:
    """Return what the images are worth, None before a mutant was judged."""
    from mutatenn.analysis.images.kill_matrix import kill_matrix
    from mutatenn.analysis.images.worth import worth

    matrix = kill_matrix(run, environment)
    return worth(matrix) if matrix.mutants else None


def _plain(run: Run, environment: str) -> dict[str, Any] | None:
    found = _found(run, environment)
    if found is None:
        return None
    from mutatenn.analysis.images.worth import closest_survivors

    cover = found.cover
    survivors = closest_survivors(run, environment)
    return {
        "mutants": found.mutants,
        "killed": found.killed,
        "cover": {
            "images": found.needed,
            "minimal": cover.minimal,
            "lower_bound": cover.lower_bound,
            "method": cover.method,
            "greedy": cover.greedy,
        },
        **{key: getattr(found, key) for key in ("kills", "idle", "dominated", "sole", "apart")},
        "survivors": [attrs.asdict(each) for each in survivors],
    }


def _sections(run: Run, environment: str) -> Iterator[str]:
    found = _found(run, environment)
    if found is None:
        yield printable(f"environment {environment}: no mutant was judged yet; `mutatenn run` continues it")
        return
    from mutatenn.analysis.images.worth import closest_survivors

    yield _head(found)
    if found.needed:
        yield _cover(found)
        yield _table("images by kills", ("image", "kills"), found.kills)
    if found.sole:
        yield _table(
            f"only one image kills: {_count(len(found.sole), 'mutant')}", ("mutant", "image"), found.sole
        )
    yield from filter(None, (_idle(found), _dominated(found), _apart(found)))
    if survivors := closest_survivors(run, environment):
        yield _survivors(survivors)


def _head(found: ImageWorth) -> str:
    by = f"{_kill(found.kills)} {found.killed} of {_count(found.mutants, 'valid mutant')}"
    return printable(f"environment {found.environment}: {by}")


def _cover(found: ImageWorth) -> str:
    cover = found.cover
    proof = "no smaller set exists" if cover.minimal else f"fewer than {cover.lower_bound} cannot"
    how = {"greedy": "greedy search", "milp": "integer program"}[cover.method]
    title = f"{_kill(found.needed)} all {found.killed} ({proof}; found by {how})"
    rows = [(name, kills, f"{kills / found.killed:.0%}") for name, kills in found.needed.items()]
    return _listed(title, ("image", "killed so far", ""), rows, right=[1, 2], most=NEEDED)


def _table(title: str, head: tuple[str, str], pairs: Mapping[str, object]) -> str:
    return _listed(title, head, list(pairs.items()), right=[1] if head[1] == "kills" else [])


def _idle(found: ImageWorth) -> str:
    return (
        f"kill nothing: {_count(len(found.idle), 'image')}\n  {some(found.idle, SHOWN)}" if found.idle else ""
    )


def _dominated(found: ImageWorth) -> str:
    title = f"kill only what another image kills: {_count(len(found.dominated), 'image')}"
    return _table(title, ("image", "the other"), found.dominated) if found.dominated else ""


def _apart(found: ImageWorth) -> str:
    """Return the mutants that were detected, but not by an image."""
    titles = {
        "killed": "killed by the outputs as a whole",
        "crashed": "crashed",
        "timed-out": "timed out",
    }
    lines = ["detected, but not by single images"] if found.apart else []
    for status, title in titles.items():
        if names := [name for name, ended in found.apart.items() if ended == status]:
            lines += [f"  {title}: {_count(len(names), 'mutant')}", f"    {some(names, SHOWN)}"]
    return "\n".join(lines)


def _survivors(survivors: Sequence[Survivor]) -> str:
    rows = [(each.mutant, f"{each.lost:.1%}", each.image or "-") for each in survivors[:SHOWN]]
    title = "survivors closest to being noticed: the most of its top-1 margin that an image lost"
    return _listed(title, ("mutant", "lost", "image"), rows, right=[1])


def _listed(
    title: str,
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    right: Iterable[int],
    most: int = SHOWN,
) -> str:
    """Return a title and the first rows of a table."""
    table = columns([head, *rows[:most]], right=right).splitlines()
    more = [f"and {len(rows) - most} more"] if len(rows) > most else []
    return "\n".join([title, *(f"  {line}" for line in [*table, *more])])


def _kill(images: Collection[str]) -> str:
    return f"{_count(len(images), 'image')} kill{'s' * (len(images) == 1)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


@hookimpl
def mutatenn_commands() -> list[type[Command]]:
    """Contribute the command."""
    return [ImagesCommand]
